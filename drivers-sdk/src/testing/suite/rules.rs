//! The rules that are not about what a device does: documentation, interfaces, callers, secrets, the end of a module.

use std::time::Duration;

use drivers_sdk_protocol::Kind as Frame;
use drivers_sdk_protocol::manifest::Kind;
use serde_json::Value;
use tokio::time::Instant;

use super::super::daemon::Tamper;
use super::super::harness::Run;
use super::probe::{SECRET, is_secret};
use super::{Suite, Verdict, block_on};
use crate::driver::Driver;
use crate::module::instance::STOP_LIMIT;

/// How long a module may need to stop, while nothing is wrong.
const STOP: Duration = Duration::from_secs(1);

impl<D: Driver> Suite<D> {
    /// Every function, setting and status has a doc comment.
    pub fn documented(&self) -> Verdict {
        let manifest = &self.manifest;
        let mut bare = Vec::new();
        if manifest.description.is_empty() {
            bare.push("the driver itself".to_owned());
        }
        let functions = manifest.functions.iter().filter(|function| function.description.is_empty());
        bare.extend(functions.map(|function| format!("the function `{}`", function.name)));
        for (what, schema) in [("setting", &manifest.settings), ("status", &manifest.status)] {
            for (key, property) in schema["properties"].as_object().into_iter().flatten() {
                if property["description"].as_str().is_none_or(str::is_empty) {
                    bare.push(format!("the {what} `{key}`"));
                }
            }
        }
        if bare.is_empty() { Ok(None) } else { Err(format!("no doc comment on {}", bare.join(", "))) }
    }

