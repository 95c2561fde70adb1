use serde_json::{Value, json};

use super::server::Server;

#[tokio::test]
async fn metadata_is_replaced_merged_renamed_and_deleted() {
    let server = Server::start().await;
    let zone = server.create("/zones", json!({"name": "z"})).await;
    let path = format!("/metadata/{zone}");
    assert_eq!(server.get(&path).await.json(), json!({}));
    let put = async |body| server.ask("PUT", &path, body).await;
    let made =
        put(json!({"name": "map", "description": "d", "details": {"a": 1, "b": {"c": 2}}, "id": "x"})).await;
    assert_eq!(made.status, 200, "{made:?}");
    assert!(made.json().get("id").is_none());
    let body = json!({"name": "map", "description": "d", "details": {"a": null, "b": {"d": 3}}});
    let merged = server.ask("PATCH", &path, body).await.json();
    assert_eq!(merged["details"], json!({"b": {"c": 2, "d": 3}}));
    let replaced = put(json!({"name": "map", "description": "e", "details": [1]})).await.json();
    assert_eq!((&replaced["details"], replaced["created_at"].is_i64()), (&json!([1]), true));
    for body in
        [json!({"name": "x", "details": 1}), json!({"name": "x", "description": ""}), json!({"name": 1})]
    {
        assert_eq!(put(body).await.status, 400);
    }
    let history = server.get(&format!("{path}/history?name=map")).await;
    assert_eq!((history.header("x-total-count"), history.json()["map"].as_array().unwrap().len()), ("3", 3));

    put(json!({"name": "other", "description": "", "details": 2})).await;
    let rename = json!({"current_name": "map", "new_name": "other"});
    assert_eq!(
        server.ask("PATCH", &format!("{path}/name"), rename).await.failures(),
        ["name: should be unique"]
    );
    let rename = json!({"current_name": "map", "new_name": "plan"});
    assert_eq!(server.ask("PATCH", &format!("{path}/name"), rename.clone()).await.status, 200);
    assert_eq!(server.ask("PATCH", &format!("{path}/name"), rename).await.status, 404);
    let names: Vec<String> = server.get(&path).await.json().as_object().unwrap().keys().cloned().collect();
    assert_eq!(names, ["other", "plan"]);
    assert_eq!(
        server.get(&format!("/zones/{zone}/metadata?name=plan")).await.json()["plan"]["details"],
        json!([1])
    );
    let bulk = server.get(&format!("/metadata/other/bulk?parent_ids={zone},zone-none")).await.json();
    assert_eq!((&bulk[&zone]["details"], &bulk["zone-none"]), (&json!(2), &Value::Null));

    let missing = server.ask("DELETE", &path, Value::Null).await;
    assert_eq!((missing.status, missing.json()["parameter"].as_str()), (422, Some("name")));
    assert_eq!(server.ask("DELETE", &format!("{path}?name=plan"), Value::Null).await.status, 202);
    assert_eq!(server.get(&path).await.json().as_object().unwrap().len(), 1);
    let nobody = json!({"name": "x", "description": "", "details": 1});
    let nobody = server.ask("PUT", "/metadata/zone-none", nobody).await;
    assert_eq!(nobody.failures(), ["parent_id: must reference an existing model"]);
}

#[tokio::test]
async fn children_come_with_their_metadata() {
    let server = Server::start().await;
    let org = server.create("/zones", json!({"name": "org"})).await;
    let level = server.create("/zones", json!({"name": "level", "parent_id": org})).await;
    let body = json!({"name": "map", "description": "", "details": 7});
    server.ask("PUT", &format!("/metadata/{level}"), body).await;
    let children = server.get(&format!("/metadata/{org}/children?name=map")).await.json();
    assert_eq!(
        (&children[0]["zone"]["id"], &children[0]["metadata"]["map"]["details"]),
        (&json!(level), &json!(7))
    );
}

#[tokio::test]
async fn users_write_their_own_and_support_any() {
    let server = Server::start().await;
    let zone = server.create("/zones", json!({"name": "z"})).await;
    let own = crate::model::id::new("user");
    let body = json!({"name": "panel", "user_id": own});
    let key = server.ask("POST", "/api_keys", body).await.json()["x_api_key"].as_str().unwrap().to_owned();
    let body = json!({"name": "settings", "description": "", "details": {"dark": true}, "editors": ["x"]});
    let put = async |path: String| server.ask_as(&key, "PUT", &path, body.clone()).await;
    let mine = put(format!("/metadata/{own}?version=0")).await;
    assert_eq!((mine.status, &mine.json()["editors"]), (200, &json!([])), "editors are support's");
    assert_eq!(put(format!("/metadata/{zone}")).await.status, 403);
    let support = server.new_key("support", &["public"]).await;
    let theirs = server.ask_as(&support, "PUT", &format!("/metadata/{own}"), body.clone()).await;
    assert_eq!((theirs.status, &theirs.json()["editors"]), (200, &json!(["x"])));
    assert_eq!(
        server.get(&format!("/users/{own}/metadata")).await.json()["settings"]["details"]["dark"],
        true
    );
}
