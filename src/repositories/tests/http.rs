//! Repositories over http and https, served by git's own `http-backend` behind a small CGI server (see `web`); and over git://.

use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::sync::Arc;

use super::web::{BACKEND, serve};
use super::*;
use crate::repositories::{Credentials, Error};
use crate::secrets::Secret;

fn bob(password: &str) -> Credentials {
    Credentials { username: Some("bob".into()), password: Some(Secret::new(password)), key: None }
}

/// An origin with some history, and a file that makes a pack of many chunks.
fn origin() -> (Origin, String) {
    let origin = Origin::new();
    origin.commit("First", &[("a/Cargo.toml", "x")]);
    let noise: String =
        (0..40_000u64).map(|n| format!("{:x}\n", n.wrapping_mul(0x9E37_79B9_7F4A_7C15))).collect();
    let head = origin.commit("Second", &[("noise", &noise)]);
    (origin, head)
}

#[tokio::test]
async fn fetches_with_and_without_credentials() {
    if program(BACKEND, "git").is_none() {
        return;
    }
    let (origin, head) = origin();
    let server = serve(origin.path()).await;
    let home = home();
    let at = |id: &str, path: &str, credentials: Credentials| Source {
        id: id.into(),
        uri: server.uri(path),
        branch: "main".into(),
        credentials,
        root: None,
    };
    let open = at("repo-open", "/open/.git", Credentials::default());
    assert_eq!(home.remote_branches(&open).await.unwrap(), ["main"]);
    assert_eq!(home.remote_default_branch(&open).await.unwrap(), "main");
    assert_eq!(home.fetch(&open).await.unwrap(), head);
    // Again, when there is nothing new; and again, when there is: a negotiation with what is there already.
    assert_eq!(home.fetch(&open).await.unwrap(), head);
    let mut last = head;
    for round in 0..40 {
        last = origin.commit(&format!("Round {round}"), &[("round", &round.to_string())]);
    }
    assert_eq!(home.fetch(&open).await.unwrap(), last);
    assert_eq!(home.commits(&open, "", None, 100).await.unwrap().len(), 42);

    let closed = at("repo-closed", "/closed/.git", bob("hunter2"));
    assert_eq!(home.fetch(&closed).await.unwrap(), last);
    let mut in_address = at("repo-address", "/closed/.git", Credentials::default());
    in_address.uri = in_address.uri.replace("http://", "http://bob:hunter2@");
    assert_eq!(home.fetch(&in_address).await.unwrap(), last);

    for (credentials, says) in
        [(bob("wrong-secret"), "Correct"), (Credentials::default(), "has no credentials")]
    {
        let error = home.fetch(&at("repo-refused", "/closed/.git", credentials)).await.unwrap_err();
        let text = error.to_string();
        assert!(matches!(error, Error::Credentials { .. }), "{text}");
        assert!(text.contains(says) && !text.contains("wrong-secret"), "{text}");
        assert!(!error.is_transient());
    }
}

#[tokio::test]
async fn redirects_are_followed_and_credentials_stay() {
    if program(BACKEND, "git").is_none() {
        return;
    }
    let (origin, head) = origin();
    let server = serve(origin.path()).await;
    let home = home();
    for (id, path) in [("repo-moved", "/moved/.git"), ("repo-away", "/away/.git")] {
        let source = Source {
            id: id.into(),
            uri: server.uri(path),
            branch: "main".into(),
            credentials: bob("hunter2"),
            root: None,
        };
        assert_eq!(home.fetch(&source).await.unwrap(), head, "{path}");
    }
    let signed = server.signed.lock();
    assert!(
        signed.iter().any(|(path, _)| path.ends_with("/git-upload-pack")),
        "no exchange was signed: {signed:?}"
    );
    // To another host nothing was signed: the only signed request of that fetch is the one that was redirected.
    let away: Vec<_> = signed.iter().skip_while(|(path, _)| !path.starts_with("/away")).collect();
    assert_eq!(away.len(), 1, "{away:?}");
}

#[tokio::test]
async fn remotes_that_are_silent_broken_or_something_else() {
    let (origin, _) = origin();
    let server = serve(origin.path()).await;
    let home = home_with(Options { silence_ms: 300, connect_ms: 2_000, ..Options::default() });
    let fetch = async |uri: String| {
        let source = Source { id: "repo-1".into(), uri, branch: "main".into(), ..Source::default() };
        let error = home.fetch(&source).await.unwrap_err();
        let text = error.to_string();
        assert!(text.contains("127.0.0.1"), "it does not say what was tried: {text}");
        (error, text)
    };
    let (error, text) = fetch(server.uri("/silent/.git")).await;
    assert!(matches!(error, Error::Timeout { .. }) && error.is_transient(), "{text}");
    let (error, text) = fetch(server.uri("/broken/.git")).await;
    assert!(matches!(error, Error::Unreachable { .. }) && text.contains("502"), "{text}");
    let (error, text) = fetch(server.uri("/html/.git")).await;
    assert!(matches!(error, Error::NotARepository { .. }) && text.contains("text/html"), "{text}");
    let (error, text) = fetch(format!("http://127.0.0.1:{}/x", free_port())).await;
    assert!(matches!(error, Error::Unreachable { .. }), "{text}");
    if program(BACKEND, "git").is_some() {
        let (error, text) = fetch(server.uri("/open/no-such.git")).await;
        assert!(matches!(error, Error::NotARepository { .. }) && text.contains("404"), "{text}");
    }
}

