//! A command as its author writes it: `cx.send("%1POWR 1").named("power").reply(prefix("%1POWR=")).await`.

use std::borrow::Cow;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout_at};

use super::queue::{Queued, Slot, Ticket};
use super::{Arrived, Core};
use crate::error::{Error, Result};
use crate::matcher::{Match, Matcher, NoReply};
use crate::schedule::LONGEST;

/// How long the daemon may take to say what became of bytes on a make-break link, which includes connecting.
const TRANSMIT_LIMIT: Duration = Duration::from_secs(60);

/// A command that is sent when it is awaited. Made by [`Cx::send`](crate::Cx::send) and
/// [`Cx::expect`](crate::Cx::expect).
///
/// One command of a module is in flight at a time; the others wait by priority, then by age. Without
/// [`reply`](Command::reply) it is done once the operating system has taken its bytes.
#[must_use = "a command is sent when it is awaited"]
pub struct Command<'a, M = NoReply> {
    core: &'a Rc<Core>,
    /// Absent for `expect`, which sends nothing.
    message: Option<Vec<u8>>,
    name: Option<Cow<'static, str>>,
    priority: i8,
    timeout: Duration,
    retries: u32,
    delay: Duration,
    login: bool,
    matcher: M,
}

impl<M> std::fmt::Debug for Command<'_, M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Not the message: it may hold a password.
        f.debug_struct("Command").field("name", &self.name).finish_non_exhaustive()
    }
}

impl<'a, M> Command<'a, M> {
    pub(crate) fn new(core: &'a Rc<Core>, message: Option<Vec<u8>>, matcher: M) -> Command<'a, M> {
        let declaration = core.declaration;
        Command {
            core,
            message,
            name: None,
            priority: 0,
            timeout: Duration::from_millis(declaration.timeout_ms).min(LONGEST),
            retries: declaration.retries,
            delay: Duration::from_millis(declaration.delay_ms).min(LONGEST),
            login: core.queue.is_login(),
            matcher,
        }
    }

    /// Names the command: a newer one of the same name replaces it while it waits, and its caller is told
    /// (code `replaced`). For what is set often and of which only the last value matters, such as a volume.
    pub fn named(mut self, name: impl Into<Cow<'static, str>>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Commands of a higher priority are sent before those of a lower one; 0 unless said otherwise.
    pub fn priority(mut self, priority: i8) -> Self {
        self.priority = priority;
        self
    }

    /// How long to wait for the reply; `timeout_ms` of `#[driver]`, or 5 s, unless said otherwise.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout.min(LONGEST);
        self
    }

    /// How often to send it again when no reply came in time; `retries` of `#[driver]`, or 0, unless said otherwise.
    pub fn retries(mut self, retries: u32) -> Self {
        self.retries = retries;
        self
    }

    /// How long the device needs between the end of this command and the next; `delay_ms` of `#[driver]`, or 0,
    /// unless said otherwise.
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay = delay.min(LONGEST);
        self
    }

    /// What the reply looks like; the command is done when it came, and gives what the matcher reads from it.
    pub fn reply<N: Matcher>(self, matcher: N) -> Command<'a, N> {
        let Command { core, message, name, priority, timeout, retries, delay, login, matcher: _ } = self;
        Command { core, message, name, priority, timeout, retries, delay, login, matcher }
    }
}

impl<'a, M: Matcher> IntoFuture for Command<'a, M> {
    type Output = Result<M::Output>;
    type IntoFuture = Pin<Box<dyn Future<Output = Result<M::Output>> + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(run(self))
    }
}

/// A command in the queue; leaves it when dropped, however the command ended.
struct Place<'a, M: Matcher> {
    core: &'a Rc<Core>,
    slot: Rc<Slot<M>>,
    delay: Duration,
    /// Until when a reply may still come.
    deadline: Option<Instant>,
}

