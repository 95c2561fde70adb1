//! The driver with a script, and with the emulator.

use drivers_sdk::testing::*;

use super::Projector;
use super::emulator::Emulator;

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
        ("%1ERST ?", "000100"),
        ("%1LAMP ?", "ERR1"),
    ] {
        projector.expect(format!("{command}\r")).await;
        projector.reply(format!("{}={answer}\r", &command[..6])).await;
    }
    projector.status("class", 1).await;
    projector.status("input", "31").await;
    projector.status("faults", ["cover: warning"]).await;
    projector.status("frozen", None::<bool>).await;
}
