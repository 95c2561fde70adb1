//! What a reply looks like: small matchers that compose.
//!
//! ```
//! use drivers_sdk::matcher::*;
//! use drivers_sdk::Error;
//!
//! // `OK volume=12`, or an error that begins with `ERR`.
//! let volume = prefix("OK volume=").try_map(|rest| rest.parse::<u8>()).unless(prefix("ERR"));
//! // Every line up to `END`.
//! let list = lines_until(exact("END")).unless(prefix("ACK").or(prefix("NAK")));
//! ```
//!
//! A frame that the matcher of the command in flight does not take goes to `#[received]`.

use crate::error::{Error, Result};
use crate::frame::Frame;
use crate::module::inbox::{FRAME, LIMIT};

/// What a matcher says of a frame.
#[derive(Debug)]
pub enum Match<T> {
    /// It has nothing to do with this command.
    No,
    /// It belongs to the reply, and more follow.
    More,
    /// It completes the reply, which is this. An error is what the device says in its own words: no retry.
    Done(Result<T>),
}

impl<T> Match<T> {
    fn map<U>(self, map: impl FnOnce(T) -> Result<U>) -> Match<U> {
        match self {
            Match::No => Match::No,
            Match::More => Match::More,
            Match::Done(result) => Match::Done(result.and_then(map)),
        }
    }
}

/// Recognises the reply to a command. It sees, in order, the frames that arrive while the command is in flight.
pub trait Matcher: Sized + 'static {
    /// What the reply is read as.
    type Output: 'static;

    /// Looks at a frame.
    fn offer(&mut self, frame: &[u8]) -> Match<Self::Output>;

    /// The command is sent again: forget what was seen.
    fn reset(&mut self) {}

    #[doc(hidden)]
    const REPLIES: bool = true;

    #[doc(hidden)]
    fn sent(&mut self) -> Option<Self::Output> {
        None
    }

    /// Reads the output as something else.
    fn map<T: 'static, F: FnMut(Self::Output) -> T + 'static>(self, map: F) -> Map<Self, F> {
        Map { matcher: self, map }
    }

    /// Reads the output as something else, or as a failure of the command.
    fn try_map<T: 'static, F: FnMut(Self::Output) -> Result<T> + 'static>(self, map: F) -> TryMap<Self, F> {
        TryMap { matcher: self, map }
    }

    /// Takes what either matches; this one is asked first.
    fn or<M: Matcher<Output = Self::Output>>(self, other: M) -> Or<Self, M> {
        Or { first: self, second: other }
    }

    /// Takes nothing that `other` matches: what the device says by itself in the midst of a long reply, which then goes to
    /// `#[received]`. `lines_until(exact("END")).except(prefix("EVENT "))`
    fn except<M: Matcher>(self, other: M) -> Except<Self, M> {
        Except { matcher: self, other }
    }

    /// What this takes makes the command fail, with a `device` error that says why:
    /// `.unless(exact("BUSY").refuses("the lamp is warming up"))`.
    fn refuses(self, why: &'static str) -> impl Matcher<Output = ()> {
        self.try_map(move |_| Err(Error::device(why)))
    }

    /// Fails the command with a `device` error that shows the frame, if `refusal` matches; it is asked first. A refusal that
    /// says why itself, [`refusal`] or [`refuses`](Self::refuses), is the error.
    fn unless<M: Matcher>(self, refusal: M) -> Unless<Self, M> {
        Unless { matcher: self, refusal }
    }
}

/// No reply is expected: the command is done once the operating system has taken its bytes.
#[derive(Clone, Copy, Debug)]
pub struct NoReply;

impl Matcher for NoReply {
    type Output = ();

    fn offer(&mut self, _: &[u8]) -> Match<()> {
        Match::No
    }

    const REPLIES: bool = false;

    fn sent(&mut self) -> Option<()> {
        Some(())
    }
}

/// A test of one frame; made by [`anything`], [`exact`], [`prefix`], [`suffix`], [`matching`] and [`parse`].
#[derive(Clone, Debug)]
pub struct Test<F>(F);

impl<T: 'static, F: FnMut(&[u8]) -> Option<Result<T>> + 'static> Matcher for Test<F> {
    type Output = T;

    fn offer(&mut self, frame: &[u8]) -> Match<T> {
        match (self.0)(frame) {
            Some(result) => Match::Done(result),
            None => Match::No,
        }
    }
}

/// The next frame, whatever it is.
pub fn anything() -> impl Matcher<Output = Frame> {
    Test(|frame: &[u8]| Some(Ok(Frame::from(frame))))
}

/// The frame that is exactly this.
pub fn exact(text: impl Into<Vec<u8>>) -> impl Matcher<Output = ()> {
    let text = text.into();
    Test(move |frame: &[u8]| (frame == text).then_some(Ok(())))
}

/// A frame that begins with this; the output is the rest of it.
pub fn prefix(text: impl Into<Vec<u8>>) -> impl Matcher<Output = Frame> {
    let text = text.into();
    Test(move |frame: &[u8]| frame.strip_prefix(&*text).map(|rest| Ok(Frame::from(rest))))
}

/// A frame that ends with this; the output is what is before it.
pub fn suffix(text: impl Into<Vec<u8>>) -> impl Matcher<Output = Frame> {
    let text = text.into();
    Test(move |frame: &[u8]| frame.strip_suffix(&*text).map(|rest| Ok(Frame::from(rest))))
}

/// A frame for which this is true; the output is the frame.
pub fn matching(mut test: impl FnMut(&[u8]) -> bool + 'static) -> impl Matcher<Output = Frame> {
    Test(move |frame: &[u8]| test(frame).then(|| Ok(Frame::from(frame))))
}

