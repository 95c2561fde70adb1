//! Repositories over ssh, served by OpenSSH's own server on the loopback interface.

use super::*;
use crate::repositories::{Credentials, Error};
use crate::secrets::Secret;
use crate::ssh::tests::sshd::{self, ADA, Sshd, keygen, user};

/// git on the far side must read repositories that are somebody else's.
const TRUST: &str = "SetEnv GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=safe.directory GIT_CONFIG_VALUE_0=*";

async fn start(host_key: &str, keys: &[&Path], port: u16) -> Sshd {
    Sshd::with_keys(host_key, keys, port, TRUST).await
}

fn source(server: &Sshd, path: &str, key: &str) -> Source {
    Source {
        id: "repo-1".into(),
        uri: format!("ssh://{}@127.0.0.1:{}{path}", user(), server.port),
        branch: "main".into(),
        credentials: Credentials { key: Some(Secret::new(key)), ..Credentials::default() },
        root: None,
    }
}

#[tokio::test]
async fn keys_of_every_kind_and_hosts_that_change() {
    if !sshd::installed() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let ed25519 = keygen(&path("ed25519"), "ed25519", "");
    let rsa = keygen(&path("rsa"), "rsa", "");
    let locked = keygen(&path("locked"), "ed25519", "opensesame");
    let stranger = keygen(&path("stranger"), "ed25519", "");
    let host_key = keygen(&path("host"), "ed25519", "");
    let port = free_port();
    let let_in = [path("ed25519"), path("rsa"), path("locked")];
    let let_in: Vec<&Path> = let_in.iter().map(PathBuf::as_path).collect();
    let server = start(&host_key, &let_in, port).await;

    // A path with a quote and a space, so that quoting for the host's shell counts.
    let origin = Origin::new();
    let top = path("it's a place");
    std::os::unix::fs::symlink(origin.path(), &top).unwrap();
    let noise: String =
        (0..40_000u64).map(|n| format!("{:x}\n", n.wrapping_mul(0x9E37_79B9_7F4A_7C15))).collect();
    let head = origin.commit("First", &[("noise", &noise)]);
    let place = top.to_str().unwrap().replace(' ', "%20");

    let home = home();
    for key in [&ed25519, &rsa] {
        let source = source(&server, &place, key);
        assert_eq!(home.fetch(&source).await.unwrap(), head, "{}", server.log());
        assert_eq!(home.remote_branches(&source).await.unwrap(), ["main"]);
        home.remove("repo-1").await.unwrap();
    }
    let mut source = source(&server, &place, &locked);
    let error = home.fetch(&source).await.unwrap_err();
    assert!(matches!(&error, Error::Credentials { why, .. } if why.contains("passphrase")), "{error}");
    source.credentials.password = Some(Secret::new("opensesame"));
    // As it comes out of a form: Windows' line ends, no end of the last line.
    source.credentials.key = Some(Secret::new(locked.trim().replace('\n', "\r\n")));
    assert_eq!(home.fetch(&source).await.unwrap(), head, "{}", server.log());
    let next = origin.commit("Second", &[("a", "2")]);
    assert_eq!(home.fetch(&source).await.unwrap(), next);

    for credentials in [
        Credentials { key: Some(Secret::new(stranger.as_str())), ..Credentials::default() },
        Credentials { password: Some(Secret::new("hunter2")), ..Credentials::default() },
        Credentials::default(),
        Credentials { key: Some(Secret::new("no key at all")), ..Credentials::default() },
    ] {
        let error = home.fetch(&Source { credentials, ..source.clone() }).await.unwrap_err();
        let text = error.to_string();
        assert!(matches!(error, Error::Credentials { .. }), "{text}");
        assert!(!text.contains("hunter2") && text.contains("127.0.0.1"), "{text}");
    }

    let missing = Source { uri: source.uri.replace(&place, "/no/such/place"), ..source.clone() };
    let error = home.fetch(&missing).await.unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, Error::NotARepository { .. }) && text.contains("/no/such/place"), "{text}");

    // The host's key was pinned at the first meeting. Another key, of the same kind or not, is refused.
    let known_hosts = home.folder.path().join("known_hosts");
    let pinned = std::fs::read_to_string(&known_hosts).unwrap();
    assert_eq!(pinned.lines().filter(|line| !line.is_empty()).count(), 1, "{pinned}");
    drop(server);
    for kind in ["ed25519", "ecdsa"] {
        let another = keygen(&path("another"), kind, "");
        let server = start(&another, &let_in, port).await;
        let error = home.fetch(&source).await.unwrap_err();
        let text = error.to_string();
        assert!(matches!(error, Error::HostKey { .. }), "{kind}: {text}");
        assert!(text.contains("known_hosts"), "{text}");
        assert!(
            !server.log().contains("Accepted"),
            "it signed in to a host that it refused: {}",
            server.log()
        );
        assert_eq!(std::fs::read_to_string(&known_hosts).unwrap(), pinned);
        drop(server);
    }
    // After somebody removed the pin, the new key is pinned.
    std::fs::write(&known_hosts, "").unwrap();
    let another = keygen(&path("another"), "ecdsa", "");
    let server = start(&another, &let_in, port).await;
    assert_eq!(home.fetch(&source).await.unwrap(), next, "{}", server.log());
}

#[tokio::test]
async fn user_and_password() {
    if !sshd::installed() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let host_key = keygen(&folder.path().join("host"), "ed25519", "");
    let Some(server) = Sshd::with_passwords(&host_key, TRUST).await else { return };
    let origin = Origin::new();
    let first = origin.commit("First", &[("a", "1")]);
    let source = |user: &str, password: Option<&str>| Source {
        id: "repo-1".into(),
        uri: format!("ssh://127.0.0.1:{}{}", server.port, origin.path().display()),
        branch: "main".into(),
        credentials: Credentials {
            username: Some(user.into()),
            password: password.map(Secret::new),
            key: None,
        },
        root: None,
    };
    let home = home();
    let ada = source(ADA, Some("hunter2"));
    assert_eq!(home.remote_branches(&ada).await.unwrap(), ["main"], "{}", server.log());
    assert_eq!(home.fetch(&ada).await.unwrap(), first, "{}", server.log());
    let second = origin.commit("Second", &[("a", "2")]);
    assert_eq!(home.fetch(&ada).await.unwrap(), second, "{}", server.log());
    assert_eq!(server.log().matches("Accepted password for ada").count(), 3, "{}", server.log());

    for refused in [source(ADA, Some("hunter3")), source("bob", Some("hunter2")), source(ADA, None)] {
        let error = home.fetch(&refused).await.unwrap_err();
        assert!(matches!(error, Error::Credentials { .. }), "{error}");
        assert!(!error.to_string().contains("hunter"), "{error}");
    }
    assert_eq!(server.log().matches("Accepted").count(), 3, "{}", server.log());
}

#[tokio::test]
async fn a_host_that_never_answers() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let home = home_with(Options { connect_ms: 300, ..Options::default() });
    let source = |port: u16| Source {
        id: "repo-1".into(),
        uri: format!("ssh://git@127.0.0.1:{port}/a"),
        branch: "main".into(),
        credentials: Credentials { password: Some(Secret::new("hunter2")), ..Credentials::default() },
        root: None,
    };
    let error = home.fetch(&source(port)).await.unwrap_err();
    assert!(matches!(error, Error::Timeout { .. }), "{error}");
    drop(listener);
    let error = home.fetch(&source(free_port())).await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error}");
}
