//! The driver against a script, and against the model of its device. Time is the test's own: nothing here waits.

use drivers_sdk::testing::*;

use crate::NewDriver;
use crate::emulator::Emulator;

// What every driver has to keep: `headend driver check` shows it as a table.
drivers_sdk::testing::standard_suite!(NewDriver, emulator = Emulator);

#[tokio::test]
async fn it_asks_and_tells() {
    let driver = Harness::<NewDriver>::new().await;
    driver.connect().await;
    driver.expect("show input\n").await;
    driver.reply("input 4\n").await;
    driver.status("input", 4).await;

    let call = driver.call("input", (3,));
    driver.expect("set input 3\n").await;
    driver.reply("input 3\n").await;
    assert_eq!(call.await, Ok(json!(3)));
    driver.status("input", 3).await;
}

#[tokio::test]
async fn it_shows_an_input_of_the_model_and_is_refused_one_that_is_not_there() {
    let driver = Harness::<NewDriver>::emulated::<Emulator>(json!({})).await;
    driver.status("input", 1).await;
    driver.call("input", (2,)).await.unwrap();
    driver.status("input", 2).await;
    assert_eq!(
        driver.call("input", (9,)).await.unwrap_err().code(),
        "device"
    );
}
