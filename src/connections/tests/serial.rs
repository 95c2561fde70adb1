//! Serial ports: `socat` as the adapter that is plugged in, `ser2net` as the gateway that has one.

use super::{
    super::{Address, Connections, Endpoint, Link, Reason, State, Target},
    harness::{DEADLINE, Receipts, Recorder, eventually, never_retry, quick},
    kinds::{Kind as _, Serial, own_address},
    peers::{Peer, program},
};
use crate::model::serial::{LineSettings, SerialUri};
use std::{
    net::Ipv4Addr,
    path::{Path, PathBuf},
    process::Command,
};
use tokio::{
    fs::File,
    io::{AsyncReadExt as _, AsyncWriteExt as _},
};

mod faults;

/// Two pseudo terminals, wired to each other: `port` is the adapter, `device` what is behind it.
struct Cable {
    folder: tempfile::TempDir,
    socat: PathBuf,
    peer: Option<Peer>,
}

impl Cable {
    /// Not plugged in; none without socat.
    fn new() -> Option<Self> {
        let socat = program("socat", "socat")?;
        Some(Self { folder: tempfile::tempdir().expect("folder"), socat, peer: None })
    }

    fn port(&self) -> PathBuf {
        self.folder.path().join("port")
    }

    async fn plug(&mut self) {
        let end = |name| format!("PTY,rawer,link={}", self.folder.path().join(name).display());
        self.peer = Some(Peer::start(Command::new(&self.socat).args([end("port"), end("device")])));
        eventually("plugged in", || self.port().exists() && self.folder.path().join("device").exists()).await;
    }

    fn unplug(&mut self) {
        self.peer = None;
        for name in ["port", "device"] {
            let _ = std::fs::remove_file(self.folder.path().join(name));
        }
    }

    async fn device(&self) -> File {
        let path = self.folder.path().join("device");
        File::options().read(true).write(true).open(path).await.expect("the device's end")
    }

    fn target(&self, query: &str) -> Target {
        let uri = SerialUri::parse(&format!("serial://{}?{query}", self.port().display()));
        let line = uri.expect("serial").expect("a right URI").settings.line().expect("settings");
        Target::new(Address::Serial { path: self.port(), line })
    }
}

/// What the system has for a terminal, in the words of `stty`.
fn settings(path: &Path) -> String {
    let output = Command::new("stty").arg("-F").arg(path).arg("-a").output().expect("stty");
    String::from_utf8_lossy(&output.stdout).replace([';', '\n'], " ")
}

fn has(settings: &str, words: &[&str]) {
    let settings = format!(" {settings} ");
    for word in words {
        assert!(settings.contains(&format!(" {word} ")), "{word}: {settings}");
    }
}

/// Every byte there is goes both ways.
async fn exchange(link: &Link, recorder: &Recorder, device: &mut File) {
    let all: Vec<u8> = (0..=255).collect();
    Receipts::transmit(link, all.clone()).await.expect("sent");
    let mut got = vec![0; all.len()];
    tokio::time::timeout(DEADLINE, device.read_exact(&mut got)).await.expect("in time").expect("read");
    assert_eq!(got, all);
    let before = recorder.look(|record| record.received);
    device.write_all(&all).await.expect("write");
    device.flush().await.expect("flush");
    recorder.received(before + all.len()).await;
    recorder.look(|record| assert_eq!(record.bytes[before..], all));
}

#[tokio::test]
async fn an_adapter_that_is_unplugged_and_plugged_in_again() {
    let Some(mut cable) = Cable::new() else { return };
    let connections = Connections::new(quick());
    // The rate is read back whenever a port is opened; `stty` does not know the way in which it is set.
    let recorder = Recorder::new();
    let link = recorder.open(&connections, cable.target("baud=19200&stop=2&flow=none"));
    let State::Down { reason, detail, .. } = recorder.down().await else { unreachable!() };
    assert_eq!(reason, Reason::Serial);
    assert!(detail.contains("is not there") && detail.contains("/port"), "{detail}");

    let mut connection = 0;
    for _ in 0..3 {
        cable.plug().await;
        connection = recorder.up_after(connection).await;
        has(&settings(&cable.port()), &["cs8", "-parenb", "cstopb", "-ixon", "-crtscts", "-echo"]);
        exchange(&link, &recorder, &mut cable.device().await).await;
        cable.unplug();
        let end = recorder.ended(connection).await;
        assert_eq!(end.reason(), Some(Reason::Serial));
        assert!(end.detail().is_some_and(|detail| detail.contains("unplugged")), "{end:?}");
    }
}

