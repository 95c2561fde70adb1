//! What a harness puts around a driver beside a script on its link: an HTTP service, an SSH server, a system of other modules.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::rc::Rc;

use drivers_sdk::prelude::*;
use drivers_sdk::testing::*;

#[derive(Default, Status)]
struct RelayStatus {
    /// Whether it is closed.
    output: Option<bool>,
}

#[derive(Default)]
struct Relay;

#[driver(name = "Relay", module = "Relay", uri = "http://relay.local/rpc", status = RelayStatus)]
impl Relay {
    #[function]
    async fn refresh(&self, cx: &Cx<Self>) -> Result {
        let state: Value = cx.http().get("/relay").query("id", 0).send().await?.json()?;
        cx.status.set(|status| status.output = state["output"].as_bool());
        Ok(())
    }

    #[function]
    async fn switch(&self, cx: &Cx<Self>, on: bool) -> Result {
        let switched = cx.http().post("/relay").header("x-key", "k").json(&json!({"on": on})).send();
        switched.await?.error_for_status().map(drop)
    }

    #[function]
    async fn door(&self, cx: &Cx<Self>, method: String) -> Result<String> {
        let answer = cx.http().request(method, "/door").header("X-Key", "k").send().await?;
        Ok(format!("{} {:?} {}", answer.status, answer.header("WWW-AUTHENTICATE"), answer.text()))
    }
}

#[derive(Default)]
struct RelayModel(Rc<Cell<bool>>);

impl Device for RelayModel {
    type Settings = ();

    fn create(_: ()) -> Result<Self> {
        Ok(RelayModel::default())
    }

    async fn session(&self, stream: DeviceStream) -> Result {
        let mut http = HttpServer::new(stream);
        while let Some(request) = http.next().await? {
            if request.path == "/rpc/door" {
                assert_eq!([request.header("x-key"), request.header("X-KEY")], [Some("k"); 2]);
                http.answer_with(401, &[("WWW-Authenticate", "Basic")], "who are you?").await?;
                continue;
            }
            assert_eq!(request.path, "/rpc/relay");
            if request.method == "POST" {
                self.0.set(request.json::<Value>()?["on"] == true);
            }
            http.answer(200, &json!({ "output": self.0.get() })).await?;
        }
        Ok(())
    }
}

