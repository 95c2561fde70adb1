use super::*;

fn challenge(header: &str, cnonce: &str) -> Challenge {
    let mut challenge = Challenge::strongest([header].into_iter()).expect("a challenge");
    challenge.cnonce = cnonce.into();
    challenge
}

fn get(uri: &str) -> Asked<'_> {
    Asked { method: "GET", uri, body: b"" }
}

fn field<'a>(answer: &'a str, name: &str) -> &'a str {
    let start = answer.find(&format!(" {name}=")).unwrap_or_else(|| panic!("{name} in {answer}"));
    answer[start..].split_once('=').expect("=").1.split(',').next().expect("value").trim_matches('"')
}

/// RFC 7616, 3.9.1: both challenges of one response.
const BOTH: [&str; 2] = [
    r#"Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm=MD5, nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS""#,
    r#"Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm=SHA-256, nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS""#,
];
const CNONCE: &str = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ";

#[test]
fn answers_as_the_rfc_does() {
    let password = Secret::from("Circle of Life");
    for (header, expected) in [
        (BOTH[0], "8ca523f5e9506fed4657c9700eebdbec"),
        (BOTH[1], "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
    ] {
        let answer = challenge(header, CNONCE).answer("Mufasa", &password, &get("/dir/index.html"));
        assert_eq!(field(&answer, "response"), expected, "{answer}");
        assert_eq!((field(&answer, "nc"), field(&answer, "qop")), ("00000001", "auth"));
        assert_eq!(field(&answer, "opaque"), "FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS");
    }
}

#[test]
fn hides_the_user_as_the_rfc_does() {
    // RFC 7616, 3.9.2, with the hash of erratum 4897; the response is what Python's hashlib makes of the formula.
    let header = r#"Digest realm="api@example.org", qop="auth", algorithm=SHA-512-256, nonce="5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK", opaque="HRPCssKJSGjCrkzDg8OhwpzCiGPChXYjwrI2QmXDnsOS", charset=UTF-8, userhash=true"#;
    let cnonce = "NTg6RKcb9boFIAS3KrFK9BGeh+niz/sm";
    let user = "J\u{e4}s\u{f8}n Doe";
    let answer = challenge(header, cnonce).answer(user, &"Secret, or not?".into(), &get("/doe.json"));
    assert_eq!(
        field(&answer, "username"),
        "793263caabb707a56211940d90411ea4a575adeccb7e360aeb624ed06ece9b0b"
    );
    assert_eq!(
        field(&answer, "response"),
        "7a4e1192babbba02e91182d2895bfdbf7adafc6e48d4e517ca301974843d840c"
    );
    assert!(answer.contains("userhash=true"));
}

#[test]
fn answers_old_devices_without_qop() {
    // RFC 2069, 2.4, with the response of its erratum.
    let header = r#"Digest realm="testrealm@host.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", opaque="5ccc069c403ebaf9f0171e9517f40e41""#;
    let answer = challenge(header, "x").answer("Mufasa", &"CircleOfLife".into(), &get("/dir/index.html"));
    assert_eq!(field(&answer, "response"), "1949323746fe6a43ef61f9606e7febea");
    assert!(!answer.contains("nc=") && !answer.contains("algorithm"), "{answer}");
}

#[test]
fn counts_and_keeps_its_session() {
    let header = r#"Digest realm="r", nonce="n", qop="auth", algorithm=MD5-sess"#;
    let mut challenge = challenge(header, "c");
    let first = challenge.answer("u", &"p".into(), &get("/"));
    let second = challenge.answer("u", &"p".into(), &get("/"));
    assert_eq!((field(&first, "nc"), field(&second, "nc")), ("00000001", "00000002"));
    assert_eq!(field(&first, "cnonce"), field(&second, "cnonce"));
    assert_ne!(field(&first, "response"), field(&second, "response"));
    // H(H(H(u:r:p):n:c) : n : nc : c : auth : H(GET:/)), by hand.
    let md5 = |text: &str| format!("{:x}", md5::compute(text));
    let key = md5(&format!("{}:n:c", md5("u:r:p")));
    assert_eq!(field(&second, "response"), md5(&format!("{key}:n:00000002:c:auth:{}", md5("GET:/"))));
    challenge.renew(r#"nextnonce="later", qop=auth"#);
    let third = challenge.answer("u", &"p".into(), &get("/"));
    assert_eq!((field(&third, "nonce"), field(&third, "nc")), ("later", "00000001"));
}

#[test]
fn integrity_only_where_nothing_else_is_offered() {
    let header = r#"Digest realm="r", nonce="n", qop="auth-int", stale=TRUE"#;
    let mut challenge = challenge(header, "c");
    assert!(challenge.stale);
    let asked = Asked { method: "POST", uri: "/", body: b"body" };
    let answer = challenge.answer("u", &"p".into(), &asked);
    let md5 = |text: &str| format!("{:x}", md5::compute(text));
    let a2 = md5(&format!("POST:/:{}", md5("body")));
    assert_eq!(field(&answer, "response"), md5(&format!("{}:n:00000001:c:auth-int:{a2}", md5("u:r:p"))));
}

#[test]
fn takes_the_strongest_of_what_it_knows() {
    let one = |header: &'static str| Challenge::strongest([header].into_iter());
    assert_eq!(Challenge::strongest(BOTH.into_iter()).expect("one").hash, Hash::Sha256);
    let mixed = r#"Basic realm="x", Digest realm="a, b", nonce="n1", algorithm=MD5, Digest realm="c", nonce="n2", algorithm=SHA-256"#;
    assert_eq!(one(mixed).expect("one").realm, "c");
    assert!(one(r#"Basic realm="x""#).is_none());
    assert!(one(r#"Digest realm="x", nonce="n", algorithm=SHA-1"#).is_none());
    assert!(one(r#"Digest realm="x", nonce="n", qop="token""#).is_none());
    assert!(one(r#"Digest realm="x""#).is_none());
    assert!(one("Digest realm=\"x").is_none());
}

#[test]
fn quotes_what_needs_it() {
    let header = r#"Digest realm="say \"hi\"", nonce="n", qop=auth"#;
    let answer = challenge(header, "c").answer(r#"a"b\c"#, &"p".into(), &get("/"));
    assert!(answer.contains(r#"realm="say \"hi\"""#), "{answer}");
    assert!(answer.contains(r#"username="a\"b\\c""#), "{answer}");
    let answer = challenge(header, "c").answer("j\u{e4}y", &"p".into(), &get("/"));
    assert!(answer.contains("username*=UTF-8''j%C3%A4y"), "{answer}");
}
