//! The command-line client against a running daemon.

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Stdio},
    sync::mpsc,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::support::{Daemon, device::Device, drivers, headend};

/// A client command that goes on until it is killed, and its lines.
struct Follower {
    child: Child,
    lines: mpsc::Receiver<String>,
}

impl Follower {
    fn start(daemon: &Daemon, arguments: &[&str]) -> Follower {
        let mut child =
            daemon.command(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        Follower { child, lines }
    }

    fn find(&self, wanted: impl Fn(&str) -> bool) -> String {
        let started = Instant::now();
        while started.elapsed() < Duration::from_secs(30) {
            if let Ok(line) = self.lines.recv_timeout(Duration::from_secs(1))
                && wanted(&line)
            {
                return line;
            }
        }
        panic!("the line did not come");
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn status_exec_watch_and_logs_show_what_is() {
    let daemon = Daemon::start();
    let (code, out, _) = daemon.client(&["status"]);
    assert_eq!((code, &*out), (0, "There are no modules yet.\n"));

    let device = Device::start().await;
    let loaded = drivers::probe().load(&daemon).await;
    let module = daemon.module(&loaded.drivers[0], device.address, json!({})).await;
    daemon.api.create("systems", json!({ "name": "Board Room", "modules": [module] })).await;
    daemon.api.reaches(&module, "running", true).await;

    let (code, out, err) = daemon.client(&["status"]);
    assert_eq!(code, 0, "{err}");
    let row = out.lines().nth(1).unwrap();
    assert!(row.starts_with("Board Room  Probe_1  connected") && row.contains(&module), "{out}");
    let (_, out, _) = daemon.client(&["status", "--json"]);
    let rows: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        (&rows[0]["system"], &rows[0]["module"], &rows[0]["state"]),
        (&json!("Board Room"), &json!("Probe_1"), &json!("connected"))
    );

    for target in [&["board room", "probe_1"][..], &[&module]] {
        let (code, out, err) = daemon.client(&[&["exec"][..], target, &["add", "2"]].concat());
        assert_eq!(code, 0, "{err}");
        assert!(out == "2\n" || out == "4\n", "{out}");
    }
    let (code, out, _) = daemon.client(&["exec", "Board Room", "Probe", "echo", "bare", "--json"]);
    assert_eq!((code, &*out), (0, "\"bare\"\n"));
    let (_, out, _) = daemon.client(&["status", "Board Room", "Probe_1", "--json"]);
    assert_eq!(serde_json::from_str::<Value>(&out).unwrap()["status"]["count"], json!(4));

    let watch = Follower::start(&daemon, &["watch", "Board Room", "Probe_1", "count"]);
    watch.find(|line| line == "Board Room Probe_1  count = 4");
    let everything = Follower::start(&daemon, &["watch", &module, "--json"]);
    everything.find(|line| line.contains("\"key\":\"connected\"") && line.contains("\"value\":true"));
    let logs = Follower::start(&daemon, &["logs", "Board Room", "Probe_1", "--follow"]);
    logs.find(|line| line.contains("started"));
    daemon.client(&["exec", "Board Room", "Probe_1", "add", "1"]);
    daemon.client(&["exec", "Board Room", "Probe_1", "say", "good day"]);
    watch.find(|line| line == "Board Room Probe_1  count = 5");
    everything.find(|line| line.contains("\"key\":\"count\"") && line.contains("\"value\":5"));
    logs.find(|line| line.contains("good day"));
    let (code, out, _) = daemon.client(&["logs", &module]);
    assert_eq!(code, 0);
    assert!(out.contains("info") && out.contains("good day"), "{out}");
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_say_what_to_do() {
    let daemon = Daemon::start();
    let mut device = Device::start().await;
    let loaded = drivers::probe().load(&daemon).await;
    let module = daemon.module(&loaded.drivers[0], device.address, json!({})).await;
    daemon.api.create("systems", json!({ "name": "Boardroom", "modules": [module] })).await;
    daemon.api.reaches(&module, "running", true).await;

    for (arguments, code, said) in [
        (&["status", "Bordroom"][..], 6, "there is no system Bordroom; did you mean Boardroom?"),
        (&["status", "Boardroom", "Porbe_1"], 6, "Boardroom has no module Porbe_1; did you mean Probe_1?"),
        (&["status", "mod-none"], 6, "there is no module mod-none"),
        (
            &["exec", "Boardroom", "Probe_1", "ehco", "x"],
            6,
            "Boardroom Probe_1 has no function ehco; did you mean echo?",
        ),
        (&["exec", "Boardroom", "Probe_1", "fail"], 1, "failed, as asked"),
        (&["exec", "Boardroom", "Probe_1"], 2, "which function of Boardroom Probe_1?"),
        (&["exec", "Boardroom"], 2, "which module of Boardroom?"),
        (&["logs", "Boardroom"], 2, "which module of Boardroom?"),
        (&["status", "--key", "wrong"], 5, "does not know this key"),
        (
            &["status", "--url", "http://127.0.0.1:1"],
            4,
            "no daemon answers at http://127.0.0.1:1: Connection refused",
        ),
        (&["status", "--url", "nonsense"], 2, "is not the URL of a daemon"),
    ] {
        let (status, out, err) = daemon.client(arguments);
        assert_eq!(status, code, "{arguments:?}: {out}{err}");
        assert!(err.starts_with("headend: ") && err.contains(said), "{arguments:?}: {err}");
    }
    let keyless = headend().args(["status", "--url", &daemon.url]).env_remove("HOME").output().unwrap();
    assert_eq!(keyless.status.code(), Some(5));
    assert!(String::from_utf8_lossy(&keyless.stderr).contains("--key or HEADEND_KEY"));

    device.go_away();
    crate::support::until("the module is offline", async || {
        (daemon.api.status(&module, "connected").await == json!(false)).then_some(())
    })
    .await;
    let (code, _, err) = daemon.client(&["exec", "Boardroom", "Probe_1", "echo", "x"]);
    assert_eq!(code, 1);
    assert!(err.contains("Boardroom Probe_1 is offline (refused"), "{err}");
}
