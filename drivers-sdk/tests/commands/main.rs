//! The command queue, seen from the daemon: what is sent when, and what callers are told.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod links;
mod queue;
mod replies;
#[path = "../support/mod.rs"]
mod support;

use drivers_sdk::prelude::*;
use drivers_sdk_protocol::Kind;
use serde_json::json;
use support::Daemon;

#[derive(Default)]
struct Lamp {
    lines: RefCell<Vec<String>>,
}

#[driver(name = "Lamp", module = "Lamp", tcp = 5000, framing = lines("\n"), timeout_ms = 1000)]
impl Lamp {
    #[function]
    async fn ask(&self, cx: &Cx<Self>, what: String) -> Result<String> {
        let reply =
            cx.send(format!("{what}?")).reply(prefix(format!("{what}=")).unless(prefix("ERR"))).await?;
        Ok(reply.text().into_owned())
    }

    #[function]
    async fn level(&self, cx: &Cx<Self>, level: u8) -> Result {
        cx.send(format!("level {level}")).named("level").reply(exact("ok")).await
    }

    #[function]
    async fn urgent_level(&self, cx: &Cx<Self>, level: u8) -> Result {
        cx.send(format!("level {level}")).named("level").priority(10).reply(exact("ok")).await
    }

    #[function]
    async fn tell(&self, cx: &Cx<Self>, what: &str) -> Result {
        cx.send(what).await
    }

    #[function]
    async fn tell_and_ask(&self, cx: &Cx<Self>, what: &str) -> Result<String> {
        cx.send("told").named("told").reply(exact("ok")).no_wait();
        self.ask(cx, what.to_owned()).await
    }

    #[function]
    fn tick(&self, cx: &Cx<Self>) {
        cx.every(secs(1), async |_: &Lamp, cx: &Cx<Lamp>| cx.info("tick"));
    }

    #[function]
    async fn hour(&self, cx: &Cx<Self>) -> Result {
        cx.send("hour").timeout(secs(3600)).reply(exact("ok")).await
    }

    #[function]
    fn told(&self, cx: &Cx<Self>) {
        cx.send("told").named("told").reply(exact("ok")).no_wait();
    }

    #[function]
    async fn urgent(&self, cx: &Cx<Self>) -> Result {
        cx.send("urgent").priority(10).reply(exact("ok")).await
    }

    #[function]
    async fn patient(&self, cx: &Cx<Self>) -> Result {
        cx.send("patient").named("patience").timeout(millis(200)).retries(2).reply(exact("ok")).await
    }

    #[function]
    async fn slow(&self, cx: &Cx<Self>) -> Result {
        cx.send("slow").delay(secs(2)).reply(exact("ok")).await
    }

    #[function]
    async fn hasten(&self, cx: &Cx<Self>) -> Result {
        cx.send("haste").named("haste").timeout(millis(200)).await
    }

    #[function]
    async fn list(&self, cx: &Cx<Self>) -> Result<Vec<String>> {
        let lines = cx.send("list").reply(lines_until(exact("END")).unless(prefix("ACK"))).await?;
        Ok(lines.iter().map(|line| line.to_string()).collect())
    }

    #[function]
    async fn greeting(&self, cx: &Cx<Self>) -> Result<String> {
        Ok(cx.expect(prefix("HELLO ")).await?.to_string())
    }

    #[function]
    fn clear(&self, cx: &Cx<Self>) {
        cx.clear_queue();
    }

    #[function]
    fn seen(&self) -> Vec<String> {
        self.lines.take()
    }

    #[received]
    fn line(&self, line: String) {
        self.lines.borrow_mut().push(line);
    }
}

async fn connected() -> Daemon {
    let mut daemon = Daemon::of::<Lamp>().await;
    let answer = daemon.start(1, json!({}), Some(7)).await;
    assert_eq!(answer.kind(), Some(Kind::Done));
    daemon
}
