//! Faults that need a particular peer, resolver or set of options.

use super::{
    super::{Address, Connections, Form, Mode, Options, Reason, Resolve, State, Target, dial},
    harness::{Receipts, Recorder, eventually, never_retry, quick},
    kinds::{Kind, Tcp, own_address},
};
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use std::{
    io,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{io::AsyncWriteExt as _, net::TcpListener};

/// An address that swallows connection requests: its backlog is full, and nobody accepts.
pub(super) struct Silent {
    pub(super) address: SocketAddr,
    _listener: socket2::Socket,
    _fillers: Vec<socket2::Socket>,
}

impl Silent {
    pub(super) fn make() -> Self {
        let address = SocketAddr::from((own_address(), 4000));
        let stream =
            || socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("socket");
        let listener = stream();
        listener.bind(&address.into()).expect("bind");
        listener.listen(0).expect("listen");
        let fillers = (0..4).map(|_| {
            let filler = stream();
            filler.set_nonblocking(true).expect("nonblocking");
            let _ = filler.connect(&address.into());
            filler
        });
        Self { address, _fillers: fillers.collect(), _listener: listener }
    }

    fn target(&self) -> Target {
        Target::tcp(self.address.ip().to_string(), self.address.port())
    }
}

/// A name whose meaning the test decides.
#[derive(Clone, Default)]
pub(super) struct Names(pub(super) Arc<Mutex<Vec<SocketAddr>>>);

impl Resolve for Names {
    fn resolve<'a>(&'a self, _: &'a str, _: u16) -> BoxFuture<'a, io::Result<Vec<SocketAddr>>> {
        let found = self.0.lock().clone();
        Box::pin(async { if found.is_empty() { Err(io::Error::other("no such host")) } else { Ok(found) } })
    }
}

#[tokio::test]
async fn a_silent_address_is_a_timeout() {
    let recorder = Recorder::new();
    let connections = Connections::new(Options { connect_timeout_ms: 200, ..never_retry() });
    let silent = Silent::make();
    let _link = recorder.open(&connections, silent.target());
    let State::Down { reason, detail, failures: 1, .. } = recorder.down().await else { unreachable!() };
    assert_eq!(reason, Reason::Timeout);
    assert!(detail.contains(&silent.address.to_string()) && detail.contains("200 ms"), "{detail}");
}

#[tokio::test]
async fn silent_addresses_do_not_hold_up_the_others() {
    // If they did: 40 of them, two at a time, for 60 s each.
    let options =
        Options { first_attempts: 2, first_attempt_hold_ms: 10, connect_timeout_ms: 60_000, ..quick() };
    let connections = Connections::new(options);
    let silent = Silent::make();
    let links: Vec<_> = (0..40).map(|_| Recorder::new().open(&connections, silent.target())).collect();
    let mut kind = Tcp::make();
    kind.appear().await;
    let recorder = Recorder::new();
    let start = Instant::now();
    let _link = recorder.open(&connections, kind.target());
    recorder.up_after(0).await;
    assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());
    for link in links {
        link.close().await;
    }
}

#[tokio::test]
async fn a_name_that_resolves_later_and_then_means_something_else() {
    let names = Names::default();
    let connections = Connections::with_resolver(quick(), names.clone());
    let (mut first, mut second) = (Tcp::make(), Tcp::make());
    first.appear().await;
    second.appear().await;
    let socket = |kind: &Tcp| match kind.target().address {
        Address::Tcp(at) => SocketAddr::new(at.host.parse().expect("address"), at.port),
        _ => unreachable!(),
    };
    let recorder = Recorder::new();
    let link = recorder.open(&connections, Target::tcp("projector.example", 4000));
    let State::Down { reason, detail, .. } = recorder.down().await else { unreachable!() };
    assert_eq!(reason, Reason::Dns);
    assert!(detail.contains("projector.example") && detail.contains("no such host"), "{detail}");
    names.0.lock().push(socket(&first));
    let stream = first.accept().await;
    recorder.up_after(0).await;
    // The device moves: its name is asked for again.
    *names.0.lock() = vec![socket(&second)];
    drop(stream);
    let _stream = second.accept().await;
    recorder.up_after(1).await;
    assert!(matches!(link.state(), State::Up { peer: Some(peer), .. } if peer == socket(&second)));
}

#[tokio::test]
async fn the_system_resolver_is_asked() {
    let connections = Connections::new(never_retry());
    let recorder = Recorder::new();
    let _link = recorder.open(&connections, Target::tcp("nobody.invalid", 4000));
    assert_eq!(recorder.down().await.reason(), Some(Reason::Dns));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let recorder = Recorder::new();
    let port = listener.local_addr().expect("address").port();
    let _link = recorder.open(&connections, Target::tcp("localhost", port));
    let _stream = listener.accept().await.expect("accept");
    recorder.up_after(0).await;
}

