//! The driver against a script, and against the model of its service. Time is the test's own: nothing here waits.

use drivers_sdk::testing::*;

use crate::NewDriver;
use crate::emulator::Emulator;

// What every driver has to keep: `headend driver check` shows it as a table.
drivers_sdk::testing::standard_suite!(NewDriver, emulator = Emulator);

#[tokio::test]
async fn it_asks_and_tells() {
    let driver = Harness::<NewDriver>::new().await;
    driver.connect().await;
    let service = driver.http();
    service
        .expect("GET", "/relay")
        .reply(200, json!({ "on": false }))
        .await;
    driver.status("on", false).await;

    let call = driver.call("switch", (true,));
    let request = service.expect("PUT", "/relay").json(json!({ "on": true }));
    request.reply(200, json!({ "on": true })).await;
    assert_eq!(call.await, Ok(json!(true)));
    driver.status("on", true).await;
}

#[tokio::test]
async fn it_switches_the_model() {
    let driver = Harness::<NewDriver>::emulated::<Emulator>(json!({})).await;
    driver.status("on", false).await;
    assert_eq!(driver.call("switch", (true,)).await, Ok(json!(true)));
    driver.status("on", true).await;
}
