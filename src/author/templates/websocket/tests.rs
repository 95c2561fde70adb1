//! The driver against a script, and against the model of its device. Time is the test's own: nothing here waits.

use drivers_sdk::testing::*;

use crate::NewDriver;
use crate::emulator::Emulator;

// What every driver has to keep: `headend driver check` shows it as a table.
drivers_sdk::testing::standard_suite!(NewDriver, emulator = Emulator);

#[tokio::test]
async fn it_asks_tells_and_listens() {
    let driver = Harness::<NewDriver>::new().await;
    driver.connect().await;
    driver.expect_text(r#"{"get":"volume","id":1}"#).await;
    driver.push_text(r#"{"id":1,"volume":10}"#).await;
    driver.status("volume", 10).await;

    let call = driver.call("volume", (40,));
    driver.expect_text(r#"{"set":{"volume":40},"id":2}"#).await;
    driver.push_text(r#"{"id":2,"volume":40}"#).await;
    assert_eq!(call.await, Ok(json!(40)));
    driver.status("volume", 40).await;

    driver.push_text(r#"{"volume":35}"#).await;
    driver.status("volume", 35).await;
}

#[tokio::test]
async fn it_sets_the_volume_of_the_model_which_refuses_too_much() {
    let driver = Harness::<NewDriver>::emulated::<Emulator>(json!({})).await;
    driver.call("volume", (100,)).await.unwrap();
    driver.status("volume", 100).await;
    assert_eq!(
        driver.call("volume", (101,)).await.unwrap_err().code(),
        "device"
    );
}
