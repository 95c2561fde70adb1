//! The control WebSocket and the actions, with a driver process behind them.

use std::{collections::HashSet, time::Duration};

use serde_json::{Value, json};

use super::{
    live::Live,
    server::Server,
    socket::{Socket, frame},
};
use crate::api::Options;

fn exec(id: i64, system: &str, name: &str, args: Value) -> Value {
    let mut frame = frame(id, "exec", system, "Desk", name);
    frame["args"] = args;
    frame
}

#[tokio::test]
async fn a_bound_variable_tells_its_value_and_every_change() {
    let Some(live) = Live::start(Server::start().await).await else { return };
    let mut socket = Socket::open(&live.server, &live.server.key).await;
    socket.say(frame(1, "bind", &live.system, "Desk", "height")).await;
    let meta = json!({"sys": live.system, "mod": "Desk", "index": 1, "name": "height"});
    assert_eq!(socket.hear().await, json!({"id": 1, "type": "success", "meta": meta}));
    for (id, value) in [(2, json!(72)), (3, json!({"cm": 110, "unit": "ä\n"})), (4, Value::Null)] {
        socket.say(exec(id, &live.system, "set", json!(["height", value]))).await;
        let (mut replied, mut notified) = (None, None);
        while replied.is_none() || notified.is_none() {
            let frame = socket.hear().await;
            if frame["type"] == "notify" { notified = Some(frame) } else { replied = Some(frame) }
        }
        let notified = notified.unwrap();
        assert_eq!(notified, json!({"id": 1, "type": "notify", "value": value, "meta": meta}));
        let replied = replied.unwrap();
        assert_eq!((&replied["id"], &replied["value"], &replied["code"]), (&json!(id), &value, &json!(200)));
        assert_eq!(replied["meta"]["name"], "set");
    }
    // Another client gets the value that is there, and one that unbinds gets no more.
    live.server.ask("POST", &format!("/systems/{}/Desk_1/set", live.system), json!(["height", 5])).await;
    let mut other = Socket::open(&live.server, &live.server.key).await;
    other.say(frame(7, "bind", &live.system, "Desk", "height")).await;
    assert_eq!(other.hear().await["type"], "success");
    let value = other.hear().await;
    assert_eq!((&value["type"], &value["value"], &value["id"]), (&json!("notify"), &json!(5), &json!(7)));
    other.say(frame(8, "unbind", &live.system, "Desk", "height")).await;
    assert_eq!(other.hear().await["id"], 8);
    other.say(exec(9, &live.system, "set", json!(["height", 6]))).await;
    assert_eq!(other.hear().await["id"], 9);
    other.text("ping").await;
    assert_eq!(other.hear_text().await, "pong", "nothing in between");
}

#[tokio::test]
async fn many_calls_at_once_are_each_answered() {
    let Some(live) =
        Live::start(Server::with(Options { socket_in_flight: 64, ..Options::default() }).await).await
    else {
        return;
    };
    let mut socket = Socket::open(&live.server, &live.server.key).await;
    const CALLS: i64 = 2_000;
    for id in 0..CALLS {
        socket.say(exec(id, &live.system, "echo", json!([id, "text"]))).await;
    }
    let mut answered = HashSet::new();
    let mut last = -1;
    for _ in 0..CALLS {
        let reply = socket.hear().await;
        let id = reply["id"].as_i64().unwrap();
        assert_eq!(reply["value"], json!([id, "text"]), "{reply}");
        assert!(answered.insert(id));
        assert!(id > last, "a module answers in the order of the calls");
        last = id;
    }
}

#[tokio::test]
async fn a_slow_reader_gets_the_newest_value_and_not_all_of_them() {
    let Some(live) = Live::start(Server::start().await).await else { return };
    let mut socket = Socket::open(&live.server, &live.server.key).await;
    socket.say(frame(1, "bind", &live.system, "Desk", "tick")).await;
    assert_eq!(socket.hear().await["type"], "success");
    let path = format!("/systems/{}/Desk_1/burst", live.system);
    assert_eq!(live.server.ask("POST", &path, json!(["tick", 20_000])).await.json(), 20_000);
    let (mut frames, mut last) = (0, 0);
    while last < 20_000 {
        let value = socket.hear().await["value"].as_i64().unwrap();
        assert!(value > last, "{value} after {last}");
        last = value;
        frames += 1;
    }
    assert!(frames < 10_000, "{frames} frames");
}

