//! A driver's HTTP requests, to a service and to the web server of a device.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use headend::model::{Module, Role};
use headend::runtime::exec;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::world::{World, device, settings, until};

/// The service itself.
#[derive(Clone, Default)]
struct Lamps {
    level: Arc<Mutex<u64>>,
    /// Requests under way that are never answered.
    waiting: Arc<AtomicUsize>,
}

struct Serving(JoinHandle<()>);

impl Drop for Serving {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Lamps {
    fn show(&self) -> Json<Value> {
        Json(json!({ "name": "Lobby", "level": *self.level.lock(), "unknown": null }))
    }

    async fn serve(&self, address: SocketAddr) -> Serving {
        type Pairs = Query<Vec<(String, String)>>;
        let seen = |State(lamps): State<Lamps>, Query(query): Pairs, headers: HeaderMap| async move {
            assert_eq!(query, [("fields".to_owned(), "name,level".to_owned())]);
            assert!(!headers.contains_key("authorization"));
            lamps.show()
        };
        let dim = |State(lamps): State<Lamps>, Json(body): Json<Value>| async move {
            match body["level"].as_u64().filter(|level| *level <= 100) {
                Some(level) => {
                    *lamps.level.lock() = level;
                    lamps.show().into_response()
                }
                None => (StatusCode::UNPROCESSABLE_ENTITY, "no such level").into_response(),
            }
        };
        let hang = |State(lamps): State<Lamps>| async move {
            lamps.waiting.fetch_add(1, Relaxed);
            std::future::pending::<()>().await;
        };
        let guarded = |headers: HeaderMap| async move {
            // otto:right
            match headers.get("authorization").is_some_and(|auth| auth == "Basic b3R0bzpyaWdodA==") {
                true => "come in".into_response(),
                false => StatusCode::UNAUTHORIZED.into_response(),
            }
        };
        let router: Router<Lamps> = Router::new()
            .route("/api/lamps/1", get(seen).post(dim))
            .route("/api/hang", get(hang))
            .route("/api/guarded", get(guarded))
            .route("/device", get(async || -> Response { "of the device".into_response() }));
        let listener = TcpListener::bind(address).await.unwrap();
        let service = router.with_state(self.clone());
        Serving(tokio::spawn(async move { axum::serve(listener, service).await.unwrap() }))
    }
}

/// An address of the loopback network that nothing else listens at.
fn address() -> SocketAddr {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let [_, a, b, c] = (std::process::id() * 16 + NEXT.fetch_add(1, Relaxed) as u32).to_be_bytes();
    SocketAddr::from((Ipv4Addr::new(127, a | 0x40, b, c), 8080))
}

fn service(id: &str, uri: String) -> Module {
    Module {
        driver_id: "driver-service".into(),
        role: Role::Service,
        uri,
        ip: String::new(),
        ..device(id, 0)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_speaks_json_goes_away_and_comes_back() {
    let (lamps, address, world) = (Lamps::default(), address(), World::new().await);
    let serving = lamps.serve(address).await;
    world.save(settings("mod-1", "connection:\n  http:\n    probe: { interval_ms: 50 }\n")).await;
    world.save(service("mod-1", format!("http://{address}/api"))).await;
    world.connected("mod-1").await;
    let lamp = |level: u64| json!({ "name": "Lobby", "level": level });
    assert_eq!(world.exec("mod-1", "refresh", "[]").await.unwrap(), lamp(0));
    assert_eq!(world.exec("mod-1", "dim", "[42]").await.unwrap(), lamp(42));
    assert_eq!(world.exec("mod-1", "refresh", "[]").await.unwrap(), lamp(42));
    world.status("mod-1", "lamp", &lamp(42).to_string()).await;
    // What the service does not like is its answer, not an outage.
    let refused = world.exec("mod-1", "dim", "[101]").await.unwrap_err().to_string();
    assert!(refused.contains("POST /lamps/1 was answered with status 422: no such level"), "{refused}");
    assert_eq!(world.exec("mod-1", "ask", r#"["/nothing"]"#).await.unwrap(), json!([404, ""]));
    world.status("mod-1", "met", "1").await;

    // Connections go with the service.
    drop(serving);
    let away = world.module("mod-1", "away", |view| !view.connected && view.reason.is_some()).await;
    assert!(away.detail.is_some_and(|detail| detail.contains(&address.to_string())));
    let offline = world.exec("mod-1", "refresh", "[]").await.unwrap_err();
    assert!(matches!(&offline, exec::Error::Raised(failure) if failure.code == "offline"), "{offline:?}");
    let _serving = lamps.serve(address).await;
    world.connected("mod-1").await;
    assert_eq!(world.exec("mod-1", "refresh", "[]").await.unwrap(), lamp(42));
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_waits_for_a_request_is_answered_when_the_module_stops() {
    let (lamps, address, world) = (Lamps::default(), address(), World::new().await);
    let _serving = lamps.serve(address).await;
    world.save(service("mod-1", format!("http://{address}/api"))).await;
    world.connected("mod-1").await;
    let (asked, _) = tokio::join!(world.exec("mod-1", "ask", r#"["/hang"]"#), async {
        until("the request is under way", || lamps.waiting.load(Relaxed) == 1).await;
        world.update::<Module>("mod-1", |module| module.running = false).await;
    });
    let error = asked.unwrap_err();
    assert!(matches!(&error, exec::Error::Raised(failure) if failure.code == "stopped"), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_are_settings_that_no_driver_sees() {
    let (lamps, address, world) = (Lamps::default(), address(), World::new().await);
    let _serving = lamps.serve(address).await;
    let auth = |password: &str| {
        let auth = format!("auth: {{ kind: basic, username: otto, password: {password} }}");
        settings("mod-1", &format!("connection:\n  http:\n    {auth}\n"))
    };
    world.save(auth("wrong")).await;
    world.save(service("mod-1", format!("http://{address}/api"))).await;
    let process = world.connected("mod-1").await.process;
    assert_eq!(world.exec("mod-1", "ask", r#"["/guarded"]"#).await.unwrap(), json!([401, ""]));
    let refused = world.module("mod-1", "refused", |view| view.reason == Some("auth")).await;
    assert!(!refused.detail.unwrap().contains("wrong"));
    world.save(auth("right")).await;
    world.connected("mod-1").await;
    assert_eq!(world.exec("mod-1", "ask", r#"["/guarded"]"#).await.unwrap(), json!([200, "come in"]));
    assert_eq!(world.connected("mod-1").await.process, process, "the module was not moved");
    // Somebody else's address is not for this module to ask.
    let error = world.exec("mod-1", "ask", r#"["http://127.0.0.1:1/"]"#).await.unwrap_err();
    assert!(matches!(error, exec::Error::Raised(_) | exec::Error::BadRequest(_)), "{error:?}");
    assert!(error.to_string().contains("connection.http.origins"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_may_have_a_web_server_too() {
    let (lamps, address, world) = (Lamps::default(), address(), World::new().await);
    let _serving = lamps.serve(address).await;
    let echo = crate::peer::Echo::new().await;
    world.save(settings("mod-1", &format!("connection:\n  http:\n    base: http://{address}\n"))).await;
    world.save(Module { driver_id: "driver-line".into(), ..device("mod-1", echo.port) }).await;
    world.connected("mod-1").await;
    assert_eq!(world.exec("mod-1", "web", r#"["/device"]"#).await.unwrap(), "of the device");
    tokio::time::timeout(Duration::from_secs(60), world.connected("mod-1")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_that_cannot_be_used_say_so() {
    let world = World::new().await;
    world.save(settings("mod-1", "connection:\n  http:\n    auth: { kind: kerberos }\n")).await;
    world.save(service("mod-1", "http://127.0.0.1:1/".into())).await;
    let blocked = world.module("mod-1", "blocked", |view| view.detail.is_some()).await;
    let detail = blocked.detail.unwrap();
    assert!(detail.contains("connection.http.auth") && detail.contains("kerberos"), "{detail}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_emulated_service_needs_no_address() {
    let world = World::new().await;
    let uri = "https://lamps.example/api".to_owned();
    world.save(Module { emulated: true, ..service("mod-1", uri) }).await;
    world.connected("mod-1").await;
    let lamp = json!({ "name": "Model", "level": 7 });
    assert_eq!(world.exec("mod-1", "dim", "[7]").await.unwrap(), lamp);
    assert_eq!(world.exec("mod-1", "refresh", "[]").await.unwrap(), lamp);
    assert_eq!(world.exec("mod-1", "ask", r#"["/nothing"]"#).await.unwrap()[0], json!(404));
}
