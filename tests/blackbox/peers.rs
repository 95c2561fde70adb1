//! The example drivers against the real programs they are for: mpd, upsd with its dummy UPS, and mosquitto.
//!
//! Where a program is missing the test says so and ends; under `CI=true` that fails it.

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::{
    protocols,
    support::{Daemon, drivers, until},
};

/// A peer that runs; killed when it is dropped.
pub struct Peer(Child);

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub fn run(command: &mut Command) -> Peer {
    Peer(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
}

/// Where a program is; none if this machine has not got it.
pub fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var("PATH").unwrap_or_default();
    let folders = path.split(':').chain(["/usr/sbin", "/sbin", "/lib/nut"]).map(Path::new);
    let found = folders.map(|folder| folder.join(name)).find(|path| path.is_file());
    if found.is_none() {
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "{name} is missing; scripts/test installs it");
        eprintln!("not tested: {name} is missing; scripts/test installs it");
    }
    found
}

/// A port that nobody listens on.
pub fn port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A minute of silence.
fn silence() -> Vec<u8> {
    let (rate, seconds) = (8000u32, 60u32);
    let length = rate * seconds;
    let mut wav = b"RIFF".to_vec();
    wav.extend((36 + length).to_le_bytes());
    wav.extend(b"WAVEfmt ");
    wav.extend(16u32.to_le_bytes());
    wav.extend([1, 0, 1, 0]);
    wav.extend(rate.to_le_bytes());
    wav.extend(rate.to_le_bytes());
    wav.extend([1, 0, 8, 0]);
    wav.extend(b"data");
    wav.extend(length.to_le_bytes());
    wav.resize(wav.len() + length as usize, 128);
    wav
}