#[tokio::test]
async fn a_binding_follows_the_place_and_not_the_module() {
    let Some(live) = Live::start(Server::start().await).await else { return };
    let [first, second] = &live.modules;
    for (place, name) in [("Desk_1", "one"), ("Desk_2", "two")] {
        live.server
            .ask("POST", &format!("/systems/{}/{place}/set", live.system), json!(["name", name]))
            .await;
    }
    let mut socket = Socket::open(&live.server, &live.server.key).await;
    socket.say(frame(1, "bind", &live.system, "Desk", "name")).await;
    assert_eq!(socket.hear().await["type"], "success");
    assert_eq!(socket.hear().await["value"], "one");
    let system = live.server.get(&format!("/systems/{}", live.system)).await.json();
    let path = format!("/systems/{}?version={}", live.system, system["version"]);
    assert_eq!(live.server.ask("PATCH", &path, json!({"modules": [second, first]})).await.status, 200);
    assert_eq!(socket.hear().await["value"], "two");
    let call = live.server.ask("POST", &format!("/modules/{first}/exec/set"), json!(["name", "first"])).await;
    assert_eq!(call.status, 200);
    let call =
        live.server.ask("POST", &format!("/modules/{second}/exec/set"), json!(["name", "second"])).await;
    assert_eq!(call.status, 200);
    assert_eq!(socket.hear().await["value"], "second");
}

#[tokio::test]
async fn a_log_is_followed_until_it_is_ignored() {
    let Some(live) = Live::start(Server::start().await).await else { return };
    let mut socket = Socket::open(&live.server, &live.server.key).await;
    let module = &live.modules[0];
    for id in [1, 2] {
        socket.say(frame(id, "debug", &live.system, module, "debug")).await;
        assert_eq!(socket.hear().await, json!({"id": id, "type": "success"}));
    }
    socket.say(exec(3, &live.system, "log", json!([3]))).await;
    let mut lines = Vec::new();
    while lines.len() < 3 {
        let frame = socket.hear().await;
        if frame["type"] == "debug" {
            assert_eq!(
                (&frame["mod"], &frame["level"], &frame["id"]),
                (&json!(module), &json!("info"), &json!(1))
            );
            lines.push(frame["msg"].as_str().unwrap().to_owned());
        }
    }
    assert_eq!(lines, ["line 0", "line 1", "line 2"]);
    socket.say(frame(4, "ignore", &live.system, module, "debug")).await;
    loop {
        if socket.hear().await["id"] == 4 {
            break;
        }
    }
    socket.say(exec(5, &live.system, "log", json!([3]))).await;
    assert_eq!(socket.hear().await["id"], 5);
    socket.text("ping").await;
    assert_eq!(socket.hear_text().await, "pong", "no line in between");
}

#[tokio::test]
async fn failures_have_their_codes() {
    let Some(live) =
        Live::start(Server::with(Options { exec_timeout_ms: 400, ..Options::default() }).await).await
    else {
        return;
    };
    let user = live.server.new_key("user", &["public"]).await;
    let mut socket = Socket::open(&live.server, &user).await;
    for (id, name, code, status) in
        [(1, "fail", 3, 418), (2, "reset", 2, 403), (3, "nothing", 1, 400), (4, "never", 7, 504)]
    {
        socket.say(exec(id, &live.system, name, json!([]))).await;
        let reply = socket.hear().await;
        assert_eq!(
            (&reply["type"], &reply["id"], &reply["error_code"], &reply["code"]),
            (&json!("error"), &json!(id), &json!(code), &json!(status)),
            "{reply}"
        );
        if name == "fail" {
            assert_eq!(reply["msg"], "module raised: failed, as asked");
        }
    }
    let path = |name: &str| format!("/systems/{}/Desk_1/{name}", live.system);
    let failed = live.server.ask("POST", &path("fail"), json!([])).await;
    assert_eq!((failed.status, failed.json()["error"].as_str()), (418, Some("failed, as asked")));
    assert_eq!(failed.json()["code"], "driver");
    assert_eq!(live.server.ask("POST", &path("nothing"), json!([])).await.status, 400);
    let support = live.server.new_key("support", &["public"]).await;
    assert_eq!(
        live.server.ask_as(&support, "POST", &path("reset"), json!([])).await.status,
        403,
        "never 401"
    );
    assert_eq!(live.server.ask("POST", &path("reset"), json!([])).await.json(), true);
}

