//! SSH with OpenSSH's own server: signing in, whom to trust, the stream, and commands beside it.

mod recorded;
mod settings;

use super::{
    super::{
        Connections, Error, Options, Reason, State, Target,
        ssh::{Channel, Exec, ExecError, Output, Settings},
    },
    harness::{Receipts, Recorder, eventually, never_retry, quick},
};
use crate::{
    secrets::Secret,
    ssh::tests::sshd::{self, ADA, Sshd, free_port, keygen, user},
};
use russh::keys::ssh_key::{HashAlg, PublicKey};
use std::{
    path::{Path, PathBuf},
    time::Duration,
};

const PASSWORD: &str = "hunter2";

/// What the user's own shell is set up to do is no part of a test.
const BARE: &str = "SetEnv HOME=/nonexistent";

/// Files of a test, and the pins of its hosts.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("folder"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn key(&self, name: &str, kind: &str, passphrase: &str) -> String {
        keygen(&self.path(name), kind, passphrase)
    }

    /// A server with these options, and the settings it lets us in with; none where none is installed.
    async fn server(&self, options: &str) -> Option<(Sshd, Settings)> {
        if !sshd::installed() {
            return None;
        }
        let (host, key) = (self.key("host", "ed25519", ""), self.key("key", "ed25519", ""));
        let server = Sshd::with_keys(&host, &[&self.path("key")], free_port(), options).await;
        Some((server, with_key(&key)))
    }

    fn connections(&self, options: Options) -> Connections {
        Connections::new(Options { known_hosts: Some(self.path("known_hosts")), ..options })
    }
}

fn ada() -> Settings {
    Settings { username: ADA.into(), password: Some(Secret::new(PASSWORD)), ..Settings::default() }
}

fn with_key(key: &str) -> Settings {
    Settings { username: user(), key: Some(Secret::new(key)), ..Settings::default() }
}

fn target(server: &Sshd, settings: Settings) -> Target {
    Target::ssh("127.0.0.1", server.port, settings)
}

/// The public key beside a private one, as `ssh-keygen -l` shows it.
fn fingerprint(private: &Path) -> String {
    let public = std::fs::read_to_string(private.with_extension("pub")).expect("read");
    PublicKey::from_openssh(&public).expect("key").fingerprint(HashAlg::Sha256).to_string()
}

/// Why a link to there does not come up.
async fn refused(folder: &Folder, target: Target) -> (Reason, String) {
    let recorder = Recorder::new();
    let connections = folder.connections(never_retry());
    let _link = recorder.open(&connections, target);
    let State::Down { reason, detail, .. } = recorder.down().await else { unreachable!() };
    (reason, detail.to_string())
}

async fn shows(recorder: &Recorder, text: &str) {
    let shown = |bytes: &[u8]| String::from_utf8_lossy(bytes).contains(text);
    recorder.until(text, |record| shown(&record.bytes).then_some(())).await;
}

fn output(status: Option<u32>, stdout: &str, stderr: &str) -> Output {
    Output { status, signal: None, stdout: stdout.into(), stderr: stderr.into() }
}

#[tokio::test]
async fn a_shell_and_commands_beside_it_with_a_password() {
    if !sshd::installed() {
        return;
    }
    let folder = Folder::new();
    let Some(server) = Sshd::with_passwords(&folder.key("host", "ed25519", ""), BARE).await else { return };
    let (recorder, connections) = (Recorder::new(), folder.connections(quick()));
    let link = recorder.open(&connections, target(&server, ada()));
    recorder.up_after(0).await;
    // What is typed is echoed by the terminal; only the shell makes 42 of it.
    Receipts::transmit(&link, "echo answer-$((40 + 2))\n").await.expect("sent");
    shows(&recorder, "answer-42").await;

    let ran = link.ssh_exec("echo out; echo err >&2; exit 3").await;
    assert_eq!(ran, Ok(output(Some(3), "out\n", "err\n")), "{}", server.log());
    let ended = link.ssh_exec("kill -TERM $$").await.expect("output");
    assert_eq!((ended.status, ended.signal.as_deref()), (None, Some("TERM")));
    assert_eq!(link.ssh_exec("cat; echo after").await, Ok(output(Some(0), "after\n", "")));
    let large = link.ssh_exec("head -c 3000000 /dev/zero").await.expect("output");
    assert_eq!(large.stdout.len(), 3_000_000);
    let too_much = link.ssh_exec("cat /dev/zero").await;
    assert!(matches!(too_much, Err(ExecError::TooMuch { .. })), "{too_much:?}");
    let late =
        link.ssh_exec(Exec { limit: Some(Duration::from_millis(50)), ..Exec::from("sleep 1000") }).await;
    assert!(matches!(late, Err(ExecError::Late { .. })), "{late:?}");
    // More at a time than the host has channels.
    let many = (0..30).map(|number| {
        let link = link.clone();
        async move { link.ssh_exec(format!("echo {number}").as_str()).await }
    });
    let many = futures_util::future::join_all(many).await;
    for (number, ran) in many.into_iter().enumerate() {
        assert_eq!(ran, Ok(output(Some(0), &format!("{number}\n"), "")));
    }
    // All that was the one connection, and the shell has not ended.
    recorder.forget();
    Receipts::transmit(&link, "echo still-$((40 + 3))\n").await.expect("sent");
    shows(&recorder, "still-43").await;
    assert_eq!(server.log().matches("Accepted password").count(), 1, "{}", server.log());

    let wrong = Settings { password: Some(Secret::new("hunter3")), ..ada() };
    let (reason, detail) = refused(&folder, target(&server, wrong)).await;
    assert_eq!(reason, Reason::Auth, "{detail}");
    assert!(detail.contains("\"ada\"") && detail.contains("the password"), "{detail}");
    assert!(!detail.contains("hunter"), "{detail}");
}

