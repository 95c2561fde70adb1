//! What goes over the link and in what form, seen from the daemon: calls, text, messages, TLS in mid-connection, and a
//! device that says more than its driver takes.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use drivers_sdk::prelude::*;
use drivers_sdk_protocol::Kind;
use drivers_sdk_protocol::message::{Form, StartTls};
use serde_json::json;
use support::{Daemon, Sent, answer, run};

#[derive(Default)]
struct Socket {
    seen: RefCell<Vec<(bool, Vec<u8>)>>,
}

#[driver(name = "Socket", module = "Socket", uri = "wss://localhost/socket", timeout_ms = 1000)]
impl Socket {
    #[connected]
    async fn hello(&self, cx: &Cx<Self>) -> Result {
        cx.send_text("hello").await
    }

    #[function]
    async fn ask(&self, cx: &Cx<Self>, what: String) -> Result<String> {
        Ok(cx.send_text(what).reply(prefix("=")).await?.to_string())
    }

    #[function]
    async fn tell(&self, cx: &Cx<Self>, bytes: Vec<u8>) -> Result {
        cx.send(bytes).await
    }

    #[function]
    fn seen(&self) -> Vec<(bool, Vec<u8>)> {
        self.seen.take()
    }

    #[received]
    fn message(&self, frame: &Frame) {
        self.seen.borrow_mut().push((frame.is_text(), frame.to_vec()));
    }
}

#[test]
fn bytes_say_for_which_call_they_are_and_whether_they_are_text() {
    run(async {
        let mut daemon = Daemon::of::<Socket>().await;
        daemon.start(1, json!({}), None).await;
        daemon.link_up_with(1, json!({"connection": 3, "messages": true})).await;
        let (hello, correlation) = daemon.sent(1).await;
        let expected = Sent { connection: 3, call: 0, form: Form::Text, bytes: b"hello".to_vec() };
        assert_eq!(hello, expected, "nobody called");
        daemon.send(Kind::Done, 1, correlation, "").await;

        let asked = daemon.begin(1, "ask", json!(["é"])).await;
        let told = daemon.begin(1, "tell", json!([[0, 255]])).await;
        let (sent, _) = daemon.sent(1).await;
        let expected = Sent { connection: 3, call: asked, form: Form::Text, bytes: "é".into() };
        assert_eq!(sent, expected);
        daemon.send(Kind::ReceivedText, 1, 0, "=1").await;
        assert_eq!(daemon.result(asked).await.unwrap(), json!("1"));
        let (sent, correlation) = daemon.sent(1).await;
        assert_eq!(sent, Sent { connection: 3, call: told, form: Form::Bytes, bytes: vec![0, 255] });
        daemon.send(Kind::Done, 1, correlation, "").await;
        daemon.result(told).await.unwrap();
    });
}

#[test]
fn each_message_is_one_frame_in_its_form_also_an_empty_one() {
    run(async {
        let mut daemon = Daemon::of::<Socket>().await;
        daemon.start(1, json!({}), None).await;
        daemon.link_up_with(1, json!({"connection": 1, "messages": true})).await;
        daemon.sent(1).await;
        let frames: [(Kind, u32, u32, &[u8]); 4] = [
            (Kind::ReceivedText, 1, 0, b"text"),
            (Kind::Received, 1, 0, b"text"),
            (Kind::Received, 1, 0, b""),
            (Kind::ReceivedText, 1, 9, b""),
        ];
        daemon.send_all(&frames).await;
        daemon.expect(Kind::Done, 9).await;
        let seen = daemon.call(1, "seen", json!([])).await.unwrap();
        assert_eq!(seen, json!([[true, b"text"], [false, b"text"], [false, b""], [true, b""]]));
    });
}

#[test]
fn an_older_daemon_is_told_bytes_alone() {
    run(async {
        let mut daemon = Daemon::offering::<Socket>(&[]).await;
        daemon.start(1, json!({}), Some(2)).await;
        let frame = daemon.expect_kind(Kind::Transmit).await;
        assert_eq!(frame.payload, &b"\x02\0\0\0\0\0\0\0hello"[..]);
    });
}

