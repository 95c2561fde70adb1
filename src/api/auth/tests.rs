use std::sync::Arc;

use axum::http::Request;

use super::{Access, Caller, Permissions, Verifier, credential, keys};
use crate::{
    api::error::Error,
    model::Kind,
    secrets::key::Key,
    store::{self, Expect, typed},
};

fn found(build: impl FnOnce(axum::http::request::Builder) -> axum::http::request::Builder) -> Option<String> {
    let (parts, ()) = build(Request::builder()).body(()).unwrap().into_parts();
    credential::find(&parts)
}

#[test]
fn the_first_place_that_has_a_credential_decides() {
    assert_eq!(
        found(|r| r.uri("/").header("x-api-key", " k1 ").header("authorization", "Bearer b")).unwrap(),
        "k1"
    );
    assert_eq!(found(|r| r.uri("/?api-key=k2&bearer_token=b").header("cookie", "api-key=k3")).unwrap(), "k2");
    assert_eq!(found(|r| r.uri("/").header("cookie", "a=b; api-key=k3; c=d")).unwrap(), "k3");
    assert_eq!(found(|r| r.uri("/").header("cookie", "api-key=a%2Eb")).unwrap(), "a.b");
    assert_eq!(found(|r| r.uri("/").header("authorization", "bearer b1")).unwrap(), "b1");
    assert_eq!(found(|r| r.uri("/").header("authorization", "Token b2")).unwrap(), "b2");
    assert_eq!(found(|r| r.uri("/?bearer_token=b3")).unwrap(), "b3");
    assert_eq!(found(|r| r.uri("/").header("cookie", "bearer_token=b4")).unwrap(), "b4");
    assert_eq!(
        found(|r| r.uri("/?bearer_token=b3").header("authorization", "")),
        None,
        "present but empty blocks"
    );
    assert_eq!(found(|r| r.uri("/").header("authorization", "Basic x")), None);
    assert_eq!(found(|r| r.uri("/?x-api-key=k")), None);
}

fn caller(permissions: Permissions, scopes: &[&str]) -> Caller {
    Caller {
        key_id: "k".into(),
        user_id: "user-1".into(),
        name: "test".into(),
        permissions,
        scopes: scopes.iter().map(|scope| (*scope).to_owned()).collect(),
        issued_at: 0,
        expires_at: None,
    }
}

#[test]
fn permissions_reach_up_to_their_level() {
    for (permissions, most) in [
        (Permissions::User, Access::User),
        (Permissions::Support, Access::Support),
        (Permissions::Admin, Access::Admin),
        (Permissions::AdminSupport, Access::Admin),
    ] {
        let caller = caller(permissions, &[]);
        for access in [Access::Public, Access::User, Access::Support, Access::Admin] {
            assert_eq!(caller.reaches(access).is_ok(), access <= most, "{permissions:?} {access:?}");
        }
    }
}

#[test]
fn scopes_are_whole_or_one_half_of_a_resource() {
    let scope = |scopes: &[&str], write| caller(Permissions::Admin, scopes).in_scope(&["systems"], write);
    assert!(scope(&["public"], true) && scope(&["systems"], true) && scope(&["systems"], false));
    assert!(scope(&["systems.read"], false) && !scope(&["systems.read"], true));
    assert!(scope(&["systems.write"], true) && !scope(&["systems.write"], false));
    assert!(!scope(&["systemsx"], false) && !scope(&["modules"], false) && !scope(&[], false));
}

#[test]
fn permissions_are_read_from_numbers_and_words() {
    let parse = |value| Permissions::parse(&value);
    assert_eq!(parse(serde_json::json!(2)), Some(Permissions::Admin));
    assert_eq!(parse(serde_json::json!("admin_support")), Some(Permissions::AdminSupport));
    assert_eq!(parse(serde_json::json!(null)), Some(Permissions::User));
    assert_eq!(parse(serde_json::json!(4)), None);
    assert_eq!(parse(serde_json::json!("root")), None);
    assert_eq!(parse(serde_json::json!([])), None);
}

async fn admin() -> (store::Handle, Key) {
    let store = store::sqlite::open_in_memory().unwrap();
    let key = keys::bootstrap(store.as_ref(), None).await.unwrap().unwrap();
    (store, key)
}

#[tokio::test]
async fn the_first_key_is_made_once_and_kept_as_a_hash() {
    let (store, key) = admin().await;
    assert!(keys::bootstrap(store.as_ref(), None).await.unwrap().is_none(), "there is one already");
    let document = store.get(Kind::ApiKey, &key.id).await.unwrap().unwrap();
    assert!(!document.body.contains(key.secret.expose()));
    let verifier = Verifier::new(store);
    let caller = verifier.verify(&key.expose()).await.unwrap();
    assert!(caller.is_admin() && caller.is_support());
}

#[tokio::test]
async fn a_preset_key_is_taken_and_not_shown() {
    let store = store::sqlite::open_in_memory().unwrap();
    let preset = Key::mint();
    assert!(keys::preset("too.short").is_err());
    assert!(keys::bootstrap(store.as_ref(), Key::parse(&preset.expose())).await.unwrap().is_none());
    assert!(Verifier::new(store).verify(&preset.expose()).await.is_ok());
}

#[tokio::test]
async fn a_remembered_key_is_refused_once_it_is_deleted_or_has_expired() {
    let (store, key) = admin().await;
    let verifier = Verifier::new(store.clone());
    let presented = key.expose();
    for _ in 0..3 {
        verifier.verify(&presented).await.unwrap();
    }
    let wrong = Key { id: key.id.clone(), ..Key::mint() };
    assert!(matches!(verifier.verify(&wrong.expose()).await, Err(Error::Unauthorized(_))));

    let mut stored = typed::find::<keys::ApiKey>(store.as_ref(), &key.id).await.unwrap().unwrap().value;
    let caller: Arc<Caller> = stored.caller();
    stored.permissions = Permissions::User;
    typed::save(store.as_ref(), &stored, Expect::Any).await.unwrap();
    assert!(!verifier.verify(&presented).await.unwrap().is_support(), "a change holds at once");
    assert!(!verifier.still(&caller).await, "an open session is not what it was");

    stored.expires_at = Some(1);
    typed::save(store.as_ref(), &stored, Expect::Any).await.unwrap();
    assert!(verifier.verify(&presented).await.is_err());
    stored.expires_at = None;
    typed::save(store.as_ref(), &stored, Expect::Any).await.unwrap();
    assert!(verifier.verify(&presented).await.is_ok());
    store.commit(vec![typed::delete::<keys::ApiKey>(&key.id, Expect::Any)]).await.unwrap();
    assert!(verifier.verify(&presented).await.is_err());
}
