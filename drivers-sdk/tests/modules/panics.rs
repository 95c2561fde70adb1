//! A panic, in whatever code of an author, ends its module alone, and is told.

use drivers_sdk::framing::{Bytes, BytesMut, Decoder, Encoder};
use drivers_sdk::prelude::*;
use drivers_sdk_protocol::Kind;
use drivers_sdk_protocol::message::Failure;
use serde_json::json;

use super::started;
use super::support::{Daemon, answer, run};

#[test]
fn a_panic_in_a_function_ends_its_module_alone_and_tells_every_caller() {
    run(async {
        let mut daemon = started(json!({}), Some(1)).await;
        daemon.start(2, json!({}), Some(1)).await;
        let other = daemon.begin(1, "forever", json!([])).await;
        let sibling = daemon.begin(2, "forever", json!([])).await;
        let call = daemon.begin(1, "break_down", json!([])).await;
        let mut told = Vec::new();
        for _ in 0..2 {
            let frame = daemon.next().await;
            let failure = answer(&frame).unwrap_err();
            assert_eq!((failure.code.as_str(), failure.message.as_str()), ("panic", "a bulb"));
            told.push(frame.header.correlation);
        }
        told.sort();
        assert_eq!(told, [other, call]);
        let frame = daemon.expect(Kind::ModuleFailed, 0).await;
        let failure: Failure = serde_json::from_slice(&frame.payload).unwrap();
        assert!(failure.place.unwrap().contains("tests/modules/main.rs:"));
        assert!(failure.backtrace.iter().any(|line| line.contains("break_down")), "{:?}", failure.backtrace);
        assert!(
            !failure
                .backtrace
                .iter()
                .any(|line| line.contains("tokio::") || line.contains("core::panicking")),
            "{:?}",
            failure.backtrace
        );
        let (_, log) = daemon.logs.iter().find(|(_, line)| line.starts_with("fatal: panic at ")).unwrap();
        assert!(log.contains("tests/modules/main.rs:") && log.contains(": a bulb\n"), "{log}");
        assert!(
            log.lines().skip(1).any(|line| line.contains("break_down at ")),
            "the author's function: {log}"
        );

        // The sibling works on, and its call is still there; the daemon may not know of the failure yet.
        assert_eq!(daemon.call(2, "power", json!([true])).await.unwrap(), json!(true));
        daemon.send(Kind::Cancel, 2, sibling, "").await;
        assert_eq!(daemon.call(1, "power", json!([true])).await.unwrap_err().code, "stopped");
        daemon.send(Kind::Stop, 1, 9, "").await;
        daemon.expect(Kind::Done, 9).await;
        // A new handle starts it anew.
        assert_eq!(daemon.start(3, json!({}), Some(1)).await.kind(), Some(Kind::Done));
        assert_eq!(daemon.call(3, "power", json!([true])).await.unwrap(), json!(true));
    });
}

#[test]
fn a_panic_in_a_handler_ends_the_module() {
    run(async {
        let mut daemon = started(json!({}), Some(1)).await;
        daemon.received(1, "one\npanic\ntwo\n").await;
        let frame = daemon.expect(Kind::ModuleFailed, 0).await;
        assert!(String::from_utf8_lossy(&frame.payload).contains("a line too many"));
    });
}

// === Code that the SDK calls while no handler runs ===

#[derive(Default)]
struct Quiet;

#[driver(name = "Quiet", module = "Lamp", tcp = 5000, framing = idle_gap(millis(20)))]
impl Quiet {
    #[function]
    async fn ask(&self, cx: &Cx<Self>) -> Result {
        cx.send("?").reply(parse(|_| -> Option<()> { panic!("a reply like this") })).await
    }

    #[function]
    fn listen(&self, cx: &Cx<Self>) {
        cx.expect(parse(|_| -> Option<()> { panic!("a bell like this") })).no_wait();
    }

    #[received]
    async fn heard(&self, _line: &[u8]) {
        sleep(secs(10)).await;
    }

    #[function]
    fn works(&self) -> bool {
        true
    }
}

thread_local! {
    static BROKEN: Cell<bool> = const { Cell::new(false) };
}

/// Passes everything on.
struct Fragile;

impl Default for Fragile {
    fn default() -> Fragile {
        assert!(!BROKEN.get(), "no codec today");
        Fragile
    }
}

