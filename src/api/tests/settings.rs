use serde_json::{Value, json};

use super::server::Server;
use crate::model::Kind;

const LOGIC: i64 = 99;

#[tokio::test]
async fn settings_are_shown_by_clearance_and_sealed_at_rest() {
    let server = Server::start().await;
    let system = server.create("/systems", json!({"name": "room"})).await;
    let support = server.new_key("support", &["public"]).await;
    for (level, secret) in [(0, "open"), (1, "supported"), (2, "administered"), (3, "hidden")] {
        let body = json!({"parent_id": system, "encryption_level": level, "settings_string": format!("word: {secret}")});
        let made = server.ask("POST", "/settings", body).await;
        assert_eq!(made.status, 201, "{made:?}");
        assert_eq!(
            (&made.json()["keys"], made.json()["parent_type"].as_str()),
            (&json!(["word"]), Some("control_system"))
        );
        let path = format!("/settings/{}", made.id());
        let (admin, support) =
            (server.get(&path).await.text, server.ask_as(&support, "GET", &path, Value::Null).await.text);
        assert_eq!(admin.contains(secret), level <= 2, "{admin}");
        assert_eq!(support.contains(secret), level <= 1, "{support}");
        assert!(support.contains("\"word\""), "keys are always in the clear");
        let stored = server.state.store().get(Kind::Settings, &made.id()).await.unwrap().unwrap();
        assert_eq!(stored.body.contains(secret), level == 0);
    }
    let list = server.get(&format!("/settings?parent_id={system},zone-none")).await;
    let levels: Vec<_> = list
        .json()
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["encryption_level"].as_i64().unwrap())
        .collect();
    assert_eq!((levels, list.header("x-total-count")), (vec![3, 2, 1, 0], "4"));
    let write = server.ask_as(&support, "POST", "/settings", json!({"parent_id": system})).await;
    assert_eq!(write.status, 403, "support may not write");
}

#[tokio::test]
async fn one_for_each_parent_and_level_and_only_what_parses() {
    let server = Server::start().await;
    let zone = server.create("/zones", json!({"name": "z"})).await;
    let post = async |body| server.ask("POST", "/settings", body).await;
    assert_eq!(post(json!({"parent_id": zone, "encryption_level": "support"})).await.status, 201);
    assert_eq!(
        post(json!({"parent_id": zone, "encryption_level": 1})).await.failures(),
        ["encryption_level: should be unique"]
    );
    assert_eq!(
        post(json!({"parent_id": "zone-none"})).await.failures(),
        ["parent_id: must reference an existing model"]
    );
    assert_eq!(post(json!({"parent_id": "what-1"})).await.failures(), ["parent_id: is invalid"]);
    assert_eq!(post(json!({"parent_id": zone, "encryption_level": 7})).await.status, 400);
    for text in ["- a\n- b", "a: [", "just text", "\u{1b}1|x|y"] {
        let refused = post(json!({"parent_id": zone, "settings_string": text})).await;
        assert_eq!(refused.status, 422, "{text}: {refused:?}");
        assert!(refused.failures()[0].starts_with("settings_string: "), "{refused:?}");
    }
}

#[tokio::test]
async fn what_was_read_sealed_may_be_sent_back_and_is_never_lowered_unseen() {
    let server = Server::start().await;
    let zone = server.create("/zones", json!({"name": "z"})).await;
    let body = json!({"parent_id": zone, "encryption_level": 3, "settings_string": "pin: 1234"});
    let made = server.ask("POST", "/settings", body).await;
    let path = format!("/settings/{}", made.id());
    let sealed = made.json()["settings_string"].as_str().unwrap().to_owned();
    assert!(sealed.starts_with('\u{1b}'));
    let same = server
        .ask("PATCH", &path, json!({"settings_string": sealed, "encryption_level": 3, "keys": []}))
        .await;
    assert_eq!((same.status, &same.json()["keys"]), (200, &json!(["pin"])), "{same:?}");
    for body in [json!({"encryption_level": 0}), json!({"encryption_level": 0, "settings_string": sealed})] {
        let lowered = server.ask("PATCH", &path, body).await;
        assert_eq!(lowered.status, 422, "{lowered:?}");
    }
    let anew = server.ask("PATCH", &path, json!({"encryption_level": 0, "settings_string": "pin: 1"})).await;
    assert_eq!((anew.status, anew.json()["settings_string"].as_str()), (200, Some("pin: 1")));
    let raised = server.ask("PATCH", &path, json!({"encryption_level": 2})).await;
    assert_eq!(raised.json()["settings_string"], "pin: 1", "an admin sees it");
    let stored = server.state.store().get(Kind::Settings, &made.id()).await.unwrap().unwrap();
    assert!(!stored.body.contains("pin: 1"), "and it is sealed");
}

