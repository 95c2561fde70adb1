//! Faults between a device and its driver, and whether the driver works again when they are over.

use std::rc::Rc;
use std::time::Duration;

use drivers_sdk_protocol::manifest::Kind;
use drivers_sdk_protocol::message::Form;
use serde_json::Value;

use super::super::daemon::{Daemon, Tamper};
use super::super::harness::Run;
use super::probe::{Outcomes, is_answer};
use super::{Suite, Verdict, block_on};
use crate::driver::Driver;
use crate::error::Result;

/// How long a driver may need, after a fault, until it works again.
const RECOVERY: u32 = 24;
const AGAIN: Duration = Duration::from_secs(5);
/// How long a new module is given to make itself at home.
const WARM: Duration = Duration::from_secs(5);
/// How many places are tried to break a conversation at.
const CUTS: usize = 24;
/// How often a flapping link comes and goes.
const FLAPS: u64 = 200;
/// Bytes of a flood, and how many arrive at once, at least.
const FLOOD: usize = 256 * 1024;
const FLOOD_PIECE: usize = 2048;
/// Messages of a flood, at most.
const FLOOD_PIECES: usize = 3000;

/// A driver with a device that is well.
pub(super) struct Healthy {
    run: Run,
    /// How each call ended, and how it ended once more.
    outcomes: [Outcomes; 2],
    /// What the device said, piece by piece.
    pub(super) said: Vec<Vec<u8>>,
}

impl Healthy {
    /// What a function has to come to again: to a result, if it did twice while all was well; or else to an answer.
    fn is_well(&self, function: &str) -> Option<fn(&Result<Value>) -> bool> {
        let each: [fn(&Result<Value>) -> bool; 2] = [Result::is_ok, is_answer];
        let twice = |is: &fn(&Result<Value>) -> bool| {
            self.outcomes.iter().all(|all| all.get(function).is_some_and(is))
        };
        each.into_iter().find(twice)
    }
}

impl<D: Driver> Suite<D> {
    /// A module whose link is up.
    pub(super) async fn connected(&self, tamper: Tamper) -> Result<Run, String> {
        let run = self.start().await?;
        run.daemon.state().tamper = tamper;
        if self.manifest.kind != Kind::Logic {
            run.daemon_does(|daemon| daemon.link_up()).await?;
        }
        run.pass(WARM).await?;
        Ok(run)
    }

    /// A module with its device, and how its functions answer.
    pub(super) async fn healthy(&self) -> Result<Healthy, String> {
        let run = self.connected(Tamper::default()).await?;
        if !run.daemon.look().link.up {
            return Err(run.tell("the driver does not keep a connection to the package's emulator"));
        }
        let first = run.probe(&self.manifest).await?;
        run.pass(WARM).await?;
        let said = run.daemon.look().said.clone();
        let second = run.probe(&self.manifest).await?;
        // The status as it is when all of that was done: some of it may have made a key absent.
        run.pass(WARM).await?;
        Ok(Healthy { run, outcomes: [first, second], said })
    }

    /// After a fault: every function that a healthy device answered is answered again, and the status is whole.
    async fn recovered(&self, run: &Run, healthy: &Healthy, fault: &str) -> Result<(), String> {
        let status = |run: &Run| run.daemon.look().status.keys().cloned().collect::<Vec<_>>();
        for function in &self.manifest.functions {
            let Some(is_well) = healthy.is_well(&function.name) else { continue };
            let mut last = None;
            for _ in 0..RECOVERY {
                let outcome = run.probe_one(function).await.map_err(|why| format!("{fault}: {why}"))?;
                if is_well(&outcome) {
                    last = None;
                    break;
                }
                last = outcome.err();
                run.pass(AGAIN).await?;
            }
            if let Some(error) = last {
                let name = &function.name;
                return Err(run.tell(&format!("{fault}: `{name}` does not work again: {error}")));
            }
        }
        let before = status(&healthy.run);
        let mut why = String::new();
        for _ in 0..RECOVERY {
            let now = status(run);
            let missing = before.iter().find(|key| !now.contains(key));
            why = match (run.daemon.look().link.up, missing) {
                (true, None) => return Ok(()),
                (true, Some(key)) => format!("{fault}: the status `{key}` does not come back"),
                (false, _) => format!("{fault}: the driver keeps dropping the connection"),
            };
            run.pass(AGAIN).await?;
        }
        Err(run.tell(&why))
    }

