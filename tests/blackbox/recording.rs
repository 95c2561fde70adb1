//! A session that is recorded of a device, played by the recording: to a driver in the daemon, over a port.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Stdio};

use headend::connections::recorder::format::recording;
use serde_json::json;

use crate::support::{Daemon, drivers, headend, until};

/// A command that runs until it is dropped.
struct Running(Child);

impl Running {
    fn interrupt(&mut self) -> (i32, String) {
        let pid = rustix::process::Pid::from_child(&self.0);
        rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
        let mut said = String::new();
        self.0.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        (self.0.wait().unwrap().code().unwrap_or(-1), said)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_recorded_and_the_recording_plays_the_device() {
    let daemon = Daemon::start();
    let driver = drivers::example("pjlink", "Display").load(&daemon).await.drivers.remove(0);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("session.recording");
    let saved = || std::fs::read_to_string(&file).unwrap_or_default();

    // The projector asks for a password, which the recording must not have.
    let module = daemon
        .module(&driver, ([10, 3, 2, 22], 4352).into(), json!({"emulated": true, "running": false}))
        .await;
    let settings = json!({"parent_id": module, "settings_string": "password: JBMIAProjectorLink"});
    daemon.api.create("settings", settings).await;
    let start = async |module: &str| {
        let answer = daemon.api.send(reqwest::Method::POST, &format!("/modules/{module}/start"), None).await;
        assert!(answer.status.is_success(), "{answer:?}");
        daemon.api.reaches(module, "running", true).await;
    };
    let mut record = daemon.command(&["record", &module, "--save", file.to_str().unwrap()]);
    let mut record = Running(record.stderr(Stdio::piped()).stdin(Stdio::null()).spawn().unwrap());
    until("the recording has begun", async || saved().contains("\"recording\":1").then_some(())).await;
    start(&module).await;
    for (on, power) in [(true, "on"), (false, "cooling")] {
        let answer = daemon.api.exec(&module, "power", json!([on])).await;
        assert_eq!(answer.status, 200, "{power}: {answer:?}");
        // Until it is warm it refuses to go off, which would be recorded too.
        until(power, async || {
            daemon.api.exec(&module, "refresh", json!([])).await;
            (daemon.api.status(&module, "power_state").await == json!(power)).then_some(())
        })
        .await;
    }
    until("the last answer is saved", async || (saved().matches("%1POWR=OK").count() >= 2).then_some(()))
        .await;
    let (code, said) = record.interrupt();
    assert!(code == 0 && said.contains("records saved to"), "{code}: {said}");
    let whole = saved();
    assert!(!whole.contains("JBMIAProjectorLink"), "{whole}");
    recording::read(&whole).unwrap();
    daemon.api.send(reqwest::Method::POST, &format!("/modules/{module}/stop"), None).await;

    // The same driver, to the recording.
    let mut emulate = headend();
    emulate.arg("emulate").arg(&file).stdout(Stdio::piped()).stderr(Stdio::piped()).stdin(Stdio::null());
    let mut emulate = Running(emulate.spawn().unwrap());
    let mut line = String::new();
    BufReader::new(emulate.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.split("tcp://").nth(1).and_then(|rest| rest.split(' ').next());
    let address = address.unwrap_or_else(|| panic!("{line}")).parse().unwrap();
    let played = daemon.module(&driver, address, json!({"running": false})).await;
    let settings = json!({"parent_id": played, "settings_string": "password: another"});
    daemon.api.create("settings", settings).await;
    start(&played).await;
    until("the projector is connected", async || {
        (daemon.api.status(&played, "connected").await == json!(true)).then_some(())
    })
    .await;
    for on in [true, false] {
        let answer = daemon.api.exec(&played, "power", json!([on])).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    let (code, said) = emulate.interrupt();
    assert_eq!(code, 0, "{said}");
}
