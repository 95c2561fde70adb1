//! What a harness does beside the script of a device: callers, webhooks, what the module shows, the clock, TLS, datagrams, and
//! peers that are out there.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::net::SocketAddr;

use drivers_sdk::interfaces::{Door, DoorSecurity};
use drivers_sdk::prelude::*;
use drivers_sdk::testing::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};

#[derive(Default, Status)]
struct GatewayStatus {
    /// Who asked last.
    asked_by: Option<String>,
    /// What happened at its time.
    done: Vec<String>,
}

#[derive(Default)]
struct Gateway;

#[driver(
    name = "Gateway", module = "Gateway", tcp = 5000, framing = lines("\n"), status = GatewayStatus,
    implements(DoorSecurity), timeout_ms = 2000,
)]
impl Gateway {
    #[function]
    fn who(&self, cx: &Cx<Self>) -> Option<String> {
        cx.caller().map(|id| id.to_string())
    }

    #[function(security = "administrator")]
    fn reset(&self) -> bool {
        true
    }

    #[webhook]
    fn ordered(&self, cx: &Cx<Self>, request: Webhook) -> Result<Value> {
        if request.header("X-Shop") != Some("7") {
            return Err(Error::bad_request("another shop"));
        }
        let order: Value = request.json()?;
        cx.info(format!("{} {} {:?}", request.method, order, request.query));
        Ok(json!({"accepted": true}))
    }

    #[received]
    fn said(&self, cx: &Cx<Self>, line: &str) {
        match line {
            "UNPLUGGED" => cx.set_connected(false, "the lamp is unplugged"),
            "PLUGGED" => cx.clear_connected(),
            _ => {}
        }
    }

    #[function]
    async fn ask(&self, cx: &Cx<Self>, text: String) -> Result<String> {
        cx.send(text).reply(anything()).await.map(|frame| frame.to_string())
    }

    #[function]
    async fn secure(&self, cx: &Cx<Self>) -> Result {
        cx.send("STARTTLS").reply(exact("GO")).await?;
        cx.start_tls().await?;
        cx.send("HELLO").reply(exact("WELCOME")).await
    }

    #[function]
    fn wake(&self, cx: &Cx<Self>) -> Result {
        cx.cron("0 7 * * MON-FRI", async |_: &Gateway, cx: &Cx<Gateway>| {
            cx.status.set(|status| status.done.push("wake".into()));
        })
        .map(drop)
    }
}

impl DoorSecurity for Gateway {
    async fn doors(&self, _: &Cx<Self>) -> Result<Vec<Door>> {
        Ok(Vec::new())
    }

    async fn unlock_door(&self, cx: &Cx<Self>, _: String, _: Option<u32>) -> Result {
        let who = cx.caller().map(|id| id.to_string());
        cx.status.set(|status| status.asked_by = who);
        Ok(())
    }

    async fn lock_door(&self, _: &Cx<Self>, _: String) -> Result {
        Ok(())
    }
}

#[tokio::test]
async fn callers_have_names_and_clearance() {
    let gateway = Harness::<Gateway>::new().await;
    let jane = User::new("user-jane");
    assert_eq!(gateway.call("who", ()).await, Ok(Value::Null));
    assert_eq!(gateway.call_as(&jane, "who", ()).await, Ok(json!("user-jane")));
    let refused = gateway.call_as(&jane, "reset", ()).await.unwrap_err();
    assert_eq!(refused.message(), "reset needs administrator clearance");
    let refused = gateway.call_as(&jane.clone().support(), "reset", ()).await.unwrap_err();
    assert_eq!(refused.message(), "reset needs administrator clearance");
    assert_eq!(gateway.call_as(&jane.clone().administrator(), "reset", ()).await, Ok(json!(true)));

    // Of an interface.
    let refused = gateway.call_as(&jane, "unlock_door", ("front",)).await.unwrap_err();
    assert_eq!(refused.message(), "unlock_door needs support clearance");
    gateway.call_as(&jane.support(), "unlock_door", ("front",)).await.unwrap();
    gateway.status("asked_by", "user-jane").await;
}