    /// Breaks the conversation after so many bytes of the device, for each of them.
    async fn cut(&self, healthy: &Healthy, cuts: impl Iterator<Item = usize>) -> Result<(), String> {
        for cut in cuts {
            let run = self.connected(Tamper { cut: Some(cut), ..Tamper::default() }).await?;
            let what = if self.manifest.kind == Kind::Service {
                "answered {} of the requests"
            } else {
                "said {} bytes"
            };
            let had = what.replace("{}", &cut.to_string());
            let fault = format!("after a connection that broke when the device had {had}");
            run.probe(&self.manifest).await.map_err(|why| format!("{fault}: {why}"))?;
            // A conversation that took another course may not have come as far.
            run.daemon.state().tamper.cut = None;
            self.recovered(&run, healthy, &fault).await?;
        }
        Ok(())
    }

    /// The connection breaks after any byte of the device, or any answer of a service; then everything works again.
    pub fn drops(&self) -> Verdict {
        self.with_device(async |healthy| {
            let length = match self.manifest.kind {
                Kind::Service => healthy.said.len(),
                _ => healthy.said.iter().map(Vec::len).sum(),
            };
            let step = (length / CUTS).max(1);
            self.cut(healthy, (0..=length).step_by(step)).await
        })
    }

    /// The same in the midst of what the device says.
    pub fn drops_in_mid_frame(&self) -> Verdict {
        if self.manifest.udp || matches!(self.manifest.kind, Kind::Websocket | Kind::Service) {
            return Ok(Some("messages are whole".into()));
        }
        self.with_device(async |healthy| {
            let cuts = healthy.said.iter().scan(0, |before, piece| {
                let cut = *before + piece.len() / 2;
                *before += piece.len();
                Some(cut)
            });
            self.cut(healthy, cuts.take(CUTS)).await
        })
    }

    /// The device says nothing for a while, from the beginning or later, or takes nothing; then everything works again.
    pub fn silence(&self) -> Verdict {
        self.with_device(async |healthy| {
            let well = Tamper::default;
            let silent = || Tamper { silent: true, ..well() };
            let deaf = Tamper { deaf: true, ..silent() };
            for (first, then) in [(silent(), silent()), (well(), silent()), (well(), deaf)] {
                let takes = if then.deaf { "took" } else { "said" };
                let run = self.connected(first).await?;
                run.daemon.state().tamper = then;
                let fault = format!("after a device that {takes} nothing for a while");
                run.probe(&self.manifest).await.map_err(|why| format!("{fault}: {why}"))?;
                run.daemon.state().tamper = Tamper::default();
                self.recovered(&run, healthy, &fault).await?;
            }
            Ok(())
        })
    }

    /// The device says what makes no sense, and is restarted; then everything works again.
    pub fn garbage(&self) -> Verdict {
        self.with_device(async |healthy| {
            let half = healthy.said.iter().max_by_key(|piece| piece.len()).cloned().unwrap_or_default();
            let half = half.get(..half.len() / 2).unwrap_or_default();
            let pieces: [&[u8]; 6] = [
                &[0xff; 64],
                &[0; 64],
                b"\r\n\r\n\n\n\0\0",
                b"HTTP/1.1 400 Bad Request\r\n\r\n",
                half,
                &[b'0'; 2000],
            ];
            for piece in pieces {
                let run = self.connected(Tamper::default()).await?;
                let fault = format!("after the garbage {}", super::super::report::text(piece));
                if self.manifest.kind == Kind::Service {
                    run.daemon.state().tamper.garbage = Some(piece.to_vec());
                    run.probe(&self.manifest).await.map_err(|why| format!("{fault}: {why}"))?;
                    run.daemon.state().tamper.garbage = None;
                } else {
                    self.instead_of_answers(&run, &fault, &[piece]).await?;
                }
                // Who reads what came as the beginning of something longer is not helped before the next connection.
                run.daemon_does(|daemon| daemon.connection_lost("it was restarted")).await?;
                run.pass(AGAIN).await?;
                run.reconnect().await?;
                self.recovered(&run, healthy, &fault).await?;
            }
            Ok(())
        })
    }

