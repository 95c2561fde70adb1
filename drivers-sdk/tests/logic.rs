//! Logic drivers: modules by interface, what a system lacks, other systems, channels, and for whom a call is made.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use drivers_sdk::interfaces::{Muteable, Powerable};
use drivers_sdk::prelude::*;
use drivers_sdk_protocol::manifest::Need;
use drivers_sdk_protocol::{Kind, MAX_PUBLISHED, feature};
use serde_json::json;
use support::{Daemon, run};

#[derive(Default)]
struct Room {
    heard: RefCell<Vec<u64>>,
    calm: Cell<bool>,
}

#[driver(name = "Room", module = "Room", logic, requires("Display", Powerable), optional(Muteable, "Lights"))]
impl Room {
    #[function]
    fn powerable(&self, cx: &Cx<Self>) -> Vec<String> {
        cx.system().implementing(Powerable).iter().map(|module| format!("{module:?}")).collect()
    }

    #[function]
    async fn mute_first(&self, cx: &Cx<Self>) -> Result<Value> {
        let system = cx.system();
        let first = system.implementing("Muteable");
        let first = first.first().ok_or_else(|| Error::driver("nothing is muted here"))?;
        first.call("mute", (true,)).await
    }

    #[function]
    fn lacks(&self, cx: &Cx<Self>) -> Vec<&'static str> {
        cx.system().lacks()
    }

    #[function]
    async fn next_door(&self, cx: &Cx<Self>) -> Result<Option<bool>> {
        let display = cx.system_by_id("sys-2").module("Display", 1);
        display.subscribe("power", async |room: &Room, _: &Cx<Room>, power: Option<bool>| {
            room.heard.borrow_mut().push(power.map_or(9, u64::from));
        });
        display.call("power", (true,)).await?;
        display.status("power").await
    }

    #[function]
    fn begin(&self, cx: &Cx<Self>) {
        cx.system().module("Display", 1).call("power", (true,)).detach();
    }

    #[function]
    fn say(&self, cx: &Cx<Self>, channel: String, length: usize) -> Result {
        cx.publish(channel, &"x".repeat(length))
    }

    #[function]
    async fn listen(&self, cx: &Cx<Self>, seconds: u64) {
        let listening = cx.monitor("lunch", Self::lunch);
        if seconds > 0 {
            sleep(secs(seconds)).await;
            listening.cancel();
        }
    }

    async fn lunch(&self, _: &Cx<Self>, number: u64) {
        if !self.calm.get() {
            sleep(secs(1)).await;
        }
        self.heard.borrow_mut().push(number);
    }

    #[function]
    fn heard(&self) -> Vec<u64> {
        self.heard.take()
    }

    #[function]
    fn calm(&self) {
        self.calm.set(true);
    }

    /// Somebody says something.
    #[webhook]
    async fn told(&self, cx: &Cx<Self>, request: Webhook) -> Result<Value> {
        let said: String = request.json()?;
        cx.info(format!("{} {:?} {:?}", request.method, request.header("X-Sign"), request.query.get("a")));
        Ok(json!({ "heard": said }))
    }

    #[webhook]
    fn quiet(&self, _request: Webhook) {}

    #[webhook]
    fn challenge(&self, request: Webhook) -> String {
        request.query.get("token").cloned().unwrap_or_default()
    }

    #[function]
    async fn who(&self, cx: &Cx<Self>) -> (Option<String>, Option<String>) {
        let before = cx.caller();
        sleep(secs(1)).await;
        (before.map(|user| user.to_string()), cx.caller().map(|user| user.to_string()))
    }
}

fn system(modules: Value, interfaces: Value) -> Value {
    json!({"id": "sys-1", "name": "Room 101", "modules": modules, "interfaces": interfaces})
}

async fn room() -> Daemon {
    let mut daemon = Daemon::of::<Room>().await;
    let modules = json!({"Display": 2, "Lights": 1, "Room": 1});
    let interfaces =
        json!({"Powerable": [["Display", 2], ["Lights", 1], ["Display", 1]], "Muteable": [["Display", 2]]});
    let start = json!({"id": "mod-1", "name": "Room", "settings": {}, "system": system(modules, interfaces)});
    daemon.start_with(1, start).await;
    daemon
}

#[test]
fn what_a_driver_works_with_is_in_its_manifest() {
    let manifest = drivers_sdk::__private::manifest::<Room>(false);
    let (module, interface) =
        (|name: &str| Need::Module(name.into()), |name: &str| Need::Interface(name.into()));
    assert_eq!(manifest.requires, [module("Display"), interface("Powerable")]);
    assert_eq!(manifest.optional, [interface("Muteable"), module("Lights")]);
}