#[tokio::test]
async fn a_resolver_that_does_not_answer_is_not_waited_for() {
    struct Mute;
    impl Resolve for Mute {
        fn resolve<'a>(&'a self, _: &'a str, _: u16) -> BoxFuture<'a, io::Result<Vec<SocketAddr>>> {
            Box::pin(std::future::pending())
        }
    }
    let options = Options { dns_timeout_ms: 100, connect_timeout_ms: 600_000, ..never_retry() };
    let recorder = Recorder::new();
    let _link =
        recorder.open(&Connections::with_resolver(options, Mute), Target::tcp("projector.example", 4000));
    let State::Down { reason, detail, .. } = recorder.down().await else { unreachable!() };
    assert_eq!(reason, Reason::Dns);
    assert!(detail.contains("no answer within 100 ms"), "{detail}");
}

#[tokio::test]
async fn every_address_of_a_name_is_tried() {
    let names = Names::default();
    // One attempt has to do.
    let connections = Connections::with_resolver(never_retry(), names.clone());
    let silent = Silent::make();
    let mut kind = Tcp::make();
    kind.appear().await;
    let Address::Tcp(at) = kind.target().address else { unreachable!() };
    *names.0.lock() = vec![
        silent.address,
        SocketAddr::from((own_address(), 4000)),
        "[2001:db8::1]:4000".parse().expect("address"),
        SocketAddr::new(at.host.parse().expect("address"), at.port),
    ];
    let recorder = Recorder::new();
    let _link = recorder.open(&connections, Target::tcp("projector.example", 4000));
    let _stream = kind.accept().await;
    recorder.up_after(0).await;
    assert_eq!(connections.metrics().attempts, 1);
    // When all of them fail, the failure that says most is shown.
    kind.disappear();
    *names.0.lock() =
        vec!["[2001:db8::1]:4000".parse().expect("address"), SocketAddr::from((own_address(), 4000))];
    let recorder = Recorder::new();
    let _link = recorder.open(&connections, Target::tcp("projector.example", 4000));
    let State::Down { reason, detail, .. } = recorder.down().await else { unreachable!() };
    assert_eq!(reason, Reason::Refused, "{detail}");
    assert!(detail.contains("projector.example:4000 (127."), "{detail}");
}

#[tokio::test]
async fn accept_then_close_is_not_a_hot_loop() {
    let connections = Connections::new(Options { retry_jitter_ms: 0, ..Options::default() });
    let mut kind = Tcp::make();
    kind.appear().await;
    let recorder = Recorder::new();
    let start = Instant::now();
    let link = recorder.open(&connections, kind.target());
    for _ in 0..3 {
        drop(kind.accept().await);
    }
    // The third connection is at least two retry intervals after the first.
    assert!(start.elapsed() >= Duration::from_millis(1990), "{:?}", start.elapsed());
    eventually("failures that grow", || {
        matches!(link.state(), State::Down { failures: 3, reason: Reason::Closed, .. })
    })
    .await;
}

#[tokio::test]
async fn a_good_connection_forgets_the_failures_before_it() {
    let connections = Connections::new(Options { stable_ms: 200, ..quick() });
    let mut kind = Tcp::make();
    let recorder = Recorder::new();
    let link = recorder.open(&connections, kind.target());
    eventually("some failures", || matches!(link.state(), State::Down { failures: 3.., .. })).await;
    kind.appear().await;
    let stream = kind.accept().await;
    recorder.up_after(0).await;
    tokio::time::sleep(Duration::from_millis(250)).await;
    drop(stream);
    let lost = recorder.ended(1).await;
    assert!(matches!(lost, State::Down { failures: 0, retry: Some(_), .. }), "{lost:?}");
}

#[tokio::test]
async fn a_retried_link_stays_down_and_says_so_once() {
    let connections = Connections::new(quick());
    let kind = Tcp::make();
    let recorder = Recorder::new();
    let link = recorder.open(&connections, kind.target());
    eventually("many attempts", || matches!(link.state(), State::Down { failures: 20.., .. })).await;
    recorder.look(|record| assert_eq!(record.states.len(), 2, "connecting, down: {:?}", record.states));
}

