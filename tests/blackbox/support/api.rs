//! The control API over HTTP.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::until;

/// A client with a key.
#[derive(Clone)]
pub struct Api {
    pub url: String,
    pub key: String,
    pub http: reqwest::Client,
}

/// An answer as it came.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub text: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text)
            .unwrap_or_else(|error| panic!("{error}: {} {:?}", self.status, self.text))
    }
}

impl Api {
    pub fn new(url: &str, key: &str) -> Self {
        headend::tls::install_provider();
        let http = reqwest::Client::builder().timeout(Duration::from_secs(120)).build().unwrap();
        Api { url: url.into(), key: key.into(), http }
    }

    /// Any request, without a slash or prefix added: `/api/engine/v2/…`.
    pub async fn try_raw(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Result<Answer, reqwest::Error> {
        let mut request = self.http.request(method, format!("{}{path}", self.url));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = request.body(body).send().await?;
        Ok(Answer { status: answer.status(), text: answer.text().await? })
    }

    pub async fn try_send(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<Answer, reqwest::Error> {
        let headers = [("X-API-Key", &*self.key), ("Content-Type", "application/json")];
        let body = body.map(|body| body.to_string().into_bytes()).unwrap_or_default();
        self.try_raw(method, &format!("/api/engine/v2{path}"), &headers, body).await
    }

    pub async fn send(&self, method: Method, path: &str, body: Option<Value>) -> Answer {
        let shown = format!("{method} {path}");
        self.try_send(method, path, body).await.unwrap_or_else(|error| panic!("{shown}: {error:?}"))
    }

    async fn ok(&self, method: Method, path: &str, body: Option<Value>) -> Value {
        let shown = format!("{method} {path} {}", body.as_ref().map(Value::to_string).unwrap_or_default());
        let answer = self.send(method, path, body).await;
        assert!(answer.status.is_success(), "{shown}: {} {}", answer.status, answer.text);
        if answer.text.is_empty() { Value::Null } else { answer.json() }
    }

    pub async fn get(&self, path: &str) -> Value {
        self.ok(Method::GET, path, None).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Value {
        self.ok(Method::POST, path, Some(body)).await
    }

    pub async fn patch(&self, path: &str, body: Value) -> Value {
        self.ok(Method::PATCH, path, Some(body)).await
    }

    pub async fn delete(&self, path: &str) {
        self.ok(Method::DELETE, path, None).await;
    }

    /// Creates a resource and returns its id.
    pub async fn create(&self, kind: &str, body: Value) -> String {
        self.post(&format!("/{kind}"), body).await["id"].as_str().unwrap().to_owned()
    }

    /// Calls a function of a module.
    pub async fn exec(&self, module: &str, function: &str, arguments: Value) -> Answer {
        self.send(Method::POST, &format!("/modules/{module}/exec/{function}"), Some(arguments)).await
    }

    /// A module's status value; null if there is none.
    pub async fn status(&self, module: &str, key: &str) -> Value {
        let state = self.get(&format!("/modules/{module}/state")).await;
        state[key].as_str().map(|text| serde_json::from_str(text).unwrap()).unwrap_or_default()
    }

    /// Waits until a module is in a state (`running`, `stopped`, `failed`, …) and connected or not.
    pub async fn reaches(&self, module: &str, state: &str, connected: bool) -> Value {
        let mut last = Value::Null;
        let path = format!("/modules/{module}");
        let what = format!("module {module} is {state}, connected {connected}");
        let reached = until(&what, async || {
            last = self.get(&path).await["runtime"].clone();
            (last["state"] == json!(state) && last["connected"] == json!(connected)).then(|| last.clone())
        });
        reached.await
    }
}
