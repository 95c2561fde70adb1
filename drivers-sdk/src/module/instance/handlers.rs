//! When a driver's handlers run.
//!
//! - `connected`, `disconnected`, `settings_changed` and `system_changed` run one after the other, in order. What becomes of
//!   `connected`, and when a driver polls, is in `meeting`.
//! - `follow` runs when the module has started, and after each of the last two; what its last run has subscribed to and
//!   scheduled ends before that.
//! - `login` runs before `connected`. Until it is done the queue is closed to all commands but its own, and nothing goes
//!   to `received`. If it fails the connection is dropped. On a make-break link, which connects for a command, it runs on
//!   each connection before that command.
//! - `received` runs for one frame after the other, in order.
//! - Neither begins before `started` is done.

use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use drivers_sdk_protocol::message::Level;
use tokio::time::sleep_until;

use super::meeting::FIRST_PAUSE;
use super::{Event, Instance};
use crate::driver::Driver;
use crate::error::{Error, Result};
use crate::module::Phase;
use crate::module::inbox::Arrived;
use crate::module::tasks::Scope;

impl<D: Driver> Instance<D> {
    pub(super) fn event(self: &Rc<Self>, event: Event) {
        let handlers = &D::DECLARATION.handlers;
        let polls = !D::DECLARATION.polls.is_empty();
        let handled = match event {
            Event::Connected(_) => handlers.connected || handlers.login || polls,
            Event::Again(..) => true,
            Event::Disconnected => handlers.disconnected,
            Event::SettingsChanged => handlers.settings_changed || handlers.connected || polls,
            Event::SystemChanged => handlers.system_changed,
            Event::Follow => handlers.follow,
        };
        if handled {
            self.events.borrow_mut().push_back(event);
            self.handle_events();
        }
        if matches!(event, Event::SettingsChanged | Event::SystemChanged) {
            self.event(Event::Follow);
        }
    }

    pub(super) fn handle_events(self: &Rc<Self>) {
        if self.core.phase.get() != Phase::Running || self.events.borrow().is_empty() || self.handling.get() {
            return;
        }
        self.handling.set(true);
        let this = self.clone();
        self.spawn(Scope::Module, async move {
            loop {
                let Some(event) = this.events.borrow_mut().pop_front() else { break };
                let (name, result) = match event {
                    Event::Connected(connection) => ("login", this.connected(connection).await),
                    Event::Again(connection, pause) => {
                        this.meet(connection, pause).await;
                        continue;
                    }
                    Event::Disconnected => ("disconnected", this.driver.disconnected(&this.cx).await),
                    Event::SettingsChanged => {
                        let result = this.driver.settings_changed(&this.cx).await;
                        this.changed.notify_waiters();
                        ("settings_changed", result)
                    }
                    Event::SystemChanged => ("system_changed", this.driver.system_changed(&this.cx).await),
                    Event::Follow => ("follow", this.follow().await),
                };
                if let Err(error) = result {
                    this.failed(name, &error);
                }
            }
            this.handling.set(false);
        });
    }

    /// Runs `login`, and `connected` if that worked.
    async fn connected(self: &Rc<Self>, connection: u64) -> Result {
        let core = &self.core;
        core.end_connection();
        if D::DECLARATION.handlers.login && !core.link.makebreak {
            let mut login = pin!(self.log_in());
            match self
                .while_connected(connection, Scope::Connection, |context| login.as_mut().poll(context))
                .await
            {
                None => {
                    // Many devices hang up with their refusal: that they refused comes first.
                    let last = poll_fn(|context| {
                        Poll::Ready(core.tasks.within(Scope::Connection, || login.as_mut().poll(context)))
                    });
                    return match last.await {
                        Poll::Ready(Err(error)) if !error.is_offline() => {
                            core.login_ended(connection, &error);
                            Err(error)
                        }
                        _ => Ok(()),
                    };
                }
                Some(Err(error)) => {
                    core.login_ended(connection, &error);
                    return Err(error);
                }
                Some(Ok(())) => {
                    core.queue.open();
                    self.handle_received();
                }
            }
        }
        self.meet(connection, FIRST_PAUSE).await;
        Ok(())
    }

