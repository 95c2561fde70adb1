//! A room: no device of its own, it works with the other modules of its system.
//!
//! This driver works, with modules that are called `Display` and have a function and a status `power`: make it yours.

#[cfg(test)]
mod tests;

use drivers_sdk::prelude::*;

#[derive(Default, Status)]
struct State {
    /// Whether the first display is on; absent while nobody knows.
    power: Option<bool>,
}

#[derive(Default)]
struct NewDriver;

/// Turns the displays of a room on and off.
#[driver(
    name = "New driver", module = "NewDriver", logic, requires("Display"), status = State,
)]
impl NewDriver {
    #[follow]
    fn follow(&self, cx: &Cx<Self>) {
        let display = cx.system().module("Display", 1);
        display.subscribe("power", Self::changed);
    }

    async fn changed(&self, cx: &Cx<Self>, power: Option<bool>) {
        cx.status.set(|status| status.power = power);
    }

    /// Turns every display on or off; how many obeyed.
    #[function]
    async fn power(&self, cx: &Cx<Self>, on: bool) -> Result<usize> {
        let results = cx.system().all("Display").call("power", (on,)).await;
        for error in results.iter().filter_map(|result| result.as_ref().err()) {
            cx.warn(error);
        }
        Ok(results.iter().filter(|result| result.is_ok()).count())
    }
}

drivers_sdk::main!(NewDriver);
