//! A session that is recorded of a device, played by the recording: to a driver in the daemon, over a port.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, Stdio};

use futures_util::{SinkExt as _, StreamExt as _};
use headend::connections::recorder::format::recording;
use serde_json::json;
use tokio::{net::UdpSocket, time::timeout};
use tokio_tungstenite::tungstenite::Message;

use crate::support::{Daemon, PATIENCE, drivers, headend, until};

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

/// A recording that is served, and where.
fn emulate(file: &Path) -> (Running, String) {
    let mut command = headend();
    command.arg("emulate").arg(file).stdout(Stdio::piped()).stderr(Stdio::piped()).stdin(Stdio::null());
    let mut emulate = Running(command.spawn().unwrap());
    let mut line = String::new();
    BufReader::new(emulate.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let uri = line.split(' ').find(|word| word.contains("://")).unwrap_or_else(|| panic!("{line}"));
    (emulate, uri.to_owned())
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
    let (mut emulate, uri) = emulate(&file);
    let address = uri.strip_prefix("tcp://").unwrap().parse().unwrap();
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

/// A recording of one connection to this address, with these records.
fn write(file: &Path, up: &str, records: &[(&str, &str)]) {
    let mut text = format!("{{\"recording\":1}}\n{{\"connection\":1,\"event\":\"up\",{up}}}\n");
    for (number, (event, what)) in records.iter().enumerate() {
        let time = number * 1000;
        text += &format!("{{\"connection\":1,\"time\":{time},\"event\":\"{event}\",{what}}}\n");
    }
    std::fs::write(file, text).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recording_of_datagrams_is_served_on_a_udp_port() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("fader.recording");
    let level = r#""text":"LEVEL 40""#;
    let records = [
        ("sent", r#""text":"GET""#),
        ("received", level),
        ("sent", r#""text":"SET 40","call":1"#),
        ("received", level),
        ("received", r#""base64":"AP8=""#),
    ];
    write(&file, r#""address":"fader:5000","datagrams":true"#, &records);
    let (mut emulate, uri) = emulate(&file);
    let socket = async || {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        socket.connect(uri.strip_prefix("udp://").unwrap()).await.unwrap();
        socket
    };
    let hears = async |socket: &UdpSocket, expected: &[u8]| {
        let mut datagram = [0; 100];
        let length = timeout(PATIENCE, socket.recv(&mut datagram)).await.unwrap().unwrap();
        assert_eq!(&datagram[..length], expected);
    };
    let (one, other) = (socket().await, socket().await);
    one.send(b"GET").await.unwrap();
    hears(&one, b"LEVEL 40").await;
    // Nothing was recorded that is like this: the next answer is to what is asked then.
    one.send(b"MUTE").await.unwrap();
    other.send(b"SET 12").await.unwrap();
    hears(&other, b"LEVEL 12").await;
    hears(&other, b"\x00\xff").await;
    one.send(b"GET").await.unwrap();
    hears(&one, b"LEVEL 40").await;
    let (code, said) = emulate.interrupt();
    assert!(code == 0 && said.contains("the recording has nothing like MUTE"), "{code}: {said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recording_of_a_websocket_is_served_as_one() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("screen.recording");
    let records = [
        ("received", r#""form":"text","text":"{\"hello\": 1}""#),
        ("sent", r#""form":"text","text":"{\"id\": 1, \"volume\": 20}""#),
        ("received", r#""form":"text","text":"{\"id\": 1, \"now\": 20}""#),
        ("received", r#""base64":"AP8=""#),
    ];
    write(&file, r#""address":"ws://screen/api""#, &records);
    let (mut emulate, uri) = emulate(&file);
    for (id, volume) in [(7, 40), (8, 50)] {
        let (mut socket, _) = tokio_tungstenite::connect_async(format!("{uri}/api")).await.unwrap();
        let hears = async |socket: &mut tokio_tungstenite::WebSocketStream<_>, expected: Message| {
            assert_eq!(timeout(PATIENCE, socket.next()).await.unwrap().unwrap().unwrap(), expected);
        };
        hears(&mut socket, Message::text(r#"{"hello": 1}"#)).await;
        let command = format!(r#"{{"id": {id}, "volume": {volume}}}"#);
        socket.send(Message::text(command)).await.unwrap();
        hears(&mut socket, Message::text(format!(r#"{{"id": {id}, "now": {volume}}}"#))).await;
        hears(&mut socket, Message::binary(vec![0, 255])).await;
        socket.close(None).await.unwrap();
    }
    let (code, said) = emulate.interrupt();
    assert!(code == 0 && said.is_empty(), "{code}: {said}");
}