    /// Runs `follow`, in the place of its last run.
    async fn follow(&self) -> Result {
        self.core.unfollow();
        let mut follow = pin!(self.driver.follow(&self.cx));
        poll_fn(|context| self.core.tasks.within(Scope::Follow, || follow.as_mut().poll(context))).await
    }

    /// Runs `login`, whose commands alone get their turn.
    async fn log_in(&self) -> Result {
        let mut login = pin!(self.driver.login(&self.cx));
        poll_fn(|context| self.core.queue.within_login(|| login.as_mut().poll(context))).await
    }

    /// Make-break: runs `login` on each connection, when there is a command for it.
    pub(super) async fn log_in_to_each(self: Rc<Self>) {
        let core = &self.core;
        loop {
            poll_fn(|context| core.queue.poll_login(context)).await;
            let result = async {
                core.connect().await?;
                let ended = core.queue.ended();
                self.log_in().await?;
                if core.queue.ended() != ended {
                    let name = &core.name;
                    return Err(Error::offline(format!("{name}: the connection ended during the login")));
                }
                Ok(())
            };
            match result.await {
                Ok(()) => core.queue.logged_in(),
                Err(error) => {
                    core.queue.fail_all(&error);
                    core.queue.open();
                    if !error.is_offline() {
                        core.login_ended(core.link.connection.get(), &error);
                    }
                    self.failed("login", &error);
                }
            }
            self.handle_received();
        }
    }

    /// Runs a handler as long as its connection lives, `None` if that ended first; what it schedules and listens to has this
    /// scope.
    pub(super) async fn while_connected(
        &self,
        connection: u64,
        scope: Scope,
        mut handler: impl FnMut(&mut Context<'_>) -> Poll<Result>,
    ) -> Option<Result> {
        poll_fn(|context| {
            if self.core.link.connection.get() != connection {
                return Poll::Ready(None);
            }
            self.link_lost.replace(Some(context.waker().clone()));
            self.core.tasks.within(scope, || handler(context)).map(Some)
        })
        .await
    }

    /// Whether something is there for `received`: before the login is done nothing is, but for what an earlier
    /// connection said.
    fn has_received(&self) -> bool {
        let core = &self.core;
        let login = core.queue.is_closed() || core.queue.is_login_due();
        if login { core.inbox.has_past() } else { !core.inbox.is_empty() }
    }

    /// Where silence ends a frame, waits for it: one task for as long as the device speaks.
    pub(super) fn listen_for_silence(self: &Rc<Self>) {
        let link = &self.core.link;
        if link.silent_at.get().is_none() || self.core.tasks.is_running(link.listener.get()) {
            return;
        }
        let this = self.clone();
        link.listener.set(self.spawn(Scope::Module, async move {
            let core = &this.core;
            while let Some(at) = core.link.silent_at.get() {
                sleep_until(at).await;
                if core.link.silent_at.get() == Some(at) {
                    core.link.silent_at.set(None);
                    core.end_frame();
                    this.handle_received();
                }
            }
        }));
    }

    pub(super) fn handle_received(self: &Rc<Self>) {
        if self.core.phase.get() != Phase::Running || self.receiving.get() || !self.has_received() {
            return;
        }
        self.receiving.set(true);
        let this = self.clone();
        self.spawn(Scope::Module, async move {
            while this.has_received()
                && let Some(arrived) = this.core.inbox.pop()
            {
                match arrived {
                    Arrived::End => {}
                    Arrived::Acknowledge(correlation) => this.core.done(correlation),
                    Arrived::Frame(frame) if D::DECLARATION.handlers.received => {
                        if let Err(error) = this.driver.received(&this.cx, &frame).await {
                            this.failed("received", &error);
                        }
                    }
                    Arrived::Frame(frame) => {
                        this.core.log(Level::Debug, &format!("nobody asked for {frame:?}"));
                    }
                }
            }
            this.receiving.set(false);
        });
    }
}
