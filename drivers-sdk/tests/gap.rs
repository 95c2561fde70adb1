//! Frames that silence ends: the module listens for it.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use drivers_sdk::emulator::DeviceStream;
use drivers_sdk::prelude::*;
use drivers_sdk_protocol::Kind;
use serde_json::json;
use support::{Daemon, run};
use tokio::io::AsyncWriteExt;

#[derive(Default)]
struct Meter {
    heard: RefCell<Vec<String>>,
}

#[driver(name = "Meter", module = "Meter", tcp = 502, framing = idle_gap(millis(20)).limit(10), timeout_ms = 1000)]
impl Meter {
    #[function]
    async fn ask(&self, cx: &Cx<Self>) -> Result<String> {
        Ok(cx.send("?").reply(prefix("=")).await?.to_string())
    }

    #[function]
    fn heard(&self) -> Vec<String> {
        self.heard.take()
    }

    #[received]
    fn received(&self, frame: String) {
        self.heard.borrow_mut().push(frame);
    }

    #[stopped]
    async fn stopped(&self, cx: &Cx<Self>) -> Result {
        cx.info(format!("last: {}", self.ask(cx).await?));
        Ok(())
    }
}

async fn connected() -> Daemon {
    let mut daemon = Daemon::of::<Meter>().await;
    daemon.start(1, json!({}), Some(1)).await;
    daemon
}

#[test]
fn a_frame_ends_when_the_device_has_been_silent_and_not_before() {
    run(async {
        let mut daemon = connected().await;
        let call = daemon.begin(1, "ask", json!([])).await;
        daemon.transmitted(1).await;
        let began = tokio::time::Instant::now();
        for piece in ["no", "ise"] {
            daemon.received(1, piece).await;
            daemon.wait(millis(15)).await;
        }
        daemon.wait(millis(30)).await;
        daemon.received(1, "=1").await;
        daemon.wait(millis(10)).await;
        daemon.received(1, "2").await;
        assert_eq!(daemon.result(call).await.unwrap(), json!("12"));
        assert!(began.elapsed() >= millis(15 + 15 + 30 + 10 + 20));
        assert_eq!(daemon.call(1, "heard", json!([])).await.unwrap(), json!(["noise"]));
    });
}

#[test]
fn a_frame_over_the_limit_is_skipped_up_to_the_silence_after_it() {
    run(async {
        let mut daemon = connected().await;
        for _ in 0..4 {
            daemon.received(1, "xxxx").await;
            daemon.wait(millis(15)).await;
        }
        daemon.wait(millis(20)).await;
        daemon.received(1, "ok").await;
        daemon.wait(millis(50)).await;
        assert_eq!(daemon.call(1, "heard", json!([])).await.unwrap(), json!(["ok"]));
        assert!(daemon.logged("warn: skipped a frame of more than 10 bytes"));
    });
}

#[test]
fn the_end_of_the_connection_ends_the_frame_and_its_silence_is_not_that_of_the_next() {
    run(async {
        let mut daemon = connected().await;
        let call = daemon.begin(1, "ask", json!([])).await;
        daemon.transmitted(1).await;
        daemon.received(1, "=1").await;
        daemon.link_down(1, "closed", "").await;
        assert_eq!(daemon.result(call).await.unwrap(), json!("1"));
        daemon.link_up(1, 2).await;
        daemon.wait(millis(10)).await;
        daemon.received(1, "a").await;
        // The silence after the first frame would be over here.
        daemon.wait(millis(15)).await;
        daemon.received(1, "b").await;
        daemon.wait(millis(50)).await;
        assert_eq!(daemon.call(1, "heard", json!([])).await.unwrap(), json!(["ab"]));
    });
}

#[test]
fn a_module_that_stops_still_hears_the_silence() {
    run(async {
        let mut daemon = connected().await;
        daemon.received(1, "half").await;
        daemon.send(Kind::Stop, 1, 5, "").await;
        daemon.transmitted(1).await;
        daemon.received(1, "=bye").await;
        daemon.expect(Kind::Done, 5).await;
        assert!(!daemon.logged("last: bye"), "it is one frame with what came before");
    });
}

#[derive(Default)]
struct Gateway;

#[driver(name = "Gateway", module = "Gateway", tcp = 502, framing = lines(";"))]
impl Gateway {
    #[login]
    async fn choose(&self, cx: &Cx<Self>) -> Result {
        cx.framing(length_field().offset(1));
        cx.send("hello").reply(exact("?\x01!")).await
    }

    #[connected]
    async fn connected(&self, cx: &Cx<Self>) -> Result {
        cx.framing(idle_gap(millis(20)));
        cx.send("?").reply(exact("half")).await?;
        cx.send("gap").await
    }
}

#[test]
fn a_driver_may_say_later_how_frames_are_cut() {
    run(async {
        let mut daemon = Daemon::of::<Gateway>().await;
        daemon.start(1, json!({}), Some(1)).await;
        for connection in 2..4 {
            assert_eq!(daemon.transmitted(1).await.1, "hello");
            daemon.received(1, "?\x01!").await;
            assert_eq!(daemon.transmitted(1).await.1, "?");
            daemon.received(1, "half").await;
            assert_eq!(daemon.transmitted(1).await.1, "gap");
            daemon.link_down(1, "closed", "").await;
            daemon.link_up(1, connection).await;
        }
    });
}

#[test]
fn a_device_of_the_package_hears_the_silence_too() {
    run(async {
        let (mut ours, theirs) = tokio::io::duplex(100);
        let mut device = DeviceStream::new(theirs);
        device.framing(drivers_sdk::framing::idle_gap(millis(20)));
        let device = tokio::task::spawn_local(async move {
            let mut frames = Vec::new();
            while let Some(frame) = device.next().await.unwrap() {
                frames.push(frame.to_string());
            }
            frames
        });
        for (piece, pause) in [("a", 15), ("b", 25), ("c", 0)] {
            ours.write_all(piece.as_bytes()).await.unwrap();
            sleep(millis(pause)).await;
        }
        drop(ours);
        assert_eq!(device.await.unwrap(), ["ab", "c"]);
    });
}