#[tokio::test]
async fn what_keeps_a_port_from_being_opened() {
    let connections = Connections::new(never_retry());
    let mut adapter = Serial::make();
    adapter.appear().await;
    let Address::Serial { path, line } = adapter.target().address else { unreachable!() };
    let refused = async |path: &Path, settings: LineSettings| {
        let recorder = Recorder::new();
        let address = Address::Serial { path: path.into(), line: settings.line().expect("settings") };
        let _link = recorder.open(&connections, Target::new(address));
        let State::Down { reason, detail, .. } = recorder.down().await else { unreachable!() };
        assert_eq!(reason, Reason::Serial);
        detail
    };
    // A pseudo terminal has eight bits and no parity, whatever it is told.
    let detail = refused(&path, LineSettings { bits: Some(7), ..LineSettings::default() }).await;
    assert!(detail.contains("cannot do 7 data bits"), "{detail}");
    let even = serde_json::from_str(r#"{"parity": "even"}"#).expect("settings");
    let detail = refused(&path, even).await;
    assert!(detail.contains("cannot do 9600 8E1: it has 9600 8N1"), "{detail}");
    let detail = refused(Path::new("/dev/null"), LineSettings::default()).await;
    assert!(detail.contains("is it a serial port"), "{detail}");
    let detail = refused(Path::new("/etc/passwd"), LineSettings::default()).await;
    assert!(detail.contains("is not a serial port"), "{detail}");

    let recorder = Recorder::new();
    let first = recorder.open(&connections, Target::new(Address::Serial { path: path.clone(), line }));
    recorder.up_after(0).await;
    let detail = refused(&path, LineSettings::default()).await;
    assert!(detail.contains("in use by another program"), "{detail}");
    first.close().await;
    let recorder = Recorder::new();
    let _second = recorder.open(&connections, adapter.target());
    recorder.up_after(0).await;
}

/// `ser2net` in front of a cable: raw TCP on port 4001, RFC 2217 on port 4002 of an address of its own.
struct Gateway {
    address: Ipv4Addr,
    cable: Cable,
    ser2net: PathBuf,
    peer: Option<Peer>,
}

impl Gateway {
    async fn new() -> Option<Self> {
        let ser2net = program("ser2net", "ser2net")?;
        let mut cable = Cable::new()?;
        cable.plug().await;
        Some(Self { address: own_address(), cable, ser2net, peer: None })
    }

    fn start(&mut self) {
        let (address, port) = (self.address, self.cable.port());
        let port = port.display();
        let config = self.cable.folder.path().join("ser2net.yaml");
        let yaml = format!(
            "%YAML 1.1\n---\n\
             connection: &raw\n    accepter: tcp,{address},4001\n    connector: serialdev,{port},9600n81,local\n\
             connection: &rfc\n    accepter: telnet(rfc2217),tcp,{address},4002\n    connector: serialdev,{port},9600n81,local\n"
        );
        std::fs::write(&config, yaml).expect("configuration");
        let pid = self.cable.folder.path().join("pid");
        let mut command = Command::new(&self.ser2net);
        command.args(["-n", "-u", "-c"]).arg(config).arg("-P").arg(pid);
        self.peer = Some(Peer::start(&mut command));
    }

    fn rfc2217(&self, port: u16, settings: LineSettings) -> Target {
        let endpoint = Endpoint::new(self.address.to_string(), port);
        let line = settings.line().expect("settings");
        Target::new(Address::Rfc2217 { endpoint, line })
    }
}

#[tokio::test]
async fn a_gateway_s_raw_port_is_tcp() {
    let Some(mut gateway) = Gateway::new().await else { return };
    gateway.start();
    let connections = Connections::new(quick());
    let recorder = Recorder::new();
    let link = recorder.open(&connections, Target::tcp(gateway.address.to_string(), 4001));
    recorder.up_after(0).await;
    exchange(&link, &recorder, &mut gateway.cable.device().await).await;
}

#[tokio::test]
async fn a_gateway_applies_the_settings_at_every_connection() {
    let Some(mut gateway) = Gateway::new().await else { return };
    let connections = Connections::new(quick());
    let recorder = Recorder::new();
    let settings_wanted =
        serde_json::from_str(r#"{"baud": 38400, "stop": 2, "flow": "hardware"}"#).expect("settings");
    let link = recorder.open(&connections, gateway.rfc2217(4002, settings_wanted));
    let mut connection = 0;
    for _ in 0..2 {
        gateway.start();
        connection = recorder.up_after(connection).await;
        has(&settings(&gateway.cable.port()), &["speed 38400 baud", "cstopb", "crtscts", "-ixon"]);
        exchange(&link, &recorder, &mut gateway.cable.device().await).await;
        gateway.peer = None;
        recorder.ended(connection).await;
        // Somebody else has used the port meanwhile.
        let port = gateway.cable.port();
        let status = Command::new("stty").arg("-F").arg(&port).args(["300", "-cstopb", "-crtscts"]).status();
        assert!(status.expect("stty").success());
        has(&settings(&port), &["speed 300 baud", "-cstopb", "-crtscts"]);
    }
}

#[tokio::test]
async fn a_gateway_that_cannot_do_it_says_so() {
    let Some(mut gateway) = Gateway::new().await else { return };
    gateway.start();
    let connections = Connections::new(super::super::Options { connect_timeout_ms: 1000, ..quick() });
    // The raw port does not speak RFC 2217: what it is sent goes to the device, and nobody answers.
    let recorder = Recorder::new();
    let _link = recorder.open(&connections, gateway.rfc2217(4001, LineSettings::default()));
    let spoken = |state: &State| state.reason() == Some(Reason::Protocol);
    let detail =
        recorder.until("refused", |record| record.states.iter().find(|state| spoken(state)).cloned()).await;
    assert!(detail.detail().is_some_and(|detail| detail.contains("raw TCP")), "{detail:?}");
}
