//! `headend driver dev`, as an author has it at their desk: the driver changes while the device stays connected.

mod terminal;

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::{authors_target, device::Device, headend};

/// The first build compiles the SDK and what it stands on, perhaps on a machine that has other things to do.
const PATIENCE: Duration = Duration::from_secs(420);

const DRIVER: &str = r#"use drivers_sdk::prelude::*;

#[derive(Default)]
struct Lamp;

#[derive(Default, Status)]
struct LampStatus {
    /// Whether it burns.
    power: Option<bool>,
}

/// A lamp.
#[driver(name = "Lamp", module = "Lamp", tcp = 4000, framing = lines("\n"), status = LampStatus)]
impl Lamp {
    /// Switches it.
    #[function]
    async fn power(&self, cx: &Cx<Self>, on: bool) -> Result<String> {
        let word = if on { "ON" } else { "OFF" };
        cx.send(format!("LAMP {word}")).reply(exact(format!("LAMP {word}"))).await?;
        cx.status.set(|status| status.power = Some(on));
        cx.info("switched");
        Ok("first".to_owned())
    }
}

drivers_sdk::main!(Lamp);
"#;

struct Dev {
    child: Child,
    typed: ChildStdin,
    said: mpsc::Receiver<String>,
    /// Everything that was said.
    all: String,
}

impl Dev {
    fn start(folder: &Path, device: &Device) -> Dev {
        let mut command = headend();
        command.args(["driver", "dev"]).arg(folder).args(["--connect", &device.address.to_string()]);
        command
            .env("CARGO_TARGET_DIR", authors_target())
            .env("CARGO_INCREMENTAL", "0")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, said) = mpsc::channel();
        std::thread::spawn(move || {
            stdout.lines().map_while(Result::ok).all(|line| sender.send(line).is_ok())
        });
        let typed = child.stdin.take().unwrap();
        Dev { child, typed, said, all: String::new() }
    }

    fn types(&mut self, line: &str) {
        writeln!(self.typed, "{line}").unwrap();
    }

    /// As [`says`](Self::says), unless it was said before.
    fn has_said(&mut self, wanted: &str) {
        if !self.all.contains(wanted) {
            self.says(wanted);
        }
    }

    /// Waits until a line with this in it is said; the line.
    fn says(&mut self, wanted: &str) -> String {
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            match self.said.recv_timeout(Duration::from_secs(1)) {
                Ok(line) => {
                    self.all.push_str(&format!("{line}\n"));
                    if line.contains(wanted) {
                        return line;
                    }
                }
                Err(mpsc::RecvTimeoutError::Timeout) => {}
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
            }
        }
        panic!("{wanted:?} was not said:\n{}", self.all);
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        // So that it tidies up.
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        let _ = self.child.wait();
    }
}

const LAMP: &str = "[package]\nname = \"lamp\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n[dependencies]\ndrivers-sdk = \"0.1\"\n";

/// As a repository has it that `headend driver new` made.
const WORKSPACE: &str = r#"
[workspace]
[profile.dev]
debug = "line-tables-only"
[profile.dev.package."*"]
debug = false
"#;

/// Makes this a package with the SDK of this work tree.
fn package(folder: &Path, manifest: &str) {
    let sdk = Path::new(env!("CARGO_MANIFEST_DIR")).join("drivers-sdk");
    let config = format!("[patch.crates-io]\ndrivers-sdk = {{ path = {sdk:?} }}\n");
    fs::create_dir_all(folder.join(".cargo")).unwrap();
    fs::create_dir_all(folder.join("src")).unwrap();
    fs::write(folder.join(".cargo/config.toml"), config).unwrap();
    fs::write(folder.join("Cargo.toml"), format!("{manifest}{WORKSPACE}")).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_driver_that_is_saved_takes_over_and_the_connection_stays() {
    let folder = tempfile::tempdir().unwrap();
    package(folder.path(), LAMP);
    let source = folder.path().join("src/main.rs");
    fs::write(&source, DRIVER).unwrap();
    let device = Device::start().await;
    let mut dev = Dev::start(folder.path(), &device);
    dev.says("building lamp");
    dev.says("Lamp runs");
    dev.has_said("status  connected = true");

    dev.types("power true");
    dev.says("power = \"first\"");
    for said in [r"sent      power         LAMP ON\n", "log     info: switched", "status  power = true"] {
        dev.has_said(said);
    }
    dev.types("power on=false");
    dev.says("power = \"first\"");
    dev.types("status");
    dev.says("  power = false");
    for (typed, said) in [
        ("help", "power on:boolean  Switches it."),
        ("wire", r"received  power         LAMP OFF\n"),
        ("power maybe", "power failed: "),
        ("explode", "there is no function explode"),
        ("power {", "a bracket is open"),
    ] {
        dev.types(typed);
        dev.says(said);
    }

    // It does not compile: the compiler says why, and what runs goes on.
    fs::write(&source, DRIVER.replace("\"first\".to_owned()", "first.to_owned()")).unwrap();
    dev.says("cannot find value `first`");
    dev.says("not built; what ran goes on");
    dev.types("power true");
    dev.says("power = \"first\"");

    fs::write(&source, DRIVER.replace("\"first\"", "\"second\"")).unwrap();
    dev.says("Lamp runs");
    // What is asked while it takes over is still answered by the one before.
    let mut answered = String::new();
    let began = Instant::now();
    while !answered.contains("second") && began.elapsed() < PATIENCE {
        dev.types("power true");
        answered = dev.says("power = \"");
    }
    assert!(answered.contains("second"), "{}", dev.all);
    assert_eq!(device.connections(), 1, "{}", dev.all);

    dev.types("quit");
    assert!(dev.child.wait().unwrap().success());
}
