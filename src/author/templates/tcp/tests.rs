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
    driver.expect("POWER ?\r\n").await;
    driver.reply("POWER OFF\r\n").await;
    driver.status("power", false).await;

    let call = driver.call("power", (true,));
    driver.expect("POWER ON\r\n").await;
    driver.reply("POWER ON\r\n").await;
    assert_eq!(call.await, Ok(json!(true)));
    driver.status("power", true).await;

    driver.push("LEVEL 40\r\n").await;
    driver.status("level", 40).await;
}

#[tokio::test]
async fn a_refusal_reaches_the_caller() {
    let driver = Harness::<NewDriver>::new().await;
    driver.connect().await;
    driver.expect("POWER ?\r\n").await;
    driver.reply("POWER OFF\r\n").await;

    let call = driver.call("power", (true,));
    driver.expect("POWER ON\r\n").await;
    driver.reply("ERROR 3\r\n").await;
    assert_eq!(call.await.unwrap_err().code(), "device");
    driver.status("power", false).await;
}

#[tokio::test]
async fn it_turns_the_model_on() {
    let driver = Harness::<NewDriver>::emulated::<Emulator>(json!({})).await;
    driver.status("power", false).await;
    driver.call("power", (true,)).await.unwrap();
    driver.status("power", true).await;
}