    /// The device says these things while calls wait for its answers, which do not come; and once more while none does.
    async fn instead_of_answers(&self, run: &Run, fault: &str, pieces: &[&[u8]]) -> Result<(), String> {
        run.daemon.state().tamper.silent = true;
        let calls = run.call_all(&self.manifest);
        run.pass(Duration::from_millis(10)).await?;
        for piece in pieces {
            run.says(piece).await?;
        }
        for call in calls {
            let _ = call.outcome().await.map_err(|why| format!("{fault}: {why}"))?;
        }
        run.daemon.state().tamper.silent = false;
        for piece in pieces {
            run.says(piece).await?;
        }
        Ok(())
    }

    /// What the device says arrives a byte at a time, and works as if it came whole.
    pub fn bytewise(&self) -> Verdict {
        if self.manifest.udp || matches!(self.manifest.kind, Kind::Websocket | Kind::Service) {
            return Ok(Some("messages are whole".into()));
        }
        self.with_device(async |healthy| {
            let run = self.connected(Tamper { bytewise: true, ..Tamper::default() }).await?;
            for (name, outcome) in run.probe(&self.manifest).await? {
                let before = healthy.outcomes[0].get(&name);
                if before.is_some_and(Result::is_ok) && outcome.is_err() {
                    return Err(run.tell(&format!("`{name}`, with its answer byte by byte: {outcome:?}")));
                }
            }
            Ok(())
        })
    }

    /// The device says much that nobody asked for; then everything works again.
    pub fn flood(&self) -> Verdict {
        if self.manifest.kind == Kind::Service {
            return Ok(Some("a service says nothing by itself".into()));
        }
        self.with_device(async |healthy| {
            let run = self.connected(Tamper::default()).await?;
            let stream = !self.manifest.udp && self.manifest.kind != Kind::Websocket;
            let mut said = healthy.said.clone();
            if said.is_empty() {
                said.push(b"\r\n".to_vec());
            }
            if stream {
                let all = said.concat();
                said = vec![all.repeat(FLOOD_PIECE.div_ceil(all.len()))];
            }
            let fault = "after a flood of what the device says";
            let length: usize = said.iter().map(Vec::len).sum();
            let count = (FLOOD / length.max(1) * said.len()).min(FLOOD_PIECES);
            let pieces: Vec<&[u8]> = said.iter().map(Vec::as_slice).cycle().take(count).collect();
            self.instead_of_answers(&run, fault, &pieces).await?;
            self.recovered(&run, healthy, fault).await
        })
    }

    /// The link comes and goes two hundred times; then everything works again.
    pub fn flaps(&self) -> Verdict {
        self.with_device(async |healthy| {
            let run = self.connected(Tamper::default()).await?;
            for flap in 0..FLAPS {
                run.daemon_does(|daemon| daemon.connection_lost("it flaps")).await?;
                run.pass(Duration::from_millis(flap * 7 % 50)).await?;
                run.reconnect().await?;
                run.pass(Duration::from_millis(flap * 11 % 60)).await?;
            }
            self.recovered(&run, healthy, "after a link that flapped").await
        })
    }

    /// Runs a rule that needs a device which answers.
    fn with_device(&self, rule: impl AsyncFnOnce(&Healthy) -> Result<(), String>) -> Verdict {
        if let Some(why) = self.no_device() {
            return Ok(Some(why));
        }
        block_on(async {
            let healthy = self.healthy().await?;
            rule(&healthy).await
        })
        .map(|()| None)
    }
}

impl Run {
    /// Has the daemon do something.
    pub(super) async fn daemon_does(&self, work: impl FnOnce(&Rc<Daemon>) + 'static) -> Result<(), String> {
        self.step(async move |daemon| {
            work(daemon);
            Ok(())
        })
        .outcome()
        .await
    }

    /// The device says something, if there is a connection.
    pub(super) async fn says(&self, bytes: &[u8]) -> Result<(), String> {
        let bytes = bytes.to_vec();
        self.daemon_does(move |daemon| {
            if !daemon.look().link.open {
                return;
            }
            let text = daemon.declaration.kind == Kind::Websocket && std::str::from_utf8(&bytes).is_ok();
            daemon.received(if text { Form::Text } else { Form::Bytes }, &bytes);
        })
        .await
    }

    /// The link is up again, if it is not already.
    pub(super) async fn reconnect(&self) -> Result<(), String> {
        self.daemon_does(|daemon| {
            if !daemon.look().link.up {
                daemon.link_up();
            }
        })
        .await
    }

    /// Why a rule is broken, with what led to it.
    pub(super) fn tell(&self, why: &str) -> String {
        super::super::report::report(why, &self.daemon.look())
    }
}
