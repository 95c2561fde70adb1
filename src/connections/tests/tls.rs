//! TLS with OpenSSL's server at the other end: what works, and what each failure is called.

use super::{
    super::{Connections, Link, Options, Reason, State, Target, tls::Tls},
    harness::{Receipts, Recorder, never_retry, quick},
    kinds::own_address,
    peers::{Authority, Identity, Peer, params, pin, program, self_signed},
};
use rcgen::date_time_ymd;
use serde_json::{Value, json};
use std::{net::Ipv4Addr, path::Path, process::Command, time::Duration};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

const PORT: u16 = 4433;

/// `openssl s_server`, which sends every line back reversed.
struct Server {
    address: Ipv4Addr,
    folder: tempfile::TempDir,
    peer: Option<Peer>,
}

impl Server {
    fn new() -> Self {
        Self { address: own_address(), folder: tempfile::tempdir().expect("folder"), peer: None }
    }

    /// `None`: OpenSSL is not installed.
    fn start(&mut self, identity: &Identity, more: &[&str]) -> Option<()> {
        let openssl = program("openssl", "openssl")?;
        let folder = self.folder.path();
        std::fs::write(folder.join("certificate"), &identity.certificate).expect("write");
        std::fs::write(folder.join("key"), &identity.key).expect("write");
        self.peer = None;
        let mut command = Command::new(openssl);
        command.current_dir(folder).args([
            "s_server",
            "-quiet",
            "-rev",
            "-cert",
            "certificate",
            "-key",
            "key",
        ]);
        command.args(["-accept", &format!("{}:{PORT}", self.address)]).args(more);
        self.peer = Some(Peer::start(&mut command));
        Some(())
    }

    fn file(&self, name: &str, text: &str) {
        std::fs::write(self.folder.path().join(name), text).expect("write");
    }

    fn host(&self) -> String {
        self.address.to_string()
    }

    fn target(&self, tls: Value) -> Target {
        Target::tls(self.host(), PORT, settings(tls))
    }
}

fn settings(tls: Value) -> Tls {
    serde_json::from_value(tls).expect("settings")
}

async fn speaks(recorder: &Recorder, link: &Link) {
    recorder.up_after(0).await;
    Receipts::transmit(link, "stressed\n").await.expect("sent");
    recorder.until("desserts", |record| (record.bytes == b"desserts\n").then_some(())).await;
}

async fn works(server: &Server, tls: Value) {
    let recorder = Recorder::new();
    let link = recorder.open(&Connections::new(quick()), server.target(tls));
    speaks(&recorder, &link).await;
}

/// The link says so, once the server is there to be spoken to.
async fn fails(target: Target, reason: Reason, words: &[&str]) {
    fails_with(quick(), target, reason, words).await;
}

async fn fails_with(options: Options, target: Target, reason: Reason, words: &[&str]) {
    let recorder = Recorder::new();
    let address = target.address.to_string();
    let _link = recorder.open(&Connections::new(options), target);
    let detail = recorder
        .until("another reason than that nobody is there", |record| {
            record.states.iter().find_map(|state| match state {
                State::Down { reason: Reason::Refused, .. } => None,
                State::Down { reason, detail, .. } => Some((*reason, detail.clone())),
                _ => None,
            })
        })
        .await;
    assert_eq!(detail.0, reason, "{}", detail.1);
    assert!(detail.1.starts_with(&address), "{}", detail.1);
    for word in words {
        assert!(detail.1.contains(word), "{word:?} is missing: {}", detail.1);
    }
}

#[tokio::test]
async fn both_versions_are_spoken() {
    let mut server = Server::new();
    let authority = Authority::new("Building");
    let identity = authority.issue(&params(&[&server.host()]));
    for version in ["-tls1_2", "-tls1_3"] {
        let Some(()) = server.start(&identity, &[version]) else { return };
        works(&server, json!({ "ca": authority.pem })).await;
    }
    let Some(()) = server.start(&identity, &["-tls1_2"]) else { return };
    let only_13 = json!({ "ca": authority.pem, "min_version": "1.3" });
    fails(server.target(only_13), Reason::Tls, &["no version of TLS in common", "min_version"]).await;
}

