//! lighttpd as the service: basic and digest authentication, TLS, gzip, CGI; and tinyproxy between us and it.

use super::{
    super::{
        harness::{Recorder, eventually, never_retry, quick},
        kinds::own_address,
        peers::{Authority, Peer, params, program},
    },
    peer::{ask, begin, get, post},
    recorded::rounds,
};
use crate::connections::{
    Address, Connections, Link, Reason, State, Target, Tls,
    http::{Client, Config, Request, Response},
};
use serde_json::{Value, json};
use std::{net::Ipv4Addr, path::Path, process::Command, sync::Arc, time::Duration};

struct Lighttpd {
    at: Ipv4Addr,
    /// Whom its certificate is from.
    authority: Authority,
    directory: tempfile::TempDir,
    peer: Option<Peer>,
}

impl Lighttpd {
    /// None if it is not installed.
    async fn start() -> Option<Self> {
        for (file, package) in
            [("mod_openssl.so", "lighttpd-mod-openssl"), ("mod_deflate.so", "lighttpd-mod-deflate")]
        {
            program(&format!("../lib/lighttpd/{file}"), package)?;
        }
        let (at, authority) = (own_address(), Authority::new("Site"));
        let identity = authority.issue(&params(&[&at.to_string()]));
        let directory = tempfile::tempdir().expect("directory");
        let folder = directory.path();
        let write = |name: &str, text: &str| {
            let path = folder.join(name);
            std::fs::create_dir_all(path.parent().expect("folder")).expect("folder");
            std::fs::write(path, text).expect(name);
        };
        write("pem", &format!("{}{}", identity.key, identity.certificate));
        write("users", "otto:hunter2\n");
        write("www/data.json", &json!({"rooms": vec!["one"; 1000]}).to_string());
        for scheme in ["basic", "md5", "sha"] {
            write(&format!("www/{scheme}/data.json"), &json!({"scheme": scheme}).to_string());
        }
        write(
            "www/echo.cgi",
            "printf 'Content-Type: text/plain\\r\\n\\r\\n'; printf '%s ' \"$REQUEST_METHOD\"; cat",
        );
        write(
            "www/slow.cgi",
            "printf 'Content-Type: text/plain\\r\\n\\r\\n'; printf 'wait '; sleep 0.2; printf done",
        );
        write("www/sha/echo.cgi", "printf 'Content-Type: text/plain\\r\\n\\r\\n'; cat");
        write("conf", &configuration(at, folder));
        let mut lighttpd = Self { at, authority, directory, peer: None };
        lighttpd.appear()?;
        lighttpd.listens().await;
        Some(lighttpd)
    }

    fn appear(&mut self) -> Option<()> {
        let conf = self.directory.path().join("conf");
        let mut command = Command::new(program("lighttpd", "lighttpd")?);
        self.peer = Some(Peer::start(command.arg("-D").arg("-f").arg(conf)));
        Some(())
    }

    async fn listens(&self) {
        let at = (self.at, 8080);
        eventually("lighttpd listens", || std::net::TcpStream::connect(at).is_ok()).await;
    }

    fn client(&self, scheme: &str, settings: Value) -> Client {
        let port = if scheme == "https" { 8443 } else { 8080 };
        let tls = Tls { ca: Some(self.authority.pem.clone()), ..Tls::default() };
        let settings = Arc::new(serde_json::from_value(settings).expect("settings"));
        let base = format!("{scheme}://{}:{port}", self.at);
        Client::new(Config { base, socket: None, source: None, settings, tls: Arc::new(tls) })
            .expect("client")
    }

    async fn link(&self, scheme: &str, settings: Value) -> (Link, Recorder) {
        let recorder = Recorder::new();
        let target = Target::new(Address::Http(self.client(scheme, settings)));
        let link = recorder.open(&Connections::new(quick()), target);
        recorder.up_after(0).await;
        (link, recorder)
    }
}

