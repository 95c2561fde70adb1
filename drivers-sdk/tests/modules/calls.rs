//! Calls and their arguments, and what the device says meanwhile.

use drivers_sdk::prelude::*;
use drivers_sdk_protocol::Kind;
use serde_json::json;

use super::started;
use super::support::run;

#[test]
fn arguments_that_do_not_fit_are_refused_by_name() {
    run(async {
        let mut daemon = started(json!({}), None).await;
        for (args, message) in [
            (json!([]), "argument `on` of `power` is missing"),
            (json!({}), "argument `on` of `power` is missing"),
            (json!(["yes"]), "argument `on` of `power`: invalid type: string \"yes\", expected a boolean"),
            (json!([true, 1, 2]), "arguments of `power`: it takes 2 (on, level), 3 were given"),
            (json!({"On": true}), "arguments of `power`: it has none named `On`, only: on, level"),
            (
                json!({"on": true, "level": 300}),
                "argument `level` of `power`: invalid value: integer `300`, expected u8",
            ),
            (
                json!("on"),
                "arguments of `power`: invalid type: string \"on\", expected an array of arguments, or an object of named ones",
            ),
        ] {
            let failure = daemon.call(1, "power", args).await.unwrap_err();
            assert_eq!((failure.code.as_str(), failure.message.as_str()), ("bad_request", message));
        }
        let failure = daemon.call(1, "pover", json!([])).await.unwrap_err();
        assert_eq!(
            (failure.code.as_str(), failure.message.as_str()),
            ("unknown_function", "Lamp has no function `pover`")
        );
        let failure = daemon.call(1, "fail", json!(null)).await.unwrap_err();
        assert_eq!(
            (failure.code.as_str(), failure.message.as_str()),
            ("driver", "invalid digit found in string")
        );
    });
}

#[test]
fn received_runs_in_order_however_slow_it_is_and_holds_up_nothing_else() {
    run(async {
        let mut daemon = started(json!({}), Some(1)).await;
        daemon.call(1, "log", json!([])).await.unwrap();
        let lines: Vec<String> = (0..500).map(|number| format!("line {number}")).collect();
        for (number, line) in lines.iter().enumerate() {
            if number % 100 == 50 {
                daemon.received(1, "pause\n").await;
            }
            if number == 200 {
                daemon.received(1, "bad\n").await;
            }
            // In pieces that have nothing to do with lines.
            let wire = format!("{line}\n");
            let (start, end) = wire.split_at(number % wire.len());
            daemon.received(1, start).await;
            daemon.received(1, end).await;
        }
        daemon.send(Kind::Received, 1, 77, "last").await;
        // It pauses 25 s in all, and still answers.
        let began = tokio::time::Instant::now();
        assert_eq!(daemon.call(1, "power", json!([true])).await.unwrap(), json!(true));
        assert!(began.elapsed() < secs(1));
        daemon.expect(Kind::Done, 77).await;
        assert!(began.elapsed() >= secs(20), "acknowledged when all before it was taken");
        let mut log = daemon.call(1, "log", json!([])).await.unwrap();
        let log: Vec<String> = serde_json::from_value(log.take()).unwrap();
        let received: Vec<&String> = log.iter().filter(|line| line.starts_with("line")).collect();
        assert_eq!(received, lines.iter().collect::<Vec<_>>());
        assert!(daemon.logged("warn: received: a bad line"));
    });
}
