//! Repositories over ssh, served by OpenSSH's own server on the loopback interface.

use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use super::*;
use crate::repositories::{Credentials, Error};
use crate::secrets::Secret;

const SSHD: &str = "/usr/sbin/sshd";

/// Somebody who signs in with the password `hunter2`, whose hash this is (`openssl passwd -6`).
const ADA: &str = "ada";
const HASH: &str =
    "$6$headend$130IVM4WALbVrhnyiLe25oYfU1nCrMW11aD.nVMzC8Yd8EkW2JrGu8NvwgD0putsultRwykbFVPldYqru.f5c.";

struct Server {
    folder: tempfile::TempDir,
    port: u16,
    _process: Peer,
}

fn keygen(path: &Path, kind: &str, passphrase: &str) -> String {
    let _ = std::fs::remove_file(path);
    let made = Command::new("ssh-keygen")
        .args(["-q", "-t", kind, "-N", passphrase, "-f"])
        .arg(path)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    std::fs::read_to_string(path).unwrap()
}

fn user() -> String {
    let output = Command::new("id").arg("-un").output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

impl Server {
    /// A server that lets the holders of these keys in. `keys`: paths of private keys; the public ones are beside.
    async fn start(host_key: &str, keys: &[&Path], port: u16) -> Server {
        Self::start_with(host_key, keys, port, "PasswordAuthentication no", &[]).await
    }

    /// A server that lets [`ADA`] in with her password, and nobody with a key.
    ///
    /// Passwords are the system's business, and the system is not the test's: the server finds its users in files of the
    /// test's own, by way of cwrap's nss_wrapper (<https://cwrap.org/nss_wrapper.html>), with which Samba's servers are tested too. Ada is another name for whoever runs the test.
    async fn with_passwords(host_key: &str, wrapper: &Path, users: &Path) -> Server {
        let id = |what: &str| {
            let output = Command::new("id").arg(what).output().unwrap();
            String::from_utf8(output.stdout).unwrap().trim().to_owned()
        };
        let files = [
            (
                "NSS_WRAPPER_PASSWD",
                format!("{ADA}:x:{}:{}::/:/bin/sh\nsshd:x:65534:65534::/:/bin/false\n", id("-u"), id("-g")),
            ),
            ("NSS_WRAPPER_SHADOW", format!("{ADA}:{HASH}:20000::::::\nsshd:*:20000::::::\n")),
            ("NSS_WRAPPER_GROUP", format!("{ADA}:x:{}:\nnogroup:x:65534:\n", id("-g"))),
        ];
        let mut environment = vec![("LD_PRELOAD", wrapper.to_owned())];
        for (variable, text) in files {
            let path = users.join(variable);
            std::fs::write(&path, text).unwrap();
            environment.push((variable, path));
        }
        Self::start_with(host_key, &[], free_port(), "PasswordAuthentication yes", &environment).await
    }

    async fn start_with(
        host_key: &str,
        keys: &[&Path],
        port: u16,
        more: &str,
        environment: &[(&str, PathBuf)],
    ) -> Server {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("host_key"), host_key).unwrap();
        std::fs::set_permissions(path("host_key"), std::fs::Permissions::from_mode(0o600)).unwrap();
        let public = |key: &&Path| std::fs::read_to_string(key.with_extension("pub")).unwrap();
        std::fs::write(path("authorized"), keys.iter().map(public).collect::<String>()).unwrap();
        let config = format!(
            "Port {port}\nListenAddress 127.0.0.1\nHostKey {}\nAuthorizedKeysFile {}\nPidFile none\nStrictModes no\n\
             UsePAM no\n{more}\nPermitRootLogin yes\nAcceptEnv none\nSetEnv GIT_CONFIG_COUNT=1 \
             GIT_CONFIG_KEY_0=safe.directory GIT_CONFIG_VALUE_0=*\n",
            path("host_key").display(),
            path("authorized").display(),
        );
        std::fs::write(path("config"), config).unwrap();
        // The server insists on its folder for privilege separation when it runs as root.
        let _ = std::fs::create_dir_all("/run/sshd");
        let log = std::fs::File::create(path("log")).unwrap();
        let mut child = Command::new(SSHD)
            .args(["-D", "-e", "-f"])
            .arg(path("config"))
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let log = path("log");
        until("sshd listens", || {
            if child.try_wait().unwrap().is_some() {
                panic!("sshd ended: {}", std::fs::read_to_string(&log).unwrap());
            }
            std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
        })
        .await;
        Server { folder, port, _process: Peer(child) }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    fn source(&self, path: &str, key: &str) -> Source {
        Source {
            id: "repo-1".into(),
            uri: format!("ssh://{}@127.0.0.1:{}{path}", user(), self.port),
            branch: "main".into(),
            credentials: Credentials { key: Some(Secret::new(key)), ..Credentials::default() },
            root: None,
        }
    }
}

#[tokio::test]
async fn keys_of_every_kind_and_hosts_that_change() {
    if program(SSHD, "openssh-server").is_none() {
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
    let server = Server::start(&host_key, &let_in, port).await;

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
        let source = server.source(&place, key);
        assert_eq!(home.fetch(&source).await.unwrap(), head, "{}", server.log());
        assert_eq!(home.remote_branches(&source).await.unwrap(), ["main"]);
        home.remove("repo-1").await.unwrap();
    }
    let mut source = server.source(&place, &locked);
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
        let server = Server::start(&another, &let_in, port).await;
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
    let server = Server::start(&another, &let_in, port).await;
    assert_eq!(home.fetch(&source).await.unwrap(), next, "{}", server.log());
}

#[tokio::test]
async fn user_and_password() {
    let library = format!("/usr/lib/{}-linux-gnu/libnss_wrapper.so", std::env::consts::ARCH);
    let (Some(_), Some(wrapper)) = (program(SSHD, "openssh-server"), program(&library, "libnss-wrapper"))
    else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let host_key = keygen(&folder.path().join("host"), "ed25519", "");
    let server = Server::with_passwords(&host_key, &wrapper, folder.path()).await;
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
