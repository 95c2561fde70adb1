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

#[derive(Settings)]
struct Required {
    /// Which lamp it is.
    address: u8,
    name: Option<String>,
}

#[derive(Default)]
struct Strict;

#[driver(name = "Strict", module = "Lamp", tcp = 5000, settings = Required)]
impl Strict {
    #[function]
    fn who(&self, cx: &Cx<Self>) -> (u8, Option<String>) {
        let settings = cx.settings();
        (settings.address, settings.name.clone())
    }
}

#[test]
fn a_setting_that_must_be_configured_is_missed_by_its_name() {
    run(async {
        let mut daemon = Daemon::of::<Strict>().await;
        for (handle, settings) in [json!({}), json!({"address": null, "name": "x"})].into_iter().enumerate() {
            let failure = answer(&daemon.start(handle as u32 + 1, settings, None).await).unwrap_err();
            let told = (failure.code.as_str(), failure.message.as_str());
            assert_eq!(told.0, "bad_request");
            assert!(told.1.starts_with("setting `address`"), "{told:?}");
            if handle == 0 {
                assert_eq!(told.1, "setting `address` is missing");
            }
        }
        daemon.start(9, json!({"address": 4}), None).await;
        assert_eq!(daemon.call(9, "who", json!([])).await.unwrap(), json!([4, null]));
        daemon.send(Kind::Settings, 9, 5, r#"{"settings":{"name":"x"}}"#).await;
        assert_eq!(answer(&daemon.next().await).unwrap_err().message, "setting `address` is missing");
        assert_eq!(daemon.call(9, "who", json!([])).await.unwrap(), json!([4, null]), "the old ones stay");
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
