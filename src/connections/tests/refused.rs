//! After a refused login the device is left alone for a while.

use super::{
    super::{Connections, Error, Options, Reason, State, Target, websocket},
    harness::{DEADLINE, Receipts, Recorder, never_retry, quick},
    kinds::websocket_target,
};
use std::time::{Duration, Instant, SystemTime};
use tokio::{io::AsyncWriteExt as _, net::TcpListener, time::timeout};

const HOUR: Duration = Duration::from_secs(3600);

async fn device() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let port = listener.local_addr().expect("address").port();
    (listener, port)
}

fn pausing(pause: Duration) -> Connections {
    let refused_pause_ms = pause.as_millis().try_into().expect("milliseconds");
    Connections::new(Options { refused_pause_ms, ..quick() })
}

fn is_auth(error: &Error) -> bool {
    matches!(error, Error::Down(failure) if failure.reason == Reason::Auth)
}

#[tokio::test]
async fn nobody_makes_it_try_again_before_the_pause_is_over_but_another_target_does() {
    let ((_device, port), (_other, other)) = (device().await, device().await);
    let recorder = Recorder::new();
    let link = recorder.open(&pausing(HOUR), Target::tcp("127.0.0.1", port));
    recorder.up_after(0).await;
    link.disconnect(Reason::Auth, "the password is wrong");
    let State::Down { reason, retry, .. } = recorder.down().await else { unreachable!() };
    assert_eq!(reason, Reason::Auth);
    let wait = retry.expect("a retry").duration_since(SystemTime::now()).expect("later");
    assert!(wait > HOUR / 2, "{wait:?}");

    link.attempt();
    assert!(is_auth(&Receipts::transmit(&link, "hello").await.expect_err("it is down")));
    link.retarget(Target::tcp("127.0.0.1", other));
    recorder.up_after(1).await;
}

#[tokio::test]
async fn a_device_that_hung_up_before_it_was_known_that_it_refused_is_left_alone_too() {
    let (device, port) = device().await;
    let recorder = Recorder::new();
    let options = Options { refused_pause_ms: 3_600_000, ..never_retry() };
    let link = recorder.open(&Connections::new(options), Target::tcp("127.0.0.1", port));
    drop(device.accept().await.expect("accept"));
    recorder.up_after(0).await;
    let State::Down { reason, .. } = recorder.down().await else { unreachable!() };
    assert_eq!(reason, Reason::Closed);
    link.disconnect(Reason::Auth, "the password is wrong");
    let told = recorder.until("refused", |record| {
        record.states.iter().find(|state| state.reason() == Some(Reason::Auth)).cloned()
    });
    let detail = told.await.detail().unwrap_or_default().to_owned();
    assert!(detail.contains("the password is wrong"), "{detail}");
    link.attempt();
    assert!(is_auth(&Receipts::transmit(&link, "hello").await.expect_err("it is down")));
}

#[tokio::test]
async fn it_tries_again_when_the_pause_is_over() {
    const PAUSE: Duration = Duration::from_millis(300);
    let (_device, port) = device().await;
    let recorder = Recorder::new();
    let link = recorder.open(&pausing(PAUSE), Target::tcp("127.0.0.1", port));
    recorder.up_after(0).await;
    let start = Instant::now();
    link.disconnect(Reason::Auth, "the password is wrong");
    recorder.down().await;
    link.attempt();
    recorder.up_after(1).await;
    assert!(start.elapsed() >= PAUSE, "{:?}", start.elapsed());
}

#[tokio::test]
async fn what_a_make_break_link_would_send_meanwhile_is_refused_at_once() {
    let (device, port) = device().await;
    let recorder = Recorder::new();
    let target = websocket_target(&format!("ws://127.0.0.1:{port}/"), websocket::Settings::default());
    let link = recorder.open(&pausing(HOUR), target.make_break(Duration::from_secs(1)));
    let refuse = async {
        let (mut stream, _) = device.accept().await.expect("accept");
        stream.write_all(b"HTTP/1.1 401 Unauthorized\r\n\r\n").await.expect("write");
        stream.shutdown().await.expect("shutdown");
    };
    let (first, ()) = tokio::join!(Receipts::transmit(&link, "one"), refuse);
    assert!(is_auth(&first.expect_err("refused")));
    for word in ["two", "three"] {
        let told = timeout(DEADLINE, Receipts::transmit(&link, word)).await.expect("an answer");
        assert!(is_auth(&told.expect_err("refused")));
    }
}
