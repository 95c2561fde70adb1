//! Extron's Simple Instruction Set on the wire: how it is cut into lines, and what they say.

use std::io;

use drivers_sdk::framing::{Bytes, BytesMut, Decoder, Encoder};
use drivers_sdk::interfaces::Layer;
use drivers_sdk::prelude::*;

/// What asks for the password. No line end follows it.
const PROMPT: &[u8] = b"Password:";

/// Lines that end with CR LF, and the prompt. Commands end in ways of their own, so they are sent as they are.
#[derive(Default)]
pub struct Sis;

impl Decoder for Sis {
    type Item = BytesMut;
    type Error = io::Error;

    fn decode(&mut self, buffer: &mut BytesMut) -> io::Result<Option<BytesMut>> {
        if buffer.starts_with(PROMPT) {
            return Ok(Some(buffer.split_to(PROMPT.len())));
        }
        let Some(end) = buffer.windows(2).position(|pair| pair == b"\r\n") else { return Ok(None) };
        let line = buffer.split_to(end);
        drop(buffer.split_to(2));
        Ok(Some(line))
    }
}

impl Encoder<Bytes> for Sis {
    type Error = io::Error;

    fn encode(&mut self, command: Bytes, out: &mut BytesMut) -> io::Result<()> {
        out.extend_from_slice(&command);
        Ok(())
    }
}

/// Something that is so now, asked for or not: `Out04 In02 Vid`, `Amt1`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fact {
    pub what: What,
    /// All of them, if none is named.
    pub output: Option<u32>,
    pub value: u32,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum What {
    /// The value is the input, 0 for none.
    Tie(Layer),
    /// The value is 0 if it is not muted.
    Mute(Layer),
    /// The value is from 0 to 64.
    Volume,
    /// Ties have changed that it does not name: the value is the number of a preset, or 0.
    Ties,
}

impl Fact {
    /// Reads a line that says something; `None` for all others.
    pub fn read(line: &str) -> Option<Fact> {
        let words: Vec<&str> = line.split(' ').collect();
        let number = |word: &str, tag: &str| word.strip_prefix(tag)?.parse().ok();
        let (what, output, value) = match words[..] {
            [output, input, layer] => (tie(layer)?, Some(number(output, "Out")?), number(input, "In")?),
            [output, volume] if volume.starts_with("Vol") => {
                (What::Volume, Some(number(output, "Out")?), number(volume, "Vol")?)
            }
            [input, layer] => (tie(layer)?, None, number(input, "In")?),
            ["Qik"] => (What::Ties, None, 0),
            [word] if word.starts_with("Rpr") => (What::Ties, None, number(word, "Rpr")?),
            [word] => {
                let (layer, rest) = match word.split_at_checked(3)? {
                    ("Vmt", rest) => (Layer::Video, rest),
                    ("Amt", rest) => (Layer::Audio, rest),
                    _ => return None,
                };
                match rest.split_once('*') {
                    Some((output, on)) => (What::Mute(layer), Some(output.parse().ok()?), on.parse().ok()?),
                    None => (What::Mute(layer), None, rest.parse().ok()?),
                }
            }
            _ => return None,
        };
        Some(Fact { what, output, value })
    }
}

fn tie(layer: &str) -> Option<What> {
    match layer {
        "All" => Some(What::Tie(Layer::AudioVideo)),
        "Vid" | "RGB" => Some(What::Tie(Layer::Video)),
        "Aud" => Some(What::Tie(Layer::Audio)),
        _ => None,
    }
}

/// The size of `V8X4 A8X4`, or `Inf00*V8X4 A8X4`: inputs and outputs for pictures.
pub fn size(line: &str) -> Option<(u32, u32)> {
    let (video, _) = value(line).strip_prefix('V')?.split_once(' ')?;
    let (inputs, outputs) = video.split_once('X')?;
    let number = |text: &str| text.parse().ok().filter(|number| *number < 1000);
    Some((number(inputs)?, number(outputs)?))
}

/// `1.07` of `Ver01*1.07`: in verbose mode 3 a value has a tag.
pub fn value(line: &str) -> &str {
    line.rsplit('*').next().unwrap_or(line)
}

