//! The driver with a script, and with the emulator.

use drivers_sdk::testing::*;

use super::Projector;
use super::emulator::Emulator;

drivers_sdk::testing::standard_suite!(Projector, emulator = Emulator);

#[tokio::test]
async fn class_2_has_names_serial_numbers_and_more() {
    let settings = json!({ "password": "JBMIAProjectorLink" });
    let projector = Harness::<Projector>::emulated::<Emulator>(settings).await;
    projector.status("class", 2).await;
    projector.status("power", false).await;
    let names = json!({ "11": "Computer", "31": "HDMI 1", "32": "HDMI 2", "51": "Network" });
    projector.status("input_names", names).await;
    projector.status("serial_number", "0001").await;
    projector.status("filter_hours", 1200).await;
    // What it cannot say while it is off is absent.
    projector.status("resolution", None::<String>).await;
    assert_eq!(projector.call("power", (true,)).await, Ok(json!(true)));
    projector.status("power_state", "warming").await;
    assert_eq!(projector.call("freeze", (true,)).await.unwrap_err().code(), "device");
}

#[tokio::test]
async fn class_1_is_asked_nothing_else() {
    let projector = Harness::<Projector>::new().await;
    projector.connect().await;
    projector.push("PJLINK 0\r").await;
    for (command, answer) in [
        ("%1CLSS ?", "1"),
        ("%1INST ?", "11 31"),
        ("%1NAME ?", "Hall"),
        ("%1INF1 ?", "Example"),
        ("%1INF2 ?", "One"),
        ("%1POWR ?", "1"),
        ("%1INPT ?", "31"),
        ("%1AVMT ?", "30"),
        ("%1ERST ?", "210100"),
        ("%1LAMP ?", "1200 1 350 0"),
    ] {
        projector.expect(format!("{command}\r")).await;
        projector.reply(format!("{}={answer}\r", &command[..6])).await;
    }
    projector.status("class", 1).await;
    projector.status("input", "31").await;
    projector.status("faults", ["fan: error", "lamp: warning", "cover: warning"]).await;
    projector.status("lamp_hours", [1200, 350]).await;
    projector.status("frozen", None::<bool>).await;

    // It is turned off: what it refuses to say now is absent.
    projector.advance(secs(15)).await;
    for (command, answer) in [
        ("%1POWR ?", "0"),
        ("%1INPT ?", "ERR3"),
        ("%1AVMT ?", "ERR3"),
        ("%1ERST ?", "000000"),
        ("%1LAMP ?", "ERR1"),
    ] {
        projector.expect(format!("{command}\r")).await;
        // The answer to a question that it gave up on is not the answer to this one.
        projector.push("%1NAME=ERR4\r").await;
        projector.reply(format!("{}={answer}\r", &command[..6])).await;
    }
    projector.status("power_state", "standby").await;
    projector.status("input", None::<String>).await;
    projector.status("lamp_hours", [0; 0]).await;
}

#[tokio::test]
async fn the_first_command_is_signed_as_the_specification_does_it() {
    let projector = Harness::<Projector>::with(json!({"password": "JBMIAProjectorLink"})).await;
    projector.connect().await;
    projector.push("PJLINK 1 498e4a67\r").await;
    projector.expect("5d8409bc1c3fa39749434aa3a5c38682%1CLSS ?\r").await;
    projector.reply("PJLINK ERRA\r").await;
    assert_eq!(projector.expect_drop().await, "the projector refused the password");
}

#[tokio::test]
async fn it_warms_up_before_it_takes_an_input() {
    let projector = Harness::<Projector>::emulated::<Emulator>(json!({"password": "secret"})).await;
    projector.status("power_state", "standby").await;
    assert_eq!(projector.call("power", (true,)).await, Ok(json!(true)));
    projector.status("power_state", "warming").await;
    let refused = projector.call("input", ("31",)).await.unwrap_err();
    assert!(refused.message().contains("warming up"), "{refused}");
    projector.advance(secs(20)).await;
    projector.status("power_state", "on").await;
    projector.call("input", ("32",)).await.unwrap();
    projector.status("input", "32").await;
    assert_eq!(projector.call("mute", (true,)).await, Ok(json!(true)));
    projector.status("mute", true).await;
}

#[tokio::test]
async fn a_projector_that_wants_a_password_says_so() {
    let projector = Harness::<Projector>::new().await;
    projector.connect().await;
    projector.push("PJLINK 1 498e4a67\r").await;
    assert!(projector.expect_drop().await.contains("set `password`"));
    let refused = projector.call("power", (true,)).await.unwrap_err();
    assert_eq!(refused.code(), "offline");
}
