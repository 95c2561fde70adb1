//! `drivers_sdk::testing`: what a harness does, and that it fails when it should, with words that help.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::panic::{AssertUnwindSafe, catch_unwind};

use drivers_sdk::prelude::*;
use drivers_sdk::testing::*;

#[derive(Settings)]
struct LampSettings {
    /// Seconds between two polls.
    #[setting(default = 30)]
    poll_every: u64,
}

#[derive(Default, Status)]
struct LampStatus {
    /// Whether the lamp burns.
    power: Option<bool>,
    /// How bright it is.
    level: Option<u8>,
}

#[derive(Default)]
struct Lamp;

#[driver(
    name = "Lamp", module = "Lamp", tcp = 5000, framing = lines("\r\n"), settings = LampSettings,
    status = LampStatus,
)]
impl Lamp {
    #[connected]
    async fn connected(&self, cx: &Cx<Self>) -> Result {
        cx.every(secs(cx.settings().poll_every), Self::refresh);
        self.refresh(cx).await
    }

    async fn refresh(&self, cx: &Cx<Self>) -> Result {
        let power = cx.send("LAMP ?").reply(prefix("LAMP ")).await?;
        cx.status.set(|status| status.power = Some(power == "ON"));
        Ok(())
    }

    #[function]
    async fn power(&self, cx: &Cx<Self>, on: bool) -> Result<bool> {
        let word = if on { "ON" } else { "OFF" };
        cx.send(format!("LAMP {word}")).reply(prefix("LAMP ").unless(prefix("ERROR"))).await?;
        cx.status.set(|status| status.power = Some(on));
        Ok(on)
    }

    #[function]
    async fn keep(&self, cx: &Cx<Self>, level: u8) -> Result {
        cx.save_setting("level", &level).await
    }

    #[function]
    async fn hang(&self) {
        std::future::pending().await
    }

    #[function]
    fn refuse(&self, cx: &Cx<Self>) {
        cx.disconnect("it makes no sense");
    }

    #[received]
    fn line(&self, cx: &Cx<Self>, line: &str) -> Result {
        assert!(line != "BREAK", "the lamp broke");
        if let Some(level) = line.strip_prefix("LEVEL ") {
            let level = level.parse()?;
            cx.status.set(|status| status.level = Some(level));
        }
        cx.info(format!("heard {line}"));
        Ok(())
    }
}

#[derive(Default)]
struct Emulator {
    on: Cell<bool>,
}

impl Device for Emulator {
    type Settings = ();

    fn create(_: ()) -> Result<Self> {
        Ok(Emulator::default())
    }

    async fn session(&self, mut stream: DeviceStream) -> Result {
        stream.framing(lines("\r\n"));
        while let Some(line) = stream.next().await? {
            match &*line.text() {
                "LAMP ON" => self.on.set(true),
                "LAMP OFF" => self.on.set(false),
                _ => {}
            }
            stream.send(if self.on.get() { "LAMP ON" } else { "LAMP OFF" }).await?;
        }
        Ok(())
    }
}

/// A lamp that has been asked for its state, and is off.
async fn lamp() -> Harness<Lamp> {
    let lamp = Harness::<Lamp>::new().await;
    lamp.connect().await;
    lamp.expect("LAMP ?\r\n").await;
    lamp.reply("LAMP OFF\r\n").await;
    lamp.status("power", false).await;
    lamp
}

#[tokio::test]
async fn a_scripted_device() {
    let lamp = lamp().await;
    let call = lamp.call("power", (true,));
    lamp.expect("LAMP ON\r\n").await;
    lamp.reply("LAMP").await;
    assert_eq!(lamp.status_now("power"), Some(json!(false)), "half a reply is none");
    lamp.reply(" ON\r\n").await;
    assert_eq!(call.await, Ok(json!(true)));
    lamp.status("power", true).await;

    lamp.push("LEVEL 3\r\n").await;
    lamp.status("level", 3).await;
    lamp.logged("heard LEVEL 3").await;
    lamp.push("LEVEL 3\r\n").await;
    lamp.logged("heard LEVEL 3").await;
    lamp.push("LEVEL 4\r\nLEVEL 5\r\n").await;
    assert_eq!(lamp.take_log().len(), 2);
    assert_eq!(lamp.take_log(), []);

    lamp.disconnect("pulled").await;
    let refused = lamp.call("power", (true,)).await.unwrap_err();
    assert_eq!((refused.code(), refused.message()), ("offline", "Lamp is offline: pulled"));
    lamp.connect().await;
    lamp.expect("LAMP ?\r\n").await;
    let refused = lamp.call("power", json!({"on": "maybe"})).await.unwrap_err();
    assert_eq!(refused.code(), "bad_request");
    lamp.stop().await;
}