#[test]
fn modules_are_found_by_interface_in_the_order_of_the_system() {
    run(async {
        let mut daemon = room().await;
        let found = daemon.call(1, "powerable", json!([])).await.unwrap();
        assert_eq!(found, json!(["Display_2", "Lights_1", "Display_1"]));
        let call = daemon.begin(1, "mute_first", json!([])).await;
        let frame = daemon.expect_kind(Kind::CallModule).await;
        let asked: Value = serde_json::from_slice(&frame.payload).unwrap();
        assert_eq!((&asked["module"], &asked["index"]), (&json!("Display"), &json!(2)));
        daemon.send(Kind::Done, 1, frame.header.correlation, "true").await;
        assert_eq!(daemon.result(call).await, Ok(json!(true)));
        assert_eq!(daemon.call(1, "lacks", json!([])).await, Ok(json!([])));

        // What is new is there at once.
        let now = system(json!({"Lights": 1}), json!({"Muteable": [["Lights", 1]]}));
        daemon.send(Kind::System, 1, 0, now.to_string()).await;
        assert_eq!(daemon.call(1, "powerable", json!([])).await, Ok(json!([])));
        assert_eq!(daemon.call(1, "lacks", json!([])).await, Ok(json!(["Display", "Powerable"])));
    });
}

#[test]
fn another_system_is_reached_by_its_id() {
    run(async {
        let mut daemon = room().await;
        let call = daemon.begin(1, "next_door", json!([])).await;
        let subscribe = daemon.expect_kind(Kind::Subscribe).await;
        let call_module = daemon.expect_kind(Kind::CallModule).await;
        daemon.send(Kind::Done, 1, subscribe.header.correlation, "").await;
        daemon.send(Kind::Notify, 1, subscribe.header.correlation, "true").await;
        daemon.send(Kind::Done, 1, call_module.header.correlation, "true").await;
        let read = daemon.expect_kind(Kind::ReadStatus).await;
        for frame in [&subscribe, &call_module, &read] {
            let asked: Value = serde_json::from_slice(&frame.payload).unwrap();
            assert_eq!((&asked["system"], &asked["module"]), (&json!("sys-2"), &json!("Display")));
        }
        daemon.send(Kind::Done, 1, read.header.correlation, "true").await;
        assert_eq!(daemon.result(call).await, Ok(json!(true)));
        assert_eq!(daemon.call(1, "heard", json!([])).await, Ok(json!([1])));
    });
}

#[test]
fn a_call_that_nobody_waits_for_is_made_and_its_failure_logged() {
    run(async {
        let mut daemon = room().await;
        let call = daemon.begin(1, "begin", json!([])).await;
        // Before the function is over: until then the daemon knows for whom it works, and tells the other module.
        let frame = daemon.expect_kind(Kind::CallModule).await;
        let asked: Value = serde_json::from_slice(&frame.payload).unwrap();
        assert_eq!(asked["call"], call);
        assert_eq!(daemon.result(call).await, Ok(json!(null)));
        let failure = json!({"code": "offline", "message": "unplugged"}).to_string();
        daemon.send(Kind::Failed, 1, frame.header.correlation, failure).await;
        daemon.wait(secs(1)).await;
        assert!(daemon.logged("Display_1.power(…): unplugged"), "{:?}", daemon.logs);
    });
}