/// A frame of text that this can read; `None` means that it is not the reply. What is no UTF-8 is read as `\u{fffd}`.
pub fn parse<T: 'static>(mut read: impl FnMut(&str) -> Option<T> + 'static) -> impl Matcher<Output = T> {
    Test(move |frame: &[u8]| read(&String::from_utf8_lossy(frame)).map(Ok))
}

/// A frame of text with which the device refuses this command (`refusal = …` of `#[driver]` is for all of them): it fails with a `device` error, which is the sentence that `why` has for
/// it. `.unless(refusal(|line| line.strip_prefix("ERR ").map(|code| format!("the lamp refused: error {code}"))))`
pub fn refusal<S: Into<String>>(
    mut why: impl FnMut(&str) -> Option<S> + 'static,
) -> impl Matcher<Output = ()> {
    parse(move |line| why(line).map(Into::into)).try_map(|why| Err(Error::device(why)))
}

/// Like [`parse`] for bytes, and a frame may be read as a failure of the command.
pub fn parse_bytes<T: 'static>(
    read: impl FnMut(&[u8]) -> Option<Result<T>> + 'static,
) -> impl Matcher<Output = T> {
    Test(read)
}

/// Every frame up to the one that `end` matches, which is not part of the output. After 4 MiB without an end the command fails
/// with a `device` error.
pub fn lines_until<M: Matcher>(end: M) -> LinesUntil<M> {
    LinesUntil { end, lines: Vec::new(), size: 0 }
}

/// Made by [`lines_until`].
#[derive(Clone, Debug)]
pub struct LinesUntil<M> {
    end: M,
    lines: Vec<Frame>,
    size: usize,
}

impl<M: Matcher> Matcher for LinesUntil<M> {
    type Output = Vec<Frame>;

    fn offer(&mut self, frame: &[u8]) -> Match<Vec<Frame>> {
        match self.end.offer(frame) {
            Match::No if self.size >= LIMIT => {
                let what = format!("the reply does not end: more than {LIMIT} bytes of it came");
                Match::Done(Err(Error::device(what)))
            }
            Match::No => {
                self.size += frame.len() + FRAME;
                self.lines.push(Frame::from(frame));
                Match::More
            }
            Match::More => Match::More,
            Match::Done(result) => Match::Done(result.map(|_| std::mem::take(&mut self.lines))),
        }
    }

    fn reset(&mut self) {
        self.end.reset();
        self.lines.clear();
        self.size = 0;
    }
}

/// Made by [`Matcher::map`].
#[derive(Clone, Debug)]
pub struct Map<M, F> {
    matcher: M,
    map: F,
}

impl<M: Matcher, T: 'static, F: FnMut(M::Output) -> T + 'static> Matcher for Map<M, F> {
    type Output = T;

    fn offer(&mut self, frame: &[u8]) -> Match<T> {
        self.matcher.offer(frame).map(|output| Ok((self.map)(output)))
    }

    fn reset(&mut self) {
        self.matcher.reset();
    }
}

/// Made by [`Matcher::try_map`].
#[derive(Clone, Debug)]
pub struct TryMap<M, F> {
    matcher: M,
    map: F,
}

impl<M: Matcher, T: 'static, F: FnMut(M::Output) -> Result<T> + 'static> Matcher for TryMap<M, F> {
    type Output = T;

    fn offer(&mut self, frame: &[u8]) -> Match<T> {
        self.matcher.offer(frame).map(&mut self.map)
    }

    fn reset(&mut self) {
        self.matcher.reset();
    }
}

/// Made by [`Matcher::or`].
#[derive(Clone, Debug)]
pub struct Or<A, B> {
    first: A,
    second: B,
}

impl<A: Matcher, B: Matcher<Output = A::Output>> Matcher for Or<A, B> {
    type Output = A::Output;

    fn offer(&mut self, frame: &[u8]) -> Match<A::Output> {
        match self.first.offer(frame) {
            Match::No => self.second.offer(frame),
            taken => taken,
        }
    }

    fn reset(&mut self) {
        self.first.reset();
        self.second.reset();
    }
}

/// Made by [`Matcher::except`].
#[derive(Clone, Debug)]
pub struct Except<M, O> {
    matcher: M,
    other: O,
}

impl<M: Matcher, O: Matcher> Matcher for Except<M, O> {
    type Output = M::Output;

    fn offer(&mut self, frame: &[u8]) -> Match<M::Output> {
        match self.other.offer(frame) {
            Match::No => self.matcher.offer(frame),
            Match::More | Match::Done(_) => Match::No,
        }
    }

    fn reset(&mut self) {
        self.matcher.reset();
        self.other.reset();
    }
}

/// Made by [`Matcher::unless`].
#[derive(Clone, Debug)]
pub struct Unless<M, R> {
    matcher: M,
    refusal: R,
}

impl<M: Matcher, R: Matcher> Matcher for Unless<M, R> {
    type Output = M::Output;

    fn offer(&mut self, frame: &[u8]) -> Match<M::Output> {
        match self.refusal.offer(frame) {
            Match::No => self.matcher.offer(frame),
            Match::More => Match::More,
            Match::Done(Err(error)) => Match::Done(Err(error)),
            Match::Done(Ok(_)) => {
                Match::Done(Err(Error::device(format!("the device answered {}", Frame::from(frame)))))
            }
        }
    }

    fn reset(&mut self) {
        self.matcher.reset();
        self.refusal.reset();
    }
}