#[tokio::test]
async fn time_is_the_tests_own() {
    let lamp = lamp().await;
    lamp.expect_nothing(secs(29)).await;
    lamp.advance(secs(1)).await;
    lamp.expect("LAMP ?\r\n").await;
    let call = lamp.call("power", (true,));
    lamp.reply("LAMP OFF\r\n").await;
    lamp.expect("LAMP ON\r\n").await;
    // A call is waited for as long as it takes, and nobody waits really.
    assert_eq!(call.await.unwrap_err().code(), "timeout");
}

#[tokio::test]
async fn settings_are_updated_refused_and_saved() {
    let lamp = Harness::<Lamp>::with(json!({"poll_every": 5})).await;
    lamp.connect().await;
    lamp.expect("LAMP ?\r\n").await;
    lamp.reply("LAMP ON\r\n").await;
    lamp.advance(secs(5)).await;
    lamp.expect("LAMP ?\r\n").await;
    let refused = lamp.settings(json!({"poll_every": "often"})).await.unwrap_err();
    assert!(refused.message().contains("poll_every"), "{refused}");
    lamp.settings(json!({"poll_every": 7})).await.unwrap();
    lamp.call("keep", (9,)).await.unwrap();
    assert_eq!(lamp.settings_now(), json!({"poll_every": 7, "level": 9}));

    let refused = Harness::<Lamp>::try_with(json!({"poll_every": -1})).await.unwrap_err();
    assert_eq!(refused.code(), "bad_request");
}

#[tokio::test]
async fn a_driver_that_drops_the_connection() {
    let lamp = lamp().await;
    lamp.call("refuse", ()).await.unwrap();
    assert_eq!(lamp.expect_drop().await, "it makes no sense");
    assert_eq!(lamp.call("power", (true,)).await.unwrap_err().code(), "offline");
}

#[tokio::test]
async fn commands_are_matched() {
    let lamp = lamp().await;
    let _call = lamp.call("power", (false,));
    assert_eq!(lamp.expect_match(prefix("LAMP ")).await, "OFF");
    lamp.reply("LAMP OFF\r\n").await;
}

#[tokio::test]
async fn the_packages_own_device_model() {
    let lamp = Harness::<Lamp>::emulated::<Emulator>(json!({})).await;
    lamp.status("power", false).await;
    assert_eq!(lamp.call("power", (true,)).await, Ok(json!(true)));
    lamp.disconnect("pulled").await;
    assert_eq!(lamp.call("power", (true,)).await.unwrap_err().code(), "offline");
    lamp.connect().await;
    assert_eq!(lamp.call("power", (false,)).await, Ok(json!(false)));
    lamp.status("power", false).await;
    // A driver that drops the connection gets another.
    lamp.call("refuse", ()).await.unwrap();
    lamp.advance(secs(2)).await;
    assert_eq!(lamp.call("power", (true,)).await, Ok(json!(true)));
}

// === It fails when it should ===

thread_local! {
    /// File and line of the last panic on this thread.
    static PLACE: RefCell<(String, u32)> = RefCell::default();
}

/// The line of this file, or 0, and the message with which this test fails.
fn failure<T: Future<Output = ()>>(test: impl FnOnce() -> T) -> (u32, String) {
    let previous = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if let Some(place) = info.location() {
            PLACE.set((place.file().into(), place.line()));
        }
        previous(info);
    }));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let failed = catch_unwind(AssertUnwindSafe(|| runtime.block_on(test())));
    let Err(message) = failed else { panic!("the test passes") };
    let (file, line) = PLACE.take();
    (if file == file!() { line } else { 0 }, *message.downcast::<String>().unwrap())
}

