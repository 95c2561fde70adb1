//! TLS in mid-connection: with vsftpd (`AUTH TLS`, RFC 4217), and with peers of our own for what no server does on demand.

use super::{
    super::{Connections, Error, Link, Reason, State, Target, tls::Tls},
    harness::{DEADLINE, Receipts, Recorder, eventually, never_retry, pattern, quick},
    kinds::{Kind, Unix, acceptor, own_address},
    peers::{Authority, Identity, Peer, params, program, self_signed},
};
use bytes::Bytes;
use std::{
    net::{Ipv4Addr, SocketAddr},
    process::Command,
    sync::Arc,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time::timeout,
};

fn target(at: SocketAddr, tls: Tls) -> Target {
    Target { tls: Some(Arc::new(tls)), ..Target::tcp(at.ip().to_string(), at.port()) }
}

fn pinned(identity: &Identity) -> Tls {
    Tls { pin: Some(identity.pin.parse().expect("pin")), ..Tls::default() }
}

/// `None`: vsftpd is not installed.
fn vsftpd(folder: &tempfile::TempDir, at: Ipv4Addr, identity: &Identity) -> Option<Peer> {
    let vsftpd = program("vsftpd", "vsftpd")?;
    let path = |name: &str| folder.path().join(name).display().to_string();
    let _ = std::fs::create_dir(path("empty"));
    std::fs::write(path("certificate"), &identity.certificate).expect("write");
    std::fs::write(path("key"), &identity.key).expect("write");
    let settings = [
        ("listen", "YES".to_owned()),
        ("listen_address", at.to_string()),
        ("listen_port", "2121".into()),
        ("background", "NO".into()),
        ("run_as_launching_user", "YES".into()),
        ("anonymous_enable", "YES".into()),
        ("ssl_enable", "YES".into()),
        ("allow_anon_ssl", "YES".into()),
        ("rsa_cert_file", path("certificate")),
        ("rsa_private_key_file", path("key")),
        ("secure_chroot_dir", path("empty")),
        ("xferlog_enable", "NO".into()),
    ];
    let lines = settings.map(|(name, value)| format!("{name}={value}\n"));
    std::fs::write(path("settings"), lines.concat()).expect("write");
    Some(Peer::start(Command::new(vsftpd).arg(path("settings"))))
}

async fn start_tls(link: &Link) -> Result<(), Error> {
    let (answer, answered) = tokio::sync::oneshot::channel();
    link.start_tls(Some(Box::new(move |outcome| drop(answer.send(outcome)))));
    timeout(DEADLINE, answered).await.expect("an answer in time").expect("an answer")
}

async fn says(recorder: &Recorder, words: &str) {
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).contains(words);
    recorder.until(words, |record| said(&record.bytes).then_some(())).await;
}

#[tokio::test]
async fn an_ftp_server_goes_on_in_tls_and_again_after_it_was_away() {
    let (folder, at) = (tempfile::tempdir().expect("folder"), own_address());
    let authority = Authority::new("Building");
    let identity = authority.issue(&params(&[&at.to_string()]));
    let Some(server) = vsftpd(&folder, at, &identity) else { return };
    let recorder = Recorder::new();
    let tls = Tls { ca: Some(authority.pem.clone()), ..Tls::default() };
    let link = recorder.open(&Connections::new(quick()), target((at, 2121).into(), tls));
    let mut server = Some(server);
    for connection in 1..=2 {
        assert_eq!(recorder.up_after(connection - 1).await, connection);
        says(&recorder, "220 ").await;
        Receipts::transmit(&link, "AUTH TLS\r\n").await.expect("sent");
        says(&recorder, "234 ").await;
        // What comes next need not wait for the handshake.
        let (started, sent) = tokio::join!(start_tls(&link), Receipts::transmit(&link, "FEAT\r\n"));
        assert_eq!((started, sent), (Ok(()), Ok(())));
        says(&recorder, "AUTH TLS").await;
        let up = |state: &&State| state.is_up();
        assert_eq!(recorder.look(|record| record.states.iter().filter(up).count()) as u64, connection);
        if connection == 1 {
            recorder.forget();
            drop(server.take());
            recorder.ended(connection).await;
            server = vsftpd(&folder, at, &identity);
        }
    }
}

#[tokio::test]
async fn a_server_that_is_not_believed_loses_the_connection() {
    let (folder, at) = (tempfile::tempdir().expect("folder"), own_address());
    let Some(_server) = vsftpd(&folder, at, &self_signed(&params(&["somebody"]))) else { return };
    let recorder = Recorder::new();
    let tls = Tls { ca: Some(Authority::new("Building").pem), ..Tls::default() };
    let link = recorder.open(&Connections::new(quick()), target((at, 2121).into(), tls));
    recorder.up_after(0).await;
    Receipts::transmit(&link, "AUTH TLS\r\n").await.expect("sent");
    says(&recorder, "234 ").await;
    let (started, sent) = tokio::join!(start_tls(&link), Receipts::transmit(&link, "PASS secret\r\n"));
    for outcome in [started, sent] {
        let error = outcome.expect_err("not believed");
        assert!(matches!(error, Error::Lost(_)), "{error}");
        assert_eq!(error.reason(), Some(Reason::Tls), "{error}");
    }
    let end = recorder.ended(1).await;
    assert!(end.detail().expect("detail").contains("self-signed"), "{end:?}");
}

struct Plain {
    at: SocketAddr,
    listener: TcpListener,
    identity: Identity,
}

