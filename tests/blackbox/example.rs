//! The example site from nothing: cloned, built, connected to its emulators, and used.

use serde_json::{Value, json};

use crate::support::{Daemon, PATIENCE, Setup, Socket, drivers, until, within};

/// Five drivers are built from nothing.
const BUILD: std::time::Duration = std::time::Duration::from_secs(540);

async fn places(daemon: &Daemon) -> Vec<Value> {
    let (code, out, err) = daemon.client(&["status", "--json"]);
    assert_eq!(code, 0, "{err}");
    serde_json::from_str(&out).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_site_is_built_connected_and_used() {
    let (work, _) = drivers::examples();
    let site = work.path().join("examples/site.toml");
    let setup = Setup::new(&format!("[site]\nfile = {:?}\n", site.display().to_string()));
    let daemon = setup.building().start();

    let places = within(BUILD, "every module of the example is connected", async || {
        let places = places(&daemon).await;
        let failed = places.iter().find(|place| place["state"] == "failed");
        assert!(failed.is_none(), "{failed:?}");
        drivers::none_failed(&daemon).await;
        places.iter().all(|place| place["state"] == "connected").then_some(places)
    })
    .await;
    assert_eq!(places.len(), 9, "{places:?}");

    let systems = daemon.api.get("/systems?q=boardroom").await;
    let room = systems[0]["id"].as_str().unwrap().to_owned();
    let mut socket = Socket::open(&daemon.api).await;
    socket.command("bind", &room, ("Display", 1), "power", Value::Null).await;
    for on in [true, false] {
        let (code, out, err) = daemon.client(&["exec", "Boardroom", "Room_1", "power", &on.to_string()]);
        assert_eq!(code, 0, "{out}{err}");
        socket.find(|message| message["type"] == "notify" && message["value"] == json!(on)).await;
        until(&format!("the room shows power {on}"), async || {
            let value = daemon.api.get(&format!("/systems/{room}/Room_1/power")).await;
            (value == json!(on)).then_some(())
        })
        .await;
    }

    // Settings reach the modules from every level: the room's volume from its system, over that of its zone.
    let room_module = places.iter().find(|place| place["module"] == "Room_1").unwrap();
    let merged =
        daemon.api.get(&format!("/modules/{}/settings", room_module["module_id"].as_str().unwrap())).await;
    assert!(merged.as_array().is_some_and(|rows| rows.len() >= 4), "{merged}");

    let (code, out, err) = daemon.client(&["exec", "Boardroom", "Power_1", "variable", "battery.charge"]);
    assert_eq!(code, 0, "{err}");
    assert!(out.trim().parse::<f64>().is_ok(), "{out}");

    // A relay is switched, and infrared sent by the name of its code in the settings.
    let unit = places.iter().find(|place| place["module"] == "Ports_1").unwrap();
    let unit = unit["module_id"].as_str().unwrap().to_owned();
    let relay = async |closed: bool| {
        let answer = daemon.api.post(&format!("/systems/{room}/Ports_1/relay"), json!(["1:2", closed])).await;
        assert_eq!(answer, json!(closed));
        until(&format!("the relay shows {closed}"), async || {
            (daemon.api.status(&unit, "closed").await["1:2"] == json!(closed)).then_some(())
        })
        .await;
    };
    relay(true).await;
    relay(false).await;
    let (code, out, err) =
        daemon.client(&["exec", "Boardroom", "Ports_1", "send_ir", "2:1", "television_power"]);
    assert_eq!(code, 0, "{out}{err}");
    let refused = daemon.api.exec(&unit, "send_ir", json!(["1:1", "television_power"])).await;
    assert!(refused.text.contains("it has no such module"), "{refused:?}");
    let wire = daemon.api.get(&format!("/modules/{unit}/wire?direction=sent")).await;
    let sent = |text: &str| {
        let records = wire.as_array().unwrap().iter();
        records.filter(|record| record["text"].as_str().is_some_and(|sent| sent.starts_with(text))).count()
    };
    assert_eq!((sent("setstate,1:2,1"), sent("setstate,1:2,0"), sent("sendir,2:1,")), (1, 1, 1), "{wire}");

    // A restart brings everything back, without a build.
    let daemon = daemon.again();
    within(PATIENCE, "every module is connected again", async || {
        places_connected(&daemon).await.then_some(())
    })
    .await;
}

async fn places_connected(daemon: &Daemon) -> bool {
    let places = places(daemon).await;
    places.len() == 9 && places.iter().all(|place| place["state"] == "connected")
}