#[tokio::test]
async fn merged_settings_say_where_each_key_comes_from() {
    let server = Server::start().await;
    let basics = server.basics(LOGIC).await;
    let zone = server.create("/zones", json!({"name": "z"})).await;
    server.ask("PATCH", &format!("/systems/{}?version=0", basics.system), json!({"zones": [zone]})).await;
    let body = json!({"driver_id": basics.driver, "control_system_id": basics.system});
    let module = server.create("/modules", body).await;
    for (parent, level, text) in [
        (&basics.driver, 0, "a: driver\nb: driver\nc: driver\nd: driver"),
        (&zone, 0, "b: zone\nc: zone\nd: zone"),
        (&basics.system, 0, "c: system\nd: system"),
        (&module, 0, "d: module"),
        (&module, 2, "d: admin"),
    ] {
        server
            .create(
                "/settings",
                json!({"parent_id": parent, "encryption_level": level, "settings_string": text}),
            )
            .await;
    }
    let merged = server.get(&format!("/modules/{module}/settings/merged")).await.json();
    assert_eq!(merged["values"], json!({"a": "driver", "b": "zone", "c": "system", "d": "admin"}));
    assert_eq!(merged["origins"]["b"]["parent_id"], json!(zone));
    assert_eq!(
        (&merged["origins"]["d"]["parent_type"], &merged["origins"]["d"]["encryption_level"]),
        (&json!("module"), &json!(2))
    );
    let support = server.new_key("support", &["public"]).await;
    let merged =
        server.ask_as(&support, "GET", &format!("/modules/{module}/settings/merged"), Value::Null).await;
    assert_eq!(
        (&merged.json()["values"]["d"], &merged.json()["origins"]["d"]["masked"]),
        (&json!("<MASKED>"), &json!(true))
    );
    assert!(!merged.text.contains("admin\","), "{merged:?}");
    let rows = server.get(&format!("/modules/{module}/settings")).await;
    let parents: Vec<Value> =
        rows.json().as_array().unwrap().iter().map(|row| row["parent_id"].clone()).collect();
    assert_eq!(parents, [&basics.driver, &zone, &basics.system, &module, &module].map(|id| json!(id)));
    let rows = server.get(&format!("/systems/{}/settings", basics.system)).await;
    assert_eq!(rows.header("x-total-count"), "2");
}

#[tokio::test]
async fn versions_are_kept_newest_first() {
    let server = Server::start().await;
    let zone = server.create("/zones", json!({"name": "z"})).await;
    let id = server
        .create("/settings", json!({"parent_id": zone, "settings_string": "n: 0", "encryption_level": 1}))
        .await;
    for number in 1..5 {
        let body = json!({"settings_string": format!("n: {number}")});
        assert_eq!(server.ask("PATCH", &format!("/settings/{id}"), body).await.status, 200);
    }
    let history = server.get(&format!("/settings/{id}/history?limit=2&offset=1")).await;
    let texts: Vec<Value> =
        history.json().as_array().unwrap().iter().map(|item| item["settings_string"].clone()).collect();
    assert_eq!(texts, ["n: 3", "n: 2"], "in the clear, for who has the clearance");
    assert_eq!((history.header("x-total-count"), history.header("content-range")), ("5", "sets 1-3/5"));
    assert!(history.header("link").contains("offset=3"));
    assert_eq!(history.json()[0]["settings_id"], json!(id));
}

#[tokio::test]
async fn what_settings_say_of_a_connection_is_checked_when_it_is_written() {
    let server = Server::start().await;
    let device = server.basics(1).await.driver;
    for (text, names) in [
        ("connection: {sauce: 127.0.0.1}", "`sauce`"),
        ("connection: {source: here}", "connection.source"),
        ("connection: {tls: {pin: 12}}", "connection.tls.pin"),
        ("connection: fast", "the setting connection "),
    ] {
        let refused =
            server.ask("POST", "/settings", json!({"parent_id": device, "settings_string": text})).await;
        assert_eq!(refused.status, 422, "{text}: {refused:?}");
        assert!(refused.failures()[0].contains(names), "{text}: {refused:?}");
    }
    let body = json!({"parent_id": device, "settings_string": "connection: {source: 127.0.0.1}"});
    assert_eq!(server.ask("POST", "/settings", body).await.status, 201);
    // A logic module has no connection, so that the word is free.
    let logic = server.basics(LOGIC).await.driver;
    let body = json!({"parent_id": logic, "settings_string": "connection: fast"});
    assert_eq!(server.ask("POST", "/settings", body).await.status, 201);
}