#[tokio::test]
async fn services_call_webhooks() {
    let gateway = Harness::<Gateway>::new().await;
    let mut order = Webhook { method: "POST".into(), body: r#"{"cups":2}"#.into(), ..Webhook::default() };
    assert_eq!(gateway.webhook("ordered", order.clone()).await.unwrap_err().message(), "another shop");
    order.headers.insert("x-shop".into(), "7".into());
    order.query.insert("table".into(), "4".into());
    let answer = gateway.webhook("ordered", order).await.unwrap();
    assert_eq!((answer.status, answer.body.as_str()), (200, r#"{"accepted":true}"#));
    gateway.logged(r#"POST {"cups":2} {"table": "4"}"#).await;
}

#[tokio::test]
#[should_panic(expected = "the driver has no #[webhook] `reset`")]
async fn what_is_no_webhook_is_not_called_as_one() {
    let gateway = Harness::<Gateway>::new().await;
    let _ = gateway.webhook("reset", Webhook::default()).await;
}

#[tokio::test]
async fn what_the_module_shows_is_what_the_driver_says_or_the_link_is() {
    let gateway = Harness::<Gateway>::new().await;
    gateway.shows_connected(false, "").await;
    gateway.connect().await;
    gateway.shows_connected(true, "").await;
    gateway.push("UNPLUGGED\n").await;
    gateway.shows_connected(false, "unplugged").await;
    gateway.push("PLUGGED\n").await;
    gateway.shows_connected(true, "").await;
    gateway.push("UNPLUGGED\n").await;
    gateway.shows_connected(false, "the lamp is unplugged").await;
    // It holds until another connection comes up.
    gateway.disconnect("pulled").await;
    gateway.shows_connected(false, "the lamp is unplugged").await;
    gateway.connect().await;
    gateway.shows_connected(true, "").await;
    gateway.disconnect("pulled").await;
    gateway.shows_connected(false, "pulled").await;
}

#[tokio::test]
#[should_panic(expected = "seen     connected: false, \"pulled\"")]
async fn what_it_shows_instead_is_told() {
    let gateway = Harness::<Gateway>::new().await;
    gateway.connect().await;
    gateway.disconnect("pulled").await;
    gateway.shows_connected(true, "").await;
}

#[tokio::test]
async fn the_clock_is_the_tests_own() {
    let gateway = Harness::<Gateway>::new().await;
    // A Monday, which is leap day.
    gateway.set_clock("2044-02-29T06:58:30Z").await;
    gateway.call("wake", ()).await.unwrap();
    gateway.advance(secs(89)).await;
    assert_eq!(gateway.status_now("done"), Some(json!([])));
    gateway.advance(secs(2)).await;
    gateway.status("done", ["wake"]).await;
    gateway.set_clock("2044-03-04T06:59:59Z").await;
    gateway.advance(secs(61)).await;
    gateway.status("done", ["wake", "wake"]).await;
    gateway.set_clock("2044-03-05T06:59:59Z").await;
    gateway.advance(secs(3600)).await;
    assert_eq!(gateway.status_now("done"), Some(json!(["wake", "wake"])), "that is a Saturday");
}

#[tokio::test]
#[should_panic(expected = "\"Monday\" is no time: write it as 2026-11-22T06:59:30Z")]
async fn a_time_that_is_none_is_told() {
    Harness::<Gateway>::new().await.set_clock("Monday").await;
}

#[tokio::test]
async fn tls_begins_where_the_driver_wants_it() {
    let gateway = Harness::<Gateway>::new().await;
    gateway.connect().await;
    let call = gateway.call("secure", ());
    gateway.expect("STARTTLS\n").await;
    gateway.reply("GO\n").await;
    gateway.expect_start_tls().await;
    gateway.expect("HELLO\n").await;
    gateway.reply("WELCOME\n").await;
    call.await.unwrap();
}

#[tokio::test]
#[should_panic(expected = "TLS was expected to begin, and it sent \"STARTTLS\\n\"")]
async fn what_comes_instead_of_tls_is_told() {
    let gateway = Harness::<Gateway>::new().await;
    gateway.connect().await;
    let _call = gateway.call("secure", ());
    gateway.expect_start_tls().await;
}

#[derive(Default, Status)]
struct BeaconStatus {
    /// The datagrams that came by themselves.
    heard: Vec<String>,
}

#[derive(Default)]
struct Beacon;

#[driver(name = "Beacon", module = "Beacon", udp = 5001, status = BeaconStatus, timeout_ms = 2000)]
impl Beacon {
    #[received]
    fn heard(&self, cx: &Cx<Self>, datagram: &str) {
        cx.status.set(|status| status.heard.push(datagram.into()));
    }

    #[function]
    async fn ask(&self, cx: &Cx<Self>, text: String) -> Result<String> {
        cx.send(text).reply(prefix("=")).await.map(|frame| frame.to_string())
    }

    #[function]
    async fn tell(&self, cx: &Cx<Self>, texts: Vec<String>) -> Result {
        for text in texts {
            cx.send(text).await?;
        }
        Ok(())
    }
}

#[tokio::test]
async fn datagrams_stay_whole_and_apart() {
    let beacon = Harness::<Beacon>::new().await;
    beacon.connect().await;
    let call = beacon.call("ask", ("a",));
    beacon.expect("a").await;
    beacon.push("unasked").await;
    beacon.push("").await;
    beacon.reply("=b").await;
    assert_eq!(call.await, Ok(json!("b")));
    beacon.status("heard", ["unasked", ""]).await;
    beacon.call("tell", (["one", "two"],)).await.unwrap();
    beacon.expect("one").await;
    beacon.expect("two").await;
}

#[tokio::test]
#[should_panic(expected = "expected \"onetwo\"\n  seen     \"one\"")]
async fn two_datagrams_are_not_one() {
    let beacon = Harness::<Beacon>::new().await;
    beacon.connect().await;
    beacon.call("tell", (["one", "two"],)).await.unwrap();
    beacon.expect("onetwo").await;
}

/// A TCP server that repeats each line, and hangs up after `BYE`.
async fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut buffer = [0; 64];
            while let Ok(length @ 1..) = stream.read(&mut buffer).await {
                stream.write_all(&buffer[..length]).await.unwrap();
                if buffer.starts_with(b"BYE") {
                    break;
                }
            }
        }
    });
    address
}

#[tokio::test]
async fn a_peer_that_is_out_there() {
    let gateway = Harness::<Gateway>::against(echo().await.to_string(), json!({})).await;
    assert_eq!(gateway.call("ask", ("hello",)).await, Ok(json!("hello")));
    gateway.call("ask", ("BYE",)).await.unwrap();
    gateway.shows_connected(false, "the device closed the connection").await;
    // It is connected anew.
    gateway.shows_connected(true, "").await;
    assert_eq!(gateway.call("ask", ("again",)).await, Ok(json!("again")));
}

#[tokio::test]
async fn a_peer_of_datagrams() {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut buffer = [0; 64];
        while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
            let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
            socket.send_to(format!("={text}").as_bytes(), from).await.unwrap();
        }
    });
    let beacon = Harness::<Beacon>::against(address.to_string(), json!({})).await;
    assert_eq!(beacon.call("ask", ("a",)).await, Ok(json!("a")));
}

#[tokio::test]
#[should_panic(expected = "127.0.0.1:1: Connection refused")]
async fn a_peer_that_is_not_there_is_told() {
    Harness::<Gateway>::against("127.0.0.1:1", json!({})).await;
}