#[tokio::test]
async fn keys_and_their_passphrases() {
    if !sshd::installed() {
        return;
    }
    let folder = Folder::new();
    let host = folder.key("host", "ed25519", "");
    let ed25519 = folder.key("ed25519", "ed25519", "");
    let rsa = folder.key("rsa", "rsa", "");
    let locked = folder.key("locked", "ed25519", "opensesame");
    let stranger = folder.key("stranger", "ed25519", "");
    let keys = ["ed25519", "rsa", "locked"].map(|name| folder.path(name));
    let keys: Vec<&Path> = keys.iter().map(PathBuf::as_path).collect();
    let server = Sshd::with_keys(&host, &keys, free_port(), BARE).await;
    let opened = Settings { passphrase: Some(Secret::new("opensesame")), ..with_key(&locked) };
    for settings in [with_key(&ed25519), with_key(&rsa), opened] {
        let (recorder, connections) = (Recorder::new(), folder.connections(quick()));
        let link = recorder.open(&connections, target(&server, settings));
        let ran = link.ssh_exec("echo in");
        recorder.up_after(0).await;
        assert_eq!(ran.await, Ok(output(Some(0), "in\n", "")), "{}", server.log());
    }
    let shut = Settings { passphrase: Some(Secret::new("opensesamy")), ..with_key(&locked) };
    for (settings, why) in [
        (with_key(&locked), "no passphrase"),
        (shut, "passphrase"),
        (with_key("no key at all"), "OpenSSH or PEM"),
        (with_key(&stranger), "not let in with the key"),
        (Settings { username: user(), ..Settings::default() }, "neither key nor password"),
    ] {
        let (reason, detail) = refused(&folder, target(&server, settings)).await;
        assert_eq!(reason, Reason::Auth, "{detail}");
        assert!(detail.contains(why) && !detail.contains("opensesam"), "{detail}");
    }
}

#[tokio::test]
async fn a_host_that_shows_another_key_is_refused() {
    if !sshd::installed() {
        return;
    }
    let (folder, port) = (Folder::new(), free_port());
    let key = folder.key("key", "ed25519", "");
    let (first, second) = (folder.key("first", "ed25519", ""), folder.key("second", "ed25519", ""));
    let up = async |settings: Settings| {
        let (recorder, connections) = (Recorder::new(), folder.connections(quick()));
        let _link = recorder.open(&connections, Target::ssh("127.0.0.1", port, settings));
        recorder.up_after(0).await;
    };
    let pins = || std::fs::read_to_string(folder.path("known_hosts")).expect("pins");
    let server = Sshd::with_keys(&first, &[&folder.path("key")], port, BARE).await;
    up(with_key(&key)).await;
    let pinned = pins();
    assert!(pinned.starts_with(&format!("[127.0.0.1]:{port} ssh-ed25519 ")), "{pinned}");
    up(with_key(&key)).await;
    assert_eq!(pins(), pinned);
    drop(server);

    let server = Sshd::with_keys(&second, &[&folder.path("key")], port, BARE).await;
    let (was, is) = (fingerprint(&folder.path("first")), fingerprint(&folder.path("second")));
    let (reason, detail) = refused(&folder, Target::ssh("127.0.0.1", port, with_key(&key))).await;
    assert_eq!(reason, Reason::Auth, "{detail}");
    for part in [was.as_str(), is.as_str(), "known_hosts", "line 1"] {
        assert!(detail.contains(part), "{part} in {detail}");
    }
    assert_eq!(pins(), pinned);
    // The settings may say which it must be.
    let named = |fingerprint: &str| Settings {
        host_key: serde_json::from_value(fingerprint.into()).expect("a host key"),
        ..with_key(&key)
    };
    let (reason, detail) = refused(&folder, Target::ssh("127.0.0.1", port, named(&was))).await;
    assert_eq!(reason, Reason::Auth, "{detail}");
    assert!(detail.contains(&was) && detail.contains(&is), "{detail}");
    assert!(!server.log().contains("Accepted"), "it signed in to a host that it refused: {}", server.log());
    up(named(&is)).await;
    assert_eq!(pins(), pinned);
}

