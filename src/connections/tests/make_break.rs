//! What is particular to make-break links.

use super::{
    super::{Connections, Mode, Reason, State},
    harness::{Receipts, Recorder, eventually, never_retry, quick},
    kinds::{Kind, Tcp, TcpMakeBreak},
};
use std::time::Duration;

const HOLD: Duration = Duration::from_secs(1);
use tokio::io::AsyncReadExt as _;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connects_to_send_and_lets_go_after_the_hold() {
    let recorder = Recorder::new();
    let connections = Connections::new(quick());
    let mut kind = Tcp::make();
    kind.appear().await;
    let link = recorder.open(&connections, kind.target().make_break(HOLD));
    for round in 1..=3 {
        assert_eq!(link.state(), State::Idle);
        assert_eq!(connections.metrics().attempts, round - 1, "nothing to send, no connection");
        // Pipelined into one connection, in order.
        let receipts = Receipts::default();
        let start = tokio::time::Instant::now();
        for word in ["one ", "two ", "three"] {
            link.transmit(word, receipts.make());
        }
        let mut stream = kind.accept().await;
        let mut got = String::new();
        stream.read_to_string(&mut got).await.expect("read");
        assert_eq!(got, "one two three");
        assert!(start.elapsed() >= HOLD, "held for {:?} only", start.elapsed());
        receipts.all_answered().await;
        receipts.look(|answers| assert_eq!(answers.ok, 3));
        eventually("idle", || link.state() == State::Idle).await;
    }
    recorder.look(|record| {
        assert!(
            record.states.iter().all(State::reachable),
            "an idle device counts as connected: {:?}",
            record.states
        );
        assert_eq!(record.states.len(), 7, "idle, and three times up and idle: {:?}", record.states);
    });
    assert_eq!(connections.metrics().losses, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_answers_all_that_waits_and_nothing_is_probed() {
    let recorder = Recorder::new();
    let connections = Connections::new(quick());
    let mut kind = TcpMakeBreak::make();
    let link = recorder.open(&connections, kind.target());
    let receipts = Receipts::default();
    for _ in 0..5 {
        link.transmit("x", receipts.make());
    }
    receipts.all_answered().await;
    receipts.look(|answers| {
        assert!(answers.errors.iter().all(|error| error.reason() == Some(Reason::Refused)), "{answers:?}");
        assert_eq!(answers.errors.len(), 5);
    });
    recorder.down().await;
    let attempts = connections.metrics().attempts;
    kind.appear().await;
    // Many times as long as a keep-open link would wait with these options.
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(connections.metrics().attempts, attempts, "a make-break device is not probed");
    assert_eq!(link.state().reason(), Some(Reason::Refused));
    Receipts::transmit(&link, "there now?").await.expect("sent");
    let _stream = kind.accept().await;
    recorder.up_after(0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hasty_sender_cannot_stampede_an_absent_device() {
    let recorder = Recorder::new();
    let connections = Connections::new(super::super::Options { asked_min_ms: 100, ..never_retry() });
    let kind = TcpMakeBreak::make();
    let link = recorder.open(&connections, kind.target());
    let start = tokio::time::Instant::now();
    while start.elapsed() < Duration::from_millis(600) || connections.metrics().attempts < 3 {
        Receipts::transmit(&link, "x").await.expect_err("nobody is there");
    }
    let allowed = start.elapsed().as_millis() as u64 / 100 + 1;
    let attempts = connections.metrics().attempts;
    assert!(attempts <= allowed, "{attempts} attempts of {allowed}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_mode_can_change_without_losing_the_connection() {
    let recorder = Recorder::new();
    let connections = Connections::new(quick());
    let mut kind = Tcp::make();
    kind.appear().await;
    let link = recorder.open(&connections, kind.target());
    let mut stream = kind.accept().await;
    recorder.up_after(0).await;
    link.retarget(kind.target().make_break(HOLD));
    Receipts::transmit(&link, "kept").await.expect("the connection is still there");
    let mut got = String::new();
    stream.read_to_string(&mut got).await.expect("let go after the hold");
    assert_eq!(got, "kept");
    eventually("idle", || link.state() == State::Idle).await;
    let mut target = kind.target();
    target.mode = Mode::KeepOpen;
    link.retarget(target);
    let _stream = kind.accept().await;
    recorder.up_after(1).await;
    tokio::time::sleep(HOLD * 2).await;
    assert!(link.state().is_up());
    assert_eq!(connections.metrics().connects, 2);
}