#[tokio::test]
async fn a_fetch_has_a_limit_of_bytes_and_of_time_and_ends_with_the_daemon() {
    if program(BACKEND, "git").is_none() {
        return;
    }
    let (origin, _) = origin();
    let server = serve(origin.path()).await;
    let source = Source {
        id: "repo-1".into(),
        uri: server.uri("/open/.git"),
        branch: "main".into(),
        ..Source::default()
    };
    let small = home_with(Options { fetch_bytes: 1000, ..Options::default() });
    let error = small.fetch(&source).await.unwrap_err();
    assert!(error.to_string().contains("larger than the limit"), "{error}");

    let silent = Source { uri: server.uri("/silent/.git"), ..source };
    let short = home_with(Options { fetch_ms: 300, ..Options::default() });
    let error = short.fetch(&silent).await.unwrap_err();
    assert!(matches!(error, Error::Timeout { .. }), "{error}");

    let home = home();
    let (repositories, waiting) = (home.repositories.clone(), silent.clone());
    let fetch = tokio::spawn(async move { repositories.fetch(&waiting).await });
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    home.shutdown().await;
    assert!(matches!(fetch.await.unwrap(), Err(Error::Stopped)));
    assert!(matches!(home.fetch(&silent).await, Err(Error::Stopped)));
}

#[tokio::test]
async fn git_daemon() {
    if program("/usr/lib/git-core/git-daemon", "git").is_none() {
        return;
    }
    let (origin, head) = origin();
    let port = free_port();
    let child = Command::new("/usr/lib/git-core/git-daemon")
        .args(["--export-all", "--listen=127.0.0.1", &format!("--port={port}"), "--reuseaddr"])
        .arg(format!("--base-path={}", origin.path().display()))
        .arg(origin.path())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let _daemon = Peer(child);
    until("the git daemon listens", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()).await;
    let source = Source {
        id: "repo-1".into(),
        uri: format!("git://127.0.0.1:{port}/.git"),
        branch: "main".into(),
        ..Source::default()
    };
    let home = home();
    assert_eq!(home.fetch(&source).await.unwrap(), head);
    let next = origin.commit("Third", &[("b", "1")]);
    assert_eq!(home.fetch(&source).await.unwrap(), next);
    let missing = Source { uri: format!("git://127.0.0.1:{port}/nothing"), ..source };
    let error = home.fetch(&missing).await.unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, Error::NotARepository { .. }) && text.contains("not exported"), "{text}");
}

/// Certificates are verified against the system's roots; a private authority is trusted through SSL_CERT_FILE.
#[tokio::test]
async fn https_verifies_the_certificate() {
    if program(BACKEND, "git").is_none() || program("/usr/bin/openssl", "openssl").is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = certificate(folder.path());
    let (origin, head) = origin();
    let plain = serve(origin.path()).await;
    let secure = tls_in_front_of(plain.address, &certificate, &key).await;
    let uri = format!("https://127.0.0.1:{}/open/.git", secure.port());

    let source = Source { id: "repo-1".into(), uri: uri.clone(), branch: "main".into(), ..Source::default() };
    let error = home().fetch(&source).await.unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, Error::Unreachable { .. }) && text.contains("certificate"), "{text}");

    // The roots are read once per process: trusting needs another one.
    let mut child = Command::new(std::env::current_exe().unwrap());
    child
        .args([
            "--exact",
            "repositories::tests::http::https_in_a_process_of_its_own",
            "--ignored",
            "--nocapture",
        ])
        .env("SSL_CERT_FILE", &certificate)
        .env("TEST_URI", &uri)
        .env("TEST_HEAD", &head)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let output = tokio::task::spawn_blocking(move || child.output().unwrap()).await.unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[tokio::test]
#[ignore = "run by https_verifies_the_certificate"]
async fn https_in_a_process_of_its_own() {
    let (Ok(uri), Ok(head)) = (std::env::var("TEST_URI"), std::env::var("TEST_HEAD")) else { return };
    let source = Source { id: "repo-1".into(), uri, branch: "main".into(), ..Source::default() };
    assert_eq!(home().fetch(&source).await.unwrap(), head);
}

fn certificate(folder: &Path) -> (PathBuf, PathBuf) {
    let (certificate, key) = (folder.join("cert.pem"), folder.join("key.pem"));
    let made = Command::new("/usr/bin/openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "2",
        ])
        .args(["-subj", "/CN=test", "-addext", "subjectAltName=IP:127.0.0.1"])
        .args(["-addext", "extendedKeyUsage=serverAuth", "-addext", "basicConstraints=critical,CA:FALSE"])
        .arg("-keyout")
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    (certificate, key)
}

async fn tls_in_front_of(plain: SocketAddr, certificate: &Path, key: &Path) -> SocketAddr {
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    crate::tls::install_provider();
    let chain = vec![CertificateDer::from_pem_file(certificate).unwrap()];
    let key = PrivateKeyDer::from_pem_file(key).unwrap();
    let config = rustls::ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key).unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut secure) = acceptor.accept(stream).await else { return };
                let mut plain = tokio::net::TcpStream::connect(plain).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut secure, &mut plain).await;
            });
        }
    });
    address
}
