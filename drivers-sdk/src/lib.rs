//! Write device drivers for Headend.
//!
//! A driver speaks its device's protocol and nothing else: the daemon connects, notices that a device is gone, and
//! connects again. What a driver has is a struct, an `impl` block with [`#[driver(…)]`](macro@driver) on it, and
//! [`main!`]. From that one source come the settings form, the functions with the schema of every argument, and the
//! documentation.
//!
//! # A line protocol
//!
//! ```
//! use drivers_sdk::prelude::*;
//!
//! #[derive(Settings)]
//! struct LampSettings {
//!     /// Seconds between two polls.
//!     #[setting(default = 30)]
//!     poll_seconds: u64,
//! }
//!
//! #[derive(Default, Status)]
//! struct LampStatus {
//!     /// Whether the lamp burns; absent until the device has said so.
//!     power: Option<bool>,
//!     /// How bright it is, in per cent.
//!     level: Option<u8>,
//! }
//!
//! #[derive(Default)]
//! struct Lamp;
//!
//! /// A lamp with a text protocol.
//! #[driver(
//!     name = "Example lamp",
//!     module = "Lamp",
//!     tcp = 5000,
//!     framing = lines("\r\n"),
//!     settings = LampSettings,
//!     status = LampStatus,
//! )]
//! impl Lamp {
//!     #[poll(every = poll_seconds)]
//!     async fn refresh(&self, cx: &Cx<Self>) -> Result {
//!         let power = cx.send("LAMP ?").reply(prefix("LAMP ")).await?;
//!         cx.status.set(|status| status.power = Some(power == "ON"));
//!         Ok(())
//!     }
//!
//!     /// Turns the lamp on or off.
//!     #[function]
//!     async fn power(&self, cx: &Cx<Self>, on: bool) -> Result<bool> {
//!         let word = if on { "ON" } else { "OFF" };
//!         let reply = prefix("LAMP ").unless(prefix("ERROR"));
//!         cx.send(format!("LAMP {word}")).named("power").reply(reply).retries(2).await?;
//!         cx.status.set(|status| status.power = Some(on));
//!         Ok(on)
//!     }
//!
//!     /// The lamp says by itself when somebody turns its knob.
//!     #[received]
//!     fn knob(&self, cx: &Cx<Self>, line: &str) -> Result {
//!         if let Some(level) = line.strip_prefix("LEVEL ") {
//!             let level = level.parse()?;
//!             cx.status.set(|status| status.level = Some(level));
//!         }
//!         Ok(())
//!     }
//! }
//!
//! /// The device itself, for those who have none: the daemon connects emulated modules to it.
//! #[derive(Default)]
//! struct Emulator {
//!     on: Cell<bool>,
//! }
//!
//! impl Device for Emulator {
//!     type Settings = ();
//!
//!     fn create(_: ()) -> Result<Self> {
//!         Ok(Emulator::default())
//!     }
//!
//!     async fn session(&self, mut stream: DeviceStream) -> Result {
//!         stream.framing(lines("\r\n"));
//!         while let Some(line) = stream.next().await? {
//!             match &*line.text() {
//!                 "LAMP ON" => self.on.set(true),
//!                 "LAMP OFF" => self.on.set(false),
//!                 "LAMP ?" => {}
//!                 _ => {
//!                     stream.send("ERROR").await?;
//!                     continue;
//!                 }
//!             }
//!             stream.send(if self.on.get() { "LAMP ON" } else { "LAMP OFF" }).await?;
//!         }
//!         Ok(())
//!     }
//! }
//!
//! drivers_sdk::main!(Lamp, emulator = Emulator);
//! ```
//!
//! # A logic driver
//!
//! ```
//! use drivers_sdk::prelude::*;
//!
//! #[derive(Default, Status)]
//! struct RoomStatus {
//!     /// Whether the room is in use.
//!     active: bool,
//! }
//!
//! #[derive(Default)]
//! struct Room;
//!
//! /// Turns a room on and off.
//! #[driver(name = "Room", module = "Room", logic, status = RoomStatus)]
//! impl Room {
//!     #[follow]
//!     fn follow(&self, cx: &Cx<Self>) {
//!         cx.system().module("Display", 1).subscribe("power", Self::display_changed);
//!     }
//!
//!     async fn display_changed(&self, cx: &Cx<Self>, power: Option<bool>) {
//!         cx.status.set(|status| status.active = power == Some(true));
//!     }
//!
//!     /// Turns everything in the room on or off.
//!     #[function]
//!     async fn power(&self, cx: &Cx<Self>, on: bool) -> Result<usize> {
//!         let results = cx.system().all("Display").call("power", (on,)).await;
//!         for error in results.iter().filter_map(|result| result.as_ref().err()) {
//!             cx.warn(error);
//!         }
//!         Ok(results.iter().filter(|result| result.is_ok()).count())
//!     }
//! }
//!
//! drivers_sdk::main!(Room);
//! ```
//!
//! # What to know
//!
//! - A driver's modules run on one thread. `&self` is shared by everything that runs for a module, so what changes is in
//!   a [`Cell`](std::cell::Cell) or [`RefCell`](std::cell::RefCell) (not borrowed across an `.await`). Nothing needs
//!   to be `Send`. Code that computes for long without an `.await` holds up its siblings.
//! - A panic ends its module alone; the callers are told, and the module's log has place and backtrace.
//! - An error ends nothing: callers get its code and message, and those of handlers are logged.
//! - [`Cx`] is everything a driver can do; [`matcher`] is how replies are recognised; [`framing`] how they are cut.

