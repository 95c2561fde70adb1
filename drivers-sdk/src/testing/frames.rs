//! What the driver says, and what the daemon makes of it.

use std::rc::Rc;
use std::time::Duration;

use drivers_sdk_protocol::message::{self, Disconnect, Form, Log, Online, code};
use drivers_sdk_protocol::{Frame, Kind};

use tokio::task::spawn_local;
use tokio::time::sleep;

use super::daemon::{Daemon, MODULE, Wire, answer, failure};
use super::device::{RECONNECT, REFUSED};
use super::report::text;
use super::system::nowhere;

/// How long what a device does not take waits for it.
const STUCK: Duration = Duration::from_secs(20);

impl Daemon {
    /// A frame of the driver.
    pub(super) fn heard(self: &Rc<Self>, frame: &Frame) {
        let (payload, correlation) = (&frame.payload[..], frame.header.correlation);
        let Some(kind) = frame.kind() else { return };
        match kind {
            Kind::Welcome => self.state().welcome = true,
            Kind::Goodbye => {
                let why = format!("the driver's process said goodbye: {}", String::from_utf8_lossy(payload));
                self.state().over.get_or_insert(why);
            }
            Kind::Done | Kind::Failed => {
                let answer = answer(kind, payload);
                let mut state = self.state();
                match state.calls.get_mut(&correlation) {
                    Some(call) => call.answer = Some(answer),
                    None => drop(state.answers.insert(correlation, answer)),
                }
            }
            Kind::ModuleFailed => self.module_failed(payload),
            Kind::Log => {
                if let Some(Log { level, text }) = Log::read(payload) {
                    self.state().log.push((level, text.to_owned()));
                }
            }
            Kind::Status => self.status(payload),
            Kind::Transmit | Kind::Send => self.sent(kind, correlation, payload),
            Kind::StartTls => {
                self.state().wire.push_back(Wire::StartTls);
                self.note("> TLS begins".into());
                self.done(correlation);
            }
            Kind::Disconnect | Kind::LoginFailed => self.dropped(kind, payload),
            Kind::Online => self.online(payload),
            Kind::Hide => self.state().hidden.push(String::from_utf8_lossy(payload).into_owned()),
            Kind::Acquire => self.done(correlation),
            Kind::Http => self.asked_http(correlation, payload),
            Kind::SshExec => self.asked_exec(correlation, payload),
            Kind::CallModule
            | Kind::ReadStatus
            | Kind::Subscribe
            | Kind::Unsubscribe
            | Kind::Publish
            | Kind::Monitor => match &self.system {
                Some(system) => system.asked(self, kind, correlation, payload),
                None => nowhere(self, kind, correlation),
            },
            Kind::SaveSetting => self.save_setting(correlation, payload),
            _ if correlation != 0 => {
                self.fail(correlation, code::NOT_FOUND, &format!("this harness has nothing for {kind:?}"));
            }
            _ => {}
        }
    }

    /// Answers a request of the driver.
    pub(super) fn done(&self, correlation: u32) {
        self.done_with(correlation, &[]);
    }

    pub(super) fn done_with(&self, correlation: u32, payload: &[u8]) {
        if correlation != 0 {
            self.send(Kind::Done, MODULE, correlation, payload);
        }
    }

    pub(super) fn fail(&self, correlation: u32, code: &str, message: &str) {
        if correlation != 0 {
            let failure = serde_json::to_vec(&failure(code, message)).unwrap_or_default();
            self.send(Kind::Failed, MODULE, correlation, &failure);
        }
    }

    fn module_failed(&self, payload: &[u8]) {
        let failure: message::Failure = serde_json::from_slice(payload).unwrap_or_default();
        let place = failure.place.unwrap_or_else(|| "an unknown place".into());
        self.state().over.get_or_insert(format!("the driver panicked at {place}: {}", failure.message));
    }

    fn status(&self, payload: &[u8]) {
        let Some(message::Status { key, value }) = message::Status::read(payload) else { return };
        let mut state = self.state();
        if value.is_empty() {
            state.status.remove(key);
        } else {
            state.status.insert(key.into(), serde_json::from_str(value).unwrap_or_default());
        }
    }

    fn sent(self: &Rc<Self>, kind: Kind, correlation: u32, payload: &[u8]) {
        let read = match kind {
            Kind::Send => message::Send::read(payload).map(|send| (send.connection, send.form, send.bytes)),
            _ => message::Transmit::read(payload).map(|sent| (sent.connection, Form::Bytes, sent.bytes)),
        };
        let Some((connection, form, bytes)) = read else {
            return self.fail(correlation, code::BAD_REQUEST, "bytes that cannot be read");
        };
        let (up, open, messages, current) = {
            let link = &self.look().link;
            (link.up, link.open, link.messages, link.connection)
        };
        let known = connection == 0 || connection == current;
        if self.makebreak && connection != 0 && !(up && open && known) {
            return self.fail(correlation, code::ENDED, "the connection these bytes were meant for is gone");
        }
        if !(up && known) {
            let why = "the connection these bytes were meant for is gone";
            return self.fail(
                correlation,
                code::OFFLINE,
                if up { why } else { "the device cannot be reached" },
            );
        }
        if !open {
            self.open();
        }
        if self.look().tamper.deaf {
            let this = self.clone();
            drop(spawn_local(async move {
                sleep(STUCK).await;
                this.fail(correlation, code::OFFLINE, "the device took nothing any more");
            }));
            return;
        }
        self.done(correlation);
        if bytes.is_empty() && !messages {
            return;
        }
        self.note(format!("> {}", text(bytes)));
        let mut state = self.state();
        match &state.link.device {
            Some((device, _)) => drop(device.send((form, bytes.to_vec()))),
            None => state.wire.push_back(Wire::Sent { form, bytes: bytes.to_vec() }),
        }
    }

    fn dropped(self: &Rc<Self>, kind: Kind, payload: &[u8]) {
        let Some(Disconnect { connection, reason }) = Disconnect::read(payload) else { return };
        let login = kind == Kind::LoginFailed;
        if connection != 0 && connection != self.look().link.connection {
            return;
        }
        self.note(format!("> dropped the connection: {reason}"));
        self.link_down(if login { "auth" } else { "protocol" }, reason);
        if self.device.is_some() {
            self.link_up_after(if login { REFUSED } else { RECONNECT });
        } else {
            self.state().wire.push_back(Wire::Dropped { login, reason: reason.into() });
        }
    }

    fn online(&self, payload: &[u8]) {
        let Ok(Online { connected, reason, connection }) = serde_json::from_slice(payload) else { return };
        let link = &mut self.state().link;
        if connection == 0 || connection == link.connection {
            link.said = connected.map(|connected| (connected, reason));
        }
    }

    fn save_setting(&self, correlation: u32, payload: &[u8]) {
        let Ok(saved) = serde_json::from_slice::<message::SaveSetting<'_>>(payload) else {
            return self.fail(correlation, code::BAD_REQUEST, "a setting that cannot be read");
        };
        let mut state = self.state();
        if let Some(settings) = state.settings.as_object_mut() {
            settings.insert(saved.key.into(), serde_json::from_str(saved.value.get()).unwrap_or_default());
        }
        let settings = serde_json::json!({ "settings": state.settings }).to_string();
        drop(state);
        self.done(correlation);
        self.send(Kind::Settings, MODULE, self.number(), settings.as_bytes());
    }
}
