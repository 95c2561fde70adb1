//! What went over the wire, as the engineer on call sees it: with the client, of a projector that asks for its password.

use headend::connections::recorder::{
    Event,
    format::recording::{self, Item},
};
use serde_json::{Value, json};

use crate::support::{Daemon, drivers, until};

const PASSWORD: &str = "JBMIAProjectorLink";

/// 32 hexadecimal digits, as the projector is signed in with.
fn has_digest(text: &str) -> bool {
    text.as_bytes().windows(32).any(|window| window.iter().all(u8::is_ascii_hexdigit))
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_are_named_and_neither_password_nor_digest_is_kept() {
    let daemon = Daemon::start();
    let loaded = drivers::example("pjlink", "Display").load(&daemon).await;
    let address = "10.3.2.21:4352".parse().unwrap();
    let module =
        daemon.module(&loaded.drivers[0], address, json!({"emulated": true, "running": false})).await;
    let settings = json!({
        "parent_id": module, "encryption_level": 2, "settings_string": format!("password: {PASSWORD}"),
    });
    daemon.api.create("settings", settings).await;
    daemon.api.create("systems", json!({ "name": "Training", "modules": [module] })).await;
    let (code, out, err) = daemon.client(&["wire", "Training", "Display_1"]);
    assert_eq!((code, &*out), (0, "Nothing has gone over the wire of Training Display_1 yet.\n"), "{err}");
    let start = daemon.api.send(reqwest::Method::POST, &format!("/modules/{module}/start"), None).await;
    assert!(start.status.is_success(), "{start:?}");
    until("the projector is connected", async || {
        (daemon.api.status(&module, "connected").await == json!(true)).then_some(())
    })
    .await;
    let (code, out, err) = daemon.client(&["exec", "Training", "Display_1", "power", "true"]);
    assert_eq!(code, 0, "{out}{err}");

    let (code, text, err) = daemon.client(&["wire", "Training", "Display_1"]);
    assert_eq!(code, 0, "{err}");
    let named = |event: &str, bytes: &str| {
        text.lines().any(|line| line.contains(&format!("{event:<8}  power         {bytes}")))
    };
    assert!(named("sent", "%1POWR 1\\r") && named("received", "%1POWR=OK\\r"), "{text}");
    assert!(text.contains("received                PJLINK 1 ") && text.contains("***%1CLSS ?\\r"), "{text}");
    assert!(!text.contains(PASSWORD) && !has_digest(&text), "{text}");

    let (_, json, _) = daemon.client(&["wire", &module, "--json", "--direction", "sent"]);
    let records: Vec<Value> = json.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(
        records.iter().any(|record| record["command"] == "power" && record["text"] == "%1POWR 1\r"),
        "{json}"
    );
    assert!(records.iter().all(|record| record["event"] != "received"), "{json}");

    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name).display().to_string();
    for name in ["a.recording", "a.pcapng"] {
        let (code, _, err) = daemon.client(&["wire", "Training", "Display_1", "--save", &file(name)]);
        assert!(code == 0 && err.contains("saved to"), "{err}");
        let saved = String::from_utf8_lossy(&std::fs::read(file(name)).unwrap()).into_owned();
        assert!(saved.contains("%1POWR=OK") && !saved.contains(PASSWORD) && !has_digest(&saved), "{saved}");
    }
    let read = recording::read(&std::fs::read_to_string(file("a.recording")).unwrap()).unwrap();
    assert_eq!((&*read.about.module, &*read.about.name), (&*module, "Display"));
    let Some(Item::Record(first)) = read.items.first() else { panic!("{read:?}") };
    assert!(
        matches!(&first.event, Event::Up { address, peer: None, .. } if address.starts_with("unix:")),
        "{first:?}"
    );

    for (arguments, code, said) in [
        (&["wire", "Training"][..], 2, "which module of Training? there is Display_1"),
        (&["wire", "Training", "Dispaly_1"], 6, "Training has no module Dispaly_1; did you mean Display_1?"),
        (&["wire", "Training", "Display_1", "--save", "x.pcap"], 2, "Let its name end in .pcapng"),
        (
            &["wire", "Training", "Display_1", "--save", "/no/where.pcapng"],
            2,
            "cannot write /no/where.pcapng",
        ),
    ] {
        let (status, out, err) = daemon.client(arguments);
        assert_eq!(status, code, "{arguments:?}: {out}{err}");
        assert!(err.contains(said), "{arguments:?}: {err}");
    }
}