#[tokio::test]
async fn who_is_not_trusted_is_described_and_can_be_pinned() {
    let mut server = Server::new();
    let others = Authority::new("Somebody else").pem;
    let host = server.host();
    let authority = Authority::new("Building");
    let mut expired = params(&[&host]);
    expired.not_after = date_time_ymd(2020, 2, 29);
    let mut future = params(&[&host]);
    future.not_before = date_time_ymd(2999, 1, 1);
    let mut authoritative = params(&[&host]);
    authoritative.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let trusted = authority.pem.as_str();
    for (identity, ca, words) in [
        (
            authority.issue(&params(&[&host])),
            others.as_str(),
            &["unknown issuer", "CN=device", "CN=Building", "4096-01-01", "connection.tls.ca"][..],
        ),
        (self_signed(&params(&[&host])), &others, &["self-signed", "connection.tls.ca"]),
        (self_signed(&authoritative), &others, &["self-signed"]),
        (authority.issue(&expired), trusted, &["has expired on 2020-02-29", "CN=Building", "Renew it"]),
        (authority.issue(&future), trusted, &["not valid before 2999-01-01", "clock"]),
        (
            authority.issue(&params(&["projector.example"])),
            trusted,
            &[&host, "projector.example", "server_name"],
        ),
        (authority.issue(&params(&[])), trusted, &[&host, "no subjectAltName"]),
    ] {
        let Some(()) = server.start(&identity, &[]) else { return };
        let lowercase = identity.pin.replace(':', "").replace("sha256", "sha256:").to_lowercase();
        let words = [words, &["connection.tls.pin", &lowercase]].concat();
        fails(server.target(json!({ "ca": ca })), Reason::Tls, &words).await;
        works(&server, json!({ "pin": identity.pin })).await;
        works(&server, json!({ "verify": false })).await;
        let other = pin(b"another certificate");
        let mismatch = ["another certificate than the pinned one", &lowercase, "CN=device"];
        fails(server.target(json!({ "pin": other, "ca": ca })), Reason::Tls, &mismatch).await;
    }
}

#[tokio::test]
async fn a_server_name_can_be_given() {
    let mut server = Server::new();
    let authority = Authority::new("Building");
    let identity = authority.issue(&params(&["projector.example"]));
    let Some(()) = server.start(&identity, &[]) else { return };
    works(&server, json!({ "ca": authority.pem, "server_name": "projector.example" })).await;
}

#[tokio::test]
async fn an_issuer_that_expired_is_the_one_that_is_named() {
    let mut server = Server::new();
    let authority = Authority::new("Building");
    let (mut floor, key) = (params(&[]), rcgen::KeyPair::generate().expect("key"));
    floor.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    floor.distinguished_name.push(rcgen::DnType::CommonName, "Floor");
    floor.not_after = date_time_ymd(2021, 3, 4);
    let between = authority.sign(&floor, &key);
    let device = rcgen::KeyPair::generate().expect("key");
    let issuer = rcgen::Issuer::new(floor, key);
    let own = params(&[&server.host()]).signed_by(&device, &issuer).expect("certificate");
    let identity = Identity { certificate: own.pem(), key: device.serialize_pem(), pin: pin(own.der()) };
    server.file("between", &between);
    let Some(()) = server.start(&identity, &["-cert_chain", "between"]) else { return };
    let words = ["certificate of an issuer has expired on 2021-03-04", "CN=Floor"];
    fails(server.target(json!({ "ca": authority.pem })), Reason::Tls, &words).await;
}

#[tokio::test]
async fn a_device_that_asks_who_we_are() {
    let mut server = Server::new();
    let (authority, clients) = (Authority::new("Building"), Authority::new("Clients"));
    let identity = authority.issue(&params(&[&server.host()]));
    server.file("clients", &clients.pem);
    let (good, bad) = (clients.issue(&params(&["headend"])), authority.issue(&params(&["headend"])));
    for version in ["-tls1_2", "-tls1_3"] {
        let asking = [version, "-Verify", "1", "-verify_return_error", "-CAfile", "clients"];
        let Some(()) = server.start(&identity, &asking) else { return };
        let with =
            |own: &Identity| json!({ "ca": authority.pem, "certificate": own.certificate, "key": own.key });
        works(&server, with(&good)).await;
        let required = ["requires a client certificate", "connection.tls.certificate"];
        fails(server.target(json!({ "ca": authority.pem })), Reason::Tls, &required).await;
        fails(server.target(with(&bad)), Reason::Tls, &["refused our client certificate"]).await;
    }
}