impl Decoder for Fragile {
    type Item = BytesMut;
    type Error = std::io::Error;

    fn decode(&mut self, buffer: &mut BytesMut) -> std::io::Result<Option<BytesMut>> {
        Ok((!buffer.is_empty()).then(|| buffer.split()))
    }
}

impl Encoder<Bytes> for Fragile {
    type Error = std::io::Error;

    fn encode(&mut self, message: Bytes, _: &mut BytesMut) -> std::io::Result<()> {
        panic!("not {message:?}");
    }
}

#[derive(Default)]
struct Coded;

#[driver(name = "Coded", module = "Lamp", tcp = 5000, framing = codec::<Fragile>())]
impl Coded {
    #[function]
    fn tell(&self, cx: &Cx<Self>) {
        cx.send("hello").no_wait();
    }

    #[function]
    fn works(&self) -> bool {
        true
    }
}

/// Two modules; the first makes or breaks.
async fn two<D: drivers_sdk::Driver>(makebreak: bool) -> Daemon {
    let mut daemon = Daemon::of::<D>().await;
    let start = json!({"id": "mod-1", "name": "Lamp", "settings": {}, "makebreak": makebreak, "link": {"connection": 1}});
    daemon.start_with(1, start).await;
    daemon.start(2, json!({}), Some(1)).await;
    daemon
}

/// The first module fails, with this in its log; the second works on.
async fn fails_alone(daemon: &mut Daemon, message: &str) {
    let frame = daemon.expect(Kind::ModuleFailed, 0).await;
    let failure: Failure = serde_json::from_slice(&frame.payload).unwrap();
    assert_eq!((frame.header.module, failure.code.as_str(), failure.message.as_str()), (1, "panic", message));
    let told = |line: &str| line.starts_with("fatal: panic at ") && line.contains(message);
    assert!(daemon.logs.iter().any(|(module, line)| *module == 1 && told(line)), "{:?}", daemon.logs);
    assert_eq!(daemon.call(2, "works", json!([])).await.unwrap(), json!(true));
}

#[test]
fn a_matcher_that_panics_at_what_the_end_of_a_connection_ends_fails_its_module_alone() {
    run(async {
        let down = json!({"reason": "closed", "detail": "", "connection": 2}).to_string();
        for (makebreak, over) in
            [(false, Kind::LinkDown), (true, Kind::LinkDown), (true, Kind::ConnectionEnded)]
        {
            let mut daemon = two::<Quiet>(makebreak).await;
            let call = daemon.begin(1, "ask", json!([])).await;
            let (_, _, correlation) = daemon.transmitted(1).await;
            let sent = (Kind::Done, 1, correlation, b"".as_slice());
            let frames = [sent, (Kind::Received, 1, 0, b"half"), (over, 1, 0, down.as_bytes())];
            daemon.send_all(if makebreak { &frames } else { &frames[1..] }).await;
            assert_eq!(daemon.result(call).await.unwrap_err().code, "panic");
            fails_alone(&mut daemon, "a reply like this").await;
        }
    });
}

#[test]
fn a_command_that_nobody_waits_for_fails_its_module_if_it_panics() {
    run(async {
        let mut daemon = two::<Quiet>(false).await;
        daemon.received(1, "first").await;
        daemon.wait(millis(30)).await;
        daemon.received(1, "second").await;
        daemon.wait(millis(30)).await;
        daemon.call(1, "listen", json!([])).await.unwrap();
        fails_alone(&mut daemon, "a bell like this").await;

        let mut daemon = two::<Coded>(false).await;
        daemon.call(1, "tell", json!([])).await.unwrap();
        fails_alone(&mut daemon, "not b\"hello\"").await;
    });
}

#[test]
fn a_codec_that_cannot_be_made_fails_the_modules_that_use_it_and_no_sooner() {
    run(async {
        let mut daemon = two::<Coded>(false).await;
        BROKEN.set(true);
        daemon.link_down(1, "closed", "").await;
        daemon.link_up(1, 2).await;
        assert_eq!(daemon.call(1, "works", json!([])).await.unwrap(), json!(true));
        daemon.received(1, "hello").await;
        fails_alone(&mut daemon, "no codec today").await;
        assert_eq!(daemon.start(3, json!({}), Some(1)).await.kind(), Some(Kind::Done));
    });
}
