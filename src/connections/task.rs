//! The task that owns one link: the state machine of the parent module's header, and nothing else.

use super::{
    Address, Error, Failure, Mode, Reason, Sink, State, dial,
    inner::Order,
    journal::Journal,
    line::{End, Event, Line},
    options::ms,
    ration::Ticket,
    shared::{Either, Shared},
    upgrade,
    wire::{Reader, Wire},
};
use std::{
    future::{pending, poll_fn},
    pin::{Pin, pin},
    sync::{Arc, atomic::Ordering::Relaxed},
    task::Poll,
    time::{Duration, SystemTime},
};
use tokio::{
    sync::OwnedSemaphorePermit,
    time::{Instant, sleep_until},
};

type Attempt = Pin<Box<dyn Future<Output = Result<Wire, Failure>> + Send>>;

/// What the task does next.
enum Phase {
    /// Make-break, nothing to send.
    Idle,
    /// An attempt that does not wait for the ration: it waits for the gate.
    Asked,
    Connecting(Attempt),
    Up(Reader),
    /// Keep-open: the link's place in the queue for a retry. Make-break: none, it waits for traffic.
    Down(Option<Ticket>),
}

pub(super) struct Life<S> {
    sink: S,
    shared: Arc<Shared>,
    /// Attempts that failed or connections that did not hold, in a row.
    failures: u32,
    connection: u64,
    attempted: Instant,
    /// Its login was refused: until then there is no attempt, whoever asks for one.
    refused_until: Instant,
    /// Since when the link is down, while it is.
    down: Option<SystemTime>,
    journal: Journal,
    /// Last, so that the sink is gone when it is dropped.
    _finish: Finish,
}

/// However the task ends (even if the runtime drops it before its first poll), every receipt is answered and `close` returns.
struct Finish(Arc<Shared>);

impl Drop for Finish {
    fn drop(&mut self) {
        self.0.finish();
    }
}

impl<S: Sink> Life<S> {
    pub(super) fn new(shared: Arc<Shared>, sink: S) -> Self {
        Self {
            sink,
            _finish: Finish(shared.clone()),
            failures: 0,
            connection: 0,
            attempted: Instant::now(),
            refused_until: Instant::now(),
            down: None,
            journal: Journal::Fine,
            shared,
        }
    }

    pub(super) async fn run(mut self) {
        self.sink.state(&self.shared.state());
        let mut phase = self.begin();
        while let Some(next) = self.step(phase).await {
            phase = next;
        }
    }

    async fn step(&mut self, phase: Phase) -> Option<Phase> {
        match phase {
            Phase::Idle => self.idle().await,
            Phase::Asked => self.asked().await,
            Phase::Connecting(attempt) => self.connecting(attempt).await,
            Phase::Up(reader) => self.up(reader).await,
            Phase::Down(ticket) => self.waiting(ticket).await,
        }
    }

    fn begin(&self) -> Phase {
        if self.make_break() { Phase::Idle } else { Phase::Asked }
    }

    /// Another address: as a new link.
    fn again(&mut self) -> Phase {
        (self.failures, self.down, self.journal) = (0, None, Journal::Fine);
        let state = if self.make_break() { State::Idle } else { State::connecting() };
        self.publish(state);
        self.begin()
    }

    async fn idle(&mut self) -> Option<Phase> {
        loop {
            match self.shared.order_or(pin!(pending::<()>()), true).await {
                Either::Order(Order::Close) => return None,
                Either::Order(Order::Retarget) => return Some(self.again()),
                Either::Order(Order::Mode) if !self.make_break() => {
                    self.publish(State::connecting());
                    return Some(Phase::Asked);
                }
                Either::Order(Order::Attempt | Order::Traffic) => return Some(Phase::Asked),
                Either::Order(Order::Mode | Order::Disconnect(_) | Order::StartTls(_)) | Either::Done(()) => {
                }
            }
        }
    }

