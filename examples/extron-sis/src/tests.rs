//! The driver with a script, and with the emulator.

use drivers_sdk::testing::*;

use proptest::prelude::*;

use super::emulator::Emulator;
use super::{Switcher, fact, size, value, why};

const PROMPT: &str = "\r\n(c) Copyright 2020, Extron Electronics\r\n\r\nPassword:";

#[tokio::test]
async fn it_signs_in_ties_and_mutes() {
    let switcher = Harness::<Switcher>::emulated::<Emulator>(json!({ "password": "extron" })).await;
    switcher.status("routes", json!({ "1": 1, "2": 1, "3": 1, "4": 1 })).await;
    switcher.status("firmware", "1.07").await;
    assert_eq!(switcher.call("switch", (3, [4])).await, Ok(json!(null)));
    assert_eq!(switcher.call("switch", (5, [1, 2], "audio")).await, Ok(json!(null)));
    switcher.status("routes", json!({ "1": 1, "2": 1, "3": 1, "4": 3 })).await;
    switcher.status("audio_routes", json!({ "1": 5, "2": 5, "3": 1, "4": 3 })).await;
    switcher.call("save_preset", (2,)).await.unwrap();
    switcher.call("disconnect_outputs", ([0; 0],)).await.unwrap();
    switcher.status("routes", json!({ "1": 0, "2": 0, "3": 0, "4": 0 })).await;
    switcher.call("recall_preset", (2,)).await.unwrap();
    switcher.status("audio_routes", json!({ "1": 5, "2": 5, "3": 1, "4": 3 })).await;

    assert_eq!(switcher.call("mute_video", (true, 2)).await, Ok(json!(true)));
    switcher.status("mute", json!({ "1": false, "2": false, "3": false, "4": false })).await;
    switcher.call("mute", (true,)).await.unwrap();
    switcher.status("mute", json!({ "1": true, "2": true, "3": true, "4": true })).await;
    assert_eq!(switcher.call("volume", (51.0, 1)).await, Ok(json!(51.5625)));
    switcher.status("volume", json!({ "1": 51.5625, "2": 100.0, "3": 100.0, "4": 100.0 })).await;

    let refused = switcher.call("switch", (9, [1])).await.unwrap_err();
    assert_eq!(
        (refused.code(), refused.message()),
        ("device", "the switcher refused: it has no such input (E01)")
    );
}

#[tokio::test]
async fn a_password_that_is_refused_or_missing_is_named() {
    let switcher = Harness::<Switcher>::new().await;
    switcher.connect().await;
    switcher.expect("\x1b3CV\r").await;
    switcher.push(PROMPT).await;
    assert_eq!(switcher.expect_drop().await, "the switcher asks for a password: set `password`");

    let switcher = Harness::<Switcher>::with(json!({ "password": "wrong" })).await;
    switcher.connect().await;
    switcher.push(PROMPT).await;
    switcher.expect("wrong\r").await;
    switcher.reply("\r\nPassword:").await;
    assert_eq!(switcher.expect_drop().await, "the switcher refused the password");
}

#[tokio::test]
async fn a_serial_port_asks_for_no_password_and_old_switchers_have_no_tags() {
    let switcher = Harness::<Switcher>::with(json!({ "password": "extron" })).await;
    switcher.connect().await;
    switcher.advance(secs(3)).await;
    for (command, answer) in [
        ("\x1b3CV\r", "Vrb3"),
        ("I", "V2X1 A0X0"),
        ("N", "60-1"),
        ("Q", "2.10"),
        ("1%", "2"),
        ("1$", "E14"),
        ("1B", "0"),
        ("1Z", "E14"),
        ("1V", "E14"),
    ] {
        switcher.expect(command).await;
        switcher.reply(format!("{answer}\r\n")).await;
    }
    switcher.status("routes", json!({ "1": 2 })).await;
    switcher.status("mute", json!({ "1": false })).await;
    switcher.status("volume", json!({})).await;

    // Somebody else, at the front panel.
    switcher.push("Out01 In01 All\r\nVmt01*1\r\nReconfig\r\n").await;
    switcher.status("routes", json!({ "1": 1 })).await;
    switcher.status("video_mute", json!({ "1": true })).await;
}

standard_suite!(Switcher, emulator = Emulator);

#[test]
fn facts_are_those_of_the_manual() {
    for (line, expected) in [
        ("Out04 In02 All", Some(("All", Some(4), 2))),
        ("Out4 In0 RGB", Some(("Vid", Some(4), 0))),
        ("In05 Aud", Some(("Aud", None, 5))),
        ("Out2 Vol40", Some(("Vol", Some(2), 40))),
        ("Vmt2*1", Some(("Vmt", Some(2), 1))),
        ("Amt0", Some(("Amt", None, 0))),
        ("Rpr03", Some(("Rpr", None, 3))),
        ("Qik", Some(("Qik", None, 0))),
        ("Out4 Vid2 All", None),
        ("Out4 In2 All 3", None),
        ("Vmt2*", None),
    ] {
        assert_eq!(fact(line), expected, "{line}");
    }
}

#[test]
fn values_have_tags_or_not() {
    assert_eq!((size("V8X4 A8X4"), size("Inf00*V16X16 A0X0")), (Some((8, 4)), Some((16, 16))));
    assert_eq!((value("1.07"), value("Ver01*1.07")), ("1.07", "1.07"));
}

#[test]
fn refusals_have_two_digits() {
    assert!(why("E12").unwrap().contains("no such output"));
    assert!(why("E99").unwrap().contains("E99"));
    assert!(["E1", "E123", "Exe1", "Ex", "e12"].iter().all(|line| why(line).is_none()));
}

proptest! {
    #[test]
    fn any_line_may_come(line: String) {
        let _ = (fact(&line), size(&line), value(&line), why(&line));
    }
}
