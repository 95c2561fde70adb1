//! How often a driver polls: how not to say it.
use drivers_sdk::prelude::*;

#[derive(Settings)]
struct Options {
    /// Name.
    name: String,
}

#[derive(Default)]
struct Never;

#[driver(name = "Never", module = "Never", tcp = 1, settings = Options)]
impl Never {
    #[poll]
    async fn poll(&self, cx: &Cx<Self>) -> Result {
        cx.send("?").await
    }

    #[poll(each = secs(1))]
    async fn each(&self, cx: &Cx<Self>) -> Result {
        cx.send("?").await
    }

    #[poll(every = secs(1))]
    async fn of(&self, cx: &Cx<Self>, what: u32) -> Result {
        cx.send(what.to_string()).await
    }
}

#[derive(Default)]
struct Wrong;

#[driver(name = "Wrong", module = "Wrong", tcp = 1, settings = Options)]
impl Wrong {
    #[poll(every = name)]
    fn poll(&self) {}

    #[poll(every = poll_seconds)]
    fn look(&self) {}
}

#[derive(Default)]
struct Room;

#[driver(name = "Room", module = "Room", logic)]
impl Room {
    #[poll(every = secs(1))]
    fn poll(&self) {}
}

fn main() {}
