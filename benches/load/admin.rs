//! The admin service of the load: makes modules through the control API, as a commissioning tool would.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::Context;
use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::{Value, json};

use crate::daemon::KEY;

/// Requests under way at once while modules are made.
const CONCURRENCY: usize = 16;

/// A client of the daemon at `listen`.
pub struct Admin {
    client: reqwest::Client,
    base: String,
}

impl Admin {
    pub fn new(listen: &str) -> Admin {
        Admin { client: reqwest::Client::new(), base: format!("http://{listen}/api/engine/v2") }
    }

    async fn send(&self, method: reqwest::Method, path: &str, body: Option<Value>) -> anyhow::Result<Value> {
        let mut request =
            self.client.request(method, format!("{}{path}", self.base)).header("X-API-Key", KEY);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await?;
        let status = answer.status();
        let text = answer.text().await?;
        anyhow::ensure!(status.is_success(), "{path}: {status} {text}");
        serde_json::from_str(&text).with_context(|| format!("{path}: {text}"))
    }

    /// The only resource of a collection, once the daemon answers and has it.
    pub async fn only(&self, collection: &str, limit: Duration) -> anyhow::Result<Value> {
        let started = Instant::now();
        loop {
            let found = self.send(reqwest::Method::GET, &format!("/{collection}"), None).await;
            if let Ok(found) = &found
                && let Some(resource) = found.get(0)
            {
                return Ok(resource.clone());
            }
            anyhow::ensure!(started.elapsed() < limit, "no {collection} after {limit:?}: {found:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until the driver is built.
    pub async fn compiled(&self, limit: Duration) -> anyhow::Result<()> {
        let driver = id(&self.only("drivers", limit).await?)?;
        let started = Instant::now();
        loop {
            let url = format!("{}/drivers/{driver}/compiled", self.base);
            let answer = self.client.get(url).header("X-API-Key", KEY).send().await?;
            match answer.status().as_u16() {
                200 => return Ok(()),
                503 => anyhow::bail!("the driver does not compile: {}", answer.text().await?),
                status => {
                    anyhow::ensure!(started.elapsed() < limit, "not compiled after {limit:?} ({status})")
                }
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Gives the system running echo modules until it has `count`; answers the system's id.
    pub async fn grow(&self, count: usize, device: SocketAddr) -> anyhow::Result<String> {
        let driver = id(&self.only("drivers", Duration::from_secs(10)).await?)?;
        let system = self.only("systems", Duration::from_secs(10)).await?;
        let mut modules: Vec<Value> =
            system.get("modules").and_then(Value::as_array).cloned().context("a system has modules")?;
        let module = json!({"driver_id": driver, "ip": device.ip().to_string(), "port": device.port(), "running": true});
        let made: Vec<Value> = stream::iter(modules.len()..count)
            .map(|_| self.send(reqwest::Method::POST, "/modules", Some(module.clone())))
            .buffer_unordered(CONCURRENCY)
            .try_collect()
            .await?;
        for module in &made {
            modules.push(Value::String(id(module)?));
        }
        let (system, version) = (id(&system)?, system.get("version").cloned().unwrap_or_default());
        let path = format!("/systems/{system}?version={version}");
        self.send(reqwest::Method::PATCH, &path, Some(json!({ "modules": modules }))).await?;
        Ok(system)
    }
}

fn id(resource: &Value) -> anyhow::Result<String> {
    Ok(resource.get("id").and_then(Value::as_str).context("a resource has an id")?.to_owned())
}