fn configuration(at: Ipv4Addr, folder: &Path) -> String {
    let folder = folder.display();
    let require = |path: &str, how: &str| {
        format!(r#""/{path}/" => ("realm" => "{path}", "require" => "valid-user", {how})"#)
    };
    format!(
        r#"
server.modules = ("mod_redirect", "mod_auth", "mod_authn_file", "mod_cgi", "mod_openssl", "mod_deflate")
server.document-root = "{folder}/www"
server.bind = "{at}"
server.port = 8080
mimetype.assign = (".json" => "application/json")
deflate.mimetypes = ("application/json")
deflate.allowed-encodings = ("gzip")
cgi.assign = (".cgi" => "/bin/sh")
server.stream-response-body = 1
url.redirect = ("^/moved$" => "/sha/data.json?key=hunted")
auth.backend = "plain"
auth.backend.plain.userfile = "{folder}/users"
auth.require = ({}, {}, {})
$SERVER["socket"] == "{at}:8443" {{ ssl.engine = "enable" ssl.pemfile = "{folder}/pem" }}
"#,
        require("basic", r#""method" => "basic""#),
        require("md5", r#""method" => "digest", "algorithm" => "MD5""#),
        require("sha", r#""method" => "digest", "algorithm" => "SHA-256""#),
    )
}

fn text(response: &Response) -> &str {
    std::str::from_utf8(&response.body).expect("text")
}

fn otto(kind: &str, password: &str) -> Value {
    json!({"auth": {"kind": kind, "username": "otto", "password": password}})
}

#[tokio::test]
async fn gzip_cgi_and_json() {
    let Some(server) = Lighttpd::start().await else { return };
    let (link, _recorder) = server.link("http", json!({})).await;
    let response = ask(&link, get("/data.json")).await.expect("answered");
    let value: Value = serde_json::from_slice(&response.body).expect("JSON, decompressed");
    assert_eq!(value["rooms"].as_array().expect("array").len(), 1000);
    assert!(
        response.headers.contains(&("vary".into(), "Accept-Encoding".into())),
        "it was compressed: {:?}",
        response.headers
    );
    assert_eq!(text(&ask(&link, post("/echo.cgi", "hello")).await.expect("answered")), "POST hello");
    assert_eq!(text(&ask(&link, get("/slow.cgi")).await.expect("answered")), "wait done");
    let hurry = Request { timeout: Some(Duration::from_millis(50)), ..get("/slow.cgi") };
    ask(&link, hurry).await.expect_err("cut off at the deadline");
    assert_eq!(ask(&link, get("/nothing")).await.expect("an answer").status, 404);
}

#[tokio::test]
async fn basic_and_digest_of_either_kind() {
    let Some(server) = Lighttpd::start().await else { return };
    for (kind, path) in [("basic", "basic"), ("digest", "md5"), ("digest", "sha")] {
        let (link, recorder) = server.link("http", otto(kind, "hunter2")).await;
        for round in 0..3 {
            let response =
                ask(&link, get(&format!("/{path}/data.json?round={round}"))).await.expect("answered");
            assert_eq!((response.status, text(&response)), (200, &*format!("{{\"scheme\":\"{path}\"}}")));
        }
        // Wrong ones are refused, by the server and so by the link.
        let (wrong, told) = server.link("http", otto(kind, "hunter3")).await;
        assert_eq!(ask(&wrong, get(&format!("/{path}/data.json"))).await.expect("an answer").status, 401);
        let State::Down { reason, detail, .. } = told.ended(1).await else { unreachable!() };
        assert_eq!(reason, Reason::Auth, "{detail}");
        assert!(!detail.contains("hunter"), "{detail}");
        recorder.look(|record| assert!(record.states.last().is_some_and(State::is_up)));
    }
}

#[tokio::test]
async fn each_round_of_a_digest_is_recorded() {
    let Some(server) = Lighttpd::start().await else { return };
    let (link, recorder) = server.link("http", otto("digest", "hunter2")).await;
    assert_eq!(ask(&link, get("/moved")).await.expect("answered").status, 200);
    assert_eq!(ask(&link, get("/sha/data.json")).await.expect("answered").status, 200);
    let recorded = rounds(&recorder);
    let (answer, found) = ("\r\nauthorization: Digest ***\r\n", r#"{"scheme":"sha"}"#);
    let expected = [
        ("sent", "GET /moved HTTP/1.1\r\n", "\r\n\r\n"),
        ("received", "HTTP/1.1 301\r\n", "\r\nlocation: /sha/data.json?key=***\r\n"),
        ("sent", "GET /sha/data.json?key=*** HTTP/1.1\r\n", "\r\n\r\n"),
        ("received", "HTTP/1.1 401\r\n", "\r\nwww-authenticate: Digest realm=\"sha\""),
        ("sent", "GET /sha/data.json?key=*** HTTP/1.1\r\n", answer),
        ("received", "HTTP/1.1 200\r\n", found),
        // It is known now how.
        ("sent", "GET /sha/data.json HTTP/1.1\r\n", answer),
        ("received", "HTTP/1.1 200\r\n", found),
    ];
    assert_eq!(recorded.len(), expected.len(), "{recorded:#?}");
    for ((way, text), (expected, first, part)) in recorded.iter().zip(expected) {
        assert!(*way == expected && text.starts_with(first) && text.contains(part), "{recorded:#?}");
        assert!(!text.contains("hunte"), "{text}");
    }
    let answers = recorded.iter().filter(|(_, text)| text.contains("authorization: ")).count();
    assert_eq!(answers, 2, "{recorded:#?}");
    // The challenge has a page, too.
    assert!(recorded[3].1.contains("\r\n\r\n<"), "{recorded:#?}");
}

#[tokio::test]
async fn many_at_a_time_share_a_challenge() {
    let Some(server) = Lighttpd::start().await else { return };
    let mut settings = otto("digest", "hunter2");
    settings["concurrency"] = json!(8);
    let (link, _recorder) = server.link("https", settings).await;
    let answers: Vec<_> = (0..100).map(|n| begin(&link, post("/sha/echo.cgi", ["a", "bb"][n % 2]))).collect();
    for (n, answer) in answers.into_iter().enumerate() {
        let response = answer.await.expect("answered");
        assert_eq!((response.status, text(&response)), (200, ["a", "bb"][n % 2]));
    }
}

#[tokio::test]
async fn https_is_verified() {
    let Some(server) = Lighttpd::start().await else { return };
    let (link, _recorder) = server.link("https", otto("basic", "hunter2")).await;
    assert_eq!(ask(&link, get("/basic/data.json")).await.expect("answered").status, 200);
    // Not from whom the settings trust: the link says so, and nothing is asked.
    let config = Config {
        base: format!("https://{}:8443", server.at),
        socket: None,
        source: None,
        settings: Arc::default(),
        tls: Arc::default(),
    };
    let recorder = Recorder::new();
    let target = Target::new(Address::Http(Client::new(config.clone()).expect("client")));
    let link = recorder.open(&Connections::new(never_retry()), target);
    let State::Down { reason, detail, .. } = recorder.down().await else { unreachable!() };
    assert_eq!(reason, Reason::Tls);
    assert!(detail.contains("CN=Site"), "{detail}");
    let error = ask(&link, get("/data.json")).await.expect_err("untrusted").to_string();
    assert!(error.contains("CN=Site"), "{error}");
    // It is expected to be called something else.
    let tls = |server_name: &str| Tls {
        ca: Some(server.authority.pem.clone()),
        server_name: Some(server_name.into()),
        ..Tls::default()
    };
    let named = Config { tls: Arc::new(tls("other.example")), ..config };
    let recorder = Recorder::new();
    let target = Target::new(Address::Http(Client::new(named).expect("client")));
    let link = recorder.open(&Connections::new(never_retry()), target);
    assert_eq!(recorder.down().await.reason(), Some(Reason::Tls));
    let error = ask(&link, get("/data.json")).await.expect_err("another name").to_string();
    assert!(error.contains("other.example"), "{error}");
}

#[tokio::test]
async fn it_restarts() {
    let Some(mut server) = Lighttpd::start().await else { return };
    let (link, recorder) =
        server.link("http", json!({"probe": {"path": "/data.json", "interval_ms": 50}})).await;
    let slow = begin(&link, get("/slow.cgi"));
    tokio::time::sleep(Duration::from_millis(50)).await;
    server.peer = None;
    slow.await.expect_err("it was under way");
    recorder.ended(1).await;
    server.appear();
    recorder.up_after(1).await;
    assert_eq!(ask(&link, get("/data.json")).await.expect("answered").status, 200);
}

#[tokio::test]
async fn through_a_proxy() {
    let Some(server) = Lighttpd::start().await else { return };
    let Some(tinyproxy) = program("tinyproxy", "tinyproxy") else { return };
    let (at, folder) = (own_address(), server.directory.path());
    let conf = folder.join("tinyproxy.conf");
    let conf_text = format!(
        "Listen {at}\nPort 3128\nTimeout 60\nLogFile \"{}\"\nAllow 127.0.0.0/8\nBasicAuth otto hunter2\nConnectPort 8443\n",
        folder.join("proxy.log").display()
    );
    std::fs::write(&conf, conf_text).expect("conf");
    let _proxy = Peer::start(Command::new(tinyproxy).arg("-d").arg("-c").arg(&conf));
    eventually("tinyproxy listens", || std::net::TcpStream::connect((at, 3128)).is_ok()).await;
    let proxy = |user: &str| {
        let uri = format!("http://{at}:3128");
        json!({"proxy": {"uri": uri, "username": user, "password": "hunter2"}})
    };
    for scheme in ["http", "https"] {
        let (link, _recorder) = server.link(scheme, proxy("otto")).await;
        assert_eq!(ask(&link, get("/data.json")).await.expect("answered").status, 200);
        let recorder = Recorder::new();
        let target = Target::new(Address::Http(server.client(scheme, proxy(""))));
        let link = recorder.open(&Connections::new(never_retry()), target);
        let State::Down { reason, detail, .. } = recorder.down().await else { unreachable!() };
        assert_eq!(reason, Reason::Auth, "{detail}");
        assert!(!detail.contains("hunter"), "{detail}");
        drop(link);
    }
    let log = std::fs::read_to_string(folder.join("proxy.log")).expect("log");
    assert!(log.contains(&format!("{}:8443", server.at)), "it went through the proxy: {log}");
}