#[tokio::test]
async fn peers_that_are_too_old_or_have_other_suites() {
    let mut server = Server::new();
    let authority = Authority::new("Building");
    let identity = authority.issue(&params(&[&server.host()]));
    let ca = json!({ "ca": authority.pem });
    let Some(()) = server.start(&identity, &["-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0"]) else { return };
    fails(server.target(ca.clone()), Reason::Tls, &["no version of TLS in common"]).await;
    let Some(()) = server.start(&identity, &["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA"]) else { return };
    fails(server.target(ca), Reason::Tls, &["no cipher suite in common", "ECDHE"]).await;
}

/// RSA with 1024 bits, X.509 version 1, self-signed: what devices of the last decade have.
#[tokio::test]
async fn an_old_device_can_be_pinned() {
    let mut server = Server::new();
    let Some(identity) = old_identity(server.folder.path()) else { return };
    let old = ["-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256@SECLEVEL=0", "-sigalgs"];
    for signature in ["RSA+SHA256", "RSA+SHA1"] {
        let Some(()) = server.start(&identity, &[&old[..], &[signature]].concat()) else { return };
        works(&server, json!({ "pin": identity.pin })).await;
    }
    works(&server, json!({ "verify": false })).await;
    let others = Authority::new("Somebody else").pem;
    let Some(()) = server.start(&identity, &[&old[..], &["RSA+SHA256"]].concat()) else { return };
    fails(server.target(json!({ "ca": others })), Reason::Tls, &["self-signed", "CN=old", "tls.pin"]).await;
}

fn old_identity(folder: &Path) -> Option<Identity> {
    let openssl = program("openssl", "openssl")?;
    let run = |arguments: &str| {
        let done =
            Command::new(&openssl).current_dir(folder).args(arguments.split(' ')).output().expect("openssl");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).expect("text")
    };
    run("req -new -newkey rsa:1024 -nodes -subj /CN=old -keyout old-key -out request");
    run("x509 -req -in request -signkey old-key -days 3 -out old");
    let printed = run("x509 -in old -noout -fingerprint -sha256");
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).expect("read");
    let pin = format!("sha256:{}", printed.trim().split_once('=').expect("fingerprint").1);
    Some(Identity { certificate: read("old"), key: read("old-key"), pin })
}

#[tokio::test]
async fn peers_that_do_not_speak_tls() {
    let address = own_address();
    let listener = TcpListener::bind((address, PORT)).await.expect("bind");
    let target = Target::tls(address.to_string(), PORT, settings(json!({ "verify": false })));

    let greeting = async {
        let (mut stream, _) = listener.accept().await.expect("accept");
        stream.write_all(b"220 projector ready\r\n").await.expect("write");
        let _ = stream.read_to_end(&mut Vec::new()).await;
    };
    let words = ["does not speak TLS", "220 projector ready"];
    tokio::join!(greeting, fails_with(never_retry(), target.clone(), Reason::Tls, &words));

    let closing = async {
        let (mut stream, _) = listener.accept().await.expect("accept");
        let _ = stream.read(&mut [0; 2000]).await;
    };
    tokio::join!(
        closing,
        fails_with(never_retry(), target.clone(), Reason::Closed, &["in the TLS handshake"])
    );

    let hurried = Options { connect_timeout_ms: 200, ..never_retry() };
    let words = ["did not finish the TLS handshake within 200 ms"];
    fails_with(hurried, target, Reason::Timeout, &words).await;
}

/// A name that no certificate can have is told without asking anybody.
#[tokio::test]
async fn a_host_that_cannot_be_named() {
    let target = Target::tls("not a name", PORT, settings(json!({ "verify": false })));
    fails(target, Reason::Tls, &["not a name", "connection.tls.server_name"]).await;
}

/// The peer is told that nothing more comes: it need not take the end for an attack (RFC 8446, 6.1).
#[tokio::test]
async fn good_bye_is_said() {
    let address = own_address();
    let listener = TcpListener::bind((address, PORT)).await.expect("bind");
    let identity = self_signed(&params(&["device"]));
    let recorder = Recorder::new();
    let target = Target::tls(address.to_string(), PORT, settings(json!({ "pin": identity.pin })));
    let link = recorder.open(&Connections::new(quick()), target);
    let (stream, _) = listener.accept().await.expect("accept");
    let mut stream = super::kinds::acceptor(&identity).accept(stream).await.expect("handshake");
    recorder.up_after(0).await;
    link.close().await;
    let read = tokio::time::timeout(Duration::from_secs(60), stream.read(&mut [0; 10])).await;
    assert_eq!(read.expect("in time").expect("no truncation"), 0);
}