    /// Whatever happens, every call is answered.
    pub fn callers(&self) -> Verdict {
        type Fault = (&'static str, fn(&Run));
        let faults: [Fault; 7] = [
            ("while nothing is wrong", |_| {}),
            ("when the connection breaks", |run| run.daemon.connection_lost("it broke")),
            ("when the device cannot be reached any more", |run| {
                run.daemon.link_down("timeout", "it is gone")
            }),
            ("when the device falls silent", |run| {
                run.daemon.state().tamper = Tamper { silent: true, ..Tamper::default() };
            }),
            ("when the device takes nothing any more", |run| {
                run.daemon.state().tamper = Tamper { deaf: true, silent: true, ..Tamper::default() };
            }),
            ("when new settings come", |run| {
                let settings = serde_json::json!({ "settings": run.daemon.look().settings }).to_string();
                run.daemon.send(Frame::Settings, 1, run.daemon.number(), settings.as_bytes());
            }),
            ("when the module is stopped", |run| run.daemon.send(Frame::Stop, 1, run.daemon.number(), &[])),
        ];
        block_on(async {
            for (fault, does) in faults {
                for connected in [true, false] {
                    let run = if connected {
                        self.connected(Tamper::default()).await?
                    } else {
                        self.start().await?
                    };
                    let mut calls = run.call_all(&self.manifest);
                    run.daemon_does(|_| {}).await?;
                    does(&run);
                    if !fault.ends_with("stopped") {
                        calls.extend(run.call_all(&self.manifest));
                    }
                    for call in calls {
                        let _ = call.outcome().await.map_err(|why| format!("{fault}: {why}"))?;
                    }
                }
            }
            Ok(None)
        })
    }

    /// The modules of a logic driver's system change, move, go and come: no panic, and every call is answered.
    pub fn system_changes(&self) -> Verdict {
        if self.manifest.kind != Kind::Logic {
            return Ok(Some("only logic drivers have a system".into()));
        }
        let values = [Value::Null, true.into(), "word".into(), 3.into(), serde_json::json!({"a": [1]})];
        block_on(async {
            let run = self.connected(Tamper::default()).await?;
            let Some(system) = run.daemon.system.clone() else { return Ok(None) };
            for value in values {
                let mut calls = run.call_all(&self.manifest);
                for (system, of) in system.followed() {
                    system.put(&of.module, of.index as usize, &of.key, &value);
                    run.daemon_does(|_| {}).await?;
                }
                for (name, count) in system.counts() {
                    let order: Vec<usize> = (1..=count).rev().collect();
                    system.reorder(&name, &order);
                    calls.extend(run.call_all(&self.manifest));
                    run.daemon_does(|_| {}).await?;
                    let gone = system.clone();
                    gone.remove(&name, 1);
                    run.daemon_does(|_| {}).await?;
                    system.add(&name, super::super::Fake::new());
                }
                for call in calls {
                    let _ = call.outcome().await.map_err(|why| format!("when the system changes: {why}"))?;
                }
            }
            run.pass(Duration::from_secs(15)).await?;
            Ok(None)
        })
    }

    /// No secret of the settings is in the log, the status, what callers are told, or the reason to drop a connection.
    pub fn secrets(&self) -> Verdict {
        let properties = self.manifest.settings.get("properties").and_then(Value::as_object);
        if !properties.is_some_and(|properties| properties.values().any(is_secret)) {
            return Ok(Some("its settings have no secret".into()));
        }
        block_on(async {
            let tampers = [
                Tamper::default(),
                Tamper { silent: true, ..Tamper::default() },
                Tamper { cut: Some(7), ..Tamper::default() },
                Tamper { garbage: Some(b"{\"error\": 1}".to_vec()), ..Tamper::default() },
            ];
            for tamper in tampers {
                self.keeps_secret(&self.connected(tamper).await?).await?;
            }
            // A device with another password.
            let other = self.settings.to_string().replace(SECRET, "another");
            let other = serde_json::from_str(&other).map_err(|error| error.to_string())?;
            let run = self.start_against(&other).await?;
            run.daemon_does(|daemon| daemon.link_up()).await?;
            run.pass(Duration::from_secs(5)).await?;
            self.keeps_secret(&run).await.map(|()| None)
        })
    }

    /// No secret is in what callers, the log and the status say.
    async fn keeps_secret(&self, run: &Run) -> Result<(), String> {
        run.reconnect().await?;
        run.says(b"ERROR\r\n\0ERR\n").await?;
        let mut said: Vec<(String, String)> = Vec::new();
        for (function, outcome) in run.probe(&self.manifest).await? {
            said.push((format!("what `{function}` answers"), format!("{outcome:?}")));
        }
        let state = run.daemon.look();
        said.extend(state.log.iter().map(|(_, text)| ("the log".into(), text.clone())));
        said.extend(
            state.status.iter().map(|(key, value)| (format!("the status `{key}`"), value.to_string())),
        );
        let dropped = state.transcript.iter().filter(|line| line.starts_with("> dropped"));
        said.extend(dropped.map(|line| ("the reason to drop a connection".into(), line.clone())));
        match said.into_iter().find(|(_, text)| forms().iter().any(|form| text.contains(form))) {
            Some((place, text)) => Err(format!("a secret of the settings is in {place}: {text}")),
            None => Ok(()),
        }
    }

    /// A module stops at once, also while it is busy; while its device is silent, before the daemon ends it.
    pub fn stops(&self) -> Verdict {
        let logic = self.manifest.kind == Kind::Logic;
        let silent = || Tamper { silent: true, ..Tamper::default() };
        block_on(async {
            let away = self.start().await?;
            self.stop("before it was connected", away, STOP).await?;
            let healthy = self.connected(Tamper::default()).await?;
            let limit = if logic || self.device.is_some() { STOP } else { STOP_LIMIT + STOP };
            self.stop("while nothing is wrong", healthy, limit).await?;
            let busy = self.connected(Tamper::default()).await?;
            let _calls = busy.call_all(&self.manifest);
            self.stop("in the midst of calls", busy, limit).await?;
            let stuck = self.connected(silent()).await?;
            let _calls = stuck.call_all(&self.manifest);
            self.stop("while the device is silent", stuck, STOP_LIMIT + STOP).await?;
            Ok(None)
        })
    }

    async fn stop(&self, when: &str, run: Run, limit: Duration) -> Result<(), String> {
        let began = Instant::now();
        let stopped = run.step(async move |daemon| daemon.request(Frame::Stop, &[], limit * 10).await);
        let answer = stopped.outcome().await.map_err(|why| format!("{when}: {why}"))?;
        answer.map_err(|error| format!("{when}: stopping failed: {error}"))?;
        let took = began.elapsed();
        if took <= limit {
            return Ok(());
        }
        Err(run.tell(&format!("{when} the module took {took:?} to stop, and may take {limit:?}")))
    }
}

/// The secret as it may be written.
fn forms() -> [String; 3] {
    let hex: String = SECRET.bytes().map(|byte| format!("{byte:02x}")).collect();
    let escaped = SECRET.replace('+', "%2B").replace('/', "%2F");
    [SECRET.to_owned(), hex, escaped]
}