#[test]
fn other_bytes_are_shown_beside_the_expected_ones_at_the_line_of_the_test() {
    let (line, message) = failure(|| async {
        let lamp = lamp().await;
        lamp.push("LEVEL 7\r\n").await;
        let _call = lamp.call("power", (true,));
        lamp.expect("LAMP OFF\r\n").await;
    });
    assert_eq!(line, line!() - 2, "{message}");
    // The guide shows what comes first.
    let guide = include_str!("../../docs/driver-guide.md");
    let (_, shown) = guide.split_once("```text\nthe driver did not send").unwrap();
    let (shown, _) = shown.split_once("```").unwrap();
    let expected = format!("the driver did not send{shown}")
        + r#"
on the wire (< from the device, > from the driver):
  the link is up
  > "LAMP ?\r\n"
  < "LAMP OFF\r\n"
  < "LEVEL 7\r\n"
  > "LAMP ON\r\n"

the driver's log:
  info: heard LEVEL 7"#;
    assert_eq!(message, expected);
}

#[test]
fn what_never_comes_is_told() {
    let (line, message) = failure(|| async {
        let lamp = lamp().await;
        lamp.expect("LAMP ON\r\n").await;
    });
    assert_eq!(line, line!() - 2, "{message}");
    let expected = "the driver did not send what was expected; it did nothing within 1s of the test's time\n";
    assert!(message.starts_with(expected), "{message}");

    let (_, message) = failure(|| async {
        let lamp = lamp().await;
        lamp.status("power", true).await;
    });
    let expected = "status `power`\n  expected true\n  seen     false\n";
    assert!(message.starts_with(expected), "{message}");

    let (line, message) = failure(|| async {
        let lamp = lamp().await;
        lamp.push("LEVEL 3\r\n").await;
        lamp.logged("heard LEVEL 3").await;
        lamp.logged("heard LEVEL 3").await;
    });
    assert_eq!(line, line!() - 2, "{message}");
    let expected = "the driver did not log \"heard LEVEL 3\" after \"heard LEVEL 3\"\n";
    assert!(message.starts_with(expected), "{message}");

    let (_, message) = failure(|| async {
        let lamp = lamp().await;
        let _ = lamp.call("hang", ()).await;
    });
    let expected = "the call {\"function\":\"hang\",\"args\":[]} was not answered within 600s";
    assert!(message.starts_with(expected), "{message}");
}

#[test]
fn a_panic_of_the_driver_ends_the_test() {
    let (line, message) = failure(|| async {
        let lamp = lamp().await;
        lamp.push("BREAK\r\n").await;
    });
    assert_eq!(line, line!() - 2, "{message}");
    assert!(message.starts_with(&format!("the driver panicked at {}:", file!())), "{message}");
    assert!(message.contains(": the lamp broke\n"), "{message}");
}

#[test]
fn nothing_may_be_left_at_the_end() {
    let (_, message) = failure(|| async {
        let lamp = Harness::<Lamp>::new().await;
        lamp.connect().await;
    });
    let expected = "at the end of the test there is something of the driver that nobody expected: \
                    it sent \"LAMP ?\\r\\n\"\n";
    assert!(message.starts_with(expected), "{message}");

    let (_, message) = failure(|| async {
        let lamp = lamp().await;
        let _call = lamp.call("hang", ());
    });
    let expected = format!(
        "at the end of the test the call of `hang` at {}:{}:26 has no answer\n",
        file!(),
        line!() - 5
    );
    assert!(message.starts_with(&expected), "{message}");
}

#[test]
fn what_a_test_does_wrong_is_told_as_well() {
    let (_, message) = failure(|| async {
        let lamp = Harness::<Lamp>::new().await;
        lamp.push("LEVEL 1\r\n").await;
    });
    let expected = "the device cannot say \"LEVEL 1\\r\\n\": there is no connection\n";
    assert!(message.starts_with(expected), "{message}");

    let (_, message) = failure(|| async {
        Harness::<Lamp>::with(json!({"poll_every": "often"})).await;
    });
    let expected = "the module did not start: bad_request: setting `poll_every`: ";
    assert!(message.starts_with(expected), "{message}");
}
