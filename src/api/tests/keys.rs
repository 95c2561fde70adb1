use serde_json::{Value, json};

use super::server::{Server, answer, expire};

#[tokio::test]
async fn a_key_is_shown_once_and_works_in_every_place() {
    let server = Server::start().await;
    let body =
        json!({"name": " Panel 1 ", "description": "lobby", "permissions": 1, "scopes": ["systems.read"]});
    let made = server.ask("POST", "/api_keys", body).await;
    assert_eq!(made.status, 201, "{made:?}");
    let shown = made.json();
    assert_eq!(shown["name"], "panel 1");
    assert_eq!(shown["permissions"], "support");
    assert!(shown["hash"].is_null());
    let key = shown["x_api_key"].as_str().unwrap();
    let id = shown["id"].as_str().unwrap();
    let again = server.get(&format!("/api_keys/{id}")).await;
    assert!(!again.text.contains("x_api_key") && !again.text.contains(&key[33..]), "{again:?}");

    let get = || server.client.get(server.url("/systems"));
    for request in [
        get().header("x-api-key", key),
        server.client.get(server.url(&format!("/systems?api-key={key}"))),
        get().header("cookie", format!("api-key={key}")),
        get().bearer_auth(key),
        server.client.get(server.url(&format!("/systems?bearer_token={key}"))),
        get().header("cookie", format!("bearer_token={key}")),
    ] {
        assert_eq!(answer(request).await.status, 200);
    }
    let writes = server.ask_as(key, "POST", "/systems", json!({"name": "x"})).await;
    assert_eq!((writes.status, writes.text.as_str()), (403, ""), "only for reading");
    assert_eq!(server.ask_as(key, "GET", "/zones/tags", Value::Null).await.status, 403, "another scope");
    let claims = server.ask_as(key, "GET", "/api_keys/inspect", Value::Null).await.json();
    assert_eq!((claims["u"]["p"].as_i64(), claims["scope"][0].as_str()), (Some(1), Some("systems.read")));
}

#[tokio::test]
async fn a_change_or_deletion_holds_at_once() {
    let server = Server::start().await;
    let made = server.ask("POST", "/api_keys", json!({"name": "k", "permissions": "admin"})).await.json();
    let (id, key) = (made["id"].as_str().unwrap(), made["x_api_key"].as_str().unwrap());
    assert_eq!(server.ask_as(key, "GET", "/modules", Value::Null).await.status, 200);
    let path = format!("/api_keys/{id}");
    let changed = server.ask("PATCH", &path, json!({"permissions": "user", "x_api_key": "mine"})).await;
    assert_eq!((changed.status, changed.json()["permissions"].as_str()), (200, Some("user")));
    assert_eq!(server.ask_as(key, "GET", "/modules", Value::Null).await.status, 403);
    assert_eq!(server.ask("DELETE", &path, Value::Null).await.status, 202);
    assert_eq!(server.ask_as(key, "GET", "/systems", Value::Null).await.status, 401);
    assert_eq!(server.get(&path).await.status, 404);
}

#[tokio::test]
async fn an_expired_key_is_refused() {
    let server = Server::start().await;
    let key = server.new_key("admin", &["public"]).await;
    assert_eq!(server.ask_as(&key, "GET", "/systems", Value::Null).await.status, 200);
    expire(&server, &key).await;
    let refused = server.ask_as(&key, "GET", "/systems", Value::Null).await;
    assert_eq!(refused.status, 401);
    assert!(refused.json()["error"].is_string());
    let past = server.ask("POST", "/api_keys", json!({"name": "late", "expires_at": 5})).await;
    assert_eq!((past.status, past.failures()), (422, vec!["expires_at: must be in the future".to_owned()]));
    let soon = server.ask("POST", "/api_keys", json!({"name": "soon", "ttl": 60})).await;
    assert!(soon.json()["expires_at"].as_i64().unwrap() > 1_700_000_000);
    for ttl in [json!(0), json!("x"), json!(-1)] {
        assert_eq!(server.ask("POST", "/api_keys", json!({"name": "no", "ttl": ttl})).await.status, 400);
    }
}

#[tokio::test]
async fn names_are_unique_and_permissions_are_checked() {
    let server = Server::start().await;
    server.create("/api_keys", json!({"name": "one"})).await;
    let twin = server.ask("POST", "/api_keys", json!({"name": "ONE "})).await;
    assert_eq!((twin.status, twin.failures()), (422, vec!["name: should be unique".to_owned()]));
    assert_eq!(server.ask("POST", "/api_keys", json!({"name": "x", "permissions": 9})).await.status, 400);
    assert_eq!(server.ask("POST", "/api_keys", json!({})).await.status, 422);
    let plain = server.ask("POST", "/api_keys", json!({"name": "plain", "permissions": null})).await.json();
    assert_eq!((plain["permissions"].as_str(), plain["scopes"][0].as_str()), (Some("user"), Some("public")));
}
