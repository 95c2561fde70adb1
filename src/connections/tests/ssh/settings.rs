//! What the settings change.

use super::*;
use crate::connections::ssh::{Pty, Terminal};

/// A process that is not to outlive the test, frozen or not.
struct Process(String);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = std::process::Command::new("kill").args(["-KILL", &self.0]).status();
    }
}

#[tokio::test]
async fn old_algorithms_are_an_explicit_setting() {
    let folder = Folder::new();
    let old =
        format!("{BARE}\nKexAlgorithms diffie-hellman-group14-sha1\nCiphers aes128-cbc\nMACs hmac-sha1");
    let Some((server, user)) = folder.server(&old).await else { return };
    let (reason, detail) = refused(&folder, target(&server, user.clone())).await;
    assert_eq!(reason, Reason::Protocol);
    assert!(detail.contains("connection.ssh.legacy") && detail.contains("group14-sha1"), "{detail}");
    let (recorder, connections) = (Recorder::new(), folder.connections(quick()));
    let link = recorder.open(&connections, target(&server, Settings { legacy: true, ..user }));
    recorder.up_after(0).await;
    assert_eq!(link.ssh_exec("echo old").await, Ok(output(Some(0), "old\n", "")));
}

#[tokio::test]
async fn a_host_that_says_nothing_is_given_up() {
    let folder = Folder::new();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let port = listener.local_addr().expect("address").port();
    let settings = Settings { login_ms: 200, ..ada() };
    let (reason, detail) = refused(&folder, Target::ssh("127.0.0.1", port, settings)).await;
    assert_eq!(reason, Reason::Timeout);
    assert!(detail.contains("connection.ssh.login_ms"), "{detail}");
}

#[tokio::test]
async fn a_host_that_gives_no_sign_of_life_is_silent() {
    let folder = Folder::new();
    let Some((server, user)) = folder.server(BARE).await else { return };
    let (recorder, connections) = (Recorder::new(), folder.connections(never_retry()));
    let settings = Settings { keepalive_ms: 500, channel: Channel::None, ..user };
    let link = recorder.open(&connections, target(&server, settings));
    recorder.up_after(0).await;
    let process = link.ssh_exec("echo $PPID").await.expect("output").stdout;
    let _process = Process(String::from_utf8(process).expect("a number").trim().to_owned());
    // The system goes on answering for the one that serves this session.
    let frozen = link.ssh_exec("kill -STOP $PPID").await;
    assert!(
        matches!(&frozen, Err(ExecError::Link(error)) if error.reason() == Some(Reason::Silent)),
        "{frozen:?}"
    );
    let State::Down { reason, detail, .. } = recorder.ended(1).await else { unreachable!() };
    assert_eq!(reason, Reason::Silent, "{detail}");
}

#[tokio::test]
async fn a_terminal_is_as_the_settings_say() {
    let folder = Folder::new();
    let Some((server, user)) = folder.server(BARE).await else { return };
    let small = Pty { term: "ansi".into(), columns: 80, rows: 24 };
    for (pty, answer) in [(None, "is 1000 511 vt100"), (Some(Terminal::Like(small)), "is 24 80 ansi")] {
        let (recorder, connections) = (Recorder::new(), folder.connections(never_retry()));
        let link = recorder.open(&connections, target(&server, Settings { pty, ..user.clone() }));
        recorder.up_after(0).await;
        Receipts::transmit(&link, "echo is $(stty size) $TERM\n").await.expect("sent");
        shows(&recorder, answer).await;
    }

    let (recorder, connections) = (Recorder::new(), folder.connections(never_retry()));
    let off = Settings { pty: Some(Terminal::Off), ..user.clone() };
    let link = recorder.open(&connections, target(&server, off));
    recorder.up_after(0).await;
    Receipts::transmit(&link, "tty; exit\n").await.expect("sent");
    recorder.ended(1).await;
    recorder.look(|record| assert_eq!(record.bytes, b"not a tty\n", "neither echoed nor changed"));

    let (recorder, connections) = (Recorder::new(), folder.connections(never_retry()));
    let command = Some("stty size".into());
    let pty = Some(Terminal::Like(Pty::default()));
    let one = Settings { channel: Channel::Exec, command, pty, ..user.clone() };
    let _link = recorder.open(&connections, target(&server, one));
    recorder.ended(1).await;
    recorder.look(|record| assert_eq!(record.bytes, b"1000 511\r\n"));
}