    async fn asked(&mut self) -> Option<Phase> {
        let gate = self.shared.hub.gate.clone();
        let mut permit = pin!(gate.acquire_owned());
        loop {
            match self.shared.order_or(permit.as_mut(), false).await {
                Either::Order(Order::Close) => return None,
                Either::Order(Order::Retarget) => return Some(self.again()),
                Either::Order(_) => {}
                Either::Done(permit) => return Some(self.dial(permit.ok())),
            }
        }
    }

    fn dial(&mut self, permit: Option<OwnedSemaphorePermit>) -> Phase {
        let hub = self.shared.hub.clone();
        hub.counters.attempts.fetch_add(1, Relaxed);
        self.attempted = Instant::now();
        Phase::Connecting(Box::pin(dial::attempt(hub, self.shared.target().address, permit)))
    }

    async fn connecting(&mut self, mut attempt: Attempt) -> Option<Phase> {
        loop {
            match self.shared.order_or(attempt.as_mut(), false).await {
                Either::Order(Order::Close) => return None,
                Either::Order(Order::Retarget) => return Some(self.again()),
                Either::Order(_) => {}
                Either::Done(Err(failure)) => {
                    self.shared.hub.counters.failed(failure.reason);
                    self.failures = self.failures.saturating_add(1);
                    let outcome = Err(Error::Down(failure.clone()));
                    return Some(self.fall(&failure, &outcome, self.attempted, false));
                }
                Either::Done(Ok(wire)) => {
                    if let Some(phase) = self.connected(wire) {
                        return Some(phase);
                    }
                    attempt = Box::pin(pending());
                }
            }
        }
    }

    /// None if an order has made the connection useless.
    fn connected(&mut self, wire: Wire) -> Option<Phase> {
        let connection = self.connection + 1;
        let state = State::Up { connection, since: SystemTime::now(), peer: wire.peer };
        if !self.shared.connected(wire.writer, state.clone()) {
            return None;
        }
        (self.connection, self.down) = (connection, None);
        self.shared.hub.counters.connects.fetch_add(1, Relaxed);
        self.journal.up(&self.sink.label(), &self.shared.target().address);
        self.sink.state(&state);
        Some(Phase::Up(wire.reader))
    }

    async fn up(&mut self, reader: Reader) -> Option<Phase> {
        let since = Instant::now();
        let end = self.exchange(reader).await;
        let make_break = self.make_break();
        let failure = match end {
            End::Order(Order::Close) => return None,
            End::Order(Order::Disconnect(failure)) if !make_break => failure,
            End::Order(Order::Disconnect(_)) | End::Held => return Some(self.rest()),
            End::Order(_) => return Some(self.again()),
            // A device that closes when it has answered is what make-break is for.
            End::Lost(failure) if make_break && failure.reason == Reason::Closed && self.shared.rest() => {
                return Some(self.rest());
            }
            End::Lost(failure) => failure,
        };
        self.shared.hub.counters.lost(failure.reason);
        let options = &self.shared.hub.options;
        let held = since.elapsed() >= ms(options.stable_ms);
        self.failures = if held { 0 } else { self.failures.saturating_add(1) };
        // However long ago the last attempt was, there is a pause after a loss.
        let pause = ms(options.retry_min_ms.saturating_sub(options.retry_first_ms));
        let last = if held { Instant::now() } else { self.attempted.max(Instant::now() - pause) };
        let outcome = Err(Error::Lost(failure.clone()));
        Some(self.fall(&failure, &outcome, last, held))
    }

    /// Everything that happens while the connection is up. The read half is dropped when it returns.
    async fn exchange(&mut self, reader: Reader) -> End {
        let shared = self.shared.clone();
        let mut line = Line::new(reader, &shared, self.journal.waits());
        let end = loop {
            let piece = match poll_fn(|cx| line.poll(cx, &shared)).await {
                Event::Received(piece) => piece,
                Event::Held => {
                    self.journal.held(&self.sink.label(), &shared.target().address);
                    continue;
                }
                Event::StartTls(upgrade) => {
                    match Box::pin(upgrade::go_on(&shared, line.into_reader(), upgrade)).await {
                        Ok(reader) => line = Line::new(reader, &shared, self.journal.waits()),
                        Err(end) => return end,
                    }
                    continue;
                }
                Event::End(end) => break end,
            };
            let mut receiving = pin!(self.sink.received(&piece, piece.form()));
            let interrupted = poll_fn(|cx| match receiving.as_mut().poll(cx) {
                Poll::Ready(()) => Poll::Ready(None),
                Poll::Pending => line.poll_order(cx, &shared).map(Some),
            });
            if let Some(order) = interrupted.await {
                break End::Order(order);
            }
        };
        if let End::Order(Order::Disconnect(failure)) = &end {
            line.give_up(failure);
        }
        end
    }

