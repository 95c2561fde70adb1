use std::sync::Arc;

use super::{
    frame::{self, Code, Command, Refusal, Request},
    outbox::Outbox,
};
use crate::runtime::subscriptions::Sink;

#[test]
fn a_request_is_read_as_clients_write_it() {
    let text = r#"{"id":2,"cmd":"EXEC","sys":"sys-1","mod":"Display","name":"power","args":[true, 1.50]}"#;
    let request = Request::parse(text).unwrap();
    assert_eq!(request.command(), Some(Command::Exec));
    assert_eq!((request.id.get(), request.index), ("2", 1));
    assert_eq!(request.args.unwrap().get(), "[true, 1.50]");
    assert_eq!(&*request.meta(), r#"{"sys":"sys-1","mod":"Display","index":1,"name":"power"}"#);
    let text = r#"{"id":"a\"b","cmd":"bind","sys":"s","mod":"M","index":3,"name":"n\n","args":null}"#;
    let request = Request::parse(text).unwrap();
    assert_eq!(request.id.get(), r#""a\"b""#);
    assert!(request.args.is_none());
    assert_eq!(&*request.meta(), r#"{"sys":"s","mod":"M","index":3,"name":"n\n"}"#);
}

#[test]
fn a_frame_that_is_wrong_is_refused_with_its_id() {
    let refused = |text: &str| {
        let (id, refusal) = Request::parse(text).unwrap_err();
        (id.to_string(), refusal.code)
    };
    assert_eq!(refused("{"), ("0".into(), Code::Parse));
    assert_eq!(refused("nonsense"), ("0".into(), Code::Parse));
    assert_eq!(refused("[]"), ("0".into(), Code::BadRequest));
    assert_eq!(refused(r#"{"id":7,"cmd":"bind"}"#), ("7".into(), Code::BadRequest));
    let full = r#""cmd":"bind","sys":"s","mod":"M","name":"n""#;
    assert_eq!(refused(&format!(r#"{{"id":8,{full},"extra":1}}"#)), ("8".into(), Code::BadRequest));
    assert_eq!(refused(&format!(r#"{{"id":9,{full},"index":null}}"#)), ("9".into(), Code::BadRequest));
    assert_eq!(refused(&format!(r#"{{"id":[1],{full}}}"#)), ("0".into(), Code::BadRequest));
    assert_eq!(refused(&format!(r#"{{"id":1.5,{full}}}"#)), ("0".into(), Code::BadRequest));
    let unknown = format!(r#"{{"id":1,{}}}"#, full.replace("bind", "explode"));
    assert_eq!(Request::parse(&unknown).unwrap().command(), None);
}

#[test]
fn replies_are_json_with_the_value_as_it_came() {
    let mut out = String::new();
    frame::success(&mut out, "4", Some(r#"{"sys":"s"}"#), Some(("1.50", 200)));
    assert_eq!(out, r#"{"id":4,"type":"success","value":1.50,"code":200,"meta":{"sys":"s"}}"#);
    out.clear();
    frame::success(&mut out, "5", None, None);
    assert_eq!(out, r#"{"id":5,"type":"success"}"#);
    out.clear();
    frame::error(&mut out, "6", &Refusal::new(Code::Denied, "a \"quoted\"\nword", 403));
    let value: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        value,
        serde_json::json!({
            "id": 6, "type": "error", "error_code": 2, "msg": "a \"quoted\"\nword", "code": 403
        })
    );
    out.clear();
    frame::debug(&mut out, "7", r#"{"sys":"s"}"#, "mod-1", "info", "hello\tyou");
    let value: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(value["msg"], "hello\tyou");
    assert_eq!(value["mod"], "mod-1");
}

#[test]
fn a_value_that_waits_is_replaced_by_a_newer_one() {
    let outbox = Outbox::default();
    for round in 0..1000 {
        for token in 0..3 {
            outbox.changed(token, Some(Arc::from(round.to_string())));
        }
    }
    let waiting: Vec<_> = std::iter::from_fn(|| outbox.next()).collect();
    assert_eq!(waiting.len(), 3, "a slot for each");
    assert!(waiting.iter().all(|(_, value)| value.as_deref() == Some("999")));
    outbox.changed(1, None);
    assert_eq!(outbox.next(), Some((1, None)));
    assert_eq!(outbox.next(), None);
}
