//! A command as its author writes it: `cx.send("%1POWR 1").named("power").reply(prefix("%1POWR=")).await`.

use std::borrow::Cow;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use drivers_sdk_protocol::message::{Form, Level, code};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::Core;
use super::name::Name;
use super::ticket::{Queued, Slot, Ticket};
use crate::error::{Error, Result};
use crate::matcher::{Matcher, NoReply};
use crate::panics::guarded;
use crate::schedule::LONGEST;

/// How long bytes may take to be sent, which includes connecting on a make-break link.
const TRANSMIT_LIMIT: Duration = Duration::from_secs(60);

/// How often a command is held back for the login of yet another make-break connection.
const LOGINS: u32 = 3;

/// A command that is sent when it is awaited. Made by [`Cx::send`](crate::Cx::send) and
/// [`Cx::expect`](crate::Cx::expect).
///
/// One command of a module is in flight at a time; the others wait by priority, then by age. Without
/// [`reply`](Command::reply) it is done once the operating system has taken its bytes.
#[must_use = "a command is sent when it is awaited, or with `no_wait`"]
pub struct Command<'a, M = NoReply> {
    core: &'a Rc<Core>,
    /// Absent for `expect`, which sends nothing.
    message: Option<Vec<u8>>,
    form: Form,
    name: Option<Cow<'static, str>>,
    priority: i8,
    /// `None`: as the driver says.
    timeout: Option<Duration>,
    retries: u32,
    delay: Duration,
    keep: Option<Duration>,
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
            form: Form::Bytes,
            name: None,
            priority: 0,
            timeout: None,
            retries: declaration.retries,
            delay: Duration::from_millis(declaration.delay_ms).min(LONGEST),
            keep: None,
            login: core.queue.is_login(),
            matcher,
        }
    }

    pub(crate) fn text(mut self) -> Self {
        self.form = Form::Text;
        self
    }

    /// Names the command: a newer one of the same name replaces it while it waits, and its caller is told
    /// (code `replaced`). For what is set often and of which only the last value matters, such as a volume. `None` is no name.
    pub fn named(mut self, name: impl Name) -> Self {
        self.name = name.name();
        self
    }

    /// Commands of a higher priority are sent before those of a lower one; 0 unless said otherwise.
    pub fn priority(mut self, priority: i8) -> Self {
        self.priority = priority;
        self
    }

    /// How long to wait for the reply; `timeout_ms` of `#[driver]`, or 5 s, unless said otherwise. Without a reply, how long it
    /// may take to be sent, to a device that takes nothing say; a minute, unless said otherwise.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout.min(LONGEST));
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

    /// While the device is offline, keeps the command for this long instead of failing it at once: it is sent when the
    /// link is back, in its place among the others, or fails with `offline` when the time is over. A command that was
    /// sent when the link went down fails in any case, as nobody knows whether the device has heard it.
    ///
    /// On a make-break link it changes nothing: there a command connects.
    pub fn keep(mut self, time: Duration) -> Self {
        self.keep = Some(time.min(LONGEST));
        self
    }

    /// What the reply looks like; the command is done when it came, and gives what the matcher reads from it.
    pub fn reply<N: Matcher>(self, matcher: N) -> Command<'a, N> {
        let Command { core, message, form, name, priority, timeout, retries, delay, keep, login, .. } = self;
        Command { core, message, form, name, priority, timeout, retries, delay, keep, login, matcher }
    }
}

