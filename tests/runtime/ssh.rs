//! Commands that a driver runs on an SSH server, which is OpenSSH's own.

use headend::connections::recorder::{Event, Record};
use headend::model::{Module, Role};
use headend::runtime::exec;
use serde_json::{Value, json};

use crate::sshd::{self, Sshd, free_port, keygen, user};
use crate::world::{World, line, settings, until, until_async};

struct Host {
    folder: tempfile::TempDir,
    server: Sshd,
}

impl Host {
    /// `None`: no server is installed.
    async fn new() -> Option<Host> {
        if !sshd::installed() {
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let (host, key) = (folder.path().join("host"), folder.path().join("key"));
        keygen(&key, "ed25519", "");
        // What the user's own shell is set up to do is no part of a test.
        let bare = "SetEnv HOME=/nonexistent";
        let server = Sshd::with_keys(&keygen(&host, "ed25519", ""), &[&key], free_port(), bare).await;
        Some(Host { folder, server })
    }

    fn read(&self, file: &str) -> String {
        std::fs::read_to_string(self.folder.path().join(file)).unwrap()
    }

    /// A module that signs in there, for commands only.
    async fn connect(&self, world: &World, id: &str) {
        let ssh = json!({
            "username": user(), "key": self.read("key"), "host_key": self.read("host.pub").trim(), "channel": "none",
        });
        world.save(settings(id, &json!({ "connection": { "ssh": ssh } }).to_string())).await;
        let driver_id = "driver-shell".into();
        world.save(Module { driver_id, role: Role::Ssh, ..line(id, self.server.port) }).await;
        world.connected(id).await;
    }
}

/// Runs a command for at most a minute.
async fn run(world: &World, command: &str) -> Result<Value, exec::Error> {
    world.exec("mod-1", "run", &json!([command, 60_000]).to_string()).await
}

fn code(outcome: Result<Value, exec::Error>) -> String {
    match outcome {
        Err(exec::Error::Raised(failure)) => failure.code.clone(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_tells_how_it_ended_and_what_it_wrote() {
    let Some(host) = Host::new().await else { return };
    let world = World::new().await;
    host.connect(&world, "mod-1").await;
    let ran = run(&world, "echo out; echo err >&2; exit 3").await;
    assert_eq!(ran, Ok(json!([3, "out\n", "err\n"])), "{}", host.server.log());
    assert_eq!(run(&world, "kill -TERM $$").await, Ok(json!([null, "", ""])));

    let unknown = run(&world, "no-such-command-here").await.unwrap();
    assert_eq!(unknown[0], 127, "{unknown}");
    assert!(unknown[2].as_str().unwrap().contains("not found"), "{unknown}");

    let late = world.exec("mod-1", "run", &json!(["sleep 1000", 50]).to_string()).await;
    assert_eq!(code(late), "timeout");
    assert_eq!(run(&world, "echo after").await, Ok(json!([0, "after\n", ""])));

    // The recording has it all, for the function that was called.
    let records = world.runtime.recorder("mod-1").unwrap().records();
    let shown = |record: &Record| match &record.event {
        Event::Sent(data) | Event::Received(data) => {
            Some(format!("{} {}", record.word(), String::from_utf8_lossy(&data.bytes)))
        }
        Event::Up { .. } | Event::Down { .. } => None,
    };
    let first: Vec<String> = records.iter().filter_map(shown).take(4).collect();
    let expected =
        ["sent echo out; echo err >&2; exit 3", "received out\n", "received err\n", "received (status 3)\n"];
    assert_eq!(first, expected);
    let named = records.iter().filter_map(Record::command).filter(|command| *command == "run").count();
    assert_eq!(named, records.iter().filter_map(shown).count());
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_waits_for_a_command_is_answered_when_the_connection_ends_or_the_module_stops() {
    let Some(host) = Host::new().await else { return };
    let world = World::new().await;
    host.connect(&world, "mod-1").await;
    // The process of this session, which the server does not outlive.
    assert_eq!(code(run(&world, "kill -9 $PPID; sleep 100").await), "offline");
    // The caller may be told before it is shown.
    until_async("it is back", async || run(&world, "echo back").await == Ok(json!([0, "back\n", ""]))).await;

    let sign = host.folder.path().join("sign");
    let command = format!("touch {}; sleep 100", sign.display());
    let (asked, ()) = tokio::join!(run(&world, &command), async {
        until("it runs", || sign.exists()).await;
        world.update::<Module>("mod-1", |module| module.running = false).await;
    });
    assert_eq!(code(asked), "stopped");
}
