//! Tests of drivers without their devices: the driver runs as in production, in an ordinary `#[tokio::test]`.
//!
//! For the package's `[dev-dependencies]`: `drivers-sdk = { version = "0.1", features = ["testing"] }`. Nothing of it reaches
//! a driver that is built to be run.
//!
//! ```
//! # use drivers_sdk::prelude::*;
//! # #[derive(Default)]
//! # struct Lamp;
//! # #[derive(Default, Status)]
//! # struct LampStatus { power: Option<bool> }
//! # #[driver(name = "Lamp", module = "Lamp", tcp = 5000, framing = lines("\r\n"), status = LampStatus)]
//! # impl Lamp {
//! #     #[connected]
//! #     async fn refresh(&self, cx: &Cx<Self>) -> Result {
//! #         let power = cx.send("LAMP ?").reply(prefix("LAMP ")).await?;
//! #         cx.status.set(|status| status.power = Some(power == "ON"));
//! #         Ok(())
//! #     }
//! #     #[function]
//! #     async fn power(&self, cx: &Cx<Self>, on: bool) -> Result<bool> {
//! #         let word = if on { "ON" } else { "OFF" };
//! #         cx.send(format!("LAMP {word}")).reply(exact(format!("LAMP {word}"))).await?;
//! #         cx.status.set(|status| status.power = Some(on));
//! #         Ok(on)
//! #     }
//! # }
//! use drivers_sdk::testing::*;
//!
//! # fn main() { the_lamp_burns() }
//! # /*
//! #[tokio::test]
//! # */ #[tokio::main(flavor = "current_thread", crate = "drivers_sdk::testing::tokio")]
//! async fn the_lamp_burns() {
//!     let lamp = Harness::<Lamp>::new().await;
//!     lamp.connect().await;
//!     lamp.expect("LAMP ?\r\n").await;
//!     lamp.reply("LAMP OFF\r\n").await;
//!     lamp.status("power", false).await;
//!
//!     let call = lamp.call("power", (true,)); // It is under way.
//!     lamp.expect("LAMP ON\r\n").await;
//!     lamp.reply("LAMP ON\r\n").await;
//!     assert_eq!(call.await, Ok(json!(true)));
//! }
//! ```

mod daemon;
mod device;
mod frames;
mod harness;
mod link;
mod module;
mod real;
mod recording;
mod report;
mod service;
mod step;
pub mod suite;
mod system;

pub use harness::Harness;
pub use module::User;
pub use service::{ExecExpectation, HttpExpectation, HttpSeen, MockHttp};
pub use step::Step;
pub use system::{Called, Fake, MockSystem};

pub use crate::standard_suite;
pub use crate::{Error, Result, Secret, Value, Webhook, WebhookReply, json, millis, secs};
/// So that `#[tokio::test]` is there without another dependency.
pub use tokio;
