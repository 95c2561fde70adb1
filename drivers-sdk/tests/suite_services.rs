//! The standard suite and drivers of services and WebSockets: good ones pass, bad ones do not.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

#[path = "support/refused.rs"]
mod refused;

use drivers_sdk::prelude::*;
use drivers_sdk::testing::suite::Suite;
use refused::broken;

/// What is wrong with a driver.
#[data]
enum Flaw {
    /// It is of no use once a request has failed.
    SulksAfterAFailure,
    /// It is of no use once a request took too long.
    SulksAfterATimeout,
    /// It is of no use once an answer made no sense.
    SulksAfterGarbage,
    /// It believes what the service says.
    Panics,
}

#[derive(Settings)]
struct Options {
    /// What is wrong with the driver.
    flaw: Option<Flaw>,
}

#[derive(Default, Status)]
struct State {
    /// Whether it is on.
    on: Option<bool>,
}

#[derive(Default)]
struct Relay {
    sulks: Cell<bool>,
}

/// A relay with a JSON interface.
#[driver(name = "Relay", module = "Relay", uri = "http://relay.local", settings = Options, status = State)]
impl Relay {
    #[connected]
    async fn connected(&self, cx: &Cx<Self>) -> Result {
        self.refresh(cx).await
    }

    /// Switches it.
    #[function]
    async fn switch(&self, cx: &Cx<Self>, on: bool) -> Result {
        self.ask(cx, json!({ "on": on })).await.map(drop)
    }

    /// Asks what it is.
    #[function]
    async fn refresh(&self, cx: &Cx<Self>) -> Result {
        let state = self.ask(cx, json!({})).await?;
        let on = state.get("on").and_then(Value::as_bool);
        if cx.settings().flaw == Some(Flaw::Panics) {
            on.unwrap();
        }
        cx.status.set(|status| status.on = on);
        Ok(())
    }

    async fn ask(&self, cx: &Cx<Self>, body: Value) -> Result<Value> {
        if self.sulks.get() {
            return Err(Error::device("the driver has had enough"));
        }
        let answer = cx.http().post("/state").json(&body).send().await;
        let answer = answer.and_then(|response| response.json::<Value>());
        let sulks = match (&cx.settings().flaw, &answer) {
            (Some(Flaw::SulksAfterAFailure), Err(error)) => error.is_offline(),
            (Some(Flaw::SulksAfterATimeout), Err(error)) => error.is_timeout(),
            (Some(Flaw::SulksAfterGarbage), Err(error)) => !error.is_timeout() && !error.is_offline(),
            _ => false,
        };
        self.sulks.set(sulks);
        answer
    }
}

/// The relay itself.
#[derive(Default)]
struct Emulator {
    on: Cell<bool>,
}

impl Device for Emulator {
    type Settings = ();

    fn create(_: ()) -> Result<Self> {
        Ok(Emulator::default())
    }

    async fn session(&self, stream: DeviceStream) -> Result {
        let mut http = HttpServer::new(stream);
        while let Some(request) = http.next().await? {
            if let Some(on) = request.json::<Value>()?["on"].as_bool() {
                self.on.set(on);
            }
            http.answer(200, &json!({ "on": self.on.get() })).await?;
        }
        Ok(())
    }
}

#[test]
fn services() {
    let relay = |flaw: Option<Flaw>| {
        Suite::<Relay>::default().emulator::<Emulator>().settings(json!({ "flaw": flaw }))
    };
    assert_eq!(broken(&relay(None)), []);
    let flaws: [(Flaw, &[&str], &str); 4] = [
        (
            Flaw::SulksAfterAFailure,
            &["recovers_from_a_drop_at_any_moment"],
            "after a connection that broke when the device had answered 1 of the requests: `switch` does not work again",
        ),
        (
            Flaw::SulksAfterATimeout,
            &["recovers_from_a_silent_device"],
            "after a device that said nothing for a while: `switch` does not work again",
        ),
        (
            Flaw::SulksAfterGarbage,
            &["recovers_from_garbage"],
            "`switch` does not work again: the driver has had enough",
        ),
        (Flaw::Panics, &["parses_anything_without_a_panic"], "the driver panicked at "),
    ];
    for (flaw, rules, words) in flaws {
        let broken = broken(&relay(Some(flaw)));
        let names: Vec<&str> = broken.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, rules, "{broken:#?}");
        assert!(broken[0].1.lines().next().unwrap().contains(words), "{}", broken[0].1);
    }
}

#[derive(Default)]
struct Sign;

/// A sign that speaks JSON over a WebSocket.
#[driver(
    name = "Sign", module = "Sign", uri = "ws://sign.local", settings = Options, status = State, timeout_ms = 1000,
)]
impl Sign {
    /// Shows something.
    #[function]
    async fn show(&self, cx: &Cx<Self>, text: String) -> Result {
        cx.send_text(json!({ "show": text }).to_string()).reply(prefix(r#"{"shown":"#)).await.map(drop)
    }

    #[received]
    fn said(&self, cx: &Cx<Self>, frame: &Frame) {
        if cx.settings().flaw == Some(Flaw::Panics) && frame.is_text() {
            serde_json::from_str::<Value>(&frame.text()).unwrap();
        }
    }
}

/// The sign itself.
#[derive(Default)]
struct SignModel;

impl Device for SignModel {
    type Settings = ();

    fn create(_: ()) -> Result<Self> {
        Ok(SignModel)
    }

    async fn session(&self, mut stream: DeviceStream) -> Result {
        while let Some(frame) = stream.next().await? {
            stream.send_text(frame.text().replace("show", "shown")).await?;
        }
        Ok(())
    }
}

#[test]
fn websockets() {
    let sign = |flaw: Option<Flaw>| {
        Suite::<Sign>::default().emulator::<SignModel>().settings(json!({ "flaw": flaw }))
    };
    assert_eq!(broken(&sign(None)), []);
    let broken = broken(&sign(Some(Flaw::Panics)));
    let names: Vec<&str> = broken.iter().map(|(name, _)| *name).collect();
    // Messages of text are text here too.
    assert_eq!(names, ["recovers_from_garbage", "parses_anything_without_a_panic"], "{broken:#?}");
}