#[tokio::test(flavor = "multi_thread")]
async fn a_music_player_tells_its_changes_and_is_found_again_after_a_restart() {
    let Some(mpd) = program("mpd") else { return };
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let port = port();
    std::fs::create_dir(at("music")).unwrap();
    std::fs::write(at("music/silence.wav"), silence()).unwrap();
    let config = format!(
        "music_directory \"{}\"\ndb_file \"{}\"\nstate_file \"{}\"\nlog_file \"{}\"\nbind_to_address \"127.0.0.1\"\n\
         port \"{port}\"\naudio_output {{\n  type \"null\"\n  name \"none\"\n  mixer_type \"null\"\n}}\n",
        at("music"),
        at("db"),
        at("state"),
        at("log"),
    );
    std::fs::write(at("mpd.conf"), config).unwrap();
    let start = || run(Command::new(&mpd).args(["--no-daemon", &at("mpd.conf")]));
    let mut player = start();

    let daemon = Daemon::start();
    let loaded = drivers::example("mpd", "Music").load(&daemon).await;
    let module = daemon.module(&loaded.drivers[0], ([127, 0, 0, 1], port).into(), json!({})).await;
    daemon.api.reaches(&module, "running", true).await;
    assert_eq!(daemon.api.exec(&module, "volume", json!([40])).await.status, 200);
    let shows = async |key: &str, value: Value| {
        until(&format!("{key} is {value}"), async || {
            (daemon.api.status(&module, key).await == value).then_some(())
        })
        .await;
    };
    shows("volume", json!(40)).await;

    // What somebody else does is told by the player, not polled.
    let mut other = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    other.write_all(b"setvol 77\n").await.unwrap();
    let mut greeting = [0; 64];
    assert!(other.read(&mut greeting).await.unwrap() > 0);
    shows("volume", json!(77)).await;

    until("the player knows the song", async || {
        (daemon.api.exec(&module, "add", json!(["silence.wav"])).await.status == 200).then_some(())
    })
    .await;
    assert_eq!(daemon.api.exec(&module, "play", json!([])).await.status, 200);
    shows("state", json!("play")).await;
    let answer = daemon.api.exec(&module, "add", json!(["no such file"])).await;
    assert!(!answer.status.is_success(), "{answer:?}");

    player.0.kill().unwrap();
    player.0.wait().unwrap();
    shows("connected", json!(false)).await;
    let _player = start();
    daemon.api.reaches(&module, "running", true).await;
    assert_eq!(daemon.api.exec(&module, "volume", json!([12])).await.status, 200);
    shows("volume", json!(12)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ups_is_asked_over_a_connection_made_when_it_is_needed() {
    let (Some(dummy), Some(_)) = (program("dummy-ups"), program("upsd")) else { return };
    // The one on PATH is a script that wants the system's configuration.
    let upsd = dummy.with_file_name("upsd");
    let folder = tempfile::tempdir().unwrap();
    let port = port();
    for (name, text) in [
        ("ups.conf", "[rack]\ndriver = dummy-ups\nport = rack.dev\nmode = dummy-once\n".to_owned()),
        (
            "rack.dev",
            "ups.status: OL CHRG\nbattery.charge: 97\nups.load: 12\nups.mfr: Example\nups.model: Dummy\n"
                .into(),
        ),
        ("upsd.conf", format!("LISTEN 127.0.0.1 {port}\n")),
        ("upsd.users", "[headend]\npassword = example\nactions = SET\ninstcmds = ALL\n".into()),
    ] {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o640)).unwrap();
    }
    let user = std::env::var("USER").unwrap_or_else(|_| "root".into());
    let nut = |program: &Path, arguments: &[&str]| {
        let mut command = Command::new(program);
        command.args(arguments).args(["-u", &user]);
        command.env("NUT_CONFPATH", folder.path()).env("NUT_STATEPATH", folder.path());
        command.env("NUT_ALTPIDPATH", folder.path());
        command
    };
    let _ups = run(&mut nut(&dummy, &["-F", "-a", "rack"]));
    until("the dummy UPS is there", async || folder.path().join("dummy-ups-rack").exists().then_some(()))
        .await;
    let _server = run(&mut nut(&upsd, &["-F"]));

    let daemon = Daemon::start();
    let loaded = drivers::example("nut", "Power").load(&daemon).await;
    let extra = json!({ "makebreak": true });
    let module = daemon.module(&loaded.drivers[0], ([127, 0, 0, 1], port).into(), extra).await;
    let settings = json!({ "parent_id": module, "settings_string": "ups: rack\npoll_seconds: 1" });
    daemon.api.post("/settings", settings).await;
    until("the charge is known", async || {
        (daemon.api.status(&module, "battery_charge").await == json!(97.0)).then_some(())
    })
    .await;
    assert_eq!(daemon.api.status(&module, "on_battery").await, json!(false));
    let answer = daemon.api.exec(&module, "variable", json!(["ups.model"])).await;
    assert_eq!(answer.json(), json!("Dummy"), "{answer:?}");
    let answer = daemon.api.exec(&module, "variable", json!(["no.such.thing"])).await;
    assert!(!answer.status.is_success(), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_clients_of_an_mqtt_broker_hear_each_other_and_find_it_again_after_a_restart() {
    let (Some(mosquitto), Some(passwords)) = (program("mosquitto"), program("mosquitto_passwd")) else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let port = port();
    let made = Command::new(passwords).args(["-b", "-c", &at("passwords"), "headend", "example"]).status();
    assert!(made.unwrap().success());
    let user = std::env::var("USER").unwrap_or_else(|_| "root".into());
    let config = format!(
        "allow_anonymous false\npassword_file {}\npersistence false\nuser {user}\nlistener {port} 127.0.0.1\n",
        at("passwords")
    );
    std::fs::write(at("mosquitto.conf"), config).unwrap();
    let start = || run(Command::new(&mosquitto).args(["-c", &at("mosquitto.conf")]));
    let mut broker = start();

    let daemon = Daemon::start();
    let driver = drivers::example("mqtt", "Mqtt").load(&daemon).await.drivers.remove(0);
    let client = async |settings| protocols::module(&daemon, &driver, port, false, settings).await;
    let (username, password) = ("headend", "example");
    let hearer =
        client(json!({ "username": username, "password": password, "topics": ["room/+/light", "lobby/#"] }))
            .await;
    let teller = client(json!({ "username": username, "password": password, "client_id": "teller" })).await;
    let refused = client(json!({ "username": username, "password": "wrong" })).await;
    let shows = async |key: &str, value: Value| {
        until(&format!("{key} is {value}"), async || {
            (daemon.api.status(&hearer, key).await == value).then_some(())
        })
        .await;
    };
    let publish = async |arguments: Value| daemon.api.exec(&teller, "publish", arguments).await.status;

    shows("connected", json!(true)).await;
    daemon.api.reaches(&teller, "running", true).await;
    // What is retained comes even if the hearer's subscription is not there yet.
    assert_eq!(publish(json!(["lobby/sign", { "text": "Grüße", "lines": 2 }, true])).await, 200);
    shows("lobby/sign", json!({ "text": "Grüße", "lines": 2 })).await;
    assert_eq!(publish(json!(["room/3/light", true, false, 0])).await, 200);
    shows("room/3/light", json!(true)).await;
    let long = "x".repeat(100_000);
    assert_eq!(publish(json!(["lobby/long", long])).await, 200);
    shows("lobby/long", json!(long)).await;
    until("the wrong password is named", async || {
        let shown = daemon.api.get(&format!("/modules/{refused}")).await.to_string();
        shown.contains("the user name or the password may be wrong").then_some(())
    })
    .await;

    broker.0.kill().unwrap();
    broker.0.wait().unwrap();
    shows("connected", json!(false)).await;
    let _broker = start();
    daemon.api.reaches(&teller, "running", true).await;
    until("it is heard again", async || {
        let told = publish(json!(["room/4/light", 7])).await == 200;
        (told && daemon.api.status(&hearer, "room/4/light").await == json!(7)).then_some(())
    })
    .await;
}