#[tokio::test]
async fn asking_a_thousand_times_is_not_a_stampede() {
    let connections = Connections::new(Options { asked_min_ms: 100, ..never_retry() });
    let kind = Tcp::make();
    let recorder = Recorder::new();
    let start = Instant::now();
    let link = recorder.open(&connections, kind.target());
    let mut asked = 0;
    while asked < 1000 || connections.metrics().attempts < 3 {
        link.attempt();
        asked += 1;
        tokio::time::sleep(Duration::from_micros(300)).await;
    }
    let allowed = start.elapsed().as_millis() as u64 / 100 + 1;
    let attempts = connections.metrics().attempts;
    assert!(attempts <= allowed, "{attempts} attempts of {allowed}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_received_comes_before_the_loss() {
    let connections = Connections::new(never_retry());
    let mut kind = Tcp::make();
    kind.appear().await;
    let recorder = Recorder::slow();
    let _link = recorder.open(&connections, kind.target());
    let mut stream = kind.accept().await;
    stream.write_all(b"last words").await.expect("write");
    drop(stream);
    eventually("read", || connections.metrics().bytes_in == 10).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    recorder.look(|record| assert_eq!((record.received, record.states.len()), (0, 2), "{:?}", record.states));
    recorder.open_up();
    recorder.down().await;
    recorder.look(|record| assert_eq!(record.bytes, b"last words"));
}

#[tokio::test]
async fn a_sink_that_panics_still_answers_and_closes() {
    struct Panics;
    impl super::super::Sink for Panics {
        fn state(&self, state: &State) {
            assert!(!state.is_up(), "this panic is part of the test");
        }
        async fn received(&self, _: &[u8], _: Form) {}
    }
    let connections = Connections::new(quick());
    let mut kind = Tcp::make();
    kind.appear().await;
    let link = connections.open(kind.target(), Panics);
    let _stream = kind.accept().await;
    link.close().await;
    assert_eq!(Receipts::transmit(&link, "x").await.expect_err("closed").reason(), Some(Reason::Stopped));
}

#[test]
fn a_link_whose_runtime_is_gone_answers_and_closes() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
    let first = runtime();
    let target = Target { mode: Mode::MakeBreak { hold: Duration::ZERO }, ..Target::tcp("127.0.0.1", 9) };
    let receipts = Receipts::default();
    let recorder = Recorder::new();
    let link = first.block_on(async {
        let link = recorder.open(&Connections::new(quick()), target);
        link.transmit("x", receipts.make());
        link
    });
    drop(first);
    runtime().block_on(async {
        receipts.all_answered().await;
        link.close().await;
    });
    recorder.look(|record| assert!(record.dropped));
}

#[test]
fn every_error_of_the_system_has_its_reason() {
    use rustix::io::Errno;
    let kind = |errno: Errno| io::Error::from_raw_os_error(errno.raw_os_error());
    for (errno, reason) in [
        (Errno::CONNREFUSED, Reason::Refused),
        (Errno::NOENT, Reason::Refused),
        (Errno::ACCESS, Reason::Refused),
        (Errno::TIMEDOUT, Reason::Timeout),
        (Errno::AGAIN, Reason::Timeout),
        (Errno::HOSTUNREACH, Reason::Unreachable),
        (Errno::NETUNREACH, Reason::Unreachable),
        (Errno::NETDOWN, Reason::Unreachable),
        (Errno::ADDRNOTAVAIL, Reason::Unreachable),
        (Errno::MFILE, Reason::Unreachable),
        (Errno::CONNRESET, Reason::Reset),
    ] {
        let failure = dial::failure::refusal("192.0.2.1:23", &kind(errno));
        assert_eq!(failure.reason, reason, "{errno:?}");
        assert!(failure.detail.starts_with("192.0.2.1:23 "), "{failure}");
    }
    let address = Target::tcp("192.0.2.1", 23).address;
    for (errno, reason) in [
        (Errno::CONNRESET, Reason::Reset),
        (Errno::PIPE, Reason::Closed),
        (Errno::TIMEDOUT, Reason::Silent),
        (Errno::HOSTUNREACH, Reason::Unreachable),
        (Errno::NETDOWN, Reason::Unreachable),
    ] {
        let failure = dial::loss(&address, &kind(errno));
        assert_eq!(failure.reason, reason, "{errno:?}");
        assert!(failure.detail.starts_with("192.0.2.1:23 "), "{failure}");
    }
}

#[test]
fn options_have_defaults_and_refuse_strangers() {
    let options: Options = serde_json::from_str("{}").expect("all defaults");
    assert_eq!(options, Options::default());
    let options: Options = serde_json::from_str(r#"{"connect_timeout_ms": 1}"#).expect("one set");
    assert_eq!(options, Options { connect_timeout_ms: 1, ..Options::default() });
    serde_json::from_str::<Options>(r#"{"conect_timeout_ms": 1}"#).expect_err("a spelling mistake");
}