    /// Make-break, and the connection ended as it should.
    fn rest(&mut self) -> Phase {
        self.failures = 0;
        self.journal.held(&self.sink.label(), &self.shared.target().address);
        // The mode may have changed while the connection was ending.
        if self.make_break() {
            self.publish(State::Idle);
            Phase::Idle
        } else {
            self.again()
        }
    }

    /// An attempt failed or a connection was lost; `last` is what the time until the next attempt counts from.
    fn fall(&mut self, failure: &Failure, outcome: &Result<(), Error>, last: Instant, held: bool) -> Phase {
        let since = *self.down.get_or_insert_with(SystemTime::now);
        let (pause, hub) = (self.pause(failure), &self.shared.hub);
        self.refused_until = last + pause;
        let ticket = (!self.make_break()).then(|| hub.ration.enter(self.failures, last + pause));
        let retry = ticket.as_ref().map(|ticket| ticket.ready.saturating_duration_since(Instant::now()));
        let state = State::down(failure, self.failures, since, retry);
        let news = self.shared.lose(state.clone(), outcome);
        self.journal.down(&self.sink.label(), &self.shared.target().address, failure, held);
        if news {
            self.sink.state(&state);
        }
        Phase::Down(ticket)
    }

    /// Devices lock out whoever repeats what they refused.
    fn pause(&self, failure: &Failure) -> Duration {
        match (failure.reason, self.shared.target().address) {
            // This waits by itself, and no longer than until an exchange works.
            (_, Address::Http(_)) => Duration::ZERO,
            (Reason::Auth, _) => ms(self.shared.hub.options.refused_pause_ms),
            _ => Duration::ZERO,
        }
    }

    async fn waiting(&mut self, mut ticket: Option<Ticket>) -> Option<Phase> {
        loop {
            let traffic = ticket.is_none();
            let turn = async {
                match ticket.as_mut() {
                    Some(ticket) => ticket.turn().await,
                    None => pending().await,
                }
            };
            match self.shared.order_or(pin!(turn), traffic).await {
                Either::Order(Order::Close) => return None,
                Either::Order(Order::Retarget) => return Some(self.again()),
                Either::Order(Order::Disconnect(failure)) if failure.reason == Reason::Auth => {
                    let outcome = Err(Error::Down(failure.clone()));
                    return Some(self.fall(&failure, &outcome, Instant::now(), false));
                }
                Either::Order(Order::Disconnect(_) | Order::StartTls(_)) => {}
                Either::Order(Order::Attempt | Order::Traffic) if Instant::now() < self.refused_until => {
                    self.shared.refuse();
                }
                Either::Order(Order::Attempt | Order::Traffic | Order::Mode) => break,
                Either::Done(()) => {
                    self.shared.attempting();
                    return Some(self.dial(None));
                }
            }
        }
        drop(ticket);
        let mut pause = Box::pin(sleep_until(self.attempted + ms(self.shared.hub.options.asked_min_ms)));
        loop {
            match self.shared.order_or(pause.as_mut(), false).await {
                Either::Order(Order::Close) => return None,
                Either::Order(Order::Retarget) => return Some(self.again()),
                Either::Order(_) => {}
                Either::Done(()) => {
                    self.shared.attempting();
                    return Some(Phase::Asked);
                }
            }
        }
    }

    fn publish(&self, state: State) {
        if self.shared.set(state.clone()) {
            self.sink.state(&state);
        }
    }

    fn make_break(&self) -> bool {
        matches!(self.shared.target().mode, Mode::MakeBreak { .. })
    }
}