#[tokio::test]
async fn a_scripted_service() {
    let relay = Harness::<Relay>::new().await;
    relay.connect().await;
    let call = relay.call("refresh", ());
    relay.http().expect("GET", "/relay?id=0").reply(200, json!({"output": true})).await;
    call.await.unwrap();
    relay.status("output", true).await;

    let call = relay.call("switch", (true,));
    let service = relay.http();
    let expected = service.expect("POST", "/relay").json(json!({"on": true})).header("X-Key", "k");
    let seen = expected.reply(500, json!("broken")).await;
    assert_eq!(seen.body, br#"{"on":true}"#);
    assert_eq!(call.await.unwrap_err().code(), "device");

    let call = relay.call("refresh", ());
    service.expect("GET", "/relay?id=0").fail("offline", "nobody there").await;
    assert_eq!(call.await.unwrap_err().code(), "offline");
}

#[tokio::test]
async fn a_model_of_a_service() {
    let relay = Harness::<Relay>::emulated::<RelayModel>(json!({})).await;
    relay.call("switch", (true,)).await.unwrap();
    relay.call("refresh", ()).await.unwrap();
    relay.status("output", true).await;
}

#[tokio::test]
async fn a_model_that_the_test_has_made_and_holds_on_to() {
    let on = Rc::new(Cell::new(true));
    let relay = Harness::<Relay>::emulated_by(RelayModel(on.clone()), json!({})).await;
    for output in [true, false] {
        on.set(output);
        relay.call("refresh", ()).await.unwrap();
        relay.status("output", output).await;
    }
    relay.call("switch", (true,)).await.unwrap();
    assert!(on.get());
}

#[tokio::test]
async fn a_service_answers_in_its_own_way_whether_a_script_or_a_model_plays_it() {
    let refused = json!("401 Some(\"Basic\") who are you?");
    let relay = Harness::<Relay>::emulated::<RelayModel>(json!({})).await;
    assert_eq!(relay.call("door", ("GET",)).await, Ok(refused.clone()));
    assert_eq!(relay.call("door", ("HEAD",)).await, Ok(json!("401 Some(\"Basic\") ")));

    let relay = Harness::<Relay>::new().await;
    relay.connect().await;
    let call = relay.call("door", ("GET",));
    let headers = [("WWW-Authenticate", "Basic")];
    let seen = relay.http().expect("GET", "/door").reply_with(401, &headers, "who are you?").await;
    assert_eq!([seen.header("x-key"), seen.header("X-KEY")], [Some("k"); 2]);
    assert_eq!(call.await, Ok(refused));
}

#[tokio::test]
#[should_panic(expected = "another request\n  expected \"GET /relay\"\n  seen     \"GET /relay?id=0\"")]
async fn another_request_is_a_failure() {
    let relay = Harness::<Relay>::new().await;
    let _call = relay.call("refresh", ());
    relay.http().expect("GET", "/relay").reply(200, json!({})).await;
}

#[tokio::test]
#[should_panic(expected = "at the end of the test a request waits for its answer: GET /relay?id=0")]
async fn a_request_may_not_be_left() {
    let relay = Harness::<Relay>::new().await;
    let _call = relay.call("refresh", ());
    relay.advance(secs(1)).await;
}

#[derive(Default)]
struct Host;

#[driver(name = "Host", module = "Host", ssh = 22)]
impl Host {
    #[function]
    async fn uptime(&self, cx: &Cx<Self>) -> Result<String> {
        Ok(cx.ssh_exec("uptime").await?.ok()?.stdout.text().into_owned())
    }
}

#[tokio::test]
async fn commands_on_an_ssh_server() {
    let host = Harness::<Host>::new().await;
    host.connect().await;
    let call = host.call("uptime", ());
    host.expect_exec("uptime").reply(0, "up 3 days").await;
    assert_eq!(call.await, Ok(json!("up 3 days")));
    let call = host.call("uptime", ());
    host.expect_exec("uptime").reply_with(1, "", "no such command").await;
    assert!(call.await.unwrap_err().message().contains("no such command"));
}

#[derive(Default)]
struct Socket;

#[driver(name = "Socket", module = "Socket", uri = "wss://localhost/socket")]
impl Socket {
    #[connected]
    async fn hello(&self, cx: &Cx<Self>) -> Result {
        cx.send_text("hello").await?;
        cx.send("").await
    }

    #[received]
    fn heard(&self, cx: &Cx<Self>, frame: &Frame) {
        cx.info(format!("{frame} {}", frame.is_text()));
    }
}

#[tokio::test]
async fn messages_are_whole_and_have_a_form() {
    let socket = Harness::<Socket>::new().await;
    socket.connect().await;
    socket.expect_text("hello").await;
    socket.expect("").await;
    socket.push_text("one").await;
    socket.push("two").await;
    socket.logged("one true").await;
    socket.logged("two false").await;
}

#[tokio::test]
#[should_panic(expected = "  expected \"hel\"\n  seen     \"hello\"")]
async fn half_a_message_is_another_one() {
    let socket = Harness::<Socket>::new().await;
    socket.connect().await;
    socket.expect("hel").await;
}

#[derive(Default, Status)]
struct RoomStatus {
    /// Whether its first display is on.
    active: bool,
    /// How many displays it has.
    displays: u32,
}

#[derive(Default)]
struct Room;

#[driver(name = "Room", module = "Room", logic, status = RoomStatus)]
impl Room {
    #[started]
    fn started(&self, cx: &Cx<Self>) {
        cx.system().module("Display", 1).subscribe("power", Self::power_changed);
        self.count(cx);
    }

    #[system_changed]
    fn count(&self, cx: &Cx<Self>) {
        cx.status.set(|status| status.displays = cx.system().count("Display"));
    }

    async fn power_changed(&self, cx: &Cx<Self>, power: Option<bool>) {
        cx.status.set(|status| status.active = power == Some(true));
    }

    #[function]
    async fn power(&self, cx: &Cx<Self>, on: bool) -> Result<usize> {
        let results = cx.system().all("Display").call("power", (on,)).await;
        Ok(results.iter().filter(|result| result.is_ok()).count())
    }

    #[function]
    async fn inputs(&self, cx: &Cx<Self>) -> Result<Option<Vec<String>>> {
        cx.system().module("Display", 2).status("inputs").await
    }
}

#[tokio::test]
async fn a_system_of_fake_modules() {
    let broken = Fake::new().answer("power", |_| Err(Error::device("the lamp is gone")));
    let system = MockSystem::new()
        .module("Display", Fake::new().status("power", false).sets("power", "power"))
        .module("Display", broken.status("inputs", ["hdmi"]));
    let room = Harness::<Room>::in_system(system.clone()).await;
    room.status("active", false).await;
    room.status("displays", 2).await;

    assert_eq!(room.call("power", (true,)).await, Ok(json!(1)));
    let called =
        |module: &str| Called { module: module.into(), function: "power".into(), args: json!([true]) };
    assert_eq!(system.take_calls(), [called("Display_1"), called("Display_2")]);
    assert_eq!(system.get("Display", 1, "power"), true);
    room.status("active", true).await;
    assert_eq!(room.call("inputs", ()).await, Ok(json!(["hdmi"])));

    system.set("Display", 1, "power", false);
    room.status("active", false).await;
    system.set("Display", 1, "power", true);
    room.status("active", true).await;
    // The subscription follows the place, not the module.
    system.reorder("Display", &[2, 1]);
    room.status("active", false).await;
    system.remove("Display", 1);
    room.status("active", true).await;
    room.status("displays", 1).await;
    system.add("Display", Fake::new().silent("power"));
    room.status("displays", 2).await;
    assert_eq!(room.call("power", (true,)).await, Ok(json!(1)), "the silent one is given up");
}

#[derive(Default)]
struct Caller;

#[driver(name = "Caller", module = "Caller", logic)]
impl Caller {
    #[started]
    fn started(&self, cx: &Cx<Self>) {
        cx.monitor("alarm", async |_: &Caller, cx: &Cx<Caller>, alarm: String| {
            cx.info(format!("alarm: {alarm}"))
        });
    }

    #[function]
    fn tell(&self, cx: &Cx<Self>) -> Result {
        cx.publish("bell", &3)
    }

    #[function]
    async fn dark(&self, cx: &Cx<Self>) -> usize {
        let all = cx.system().implementing("Powerable").call("power", (false,)).await;
        all.iter().filter(|result| result.is_ok()).count()
    }
}

#[tokio::test]
async fn channels_and_interfaces() {
    let lamp = Fake::new().implements("Powerable").sets("power", "power");
    let system =
        MockSystem::new().module("Lamp", lamp.clone()).module("Screen", lamp).module("Blind", Fake::new());
    let caller = Harness::<Caller>::in_system(system.clone()).await;
    assert_eq!(caller.call("dark", ()).await, Ok(json!(2)));
    caller.call("tell", ()).await.unwrap();
    assert_eq!(system.take_published(), [("bell".to_owned(), json!(3))]);
    system.publish("alarm", "fire");
    caller.logged("alarm: fire").await;
}

#[derive(Default)]
struct Gate;

#[driver(name = "Gate", module = "Gate", tcp = 4001, makebreak, framing = lines("\n"), timeout_ms = 1000)]
impl Gate {
    #[login]
    async fn sign_in(&self, cx: &Cx<Self>) -> Result {
        cx.send("KEY 1").reply(exact("WELCOME").unless(exact("NO"))).await
    }

    #[function]
    async fn open(&self, cx: &Cx<Self>) -> Result {
        cx.send("OPEN").reply(exact("OK")).await
    }
}

#[tokio::test]
async fn a_link_that_is_made_for_each_command() {
    let gate = Harness::<Gate>::new().await;
    gate.connect().await;
    gate.expect_nothing(secs(5)).await;
    for _ in 0..2 {
        let call = gate.call("open", ());
        gate.expect("KEY 1\n").await;
        gate.reply("WELCOME\n").await;
        gate.expect("OPEN\n").await;
        gate.reply("OK\n").await;
        call.await.unwrap();
        gate.disconnect("it is idle").await;
    }

    let call = gate.call("open", ());
    gate.expect("KEY 1\n").await;
    gate.disconnect("it hung up").await;
    assert_eq!(call.await.unwrap_err().code(), "offline");

    let call = gate.call("open", ());
    gate.expect("KEY 1\n").await;
    gate.reply("NO\n").await;
    assert!(call.await.unwrap_err().message().contains("NO"));
    gate.expect_drop().await;

    gate.connect().await;
    gate.unreachable("no route").await;
    assert_eq!(gate.call("open", ()).await.unwrap_err().code(), "offline");
}

#[derive(Default, Status)]
struct AlarmStatus {
    /// How often it rang.
    rang: u32,
}

#[derive(Default)]
struct Alarm;

#[driver(name = "Alarm", module = "Alarm", logic, status = AlarmStatus)]
impl Alarm {
    #[started]
    fn started(&self, cx: &Cx<Self>) -> Result {
        cx.cron("0 7 * * *", async |_: &Alarm, cx: &Cx<Alarm>| cx.status.set(|status| status.rang += 1))
            .map(drop)
    }
}

#[tokio::test]
async fn the_clock_is_that_of_the_system_also_when_it_moves() {
    let system = MockSystem::new().timezone("Europe/Berlin");
    let alarm = Harness::<Alarm>::in_system(system.clone()).await;
    // Two hours ahead of UTC: summer.
    alarm.set_clock("2026-07-01T04:58:30Z").await;
    alarm.advance(secs(121)).await;
    alarm.status("rang", 1).await;
    let _ = system.timezone("Asia/Tokyo");
    alarm.set_clock("2026-07-02T04:58:30Z").await;
    alarm.advance(secs(3600)).await;
    assert_eq!(alarm.status_now("rang"), Some(json!(1)));
    alarm.set_clock("2026-07-02T21:58:30Z").await;
    alarm.advance(secs(121)).await;
    alarm.status("rang", 2).await;

    // Without one it is UTC.
    let alarm = Harness::<Alarm>::in_system(MockSystem::new()).await;
    alarm.set_clock("2026-07-01T06:58:30Z").await;
    alarm.advance(secs(121)).await;
    alarm.status("rang", 1).await;
}
