//! What a driver makes of the answers that it gets: refusals, and text that is none.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use drivers_sdk::Instant;
use drivers_sdk::prelude::*;
use drivers_sdk::testing::*;

#[derive(Default)]
struct Lamp;

#[driver(name = "Lamp", module = "Lamp", tcp = 5000, framing = lines("\n"), timeout_ms = 500)]
impl Lamp {
    #[function]
    async fn hours(&self, cx: &Cx<Self>) -> Result<Option<u32>> {
        let code = |line: &str| Some(format!("the lamp refused: error {}", line.strip_prefix("ERR ")?));
        let hours = prefix("HOURS ").try_map(|hours| hours.parse()).unless(refusal(code));
        cx.send("HOURS ?").reply(hours).await.unless_refused()
    }

    #[function]
    async fn name(&self, cx: &Cx<Self>, named: Option<String>) -> Result<String> {
        let name = parse(|line| line.strip_prefix("NAME ").map(ToOwned::to_owned));
        let refused =
            exact("BUSY").refuses("it warms up").or(refusal(|line| (line == "NO").then_some("it has none")));
        cx.send("NAME ?").named(named).reply(name.unless(refused)).await
    }

    #[function]
    async fn list(&self, cx: &Cx<Self>) -> Result<Vec<String>> {
        let list = lines_until(exact("END")).except(prefix("EVENT ")).unless(prefix("NO"));
        Ok(cx.send("LIST").reply(list).await?.iter().map(ToString::to_string).collect())
    }

    #[received]
    fn event(&self, cx: &Cx<Self>, line: &str) {
        cx.info(line);
    }

    #[function]
    fn show(&self, cx: &Cx<Self>, keys: Vec<String>) -> Result {
        cx.status.clear_keys();
        keys.iter().try_for_each(|key| cx.status.set_key(key, "here"))
    }
}

#[derive(Default)]
struct Server;

#[driver(
    name = "Server", module = "Server", tcp = 5000, framing = lines("\n"), timeout_ms = 500,
    refusal = |line| Some(format!("it refused: {}", line.strip_prefix("ERR ")?)),
)]
impl Server {
    #[login]
    async fn greet(&self, cx: &Cx<Self>) -> Result {
        cx.expect(anything()).await.map(drop)
    }

    #[function]
    async fn list(&self, cx: &Cx<Self>) -> Result<usize> {
        cx.send("LIST").reply(lines_until(exact("END")).map(|lines| lines.len())).await
    }

    #[function]
    async fn tell(&self, cx: &Cx<Self>) -> Result {
        cx.send("TELL").await
    }

    #[function]
    async fn say(&self, cx: &Cx<Self>, what: String) -> Result {
        cx.send(format!("SAY {what}")).await
    }

    #[function]
    fn numbers(&self, cx: &Cx<Self>, from: u32, to: u32) -> Vec<u32> {
        (0..4).map(|_| cx.number(from..=to)).collect()
    }

    #[received]
    fn said(&self, cx: &Cx<Self>, line: &str) {
        cx.info(line);
    }
}

#[tokio::test]
async fn a_caller_cannot_end_a_command_and_begin_another() {
    let server = Harness::<Server>::new().await;
    server.connect().await;
    server.push("hello\n").await;
    let refused = server.call("say", ("hello\nDROP EVERYTHING",)).await.unwrap_err();
    assert_eq!(refused.code(), "bad_request");
    server.call("say", ("hello",)).await.unwrap();
    server.expect("SAY hello\n").await;
}

#[tokio::test]
async fn requests_are_numbered_within_their_range() {
    let server = Harness::<Server>::new().await;
    for (from, to, numbers) in [
        (1, 3, [1, 2, 3, 1]),
        (0, u32::MAX, [4, 5, 6, 7]),
        (7, 7, [7; 4]),
        (u32::MAX - 1, u32::MAX, [u32::MAX - 1, u32::MAX, u32::MAX - 1, u32::MAX]),
    ] {
        assert_eq!(server.call("numbers", (from, to)).await, Ok(json!(numbers)));
    }
}

#[tokio::test]
async fn a_driver_says_once_how_its_device_refuses() {
    let server = Harness::<Server>::new().await;
    server.connect().await;
    // What is expected is no answer.
    server.push("ERR 0\n").await;
    for (answer, result) in [("a\nERR 1\n", Err("it refused: 1")), ("a\nEND\n", Ok(json!(1)))] {
        let call = server.call("list", ());
        server.expect("LIST\n").await;
        server.reply(answer).await;
        assert_eq!(call.await.as_ref().map_err(Error::message), result.as_ref().map_err(|why| *why));
    }
    server.call("tell", ()).await.unwrap();
    server.expect("TELL\n").await;
    server.push("ERR 2\n").await;
    server.logged("ERR 2").await;
}

