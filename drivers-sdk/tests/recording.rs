//! `Harness::replaying`: a recording as the device of a driver.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

use drivers_sdk::prelude::*;
use drivers_sdk::testing::*;

#[derive(Default, Status)]
struct LampStatus {
    /// Whether the lamp burns.
    power: Option<bool>,
    /// How bright it is.
    level: Option<u8>,
}

#[derive(Default)]
struct Lamp;

#[driver(name = "Lamp", module = "Lamp", tcp = 5000, framing = lines("\r\n"), status = LampStatus)]
impl Lamp {
    #[login]
    async fn greeted(&self, cx: &Cx<Self>) -> Result {
        cx.expect(exact("LAMP 1000")).await?;
        Ok(())
    }

    #[connected]
    async fn connected(&self, cx: &Cx<Self>) -> Result {
        cx.every(secs(5), Self::refresh);
        self.refresh(cx).await
    }

    async fn refresh(&self, cx: &Cx<Self>) -> Result {
        let power = cx.send("POWER?").reply(prefix("POWER ")).await?;
        cx.status.set(|status| status.power = Some(power == "ON"));
        Ok(())
    }

    #[function]
    async fn power(&self, cx: &Cx<Self>, on: bool) -> Result {
        let word = if on { "ON" } else { "OFF" };
        cx.send(format!("POWER {word}")).reply(exact("OK")).await?;
        self.refresh(cx).await
    }

    #[function]
    async fn level(&self, cx: &Cx<Self>, level: u8) -> Result<String> {
        Ok(cx.send(format!("LEVEL {level}")).reply(prefix("LEVEL ")).await?.to_string())
    }

    #[received]
    fn line(&self, cx: &Cx<Self>, line: &str) -> Result {
        if let Some(level) = line.strip_prefix("DIMMED ") {
            let level = level.parse()?;
            cx.status.set(|status| status.level = Some(level));
        }
        Ok(())
    }
}

/// In `tests/fixtures/lamp.recording`: the lamp is off, is switched on, dimmed, and then somebody turns its knob.
#[tokio::test]
async fn a_recording_plays_the_device() {
    let lamp = Harness::<Lamp>::replaying("tests/fixtures/lamp.recording").await;
    lamp.status("power", false).await;
    // It is asked more often than then, and stays as it is until somebody does something.
    lamp.advance(secs(60)).await;
    lamp.status("power", false).await;
    assert_eq!(lamp.call("power", (true,)).await, Ok(json!(null)));
    lamp.status("power", true).await;
    lamp.advance(secs(60)).await;
    lamp.status("power", true).await;
    // A value that is not that of the recording, and what the device said by itself after it.
    assert_eq!(lamp.call("level", (73,)).await, Ok(json!("73 OK")));
    assert_eq!(lamp.status_now("level"), None);
    lamp.status("level", 12).await;
    // Nothing like it was recorded: the lamp says nothing.
    let refused = lamp.call("power", (false,)).await.unwrap_err();
    assert_eq!(refused.code(), "timeout", "{refused}");
    // A connection that is made anew begins as the last one did.
    lamp.disconnect("pulled").await;
    lamp.connect().await;
    lamp.status("power", false).await;
}

#[derive(Default, Status)]
struct RelayStatus {
    /// What it says that it is.
    model: Option<String>,
    /// What the second relay says.
    output: Option<bool>,
}

#[derive(Default)]
struct Relay;

#[driver(name = "Relay", module = "Relay", uri = "http://relay.local", status = RelayStatus)]
impl Relay {
    #[connected]
    async fn connected(&self, cx: &Cx<Self>) -> Result {
        let device: Value = self.rpc(cx, "Shelly.GetDeviceInfo", json!({})).await?;
        cx.status.set(|status| status.model = device["model"].as_str().map(Into::into));
        self.refresh(cx).await
    }

    async fn refresh(&self, cx: &Cx<Self>) -> Result {
        let state = self.rpc(cx, "Shelly.GetStatus", json!({})).await?;
        cx.status.set(|status| status.output = state["switch:1"]["output"].as_bool());
        Ok(())
    }

    #[function]
    async fn switch(&self, cx: &Cx<Self>, id: u32) -> Result {
        self.rpc(cx, "Switch.Set", json!({"on": true, "id": id})).await?;
        self.refresh(cx).await
    }

    async fn rpc(&self, cx: &Cx<Self>, method: &str, body: Value) -> Result<Value> {
        let request = cx.http().post(format!("/rpc/{method}")).header("x-client", "test").json(&body);
        request.send().await?.error_for_status()?.json()
    }
}

