//! The driver under load: a call is one line to the device and the line it answers.

use drivers_sdk::prelude::*;

#[derive(Default)]
struct Echo;

/// A device that repeats what it is told.
#[driver(name = "Echo", module = "Echo", tcp = 7, framing = lines("\n"))]
impl Echo {
    /// Sends a line; returns what the device answers.
    #[function]
    async fn echo(&self, cx: &Cx<Self>, line: String) -> Result<String> {
        Ok(cx.send(line).reply(anything()).await?.text().into_owned())
    }
}

drivers_sdk::main!(Echo);