impl Plain {
    async fn new() -> Self {
        let at = SocketAddr::from((own_address(), 4000));
        let listener = TcpListener::bind(at).await.expect("bind");
        Self { at, listener, identity: self_signed(&params(&["device"])) }
    }

    /// A link to it, and its end of the connection.
    async fn connected(&self, connections: &Connections, recorder: &Recorder) -> (Link, TcpStream) {
        let link = recorder.open(connections, target(self.at, pinned(&self.identity)));
        let (stream, _) = timeout(DEADLINE, self.listener.accept()).await.expect("in time").expect("accept");
        recorder.up_after(0).await;
        (link, stream)
    }
}

#[tokio::test]
async fn what_is_transmitted_before_goes_out_in_the_clear_and_what_comes_later_does_not() {
    const SIZE: usize = 800_000;
    let peer = Plain::new().await;
    let recorder = Recorder::new();
    let (link, mut stream) = peer.connected(&Connections::new(quick()), &recorder).await;
    let receipts = Receipts::default();
    // More than the system takes while nobody reads.
    link.transmit(Bytes::from_static(pattern(0, SIZE)), receipts.make());
    link.transmit("last words", receipts.make());
    link.start_tls(receipts.make());
    link.transmit("secret", receipts.make());
    link.transmit(" and more", receipts.make());
    let mut clear = vec![0; SIZE + 10];
    timeout(DEADLINE, stream.read_exact(&mut clear)).await.expect("in time").expect("read");
    assert!(clear.ends_with(b"last words") && clear.starts_with(pattern(0, SIZE)));
    let mut stream = acceptor(&peer.identity).accept(stream).await.expect("handshake");
    let mut hidden = [0; 15];
    timeout(DEADLINE, stream.read_exact(&mut hidden)).await.expect("in time").expect("read");
    assert_eq!(&hidden, b"secret and more");
    stream.write_all(b"understood").await.expect("write");
    says(&recorder, "understood").await;
    receipts.all_answered().await;
    receipts.look(|answers| assert_eq!(answers.ok, 5));
}

#[tokio::test]
async fn a_sink_that_waits_is_not_cut_short() {
    let peer = Plain::new().await;
    let (recorder, connections) = (Recorder::slow(), Connections::new(quick()));
    let (link, mut stream) = peer.connected(&connections, &recorder).await;
    stream.write_all(b"go ahead").await.expect("write");
    eventually("read", || connections.metrics().bytes_in > 0).await;
    let receipts = Receipts::default();
    link.start_tls(receipts.make());
    // The link's task hears of it while the sink still waits.
    tokio::task::yield_now().await;
    recorder.open_up();
    let _stream = acceptor(&peer.identity).accept(stream).await.expect("handshake");
    receipts.all_answered().await;
    receipts.look(|answers| assert_eq!(answers.ok, 1));
    recorder.look(|record| assert_eq!(record.bytes, b"go ahead"));
}

/// A peer that keeps silent in the handshake: whatever ends the wait, everybody is answered at once.
#[tokio::test]
async fn a_handshake_that_does_not_end_can_be_given_up() {
    type End = fn(&Link, &Plain);
    let ends: [(End, Reason); 3] = [
        (|link, _| link.disconnect(Reason::Protocol, "no patience"), Reason::Protocol),
        (|link, _| link.retarget(Target::tcp("127.0.0.1", 9)), Reason::Stopped),
        (
            |link, _| {
                drop(tokio::spawn({
                    let link = link.clone();
                    async move { link.close().await }
                }))
            },
            Reason::Stopped,
        ),
    ];
    for (end, reason) in ends {
        let peer = Plain::new().await;
        let recorder = Recorder::new();
        let (link, mut stream) = peer.connected(&Connections::new(never_retry()), &recorder).await;
        let (second, third) = (link.clone(), link.clone());
        let waiting =
            tokio::spawn(
                async move { tokio::join!(start_tls(&second), Receipts::transmit(&second, "secret")) },
            );
        // The handshake has begun.
        assert_eq!(stream.read_u8().await.expect("read"), 0x16);
        let again = start_tls(&third).await.expect_err("once is enough");
        assert!(matches!(again, Error::Unable { .. }), "{again}");
        end(&link, &peer);
        let (started, sent) = timeout(DEADLINE, waiting).await.expect("in time").expect("task");
        assert!(matches!(started, Err(Error::Lost(_))), "{started:?}");
        assert_eq!(sent.expect_err("never sent").reason(), Some(reason));
        let _ = stream.read_to_end(&mut Vec::new()).await;
    }
}

#[tokio::test]
async fn only_a_plain_connection_that_is_up_can() {
    let peer = Plain::new().await;
    let connections = Connections::new(never_retry());
    let idle = target(peer.at, Tls::default()).make_break(DEADLINE);
    let idle = Recorder::new().open(&connections, idle);
    assert!(start_tls(&idle).await.is_err());

    let recorder = Recorder::new();
    let secure = Target::tls(peer.at.ip().to_string(), peer.at.port(), pinned(&peer.identity));
    let secure = recorder.open(&connections, secure);
    let (stream, _) = peer.listener.accept().await.expect("accept");
    let _stream = acceptor(&peer.identity).accept(stream).await.expect("handshake");
    recorder.up_after(0).await;
    assert!(matches!(start_tls(&secure).await, Err(Error::Unable { .. })));

    let (mut emulator, recorder) = (Unix::make(), Recorder::new());
    emulator.appear().await;
    let emulated = recorder.open(&connections, emulator.target());
    let _stream = emulator.accept().await;
    recorder.up_after(0).await;
    assert_eq!(start_tls(&emulated).await, Ok(()));
}
