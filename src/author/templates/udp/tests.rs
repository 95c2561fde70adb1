//! The driver against a script, and against the model of its device. Time is the test's own: nothing here waits.

use drivers_sdk::testing::*;

use crate::NewDriver;
use crate::emulator::Emulator;

// What every driver has to keep: `headend driver check` shows it as a table.
drivers_sdk::testing::standard_suite!(NewDriver, emulator = Emulator);

#[tokio::test]
async fn a_datagram_that_is_lost_is_sent_again() {
    let driver = Harness::<NewDriver>::new().await;
    driver.connect().await;
    driver.expect("GET").await;
    driver.advance(millis(500)).await;
    driver.expect("GET").await;
    driver.reply("LEVEL 10").await;
    driver.status("level", 10).await;

    let call = driver.call("level", (40,));
    driver.expect("SET 40").await;
    driver.reply("LEVEL 40").await;
    assert_eq!(call.await, Ok(json!(40)));
    driver.status("level", 40).await;
}

#[tokio::test]
async fn it_sets_the_level_of_the_model_which_refuses_too_much() {
    let driver = Harness::<NewDriver>::emulated::<Emulator>(json!({})).await;
    driver.status("level", 0).await;
    driver.call("level", (100,)).await.unwrap();
    driver.status("level", 100).await;
    assert_eq!(
        driver.call("level", (101,)).await.unwrap_err().code(),
        "device"
    );
    driver.status("level", 100).await;
}
