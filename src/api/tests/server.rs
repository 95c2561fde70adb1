//! A served API on a port of its own, and a client for it.

use std::{net::SocketAddr, sync::Arc};

use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{
    api::{self, Options, State, keys},
    connections::{self, Connections},
    repositories::{self, Repositories},
    runtime::{self, Runtime},
    secrets::{Vault, key::Key},
    store::{self, Expect, typed},
};

/// A served API. It ends when dropped.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    pub(super) state: State,
    /// Of an admin.
    pub(super) key: String,
    pub(super) client: reqwest::Client,
    pub(super) stop: CancellationToken,
    pub(super) serving: tokio::task::JoinHandle<std::io::Result<()>>,
    data: tempfile::TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// What came back.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: reqwest::header::HeaderMap,
    pub(super) text: String,
}

impl Answer {
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).unwrap_or_else(|| panic!("no {name}: {self:?}")).to_str().unwrap()
    }

    pub(super) fn id(&self) -> String {
        self.json()["id"].as_str().unwrap().to_owned()
    }

    /// The `field: reason` of a 422.
    pub(super) fn failures(&self) -> Vec<String> {
        let body = self.json();
        let failures = body["failures"].as_array().unwrap_or_else(|| panic!("{self:?}"));
        failures
            .iter()
            .map(|failure| {
                format!("{}: {}", failure["field"].as_str().unwrap(), failure["reason"].as_str().unwrap())
            })
            .collect()
    }
}

impl Server {
    pub(super) async fn start() -> Server {
        Server::with(Options { settle_timeout_ms: 2_000, ..Options::default() }).await
    }

    pub(super) async fn with(options: Options) -> Server {
        crate::tls::install_provider();
        let data = tempfile::tempdir().unwrap();
        let store = store::sqlite::open_in_memory().unwrap();
        let vault = Arc::new(Vault::open(data.path()).unwrap());
        let repositories =
            Repositories::open(data.path().join("repositories"), repositories::Options::default()).unwrap();
        let connections = Connections::new(connections::Options::default());
        let runtime_options = runtime::Options { run_dir: data.path().to_owned(), ..Default::default() };
        let runtime = Runtime::start(
            store.clone(),
            vault.clone(),
            repositories.clone(),
            connections.clone(),
            runtime_options,
        )
        .unwrap();
        let key = keys::bootstrap(store.as_ref(), None).await.unwrap().unwrap().expose();
        let stop = CancellationToken::new();
        let state = State::new(store, vault, runtime, repositories, options, stop.clone());
        state.show_connections(connections);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = tokio::spawn(api::serve(listener, api::router(state.clone()), state.clone()));
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        Server { address, state, key, client, stop, serving, data }
    }

    pub(super) fn data(&self) -> &std::path::Path {
        self.data.path()
    }

    pub(super) fn url(&self, path: &str) -> String {
        let rooted = ["/api/", "/auth/", "/healthz", "/metrics"].iter().any(|root| path.starts_with(root));
        let path = if rooted { path.to_owned() } else { format!("/api/engine/v2{path}") };
        format!("http://{}{path}", self.address)
    }

    /// A request with a key (empty: without), and a body (null: none).
    pub(super) async fn ask_as(&self, key: &str, method: &str, path: &str, body: Value) -> Answer {
        let mut request = self.client.request(method.parse().unwrap(), self.url(path));
        if !key.is_empty() {
            request = request.header("x-api-key", key);
        }
        if !body.is_null() {
            request = request.json(&body);
        }
        answer(request).await
    }

    /// A request of an admin.
    pub(super) async fn ask(&self, method: &str, path: &str, body: Value) -> Answer {
        let key = self.key.clone();
        self.ask_as(&key, method, path, body).await
    }

    pub(super) async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, Value::Null).await
    }

    /// Creates something; its id.
    pub(super) async fn create(&self, path: &str, body: Value) -> String {
        let answer = self.ask("POST", path, body).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        answer.id()
    }

    /// A new key with these permissions and scopes.
    pub(super) async fn new_key(&self, permissions: &str, scopes: &[&str]) -> String {
        let name = format!("{permissions}-{}", uuid::Uuid::new_v4());
        let body = json!({"name": name, "permissions": permissions, "scopes": scopes});
        let answer = self.ask("POST", "/api_keys", body).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        answer.json()["x_api_key"].as_str().unwrap().to_owned()
    }

    /// Waits until the runtime has acted on everything that was written.
    pub(super) async fn settled(&self) {
        let head = *self.state.store().head().borrow();
        let settled = self.state.runtime().settled(head);
        tokio::time::timeout(std::time::Duration::from_secs(20), settled)
            .await
            .expect("the runtime to settle");
    }

    /// A repository, a driver of it, a system: what modules need.
    pub(super) async fn basics(&self, role: i64) -> Basics {
        let name = uuid::Uuid::new_v4().to_string();
        let repository = self
            .create(
                "/repositories",
                json!({"name": name, "folder_name": name, "uri": "file:///nowhere/at/all"}),
            )
            .await;
        let driver = self.driver(&repository, role, "Display").await;
        let system = self.create("/systems", json!({"name": format!("room {name}")})).await;
        Basics { repository, driver, system }
    }

    pub(super) async fn driver(&self, repository: &str, role: i64, module_name: &str) -> String {
        let body = json!({
            "name": "A driver", "module_name": module_name, "file_name": "a/Cargo.toml", "commit": "HEAD",
            "repository_id": repository, "role": role,
        });
        self.create("/drivers", body).await
    }

    pub(super) async fn module(&self, driver: &str) -> String {
        self.create("/modules", json!({"driver_id": driver, "ip": "127.0.0.1", "port": 9})).await
    }

    pub(super) async fn put_in(&self, system: &str, module: &str) {
        let answer = self.ask("PUT", &format!("/systems/{system}/module/{module}"), Value::Null).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
}

/// Ids of what modules need.
pub(super) struct Basics {
    pub(super) repository: String,
    pub(super) driver: String,
    pub(super) system: String,
}

pub(super) async fn answer(request: reqwest::RequestBuilder) -> Answer {
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    Answer { status, headers, text: response.text().await.unwrap() }
}

/// Changes a key behind the API's back.
pub(super) async fn expire(server: &Server, presented: &str) {
    let id = Key::parse(presented).unwrap().id;
    let mut key =
        typed::find::<api::auth::keys::ApiKey>(server.state.store(), &id).await.unwrap().unwrap().value;
    key.expires_at = Some(1);
    typed::save(server.state.store(), &key, Expect::Any).await.unwrap();
}