#[tokio::test]
async fn a_call_in_flight_ends_when_its_module_stops() {
    let Some(live) = Live::start(Server::start().await).await else { return };
    let mut socket = Socket::open(&live.server, &live.server.key).await;
    socket.say(exec(1, &live.system, "never", json!([]))).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    let stopped = live.server.ask("POST", &format!("/modules/{}/stop", live.modules[0]), json!({})).await;
    assert_eq!(stopped.status, 200);
    let reply = socket.hear().await;
    assert_eq!(
        (&reply["id"], &reply["error_code"], &reply["code"]),
        (&json!(1), &json!(7), &json!(503)),
        "{reply}"
    );
}

#[tokio::test]
async fn status_and_functions_are_shown() {
    let Some(live) = Live::start(Server::start().await).await else { return };
    let path = |rest: &str| format!("/systems/{}/{rest}", live.system);
    let set = live.server.ask("POST", &path("Desk_1/set"), json!(["who", {"a": [1]}])).await;
    assert_eq!((set.status, set.json()), (200, json!({"a": [1]})));
    let all = live.server.get(&path("Desk_1")).await.json();
    assert_eq!(serde_json::from_str::<Value>(all["who"].as_str().unwrap()).unwrap(), json!({"a": [1]}));
    assert_eq!(live.server.get(&path("Desk/who")).await.json(), json!({"a": [1]}));
    let module = &live.modules[0];
    let one = live.server.get(&format!("/modules/{module}/state/who")).await.json();
    assert_eq!(serde_json::from_str::<Value>(one.as_str().unwrap()).unwrap(), json!({"a": [1]}));
    let functions = live.server.get(&path("functions/Desk_1")).await.json();
    assert_eq!(functions["set"]["order"], json!(["key", "value"]));
    assert_eq!((&functions["set"]["arity"], functions["reset"].is_object()), (&json!(2), true));
    let support = live.server.new_key("support", &["public"]).await;
    let functions = live.server.ask_as(&support, "GET", &path("functions/Desk_1"), Value::Null).await.json();
    assert!(functions.get("reset").is_none(), "hidden from who may not call it");
    let shown = live.server.get(&format!("/modules/{module}")).await.json();
    assert_eq!((&shown["connected"], &shown["runtime"]["state"]), (&json!(true), &json!("running")));
    let processes = live.server.get("/cluster/headend?include_status=true").await.json();
    assert_eq!(processes[0]["local"]["modules"].as_array().unwrap().len(), 2, "{processes}");
    let driver = shown["driver_id"].as_str().unwrap();
    assert_eq!(live.server.get(&format!("/drivers/{driver}/compiled")).await.status, 200);
    let driver = live.server.get(&format!("/drivers/{driver}")).await.json();
    assert_eq!(driver["compilation_status"], json!({"headend": true}));
    let repository = driver["repository_id"].as_str().unwrap();
    let paths = live.server.get(&format!("/repositories/{repository}/drivers")).await.json();
    assert_eq!(paths, json!(["desk/Cargo.toml"]));
    let commits =
        live.server.get(&format!("/repositories/{repository}/commits?driver=desk/Cargo.toml")).await.json();
    assert_eq!(
        (&commits[0]["subject"], &commits[0]["hash"]),
        (&json!("Add the desk"), &commits[0]["commit"])
    );
    assert_eq!(
        live.server.get(&format!("/repositories/{repository}/branches")).await.json(),
        json!(["main"])
    );
    let details =
        live.server.get(&format!("/repositories/{repository}/details?driver=desk/Cargo.toml")).await.json();
    assert_eq!((&details["descriptive_name"], &details["default_settings"]), (&json!("Desk"), &json!("{}")));
    let pulled = live.server.ask("POST", &format!("/repositories/{repository}/pull"), json!({})).await;
    assert_eq!(pulled.json()["commit_hash"], commits[0]["hash"]);
}