impl<M: Matcher> Command<'_, M> {
    /// Sends the command in its turn without being waited for. It is the module's, and no call's or connection's; an error
    /// goes into the module's log.
    pub fn no_wait(self) {
        let (core, name) = (self.core.clone(), self.name.clone());
        let failed = move |core: &Core, error: Error| {
            let what = name.map_or("a command".into(), |name| format!("`{name}`"));
            let level = if error.is_offline() || error.is_replaced() { Level::Debug } else { Level::Warn };
            core.log(level, &format!("{what} that nobody waits for: {error}"));
        };
        // In the queue at once, before whatever its author sends next.
        let command = match enter(self) {
            Ok(command) => command,
            Err(error) => return failed(&core, error),
        };
        let (number, tasks) = (core.tasks.number(), core.clone());
        let task = tokio::task::spawn_local(async move {
            let result = guarded(command).await;
            core.tasks.remove(number);
            match result {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => failed(&core, error),
                Err(failure) => core.fail(&failure),
            }
        });
        tasks.tasks.add(number, super::tasks::Scope::Module, task.abort_handle());
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
struct Place<M: Matcher> {
    core: Rc<Core>,
    slot: Rc<Slot<M>>,
    delay: Duration,
    /// Until when a reply may still come.
    deadline: Option<Instant>,
}

impl<M: Matcher> Drop for Place<M> {
    fn drop(&mut self) {
        let queue = &self.core.queue;
        let caller_went_away = self.slot.is_listening() && queue.is_current(&self.slot);
        let (Some(deadline), true, false) = (self.deadline, caller_went_away, self.core.is_over()) else {
            queue.leave(&self.slot, self.delay);
            return;
        };
        queue.abandon(self.delay);
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
    enter(command)?.await
}

/// Takes a command into the queue; the future gives its reply.
fn enter<M: Matcher>(command: Command<'_, M>) -> Result<impl Future<Output = Result<M::Output>> + use<M>> {
    let Command { core, message, form, name, priority, timeout, retries, delay, keep, login, matcher } =
        command;
    if core.is_over() {
        return Err(Error::stopped());
    }
    if keep.is_none() && !core.link.takes_commands() {
        return Err(core.offline());
    }
    let declared = || Duration::from_millis(core.declaration.timeout_ms).min(LONGEST);
    let limit = timeout.filter(|_| !M::REPLIES).unwrap_or(TRANSMIT_LIMIT);
    let timeout = timeout.unwrap_or_else(declared);
    let keep = keep.map(|time| Instant::now() + time);
    // What the device says by itself refuses nothing.
    let refusal = core.declaration.refusal.filter(|_| message.is_some());
    let slot = Rc::new(Slot::new(Ticket::new(name, priority, login, keep), matcher, refusal));
    core.queue.enter(slot.clone());
    let mut place = Place { core: core.clone(), slot, delay, deadline: None };
    Ok(async move {
        let result = drive(&mut place, message, form, (limit, timeout), retries).await;
        place.slot.ignore();
        result
    })
}

/// Sends it within `limit`, and waits so long for each reply.
async fn drive<M: Matcher>(
    place: &mut Place<M>,
    message: Option<Vec<u8>>,
    form: Form,
    (limit, timeout): (Duration, Duration),
    retries: u32,
) -> Result<M::Output> {
    let (core, slot) = (&place.core.clone(), place.slot.clone());
    let name = slot.ticket().name.as_ref();
    let what = || name.map_or(String::new(), |name| format!(" to `{name}`"));
    turn(core, slot.ticket(), message.is_some()).await?;
    slot.ticket().set_sent();
    let Some(message) = message else {
        // Nothing to send, and what is expected may have arrived already.
        listen(core, &slot);
        core.inbox.offer_to(&*slot);
        return await_reply(place, timeout).await?.ok_or_else(|| {
            Error::timeout(format!("the device did not say within {timeout:?} what was expected{}", what()))
        });
    };
    let (mut attempts, mut logins) = (0, LOGINS);
    while attempts <= retries {
        if M::REPLIES {
            listen(core, &slot);
        }
        let framed = core.link.encode(&message)?;
        if let Some(sent) = core.transmit(&framed, form, core.link.makebreak || !M::REPLIES)? {
            place.deadline = Some(Instant::now() + timeout);
            slot.ticket().transmit.set(sent.number());
            tokio::select! {
                biased;
                reply = poll_fn(|context| slot.poll_reply(context)) => return reply,
                sent = tokio::time::timeout(limit, sent) => match sent {
                    Ok(Ok(_)) => {}
                    // Nothing was sent: the connection that had been logged in to ended in this moment.
                    Ok(Err(error)) if error.code() == code::ENDED && logins > 0 && !slot.ticket().login => {
                        logins -= 1;
                        slot.ignore();
                        core.require_login();
                        core.queue.again();
                        turn(core, slot.ticket(), true).await?;
                        continue;
                    }
                    Ok(Err(error)) if error.code() == code::ENDED => return Err(Error::offline(error.message())),
                    Ok(Err(error)) => return Err(error),
                    Err(_) => {
                        let command = name.map_or("the command".into(), |name| format!("`{name}`"));
                        return Err(Error::timeout(format!(
                            "{command} was not sent within {limit:?}: the device takes nothing"
                        )));
                    }
                },
            }
        }
        if let Some(output) = slot.sent() {
            return Ok(output);
        }
        if let Some(reply) = await_reply(place, timeout).await? {
            return Ok(reply);
        }
        attempts += 1;
    }
    let behind = if core.inbox.is_full() { ": the device says more than #[received] takes" } else { "" };
    Err(Error::timeout(format!("no reply{} within {timeout:?}{behind}", what())))
}

/// Waits until the command may be sent, whatever takes its turn away again meanwhile.
async fn turn(core: &Core, ticket: &Ticket, sends: bool) -> Result {
    loop {
        if let Some(until) = ticket.keep {
            match timeout_at(until, poll_fn(|context| ticket.poll_turn(context))).await {
                Ok(turn) => turn?,
                Err(_) if !core.link.takes_commands() => return Err(core.offline()),
                // It waits for others, as any command does.
                Err(_) => {}
            }
        }
        poll_fn(|context| ticket.poll_turn(context)).await?;
        if let Some(free_at) = core.queue.free_at()
            && let Ok(lost) = timeout_at(free_at, poll_fn(|context| ticket.poll_lost(context))).await
        {
            lost?;
            continue;
        }
        if !(sends && core.link.turns.get()) {
            return Ok(());
        }
        let (share, turn) = core.share()?;
        ticket.hold(share);
        let refused = tokio::select! {
            biased;
            lost = poll_fn(|context| ticket.poll_lost(context)) => {
                lost?;
                continue;
            }
            turn = turn => match turn {
                Ok(_) => return Ok(()),
                Err(error) => error,
            },
        };
        // That the link went down is heard in a moment, and gives a command that is to be kept another turn.
        let until = ticket
            .keep
            .filter(|_| refused.is_offline() && ticket.is_kept())
            .ok_or_else(|| refused.clone())?;
        match timeout_at(until, poll_fn(|context| ticket.poll_lost(context))).await {
            Ok(lost) => lost?,
            Err(_) => return Err(refused),
        }
    }
}

/// Frames that come from now on may be the reply, so they must come.
fn listen<M: Matcher>(core: &Core, slot: &Slot<M>) {
    slot.listen();
    for correlation in core.inbox.let_on() {
        core.done(correlation);
    }
}

/// The reply, or `None` if it did not come in time.
async fn await_reply<M: Matcher>(place: &mut Place<M>, timeout: Duration) -> Result<Option<M::Output>> {
    let deadline = Instant::now() + timeout;
    place.deadline = Some(deadline);
    match timeout_at(deadline, poll_fn(|context| place.slot.poll_reply(context))).await {
        Ok(reply) => reply.map(Some),
        Err(_) => Ok(None),
    }
}

/// Goes on in TLS, in its turn, so that nothing else is sent meanwhile.
pub(crate) async fn start_tls(core: &Rc<Core>) -> Result {
    if !core.link.takes_commands() {
        return Err(core.offline());
    }
    let ticket = Ticket::new(None, i8::MAX, core.queue.is_login(), None);
    let (core, slot) = (core.clone(), Rc::new(Slot::new(ticket, NoReply, None)));
    core.queue.enter(slot.clone());
    let (tell, told) = oneshot::channel();
    let number = core.tasks.number();
    let tasks = core.clone();
    // A task of its own: whoever asked may go away, and the turn lasts until the handshake is over.
    let task = tokio::task::spawn_local(async move {
        let place = Place { core: core.clone(), slot, delay: Duration::ZERO, deadline: None };
        let result = async {
            turn(&core, place.slot.ticket(), true).await?;
            core.start_tls()?.await.unwrap_or_else(|_| Err(core.offline()))
        };
        let result = result.await;
        drop(place);
        core.tasks.remove(number);
        let _ = tell.send(result);
    });
    tasks.tasks.add(number, super::tasks::Scope::Connection, task.abort_handle());
    told.await.unwrap_or_else(|_| Err(tasks.offline()))
}