impl<M: Matcher> Drop for Place<'_, M> {
    fn drop(&mut self) {
        let queue = &self.core.queue;
        let caller_went_away = self.slot.is_listening() && queue.is_current(&self.slot);
        let (Some(deadline), true, false) = (self.deadline, caller_went_away, self.core.is_over()) else {
            queue.leave(&self.slot, self.delay);
            return;
        };
        queue.abandon();
        let (core, slot, delay) = (self.core.clone(), self.slot.clone(), self.delay);
        let number = core.tasks.number();
        let task = tokio::task::spawn_local(async move {
            sleep_until(deadline).await;
            core.queue.leave(&slot, delay);
            core.tasks.remove(number);
        });
        self.core.tasks.add(number, super::tasks::Scope::Module, task.abort_handle());
    }
}

async fn run<M: Matcher>(command: Command<'_, M>) -> Result<M::Output> {
    let Command { core, message, name, priority, timeout, retries, delay, login, matcher } = command;
    if core.is_over() {
        return Err(Error::stopped());
    }
    if !core.link.makebreak && !core.link.is_up() {
        return Err(core.offline());
    }
    let what = name.as_ref().map_or(String::new(), |name| format!(" to `{name}`"));
    let message = message.map(|message| core.declaration.framing.encode(message)).transpose()?;
    let slot = Rc::new(Slot::new(Ticket::new(name, priority, login), matcher));
    core.queue.enter(slot.clone());
    let mut place = Place { core, slot, delay, deadline: None };
    let result = drive(&mut place, message, what, timeout, retries).await;
    place.slot.ignore();
    result
}

async fn drive<M: Matcher>(
    place: &mut Place<'_, M>,
    message: Option<Vec<u8>>,
    what: String,
    timeout: Duration,
    retries: u32,
) -> Result<M::Output> {
    let (core, slot) = (place.core, place.slot.clone());
    poll_fn(|context| slot.ticket().poll_turn(context)).await?;
    if let Some(free_at) = core.queue.free_at()
        && let Ok(error) = timeout_at(free_at, poll_fn(|context| slot.ticket().poll_failure(context))).await
    {
        return Err(error);
    }
    let Some(message) = message else {
        // Nothing to send, and what is expected may have arrived already.
        slot.listen();
        take_from_inbox(core, &*slot);
        return await_reply(place, timeout).await?.ok_or_else(|| {
            Error::timeout(format!("the device did not say within {timeout:?} what was expected{what}"))
        });
    };
    for _ in 0..=retries {
        if M::REPLIES {
            slot.listen();
        }
        if let Some(sent) = core.transmit(&message, core.link.makebreak || !M::REPLIES)? {
            place.deadline = Some(Instant::now() + timeout);
            tokio::select! {
                biased;
                reply = poll_fn(|context| slot.poll_reply(context)) => return reply,
                sent = tokio::time::timeout(TRANSMIT_LIMIT, sent) => {
                    sent.unwrap_or_else(|_| Err(core.offline()))?;
                }
            }
        }
        if let Some(output) = slot.sent() {
            return Ok(output);
        }
        if let Some(reply) = await_reply(place, timeout).await? {
            return Ok(reply);
        }
    }
    Err(Error::timeout(format!("no reply{what} within {timeout:?}")))
}

/// The reply, or `None` if it did not come in time.
async fn await_reply<M: Matcher>(place: &mut Place<'_, M>, timeout: Duration) -> Result<Option<M::Output>> {
    let deadline = Instant::now() + timeout;
    place.deadline = Some(deadline);
    match timeout_at(deadline, poll_fn(|context| place.slot.poll_reply(context))).await {
        Ok(reply) => reply.map(Some),
        Err(_) => Ok(None),
    }
}

/// Offers what arrived and nobody asked for; the first frame that is taken leaves the inbox.
fn take_from_inbox(core: &Core, command: &dyn Queued) {
    let mut inbox = core.inbox.borrow_mut();
    let mut at = 0;
    while let Some(arrived) = inbox.get(at) {
        match arrived {
            Arrived::Frame(frame) => match command.offer(frame) {
                Match::No => at += 1,
                Match::More => {
                    inbox.remove(at);
                }
                Match::Done(_) => {
                    inbox.remove(at);
                    return;
                }
            },
            Arrived::Acknowledge(_) => at += 1,
        }
    }
}
