//! Settings and status.

use drivers_sdk::prelude::*;
use drivers_sdk_protocol::Kind;
use serde_json::json;

use super::started;
use super::support::{Daemon, answer, run};

#[test]
fn settings_change_while_the_module_runs_or_are_refused_by_key() {
    run(async {
        let mut daemon = started(json!({"poll_every": 10}), None).await;
        daemon.send(Kind::Settings, 1, 5, r#"{"settings":{"poll_every":-1}}"#).await;
        let failure = answer(&daemon.next().await).unwrap_err();
        assert_eq!(failure.code, "bad_request");
        assert!(
            failure.message.starts_with("setting `poll_every`: invalid value: integer `-1`"),
            "{failure:?}"
        );
        daemon.send(Kind::Settings, 1, 6, r#"{"settings":{"poll_every":20,"unknown":1}}"#).await;
        daemon.expect(Kind::Done, 6).await;
        assert_eq!(daemon.call(1, "log", json!([])).await.unwrap(), json!(["started", "settings 20"]));
    });
}

#[test]
fn a_secret_is_never_shown() {
    run(async {
        let mut daemon = started(json!({"password": "hunter2"}), None).await;
        assert_eq!(daemon.call(1, "secret", json!([])).await.unwrap(), json!("Some(***) hunter2"));
        daemon.send(Kind::Settings, 1, 5, r#"{"settings":{"password":["hunter2"]}}"#).await;
        let failure = answer(&daemon.next().await).unwrap_err();
        assert_eq!(failure.message, "setting `password`: invalid type, expected a string");
    });
}

#[test]
fn a_setting_is_saved_by_the_daemon() {
    run(async {
        let mut daemon = started(json!({}), None).await;
        let call = daemon.begin(1, "save", json!([7])).await;
        let frame = daemon.next().await;
        assert_eq!(frame.kind(), Some(Kind::SaveSetting));
        assert_eq!(frame.payload, r#"{"key":"level","value":7}"#.as_bytes());
        daemon.send(Kind::Failed, 1, frame.header.correlation, r#"{"code":"x","message":"disk full"}"#).await;
        assert_eq!(daemon.result(call).await.unwrap_err().message, "disk full");
    });
}

#[test]
fn only_what_changed_is_published() {
    run(async {
        let mut daemon = started(json!({}), None).await;
        let mine = |daemon: &mut Daemon| -> Vec<(String, String)> {
            daemon.status.drain(..).map(|(_, key, value)| (key, value)).collect()
        };
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        assert_eq!(mine(&mut daemon), [pair("level", "0"), pair("polls", "0")], "what is None is absent");
        daemon.call(1, "power", json!([true])).await.unwrap();
        assert_eq!(mine(&mut daemon), [pair("power", "true")]);
        daemon.call(1, "power", json!({"on": true, "level": 5})).await.unwrap();
        assert_eq!(mine(&mut daemon), [pair("level", "5")]);
        daemon.call(1, "power", json!([true, 5])).await.unwrap();
        assert_eq!(mine(&mut daemon), []);
        daemon.link_up(1, 1).await;
        daemon.link_down(1, "reset", "").await;
        daemon.wait(secs(3)).await;
        assert_eq!(mine(&mut daemon), [pair("power", "")], "None removes the key");
        daemon.call(1, "set_key", json!(["input.voltage"])).await.unwrap();
        daemon.call(1, "set_key", json!(["input.voltage"])).await.unwrap();
        assert_eq!(mine(&mut daemon), [pair("input.voltage", "230")]);
        for (key, why) in [
            ("power", "`power` is a field of the status: it is set with `cx.status.set`"),
            (
                "connected",
                "`connected` is a status that Headend itself gives each module: choose another name",
            ),
            (
                "tls_verified",
                "`tls_verified` is a status that Headend itself gives each module: choose another name",
            ),
        ] {
            assert_eq!(daemon.call(1, "set_key", json!([key])).await.unwrap_err().message, why);
        }
        assert_eq!(mine(&mut daemon), []);
    });
}