#![warn(missing_docs)]

// So that generated code and the examples here find the crate under its name in its own tests as well.
#[allow(unused_extern_crates)]
extern crate self as drivers_sdk;

mod args;
mod channel;
mod context;
mod driver;
pub mod emulator;
mod error;
mod frame;
pub mod framing;
pub mod http;
pub mod interfaces;
mod manifest;
pub mod matcher;
mod module;
mod panics;
mod process;
mod schedule;
mod secret;
mod settings;
mod ssh;
mod status;
pub mod system;
#[cfg(feature = "testing")]
pub mod testing;
mod webhook;

pub use context::Cx;
pub use driver::{Declaration, Driver};
pub use drivers_sdk_macros::{Settings, Status, data, driver, interface};
#[doc(hidden)]
pub use drivers_sdk_macros::{
    connected, create, disconnected, follow, function, login, poll, received, settings_changed, started,
    stopped, system_changed, webhook,
};
pub use drivers_sdk_protocol::message::Level;
pub use error::{Error, Refusable, Result};
pub use frame::{Frame, FromFrame};
pub use module::command::Command;
pub use module::name::Name;
pub use schedule::Schedule;
pub use secret::Secret;
pub use serde_json::{Value, json};
pub use settings::Settings;
pub use ssh::{SshCommand, SshOutput};
pub use status::{Status, StatusHandle};
/// A moment, by the clock that [`sleep`] goes by, which a test may stop: for device models that tell the time.
pub use tokio::time::Instant;
pub use tokio::time::sleep;
pub use webhook::{Webhook, WebhookReply};

/// What a driver uses: `use drivers_sdk::prelude::*;`.
pub mod prelude {
    pub use std::cell::{Cell, RefCell};
    pub use std::time::Duration;

    pub use crate::emulator::{Device, DeviceStream, DeviceWriter, HttpServer};
    pub use crate::framing::{between, delimited, fixed, idle_gap, length_field, length_prefixed, lines};
    pub use crate::matcher::{
        Matcher, anything, exact, lines_until, matching, parse, parse_bytes, prefix, refusal, suffix,
    };
    pub use crate::{
        Cx, Error, Frame, FromFrame, Level, Refusable, Result, Schedule, Secret, Settings, Status, Value,
        Webhook, WebhookReply, data, driver, interface, json, millis, secs, sleep,
    };
    #[doc(hidden)]
    pub use drivers_sdk_macros::{
        connected, create, disconnected, follow, function, login, poll, received, settings_changed, started,
        stopped, system_changed, webhook,
    };
}

/// So many seconds.
pub const fn secs(seconds: u64) -> std::time::Duration {
    std::time::Duration::from_secs(seconds)
}

/// So many milliseconds.
pub const fn millis(milliseconds: u64) -> std::time::Duration {
    std::time::Duration::from_millis(milliseconds)
}

/// Makes the program: `drivers_sdk::main!(Projector);`, or `drivers_sdk::main!(Projector, emulator = Emulator);` for a
/// package that carries a model of its device.
#[macro_export]
macro_rules! main {
    ($driver:ty $(,)?) => {
        fn main() -> ::std::process::ExitCode {
            $crate::__private::main::<$driver>(::core::option::Option::None)
        }
    };
    ($driver:ty, emulator = $emulator:ty $(,)?) => {
        fn main() -> ::std::process::ExitCode {
            $crate::__private::main::<$driver>(::core::option::Option::Some(
                $crate::__private::emulate::<$emulator>,
            ))
        }
    };
}

/// The blocks of code in the guide compile.
#[cfg(doctest)]
#[doc = include_str!("../../docs/driver-guide.md")]
mod guide {}

/// What the macros use. Nothing here is for people.
#[doc(hidden)]
pub mod __private {
    pub use drivers_sdk_protocol::manifest::{Kind, Security};
    pub use {schemars, serde, serde_json};

    pub use crate::args::Args;
    pub use crate::context::Cx;
    pub use crate::driver::{
        Declaration, Driver, Fallible, Function, FunctionSchemas, Handlers, Need, Param, Reply, Schemas,
        never,
    };
    pub use crate::error::Error;
    pub use crate::frame::{Frame, FromFrame};
    pub use crate::interfaces::{Implements, Interface, check};
    pub use crate::manifest::manifest;
    pub use crate::process::entry::{emulate, main};
    pub use crate::process::serve;
    pub use crate::schedule::{period, set_wall_clock};
    pub use crate::settings::{Description, Fields, Settings};
    pub use crate::status::{Status, StatusDescription, write};
    pub use crate::webhook::WebhookReply;
}
