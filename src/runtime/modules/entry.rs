//! The shared record of a module.

use std::sync::Arc;
use std::time::Duration;

use drivers_sdk_protocol::message::{self, Level};
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::wire::Wire;
use crate::connections::{self, Recorder};
use crate::runtime::host::channel::Channel;
use crate::runtime::program::Program;
use crate::runtime::status::{self, Board};
use crate::runtime::view::{self, Fault, ModuleView, State};
use crate::runtime::{Shared, debug};
use crate::secrets::Secret;

/// A module. Written by the reconciler, its process and its link; read by everyone.
pub(crate) struct Entry {
    pub(crate) id: Arc<str>,
    pub(crate) board: Arc<Board>,
    pub(crate) log: debug::Log,
    pub(crate) wire: Wire,
    /// What goes over its wire; none if that is switched off.
    pub(crate) recorder: Option<Arc<Recorder>>,
    life: Mutex<Life>,
    changed: Notify,
}

/// What the reconciler has published about a module.
#[derive(Clone, Debug)]
pub(crate) struct Life {
    pub(crate) state: State,
    pub(crate) since: i64,
    /// For a module that does not run: why.
    pub(crate) detail: Option<Arc<str>>,
    /// It will run in a moment: callers wait.
    pub(crate) coming: bool,
    pub(crate) last_error: Option<Arc<Fault>>,
    pub(crate) next_attempt: Option<i64>,
    pub(crate) process: Option<u32>,
    pub(crate) quarantined: bool,
    pub(crate) emulated: bool,
    /// The system of a logic module.
    pub(crate) system: Option<Arc<str>>,
    /// Its driver.
    pub(crate) driver: Option<Arc<str>>,
    /// The build of it that it runs, or would run.
    pub(crate) program: Option<Arc<Program>>,
}

impl Entry {
    pub(crate) fn new(id: Arc<str>, board: Arc<Board>, recorder: Option<Arc<Recorder>>) -> Entry {
        let life = Life {
            state: State::Stopped,
            since: view::now(),
            detail: None,
            coming: false,
            last_error: None,
            next_attempt: None,
            process: None,
            quarantined: false,
            emulated: false,
            system: None,
            driver: None,
            program: None,
        };
        Entry {
            id,
            board,
            log: debug::Log::default(),
            wire: Wire::default(),
            recorder,
            life: Mutex::new(life),
            changed: Notify::new(),
        }
    }

    pub(crate) fn life(&self) -> Life {
        self.life.lock().clone()
    }

    /// The system of a logic module.
    pub(crate) fn system(&self) -> Option<Arc<str>> {
        self.life.lock().system.clone()
    }

    /// Changes what is published about the module, and wakes who waits for a change.
    pub(crate) fn publish(&self, change: impl FnOnce(&mut Life)) {
        let mut life = self.life.lock();
        let before = life.state;
        change(&mut life);
        if life.state != before {
            life.since = view::now();
        }
        drop(life);
        self.changed.notify_waiters();
    }

    /// The instance on this channel is gone, for this reason: it is shown as down at once; what follows is the
    /// reconciler's to say.
    pub(crate) fn fell(&self, channel: &Channel, why: &Arc<str>) {
        if self.wire.leave_channel(channel)
            && matches!(self.life.lock().state, State::Running | State::Starting)
        {
            self.publish(|life| {
                life.state = State::Failed;
                life.detail = Some(why.clone());
                life.coming = false;
                life.process = None;
            });
        }
    }

    /// Waits while the module is about to run; gives up after `limit`.
    pub(crate) async fn settled(&self, limit: Duration) {
        let wait = async {
            loop {
                let changed = self.changed.notified();
                if !self.life.lock().coming {
                    return;
                }
                changed.await;
            }
        };
        let _ = tokio::time::timeout(limit, wait).await;
    }

    /// Sets a status value, or removes it.
    pub(crate) fn set_status(&self, shared: &Shared, key: &str, text: Option<&str>) {
        if self.board.set(&shared.publisher, key, text) {
            shared.metrics.status_changes.inc();
        }
    }

    /// Its driver says whether its device can be used.
    pub(crate) fn online(&self, shared: &Shared, online: message::Online) {
        let (level, text) = match (online.connected, online.reason.as_str()) {
            (Some(true), why) => (Level::Info, format!("connected, says the driver: {why}")),
            (Some(false), why) => (Level::Warn, format!("not connected, says the driver: {why}")),
            (None, _) => (Level::Info, "connected as the link is".into()),
        };
        self.wire.say(online, |connected| {
            self.set_status(shared, status::CONNECTED, Some(status::boolean(connected)));
            self.say(shared, level, &text);
        });
    }

    /// Shows whether the device can be used, after a change of who says so.
    pub(crate) fn show_connected(&self, shared: &Shared) {
        self.wire.show(|connected| {
            self.set_status(shared, status::CONNECTED, Some(status::boolean(connected)));
        });
    }

    /// From now on these are not recorded.
    pub(crate) fn hide(&self, secrets: Option<&Vec<Secret>>) {
        if let (Some(recorder), Some(secrets)) = (&self.recorder, secrets) {
            recorder.hide(secrets.clone());
        }
    }

    /// Says something in the module's log.
    pub(crate) fn say(&self, shared: &Shared, level: Level, text: &str) {
        self.log.push(shared.log_bounds(), level, text);
    }

    pub(crate) fn view(&self) -> ModuleView {
        let life = self.life();
        let link = self.wire.last();
        let runs = life.state == State::Running;
        let said = self.wire.said();
        let connected = match (&link, &said) {
            (Some(_), Some(said)) => said.connected,
            (Some(_), None) => self.wire.is_up(),
            (None, said) => runs && said.as_ref().is_none_or(|said| said.connected),
        };
        let (reason, detail) = match &link {
            _ if !runs && life.state != State::Starting => (Some(life.state.as_str()), None),
            Some(link @ connections::State::Down { .. }) if !connected => {
                (link.reason().map(connections::Reason::as_str), link.detail().map(str::to_owned))
            }
            Some(connections::State::Connecting { .. }) if !connected && !self.wire.is_up() => {
                (Some("connecting"), None)
            }
            _ => match said {
                Some(said) if !said.connected => (Some("device"), Some(said.why.to_string())),
                _ => (None, None),
            },
        };
        ModuleView {
            id: self.id.clone(),
            state: life.state,
            since: life.since,
            connected,
            tls_verified: self.board.get(status::TLS_VERIFIED).map(|value| &*value == "true"),
            reason,
            detail: life.detail.map(|detail| detail.to_string()).or(detail),
            last_error: life.last_error,
            next_attempt: life.next_attempt,
            process: life.process,
            quarantined: life.quarantined,
            emulated: life.emulated,
            commit: life.program.map(|program| program.commit.clone()),
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        if let Some(recorder) = &self.recorder {
            recorder.close();
        }
    }
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Entry({})", self.id)
    }
}