#[test]
fn what_is_published_has_a_name_and_a_limit() {
    run(async {
        let mut daemon = room().await;
        let call = daemon.begin(1, "say", json!(["lunch", 3])).await;
        let frame = daemon.expect_kind(Kind::Publish).await;
        assert_eq!(frame.header.correlation, 0);
        assert_eq!(frame.payload, r#"{"channel":"lunch","value":"xxx"}"#);
        assert_eq!(daemon.result(call).await, Ok(json!(null)));
        let failure = daemon.call(1, "say", json!(["lunch", MAX_PUBLISHED])).await.unwrap_err();
        assert!(failure.message.contains("65538 bytes are too much"), "{failure:?}");
        for name in [String::new(), "x".repeat(257)] {
            let failure = daemon.call(1, "say", json!([name, 1])).await.unwrap_err();
            assert!(failure.message.contains("1 to 256 bytes"), "{failure:?}");
        }
        let without: Vec<&str> =
            feature::ALL.iter().copied().filter(|name| *name != feature::CHANNELS).collect();
        let mut daemon = Daemon::offering::<Room>(&without).await;
        daemon.start(1, json!({}), None).await;
        let failure = daemon.call(1, "say", json!(["lunch", 1])).await.unwrap_err();
        assert!(failure.message.contains("`channels`"), "{failure:?}");
    });
}

#[test]
fn a_channel_is_heard_in_order_until_that_is_cancelled() {
    run(async {
        let mut daemon = room().await;
        let call = daemon.begin(1, "listen", json!([60])).await;
        let frame = daemon.expect_kind(Kind::Monitor).await;
        assert_eq!(frame.payload, r#"{"channel":"lunch"}"#);
        let number = frame.header.correlation;
        daemon.send(Kind::Done, 1, number, "").await;
        for value in ["1", "\"no number\"", "2", "3"] {
            daemon.send(Kind::Notify, 1, number, value).await;
        }
        daemon.wait(secs(10)).await;
        assert_eq!(daemon.call(1, "heard", json!([])).await, Ok(json!([1, 2, 3])));
        assert!(daemon.logged("channel \"lunch\": invalid type"), "{:?}", daemon.logs);
        daemon.expect(Kind::Unsubscribe, number).await;
        assert_eq!(daemon.result(call).await, Ok(json!(null)));
        daemon.send(Kind::Notify, 1, number, "4").await;
        assert_eq!(daemon.call(1, "heard", json!([])).await, Ok(json!([])));
    });
}

#[test]
fn a_listener_that_lags_loses_the_oldest_and_says_so() {
    run(async {
        let mut daemon = room().await;
        let call = daemon.begin(1, "listen", json!([0])).await;
        let number = daemon.expect_kind(Kind::Monitor).await.header.correlation;
        assert_eq!(daemon.result(call).await, Ok(json!(null)));
        daemon.send(Kind::Notify, 1, number, "0").await;
        daemon.wait(millis(1)).await;
        let values: Vec<String> = (1..=1500).map(|value| value.to_string()).collect();
        let frames: Vec<_> = values.iter().map(|value| (Kind::Notify, 1, number, value.as_bytes())).collect();
        daemon.send_all(&frames).await;
        assert_eq!(daemon.call(1, "calm", json!([])).await, Ok(json!(null)));
        daemon.wait(secs(3)).await;
        let heard: Vec<u64> =
            serde_json::from_value(daemon.call(1, "heard", json!([])).await.unwrap()).unwrap();
        let expected: Vec<u64> = std::iter::once(0).chain(501..=1500).collect();
        assert_eq!(heard, expected);
        assert!(daemon.logged("500 values were lost"), "{:?}", daemon.logs);
    });
}

#[test]
fn a_function_knows_for_whom_it_works() {
    run(async {
        let mut daemon = room().await;
        let call = |user: &str| json!({"function": "who", "args": [], "user": user}).to_string();
        daemon.send(Kind::Call, 1, 7, call("user-ann")).await;
        daemon.send(Kind::Call, 1, 8, call("user-bob")).await;
        assert_eq!(daemon.result(7).await, Ok(json!(["user-ann", "user-ann"])));
        assert_eq!(daemon.result(8).await, Ok(json!(["user-bob", "user-bob"])));
        assert_eq!(daemon.call(1, "who", json!([])).await, Ok(json!([null, null])));
    });
}

#[test]
fn a_webhook_is_a_function_that_takes_a_request_and_gives_a_response() {
    let manifest = drivers_sdk::__private::manifest::<Room>(false);
    let told = manifest.functions.iter().find(|function| function.name == "told").unwrap();
    assert!(told.webhook && told.security == drivers_sdk_protocol::manifest::Security::Administrator);
    assert!(told.params[0].schema.to_string().contains("headers"), "{:?}", told.params);
    assert_eq!(manifest.functions.iter().filter(|function| function.webhook).count(), 3);
    run(async {
        let mut daemon = room().await;
        let request =
            json!({"method": "POST", "headers": {"x-sign": "s"}, "query": {"a": "1"}, "body": "\"hi\""});
        let reply = daemon.call(1, "told", json!([request])).await.unwrap();
        assert_eq!(
            reply,
            json!({"status": 200, "content_type": "application/json", "body": r#"{"heard":"hi"}"#})
        );
        assert!(daemon.logged(r#"POST Some("s") Some("1")"#), "{:?}", daemon.logs);
        let failure = daemon.call(1, "told", json!([{"method": "GET"}])).await.unwrap_err();
        assert_eq!(failure.code, "bad_request");
        let reply = daemon.call(1, "quiet", json!([{"method": "POST"}])).await.unwrap();
        assert_eq!(reply["status"], 204);
        let request = json!({"method": "GET", "query": {"token": "t1"}});
        let reply = daemon.call(1, "challenge", json!([request])).await.unwrap();
        assert_eq!((&reply["status"], &reply["body"]), (&json!(200), &json!("t1")));
    });
}
