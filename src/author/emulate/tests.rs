use drivers_sdk_protocol::Manifest;

use super::*;

#[test]
fn the_drivers_own_port_is_used_if_anybody_may_have_it() {
    let port = |manifest: Manifest| usual(&manifest).port();
    assert_eq!(port(Manifest { port: Some(4352), ..Manifest::default() }), 4352);
    assert_eq!(port(Manifest { port: Some(23), ..Manifest::default() }), 0);
    assert_eq!(port(Manifest { uri: Some("ws://a.local:8080/x".into()), ..Manifest::default() }), 8080);
    assert_eq!(port(Manifest { uri: Some("https://a.local/x".into()), ..Manifest::default() }), 0);
    assert_eq!(port(Manifest::default()), 0);
}

#[test]
fn settings_are_an_object() {
    assert!(object(r#"{"password": "x"}"#).is_ok());
    let error = object("[1]").unwrap_err().to_string();
    assert!(error.starts_with("--settings is no JSON object:"), "{error}");
    assert!(object("password=x").is_err());
}
