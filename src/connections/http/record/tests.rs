use super::*;
use crate::connections::recorder::{Event, Recorder};
use proptest::prelude::*;
use reqwest::Method;
use serde_json::Value;

fn recorded(recorder: &Recorder) -> Vec<String> {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    let data = recorder.records().into_iter().filter_map(|record| match record.event {
        Event::Sent(data) | Event::Received(data) => Some(text(data.bytes)),
        _ => None,
    });
    data.collect()
}

fn headers(headers: &[(&'static str, &str)]) -> HeaderMap {
    let headers = headers.iter();
    headers.map(|(name, value)| (HeaderName::from_static(name), value.parse().expect("value"))).collect()
}

#[test]
fn it_reads_like_http_and_holds_no_secret() {
    let recorder = Recorder::new(16 * 1024).expect("a recorder");
    let url = "http://host:81/login?a=b&sid_token=hunter2".parse().expect("url");
    let mut asked = Request::new(Method::POST, url);
    *asked.headers_mut() = headers(&[
        ("x-api-key", "hunter2"),
        ("authorization", "Bearer hunter2"),
        ("proxy-authorization", "hunter2"),
        ("cookie", "a=hunter2"),
        ("content-type", "application/json"),
    ]);
    let own = "hunter2".parse().map(|mut own: reqwest::header::HeaderValue| {
        own.set_sensitive(true);
        own
    });
    asked.headers_mut().insert("x-own", own.expect("value"));
    *asked.body_mut() = Some(r#"{"user":"otto","password":"hunter2"}"#.into());
    request(recorder.aside(0), &asked);
    let told = headers(&[
        ("set-cookie", "sid=hunter2"),
        ("www-authenticate", "Digest realm=\"r\", nonce=\"n\""),
        ("location", "http://otto:hunter2@host/there?key=hunter2&a=b#access_token=hunter2"),
        ("content-type", "text/plain"),
    ]);
    response(recorder.aside(0), StatusCode::FOUND, &told, "x".repeat(5000).as_bytes(), true);
    failure(recorder.aside(0), &"it went wrong");
    let recorded = recorded(&recorder);
    assert_eq!(
        recorded[0],
        "POST /login?a=b&sid_token=*** HTTP/1.1\r\nhost: host:81\r\nx-api-key: ***\r\nauthorization: Bearer ***\r\n\
         proxy-authorization: ***\r\ncookie: ***\r\ncontent-type: application/json\r\nx-own: ***\r\n\
         content-length: 32\r\n\r\n{\"user\":\"otto\",\"password\":\"***\"}"
    );
    let answer = recorded[1..recorded.len() - 1].concat();
    let expected = format!(
        "HTTP/1.1 302\r\nset-cookie: ***\r\nwww-authenticate: Digest realm=\"r\", nonce=\"n\"\r\n\
         location: http://***@host/there?key=***&a=b#access_token=***\r\ncontent-type: text/plain\r\n\
         x-headend-kept: 4096 bytes of 5000\r\ncontent-length: 4096\r\n\r\n{}",
        "x".repeat(4096)
    );
    assert_eq!(answer, expected);
    assert_eq!(recorded[recorded.len() - 1], "(it went wrong)\r\n");
}

#[test]
fn what_is_cut_off_says_so_and_is_masked_all_the_same() {
    let shown = |kind, body: &[u8], ended, most| {
        let message = message(String::new(), &headers(&[("content-type", kind)]), body, ended, most);
        String::from_utf8(message).expect("text")
    };
    let form = shown("application/x-www-form-urlencoded", b"user=otto&pwd=hunter2&x=y", true, 19);
    assert!(
        form.contains("x-headend-kept: 19 bytes of 25\r\n") && form.ends_with("user=otto&pwd=***"),
        "{form}"
    );
    let json = shown("application/json", br#"{"user": "otto", "pwd": "hunter2"}"#, false, 30);
    assert!(json.contains("x-headend-kept: 30 bytes of more than 34\r\n"), "{json}");
    assert!(json.ends_with(r#"{"user": "otto", "pwd": "***""#), "{json}");
}

#[test]
fn json_stays_as_it_is_but_for_its_secrets() {
    for (text, expected) in [
        (r#" {"b" : 1.5e-7 , "a":[true,{"pass\u0077ord":"h\"unter2","x":null}]} "#, None),
        (
            r#"{"deep":[{"accessToken": -12, "y":"z"}],"auth":{"kind":"basic"},"auth_en" : false ,"key":null}"#,
            None,
        ),
        (
            r#"{"tokens": ["a", [1, true], "b", {"x": "y"}, "c"], "x": ["d"]}"#,
            Some(r#"{"tokens": ["***", ["***", true], "***", {"x": "y"}, "***"], "x": ["d"]}"#),
        ),
        (r#"["key", "token"]"#, Some(r#"["key", "token"]"#)),
        ("no json: at all \"", Some("no json: at all \"")),
        ("{\"key\": 'hunter2', \"a\": 1}", Some(r#"{"key": "***", "a": 1}"#)),
    ] {
        let shown = String::from_utf8(json(text.as_bytes())).expect("text");
        let expected = expected.map_or_else(
            || text.replace(r#""h\"unter2""#, "\"***\"").replace("-12", "\"***\""),
            ToOwned::to_owned,
        );
        assert_eq!(shown, expected);
    }
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "\\PC{0,6}".prop_map(Value::from),
        Just(Value::Null),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        let name = prop_oneof!["\\PC{0,4}", Just("key".to_owned()), Just("Password".to_owned())];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((name, inner), 0..4)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

/// By the book. `secret`: by the name it goes by.
fn mask(value: &mut Value, secret: bool) {
    match value {
        Value::Object(fields) => fields.iter_mut().for_each(|(name, value)| mask(value, is_secret(name))),
        Value::Array(items) => items.iter_mut().for_each(|item| mask(item, secret)),
        Value::Bool(_) | Value::Null => {}
        _ if secret => *value = MASK.into(),
        _ => {}
    }
}

proptest! {
    #[test]
    fn any_json_is_masked(mut value in value(), pretty in any::<bool>()) {
        let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) };
        let shown = json(text.expect("JSON").as_bytes());
        mask(&mut value, false);
        prop_assert_eq!(serde_json::from_slice::<Value>(&shown).expect("JSON"), value);
    }
}
