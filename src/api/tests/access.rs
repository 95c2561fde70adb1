//! Who may call what, on every route there is.

use axum::http::Method;
use serde_json::{Value, json};

use super::server::Server;
use crate::api::{auth::Access, resources};

fn filled(path: &str) -> String {
    path.split('/')
        .map(|part| if part.starts_with('{') { "does-not-exist" } else { part })
        .collect::<Vec<_>>()
        .join("/")
}

#[tokio::test]
async fn every_route_takes_the_access_and_scope_it_says() {
    let server = Server::start().await;
    let user = server.new_key("user", &["public"]).await;
    let support = server.new_key("support", &["public"]).await;
    let elsewhere = server.new_key("admin", &["nothing"]).await;
    let mut guarded = 0;
    for endpoint in resources::endpoints() {
        let (method, path) = (endpoint.method.as_str(), filled(endpoint.path));
        let body = if endpoint.method == Method::GET { Value::Null } else { json!({}) };
        let status = async |key: &str| server.ask_as(key, method, &path, body.clone()).await.status;
        let label = format!("{method} {path}");
        if endpoint.access == Access::Public {
            // A webhook has its own secret.
            let expected = if endpoint.path.contains("/webhook/") { 404 } else { 200 };
            if endpoint.path != "/metrics" {
                assert_eq!(status("").await, expected, "{label}");
            }
            continue;
        }
        guarded += 1;
        assert_eq!(status("").await, 401, "{label} without a key");
        assert_eq!(status("0123.456").await, 401, "{label} with a wrong key");
        if !endpoint.scopes.is_empty() {
            assert_eq!(status(&elsewhere).await, 403, "{label} in another scope");
        }
        let (as_user, as_support) = (status(&user).await, status(&support).await);
        if endpoint.access > Access::User {
            assert_eq!(as_user, 403, "{label} as user");
        }
        if endpoint.access > Access::Support {
            assert_eq!(as_support, 403, "{label} as support");
        } else {
            assert!(as_support != 401 && as_support != 403, "{label} as support: {as_support}");
        }
    }
    assert!(guarded > 80, "{guarded}");
}

#[tokio::test]
async fn zones_are_for_support_unless_asked_for_by_tag_or_parent() {
    let server = Server::start().await;
    let user = server.new_key("user", &["public"]).await;
    assert_eq!(server.ask_as(&user, "GET", "/zones", Value::Null).await.status, 403);
    assert_eq!(server.ask_as(&user, "GET", "/zones?tags=floor", Value::Null).await.status, 200);
    assert_eq!(server.ask_as(&user, "GET", "/zones?parent_id=root", Value::Null).await.status, 200);
}