/// In `tests/fixtures/relay.recording`, which `headend wire --save` has written of the example driver for Shelly's relays and its
/// emulator: the second relay is switched on, and there is no third.
#[tokio::test]
async fn a_recording_plays_a_service() {
    let relay = Harness::<Relay>::replaying("tests/fixtures/relay.recording").await;
    relay.status("model", "SNSW-102P16EU").await;
    relay.status("output", false).await;
    relay.call("switch", (1,)).await.unwrap();
    relay.status("output", true).await;
    let refused = relay.call("switch", (2,)).await.unwrap_err();
    assert!(refused.message().contains("Argument 'id', value 2 not found!"), "{refused}");
    // The device is as it was when it is reached again.
    relay.disconnect("unplugged").await;
    relay.connect().await;
    relay.status("output", true).await;
}

#[derive(Default, Status)]
struct MeterStatus {
    /// What it measures.
    volts: Option<u32>,
    /// What it said by itself.
    said: Vec<String>,
}

#[derive(Default)]
struct Meter;

#[driver(name = "Meter", module = "Meter", udp = 161, status = MeterStatus)]
impl Meter {
    #[connected]
    async fn connected(&self, cx: &Cx<Self>) -> Result {
        let volts = self.read(cx, 1).await?;
        cx.status.set(|status| status.volts = Some(volts));
        Ok(())
    }

    #[function]
    async fn read(&self, cx: &Cx<Self>, register: u32) -> Result<u32> {
        let said = cx.send(format!("READ {register}")).reply(prefix(format!("READ {register} = "))).await?;
        said.parse()
    }

    #[received]
    fn said(&self, cx: &Cx<Self>, datagram: &str) {
        cx.status.set(|status| status.said.push(datagram.into()));
    }
}

/// In `tests/fixtures/meter.recording`: a register is read, an alarm comes, another register is read.
#[tokio::test]
async fn a_recording_plays_datagrams_each_as_it_was() {
    let meter = Harness::<Meter>::replaying("tests/fixtures/meter.recording").await;
    meter.status("volts", 230).await;
    meter.status("said", ["ALARM 7"]).await;
    assert_eq!(meter.call("read", (2,)).await, Ok(json!(12)));
    // Another register is answered as the one before.
    assert_eq!(meter.call("read", (3,)).await, Ok(json!(12)));
}

#[derive(Settings)]
struct ScreenSettings {
    /// It asks for it.
    password: Secret,
}

#[derive(Default, Status)]
struct ScreenStatus {
    /// What it said by itself, and whether that was text.
    said: Vec<(String, bool)>,
}

#[derive(Default)]
struct Screen;

#[driver(
    name = "Screen", module = "Screen", uri = "ws://screen.local/api", settings = ScreenSettings,
    status = ScreenStatus,
)]
impl Screen {
    #[login]
    async fn sign_in(&self, cx: &Cx<Self>) -> Result {
        let password = json!({ "password": cx.settings().password.reveal() });
        cx.send_text(password.to_string()).reply(exact("welcome")).await
    }

    #[function]
    async fn volume(&self, cx: &Cx<Self>, volume: u32) -> Result<String> {
        Ok(cx.send_text(format!("volume {volume}")).reply(prefix("volume ")).await?.to_string())
    }

    #[received]
    fn said(&self, cx: &Cx<Self>, message: &Frame) {
        cx.status.set(|status| status.said.push((format!("{message:?}"), message.is_text())));
    }
}

/// In `tests/fixtures/screen.recording`: a login, whose password is hidden, two messages, a command.
#[tokio::test]
async fn a_recording_plays_messages_to_whoever_has_another_password() {
    let recording = "tests/fixtures/screen.recording";
    let screen = Harness::<Screen>::replaying_with(recording, json!({ "password": "of the test" })).await;
    screen.status("said", json!([[r#""volume 12""#, true], [r#""\x00\xff""#, false]])).await;
    assert_eq!(screen.call("volume", (33,)).await, Ok(json!("33")));
    // It is asked for its password each time.
    screen.disconnect("it restarts").await;
    screen.connect().await;
    // It says by itself what it said then.
    screen.advance(secs(1)).await;
    assert_eq!(screen.call("volume", (44,)).await, Ok(json!("44")));
}

#[tokio::test]
async fn a_recording_that_cannot_be_played_is_named() {
    let tasks = tokio::task::LocalSet::new();
    let harness = tasks.spawn_local(async { Harness::<Lamp>::replaying("no/such.recording").await });
    tasks.await;
    let panic = harness.await.unwrap_err().into_panic();
    let said = panic.downcast_ref::<String>().unwrap();
    assert!(said.starts_with("no/such.recording: No such file"), "{said}");
}