#[tokio::test]
async fn what_the_device_refuses_is_an_error_or_nothing() {
    let lamp = Harness::<Lamp>::new().await;
    lamp.connect().await;
    for (answer, hours) in [("HOURS 12", json!(12)), ("ERR 4", json!(null))] {
        let call = lamp.call("hours", ());
        lamp.expect("HOURS ?\n").await;
        lamp.reply(format!("{answer}\n")).await;
        assert_eq!(call.await, Ok(hours));
    }
    let call = lamp.call("hours", ());
    lamp.expect("HOURS ?\n").await;
    assert_eq!(call.await.unwrap_err().code(), "timeout", "silence is no refusal");
    for (answer, why) in [("BUSY", "it warms up"), ("NO", "it has none")] {
        let call = lamp.call("name", ());
        lamp.expect("NAME ?\n").await;
        lamp.reply(format!("{answer}\n")).await;
        let error = call.await.unwrap_err();
        assert_eq!((error.is_refused(), error.code(), error.message()), (true, "device", why));
    }
}

#[tokio::test]
async fn text_that_is_no_utf_8_is_read_all_the_same() {
    let lamp = Harness::<Lamp>::new().await;
    lamp.connect().await;
    let call = lamp.call("name", ());
    lamp.expect("NAME ?\n").await;
    lamp.reply(b"NAME K\xfcche\n").await;
    assert_eq!(call.await, Ok(json!("K\u{fffd}che")));
}

#[tokio::test]
async fn a_command_may_have_a_name_or_none() {
    let lamp = Harness::<Lamp>::new().await;
    lamp.connect().await;
    let first = lamp.call("name", ());
    lamp.expect("NAME ?\n").await;
    let calls = [None, None, Some("name"), Some("name")].map(|name| lamp.call("name", (name,)));
    lamp.reply("NAME A\n").await;
    first.await.unwrap();
    let [one, two, older, newer] = calls;
    for call in [one, two] {
        lamp.expect("NAME ?\n").await;
        lamp.reply("NAME A\n").await;
        call.await.unwrap();
    }
    assert_eq!(older.await.unwrap_err().code(), "replaced");
    lamp.expect("NAME ?\n").await;
    lamp.reply("NAME A\n").await;
    newer.await.unwrap();
}

#[tokio::test]
async fn keys_that_are_no_fields_are_cleared_together() {
    let lamp = Harness::<Lamp>::new().await;
    lamp.call("show", (["a", "b"],)).await.unwrap();
    lamp.status("b", "here").await;
    lamp.call("show", (["b", "c"],)).await.unwrap();
    lamp.status("a", None::<String>).await;
    lamp.status("b", "here").await;
    lamp.status("c", "here").await;
}

#[tokio::test]
async fn what_the_device_says_in_the_midst_of_a_reply_is_received() {
    let lamp = Harness::<Lamp>::new().await;
    lamp.connect().await;
    let call = lamp.call("list", ());
    lamp.expect("LIST\n").await;
    lamp.reply("a\nEVENT 1\nb\nEVENT 2\nEND\n").await;
    assert_eq!(call.await, Ok(json!(["a", "b"])));
    lamp.logged("EVENT 1").await;
    lamp.logged("EVENT 2").await;
}

#[derive(Default)]
struct Slow;

#[driver(name = "Slow", module = "Slow", tcp = 5000, framing = lines("\n"), delay_ms = 500)]
impl Slow {
    #[function]
    async fn step(&self, cx: &Cx<Self>, hasty: bool) -> Result {
        let command = cx.send("STEP").reply(exact("OK"));
        if hasty { command.delay(millis(0)).await } else { command.await }
    }
}

#[tokio::test]
async fn a_device_has_the_time_that_its_driver_says_between_two_commands() {
    let slow = Harness::<Slow>::new().await;
    slow.connect().await;
    for (hasty, given_up, pause) in
        [(false, false, 500), (true, false, 0), (false, true, 500), (true, true, 0)]
    {
        let call = slow.call("step", (hasty,));
        slow.expect("STEP\n").await;
        if given_up {
            drop(call);
            slow.reply("OK\n").await;
        } else {
            slow.reply("OK\n").await;
            call.await.unwrap();
        }
        let next = slow.call("step", (true,));
        if pause > 0 {
            slow.expect_nothing(millis(pause - 100)).await;
            slow.advance(millis(100)).await;
        }
        let began = Instant::now();
        slow.expect("STEP\n").await;
        assert!(began.elapsed() < millis(100), "{:?}", began.elapsed());
        slow.reply("OK\n").await;
        next.await.unwrap();
    }
}

#[tokio::test]
async fn an_error_says_what_it_is() {
    let slow = Harness::<Slow>::new().await;
    assert!(slow.call("step", ()).await.unwrap_err().is_bad_request());
    assert!(slow.call("leap", ()).await.unwrap_err().is_unknown_function());
    assert!(slow.call("step", (true,)).await.unwrap_err().is_offline());
    slow.connect().await;
    let call = slow.call("step", (true,));
    slow.expect("STEP\n").await;
    slow.stop().await;
    let stopped = call.await.unwrap_err();
    assert!(stopped.is_stopped() && !stopped.is_offline() && !stopped.is_not_found(), "{stopped:?}");
}