#[derive(Default)]
struct Lines {
    seen: RefCell<Vec<String>>,
}

#[driver(name = "Lines", module = "Lines", udp = 4000, framing = lines("\r\n").limit(1000), timeout_ms = 1000)]
impl Lines {
    #[function]
    async fn ask(&self, cx: &Cx<Self>) -> Result<String> {
        Ok(cx.send("?").reply(prefix("=")).await?.to_string())
    }

    #[function]
    async fn secure(&self, cx: &Cx<Self>) -> Result {
        cx.send("STARTTLS").reply(exact("ready")).await?;
        cx.start_tls().await
    }

    #[function]
    fn seen(&self) -> Vec<String> {
        self.seen.take()
    }

    #[received]
    async fn line(&self, cx: &Cx<Self>, line: String) -> Result {
        if line == "changed" {
            let now = cx.send("NOW?").reply(prefix("NOW=")).await?;
            self.seen.borrow_mut().push(format!("now {now}"));
            return Ok(());
        }
        self.seen.borrow_mut().push(line);
        Ok(())
    }
}

async fn lines(link: serde_json::Value) -> Daemon {
    let mut daemon = Daemon::of::<Lines>().await;
    daemon.start(1, json!({}), None).await;
    daemon.link_up_with(1, link).await;
    daemon
}

#[test]
fn a_framing_works_within_each_message_and_carries_nothing_to_the_next() {
    run(async {
        let mut daemon = lines(json!({"connection": 1, "messages": true})).await;
        let call = daemon.begin(1, "ask", json!([])).await;
        assert_eq!(daemon.transmitted(1).await.1, "?\r\n");
        let long = "x".repeat(2000);
        for message in ["one\r\ntwo", "three\r\n", "", &long, "=12\r\n=13"] {
            daemon.received(1, message).await;
        }
        assert_eq!(daemon.result(call).await.unwrap(), json!("12"));
        let seen = daemon.call(1, "seen", json!([])).await.unwrap();
        assert_eq!(seen, json!(["one", "two", "three", "=13"]));
        assert!(daemon.logged("skipped a frame of more than 1000 bytes"), "{:?}", daemon.logs);
    });
}

#[test]
fn a_handler_gets_its_reply_however_much_the_device_says_before_it() {
    run(async {
        let mut daemon = lines(json!({"connection": 1})).await;
        daemon.received(1, "changed\r\n").await;
        assert_eq!(daemon.transmitted(1).await.1, "NOW?\r\n");
        // A daemon that hands on no more before it hears that this was taken.
        let pushed = format!("{:998}\r\n", "pushed").repeat(100);
        for correlation in 1..=20 {
            daemon.send(Kind::Received, 1, correlation, &pushed).await;
            daemon.expect(Kind::Done, correlation).await;
        }
        daemon.received(1, "NOW=on\r\n").await;
        daemon.wait(millis(10)).await;
        let seen = daemon.call(1, "seen", json!([])).await.unwrap();
        let seen = seen.as_array().unwrap();
        assert_eq!((seen.len(), &seen[0]), (2001, &json!("now on")));
    });
}

#[test]
fn what_was_not_taken_before_a_handler_waits_is_let_on_when_it_does() {
    run(async {
        let mut daemon = lines(json!({"connection": 1})).await;
        // In one read: the handler has not begun when the daemon asks.
        let frames: [(Kind, u32, u32, &[u8]); 2] =
            [(Kind::Received, 1, 0, b"changed\r\n"), (Kind::Received, 1, 7, b"more\r\n")];
        daemon.send_all(&frames).await;
        let first = [daemon.next().await, daemon.next().await];
        let kinds = first.each_ref().map(|frame| frame.kind().unwrap());
        assert!(kinds.contains(&Kind::Done) && kinds.contains(&Kind::Send), "{kinds:?}");
        daemon.received(1, "NOW=off\r\n").await;
        daemon.wait(millis(10)).await;
        assert_eq!(daemon.call(1, "seen", json!([])).await.unwrap(), json!(["now off", "more"]));
    });
}