#[tokio::test]
async fn it_comes_back_with_the_host() {
    if !sshd::installed() {
        return;
    }
    let (folder, port) = (Folder::new(), free_port());
    let (host, key) = (folder.key("host", "ed25519", ""), folder.key("key", "ed25519", ""));
    let server = Sshd::with_keys(&host, &[&folder.path("key")], port, BARE).await;
    let (recorder, connections) = (Recorder::new(), folder.connections(quick()));
    let link = recorder.open(&connections, Target::ssh("127.0.0.1", port, with_key(&key)));
    let first = recorder.up_after(0).await;
    drop(server);
    // What is left of it is the process of this session.
    let killed = link.ssh_exec("kill -9 $PPID; sleep 100").await;
    assert!(matches!(killed, Err(ExecError::Link(Error::Lost(_)))), "{killed:?}");
    assert!(matches!(recorder.ended(first).await, State::Down { .. }));
    eventually("refused", || matches!(link.state(), State::Down { reason: Reason::Refused, .. })).await;
    assert!(matches!(link.ssh_exec("echo").await, Err(ExecError::Link(_))));

    let _server = Sshd::with_keys(&host, &[&folder.path("key")], port, BARE).await;
    let second = recorder.up_after(first).await;
    assert_eq!(link.ssh_exec("echo back").await, Ok(output(Some(0), "back\n", "")));
    // A shell that ends is the end of the connection, and a new one comes.
    link.transmit("exit 7\n", None);
    let State::Down { reason, detail, .. } = recorder.ended(second).await else { unreachable!() };
    assert_eq!(reason, Reason::Closed, "{detail}");
    assert!(detail.contains("ended the"), "{detail}");
    recorder.up_after(second).await;
}

#[tokio::test]
async fn one_command_as_the_stream_or_none_at_all() {
    let folder = Folder::new();
    let Some((server, user)) = folder.server(BARE).await else { return };
    let connections = folder.connections(quick());

    let recorder = Recorder::new();
    let cat = Settings { channel: Channel::Exec, command: Some("cat".into()), ..user.clone() };
    let link = recorder.open(&connections, target(&server, cat));
    recorder.up_after(0).await;
    // No terminal: every byte is as it is.
    let all: Vec<u8> = (0..=255).collect();
    Receipts::transmit(&link, all.clone()).await.expect("sent");
    recorder.received(all.len()).await;
    assert_eq!(recorder.look(|record| record.bytes.clone()), all);

    let recorder = Recorder::new();
    let none = Settings { channel: Channel::None, ..user.clone() };
    let hold = Duration::from_millis(50);
    let link = recorder.open(&connections, target(&server, none).make_break(hold));
    // A command connects, and is waited for however short the hold.
    let ran = link.ssh_exec("sleep 0.3; echo done").await;
    assert_eq!(ran, Ok(output(Some(0), "done\n", "")), "{}", server.log());
    recorder.until("idle", |r| (r.states.last() == Some(&State::Idle)).then_some(())).await;
    let sent = Receipts::transmit(&link, "nobody reads this").await;
    assert!(matches!(sent, Err(Error::Unable { .. })), "{sent:?}");

    let tcp = Recorder::new().open(&connections, Target::tcp("127.0.0.1", server.port));
    let not = tcp.ssh_exec("echo").await;
    assert!(matches!(not, Err(ExecError::NotSsh { .. })), "{not:?}");
}

#[tokio::test]
async fn a_shell_that_ends_says_how_and_a_command_that_runs_is_told() {
    let folder = Folder::new();
    let Some((server, user)) = folder.server(BARE).await else { return };
    let (recorder, connections) = (Recorder::new(), folder.connections(never_retry()));
    let link = recorder.open(&connections, target(&server, user));
    recorder.up_after(0).await;
    let sign = folder.path("sign");
    let running = tokio::spawn({
        let (link, command) = (link.clone(), format!("touch {}; sleep 1000", sign.display()));
        async move { link.ssh_exec(command.as_str()).await }
    });
    eventually("it runs", || sign.exists()).await;
    Receipts::transmit(&link, "exit 4\n").await.expect("sent");
    let State::Down { reason, detail, .. } = recorder.ended(1).await else { unreachable!() };
    assert_eq!(reason, Reason::Closed);
    assert!(detail.contains("status 4"), "{detail}");
    let told = running.await.expect("task");
    assert!(matches!(told, Err(ExecError::Link(_))), "{told:?}");
    let down = link.ssh_exec("true").await;
    assert!(
        matches!(&down, Err(ExecError::Link(error)) if error.reason() == Some(Reason::Closed)),
        "{down:?}"
    );
}
