use super::*;

fn base(text: &str) -> Base {
    Base::read(text).expect("a base")
}

fn hop(method: &str, url: &str, headers: &[(&str, &str)]) -> Result<Hop, Error> {
    let request = Request {
        method: method.into(),
        url: url.into(),
        headers: headers.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect(),
        body: Bytes::from_static(b"body"),
        ..Request::default()
    };
    let settings = Settings { origins: vec!["https://login.test".into()], ..Settings::default() };
    Hop::first(&base("http://host/api"), &settings, request)
}

#[test]
fn paths_go_behind_the_base() {
    for (base, path, whole) in [
        ("http://host", "/status", "http://host/status"),
        ("http://host/", "", "http://host/"),
        ("http://host/api", "", "http://host/api"),
        ("http://host/api/", "status?x=1", "http://host/api/status?x=1"),
        ("https://host:8443/api", "//elsewhere/x", "https://host:8443/api/elsewhere/x"),
        ("http://host/api", "?to=http://other/", "http://host/api?to=http://other/"),
        ("http://host/api", "/a b/ä", "http://host/api/a%20b/%C3%A4"),
        ("http://host/api", "http://other:81/x", "http://other:81/x"),
    ] {
        assert_eq!(super::Base::read(base).expect("base").join(path).expect(path).as_str(), whole);
    }
}

#[test]
fn a_base_is_checked_and_holds_no_password() {
    for (text, about) in [
        ("host", "not a URI"),
        ("ftp://host", "http://host"),
        ("http://user:hunter2@host", "connection.http.auth"),
        ("http://host/?key=1", "no ? or #"),
    ] {
        let why = Base::read(text).expect_err(text);
        assert!(why.contains(about) && !why.contains("hunter2"), "{why}");
    }
}

#[test]
fn other_origins_are_refused_unless_named() {
    for url in ["https://host/api", "http://host:81/", "http://login.test/", "file:///etc/passwd"] {
        let error = hop("GET", url, &[]).err().unwrap_or_else(|| panic!("{url} is another origin"));
        assert!(error.to_string().contains("connection.http.origins"), "{error}");
    }
    assert!(!hop("GET", "http://host:80/x", &[]).expect("its own").foreign);
    assert!(hop("GET", "https://login.test/token", &[]).expect("named").foreign);
}

#[test]
fn what_cannot_be_sent_is_refused_without_its_value() {
    for (method, name, value) in
        [("G T", "x", "y"), ("GET", "a b", "y"), ("GET", "x", "hunter2\n"), ("GET", "Content-Length", "3")]
    {
        let error = hop(method, "/", &[(name, value)]).err().expect("refused");
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
}

#[test]
fn redirects_stay_home_and_take_no_keys_abroad() {
    let settings = Settings { origins: vec!["https://login.test".into()], ..Settings::default() };
    let base = base("http://host/api");
    let to = |from: &Hop, status: u16, location: &str| {
        let mut headers = HeaderMap::new();
        headers.insert(LOCATION, location.parse().expect("value"));
        let status = StatusCode::from_u16(status).expect("status");
        from.redirected(&base, &settings, status, &headers)
    };
    let get = Hop {
        body: Bytes::new(),
        ..hop("GET", "/a", &[("X-Api-Key", "k"), ("Authorization", "a"), ("Accept", "b")]).expect("hop")
    };
    let home = to(&get, 302, "/c?d").expect("followed");
    assert_eq!((home.url.as_str(), home.headers.len(), home.foreign), ("http://host/c?d", 3, false));
    let away = to(&get, 302, "https://login.test/").expect("followed");
    assert!(away.foreign);
    assert_eq!(away.headers.keys().collect::<Vec<_>>(), [&ACCEPT]);
    assert!(to(&get, 302, "https://other.test/").is_none());
    assert!(to(&get, 302, "https://host/api/a").is_none(), "another scheme is another origin");
    assert!(to(&get, 200, "/c").is_none());

    let post = hop("POST", "/a", &[("Content-Type", "text/plain")]).expect("hop");
    let seen = to(&post, 303, "/c").expect("followed");
    assert_eq!((seen.method, seen.body.len(), seen.headers.len()), (Method::GET, 0, 0));
    let again = to(&post, 308, "/c").expect("followed");
    assert_eq!((again.method, again.body.len(), again.headers.len()), (Method::POST, 4, 1));
    assert!(to(&post, 307, "https://login.test/").is_none(), "a body stays home");
    assert!(to(&post, 303, "https://login.test/").expect("followed").body.is_empty());
}