#[test]
fn a_device_that_says_more_than_may_wait_is_held_up_until_the_command_gives_up() {
    run(async {
        let mut daemon = lines(json!({"connection": 1})).await;
        daemon.received(1, "changed\r\n").await;
        daemon.transmitted(1).await;
        let pushed = format!("{:998}\r\n", "pushed").repeat(100);
        let began = tokio::time::Instant::now();
        let mut taken = 0;
        // At most one more is needed than fits: without a bound this goes on until the test's own.
        for correlation in 1..=1000 {
            daemon.send(Kind::Received, 1, correlation, &pushed).await;
            daemon.expect(Kind::Done, correlation).await;
            taken = correlation;
            if began.elapsed() >= secs(1) {
                break;
            }
        }
        assert!(taken < 100, "{taken} times 100 kB were taken while a handler waited");
        daemon.wait(millis(10)).await;
        assert!(daemon.logged("the device says more than #[received] takes"), "{:?}", daemon.logs);
        let seen = daemon.call(1, "seen", json!([])).await.unwrap();
        assert_eq!(seen.as_array().unwrap().len(), 100 * taken as usize, "nothing was lost");
    });
}

#[test]
fn nothing_is_sent_while_tls_begins_and_what_came_before_is_nobodys() {
    run(async {
        let mut daemon = lines(json!({"connection": 4})).await;
        let call = daemon.begin(1, "secure", json!([])).await;
        daemon.transmitted(1).await;
        daemon.received(1, "ready\r\nhalf a li").await;
        let frame = daemon.expect_kind(Kind::StartTls).await;
        assert_eq!(StartTls::read(&frame.payload).unwrap().connection, 4);
        let other = daemon.begin(1, "ask", json!([])).await;
        daemon.received(1, "ne\r\n=forged\r\n").await;
        daemon.wait(secs(3)).await;
        let done = frame.header.correlation;
        let frames: [(Kind, u32, u32, &[u8]); 2] =
            [(Kind::Done, 1, done, b""), (Kind::Received, 1, 0, b"welcome\r\n")];
        daemon.send_all(&frames).await;
        assert_eq!(daemon.transmitted(1).await.1, "?\r\n");
        daemon.result(call).await.unwrap();
        daemon.received(1, "=1\r\n").await;
        assert_eq!(daemon.result(other).await.unwrap(), json!("1"));
        assert_eq!(daemon.call(1, "seen", json!([])).await.unwrap(), json!(["welcome"]));
    });
}

#[test]
fn a_handshake_that_fails_or_is_cut_off_is_told_and_a_cancelled_one_holds_its_turn() {
    run(async {
        let mut daemon = lines(json!({"connection": 1})).await;
        let begin = async |daemon: &mut Daemon| {
            let call = daemon.begin(1, "secure", json!([])).await;
            daemon.transmitted(1).await;
            daemon.received(1, "ready\r\n").await;
            (call, daemon.expect_kind(Kind::StartTls).await.header.correlation)
        };
        let (call, handshake) = begin(&mut daemon).await;
        daemon.send(Kind::Failed, 1, handshake, r#"{"code":"offline","message":"no certificate"}"#).await;
        assert_eq!(daemon.result(call).await.unwrap_err().message, "no certificate");

        let (call, handshake) = begin(&mut daemon).await;
        daemon.send(Kind::Cancel, 1, call, "").await;
        let other = daemon.begin(1, "ask", json!([])).await;
        daemon.wait(secs(3)).await;
        daemon.send(Kind::Done, 1, handshake, "").await;
        assert_eq!(daemon.transmitted(1).await.1, "?\r\n", "only now");
        daemon.received(1, "=1\r\n").await;
        daemon.result(other).await.unwrap();

        let (call, _) = begin(&mut daemon).await;
        daemon.link_down(1, "tls", "the certificate has expired").await;
        let frame = daemon.next().await;
        assert_eq!(frame.header.correlation, call);
        assert_eq!(answer(&frame).unwrap_err().message, "Lamp is offline: the certificate has expired");
    });
}