/// What `read` understands, or why the switcher refuses.
pub fn answer<T: 'static>(mut read: impl FnMut(&str) -> Option<T> + 'static) -> impl Matcher<Output = T> {
    parse_bytes(move |line| {
        let line = String::from_utf8_lossy(line);
        refusal(&line).map(Err).or_else(|| read(&line).map(Ok))
    })
}

/// The prompt, which means `why`.
pub fn prompt(why: &'static str) -> impl Matcher<Output = ()> {
    parse_bytes(move |line| (line == PROMPT).then(|| Err(Error::device(why))))
}

/// `E13`.
fn refusal(line: &str) -> Option<Error> {
    let number = line.strip_prefix('E').filter(|number| number.len() == 2)?;
    number.parse::<u8>().ok()?;
    let why = match number {
        "01" => "it has no such input",
        "10" => "it does not know the command",
        "11" => "it has no such preset",
        "12" => "it has no such output",
        "13" => "the value is out of range",
        "14" => "the command does not fit its configuration",
        "17" => "the command does not fit this kind of signal",
        "22" => "it is busy",
        "24" => "that takes the administrator's password",
        "26" => "it has too many connections",
        _ => "look the number up in its manual",
    };
    Some(Error::device(format!("the switcher refused: {why} ({line})")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What comes out of these pieces.
    fn cut<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<Vec<u8>> {
        let (mut lines, mut buffer) = (Vec::new(), BytesMut::new());
        for piece in pieces {
            buffer.extend_from_slice(piece);
            while let Some(line) = Sis.decode(&mut buffer).unwrap() {
                lines.push(line.to_vec());
            }
        }
        lines
    }

    #[test]
    fn the_prompt_needs_no_line_end() {
        let lines = cut([&b"(c) Copyright 2020\r\n\r\nPass"[..], b"word:", b"\r\nLogin User\r\n"]);
        assert_eq!(lines, [&b"(c) Copyright 2020"[..], b"", b"Password:", b"", b"Login User"]);
    }

    #[test]
    fn facts_are_those_of_the_manual() {
        let fact = |what, output, value| Some(Fact { what, output, value });
        for (line, expected) in [
            ("Out04 In02 All", fact(What::Tie(Layer::AudioVideo), Some(4), 2)),
            ("Out4 In0 RGB", fact(What::Tie(Layer::Video), Some(4), 0)),
            ("In05 Aud", fact(What::Tie(Layer::Audio), None, 5)),
            ("Out2 Vol40", fact(What::Volume, Some(2), 40)),
            ("Vmt2*1", fact(What::Mute(Layer::Video), Some(2), 1)),
            ("Amt0", fact(What::Mute(Layer::Audio), None, 0)),
            ("Rpr03", fact(What::Ties, None, 3)),
            ("Qik", fact(What::Ties, None, 0)),
            ("Spr03", None),
            ("Reconfig", None),
            ("Out4 Vid2 All", None),
            ("", None),
        ] {
            assert_eq!(Fact::read(line), expected, "{line}");
        }
    }

    #[test]
    fn values_have_tags_or_not() {
        assert_eq!((size("V8X4 A8X4"), size("Inf00*V16X16 A0X0")), (Some((8, 4)), Some((16, 16))));
        assert_eq!((value("1.07"), value("Ver01*1.07")), ("1.07", "1.07"));
    }

    #[test]
    fn refusals_have_two_digits() {
        assert!(refusal("E12").unwrap().message().contains("no such output"));
        assert!(refusal("E99").unwrap().message().contains("E99"));
        assert!(["E1", "E123", "Exe1", "Ex", "e12"].iter().all(|line| refusal(line).is_none()));
    }

    proptest! {
        #[test]
        fn it_matters_not_where_the_stream_is_torn(bytes: Vec<u8>, lines in "(Out[0-9] In[0-9] All\r\n|Password:|\r|\n){0,9}", at: prop::sample::Index) {
            let whole = [lines.as_bytes(), &bytes].concat();
            let (left, right) = whole.split_at(at.index(whole.len() + 1));
            prop_assert_eq!(cut([left, right]), cut([&whole[..]]));
        }

        #[test]
        fn any_line_may_come(line: String) {
            let _ = (Fact::read(&line), size(&line), value(&line), refusal(&line));
        }
    }
}
