//! The example drivers of binary protocols against real programs: pymodbus, Net-SNMP's agent, and OLA, which is an Art-Net
//! node.
//!
//! Where one is missing the test says so and ends; under `CI=true` that fails it.

use std::{fs, path::Path, process::Command};

use serde_json::{Value, json};

use crate::{
    olad,
    peers::{port, program, run},
    support::{Daemon, drivers, until},
};

/// A driver of the examples, built.
async fn driver(daemon: &Daemon, name: &str, module: &'static str) -> String {
    drivers::example(name, module).load(daemon).await.drivers.remove(0)
}

/// A module of a driver with these settings, connected to a port of this machine.
pub async fn module(daemon: &Daemon, driver: &str, port: u16, udp: bool, settings: Value) -> String {
    let extra = json!({ "running": false, "udp": udp });
    let module = daemon.module(driver, ([127, 0, 0, 1], port).into(), extra).await;
    // JSON is YAML.
    let settings = json!({ "parent_id": module, "settings_string": settings.to_string() });
    daemon.api.post("/settings", settings).await;
    let start = daemon.api.send(reqwest::Method::POST, &format!("/modules/{module}/start"), None).await;
    assert!(start.status.is_success(), "{start:?}");
    module
}

async fn shows(daemon: &Daemon, module: &str, key: &str, value: Value) {
    until(&format!("{key} is {value}"), async || {
        (daemon.api.status(module, key).await == value).then_some(())
    })
    .await;
}

/// A result of a function, which must work.
async fn exec(daemon: &Daemon, module: &str, function: &str, arguments: Value) -> Value {
    let answer = daemon.api.exec(module, function, arguments).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

/// Coils and holding registers that are zero, discrete inputs that are on and off by turns, and a voltage and a temperature
/// in the input registers, as unit 7.
const MODBUS: &str = r#"
import asyncio, sys
from pymodbus import FramerType
from pymodbus.server import StartAsyncTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

def block(values, kind=DataType.REGISTERS):
    return [SimData(0, values=values, datatype=kind)]

device = SimDevice(7, simdata=(
    block([False] * 16, DataType.BITS), block([True, False] * 8, DataType.BITS),
    block([0] * 40), block([0x4366, 0x8000, 0xFF29]),
))
asyncio.run(StartAsyncTcpServer(device, address=("127.0.0.1", int(sys.argv[1])), framer=FramerType(sys.argv[2])))
"#;

async fn pymodbus_is_read_and_written(framer: &str, mode: &str) {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/peers/python/bin/python");
    let Some(python) = program(&python.display().to_string()) else { return };
    let port = port();
    let _server = run(Command::new(python).args(["-c", MODBUS, &port.to_string(), framer]));
    let daemon = Daemon::start();
    let driver = driver(&daemon, "modbus", "Modbus").await;
    let settings = json!({
        "mode": mode, "unit": 7, "poll_seconds": 1, "gap_ms": 100,
        "points": {
            "voltage": { "table": "input_register", "address": 0, "type": "f32" },
            "temperature": { "table": "input_register", "address": 2, "type": "i16", "scale": 0.1 },
            "door": { "table": "discrete_input", "address": 2 },
            "fan": { "table": "coil", "address": 3, "writable": true },
            "setpoint": { "address": 4, "type": "i16", "scale": 0.5, "writable": true },
            "energy": { "address": 10, "type": "u32", "low_first": true, "writable": true },
            "nothing": { "address": 1000 },
        },
    });
    let module = module(&daemon, &driver, port, false, settings).await;
    daemon.api.reaches(&module, "running", true).await;
    for (key, value) in [
        ("voltage", json!(230.5)),
        ("temperature", json!(-21.5)),
        ("door", json!(true)),
        ("fan", json!(false)),
        ("setpoint", json!(0.0)),
        ("energy", json!(0)),
    ] {
        shows(&daemon, &module, key, value).await;
    }
    // What it refuses is not shown, and does not keep the rest from being read.
    assert_eq!(daemon.api.status(&module, "nothing").await, Value::Null);
    let refused = daemon.api.exec(&module, "read", json!(["nothing"])).await;
    assert!(
        !refused.status.is_success() && refused.text.contains("no such address (exception 2)"),
        "{refused:?}"
    );
    for (key, value) in [("fan", json!(true)), ("setpoint", json!(-2.5)), ("energy", json!(0x1234_5678))] {
        assert_eq!(exec(&daemon, &module, "write", json!([key, value])).await, value);
        shows(&daemon, &module, key, value).await;
    }
    let raw = async |table: &str, address: u16, count: u16| {
        exec(&daemon, &module, "read_raw", json!([table, address, count])).await
    };
    assert_eq!(raw("holding_register", 4, 1).await, json!([0xfffb]));
    assert_eq!(raw("holding_register", 10, 2).await, json!([0x5678, 0x1234]));
    exec(&daemon, &module, "write_raw", json!(["coil", 0, [1, 0, 1, 1, 0, 0, 0, 0, 0, 1]])).await;
    assert_eq!(raw("coil", 0, 11).await, json!([1, 0, 1, 1, 0, 0, 0, 0, 0, 1, 0]));
    exec(&daemon, &module, "write_raw", json!(["holding_register", 20, [7, 8, 9]])).await;
    assert_eq!(raw("holding_register", 19, 5).await, json!([0, 7, 8, 9, 0]));
}

#[tokio::test(flavor = "multi_thread")]
async fn pymodbus_is_read_and_written_by_tcp() {
    pymodbus_is_read_and_written("socket", "tcp").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pymodbus_is_read_and_written_by_rtu_over_a_gateway() {
    pymodbus_is_read_and_written("rtu", "rtu").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_is_read_walked_and_set() {
    let Some(snmpd) = program("snmpd") else { return };
    let folder = tempfile::tempdir().unwrap();
    let (config, port) = (folder.path().join("snmpd.conf"), port());
    // What is configured as location cannot be set; the name can.
    let text = "rocommunity public\nrwcommunity secret\nsysDescr Projector in the hall\nsysLocation Hall\nsysServices 72\n";
    fs::write(&config, text).unwrap();
    let mut agent = Command::new(snmpd);
    agent.args(["-f", "-Lo", "-C", "-c"]).arg(&config).arg(format!("udp:127.0.0.1:{port}"));
    // Not beside the configuration: what is kept there has the same name, and would go before it at the next start.
    let agent = agent.env("SNMP_PERSISTENT_DIR", folder.path().join("kept"));
    let running = run(agent);
    let daemon = Daemon::start();
    let driver = driver(&daemon, "snmp", "Monitor").await;
    let settings = json!({
        "poll_seconds": 1, "write_community": "secret",
        "objects": {
            "services": { "oid": "1.3.6.1.2.1.1.7.0", "scale": 0.5 },
            "interfaces": { "oid": "1.3.6.1.2.1.2.2.1.1", "walk": true },
            "nothing": { "oid": "1.3.6.1.2.1.1.99.0" },
        },
    });
    let module = module(&daemon, &driver, port, true, settings).await;
    shows(&daemon, &module, "description", json!("Projector in the hall")).await;
    shows(&daemon, &module, "location", json!("Hall")).await;
    shows(&daemon, &module, "services", json!(36.0)).await;
    assert_eq!(daemon.api.status(&module, "nothing").await, Value::Null);
    // This machine's, of which the first is the loopback.
    until("the interfaces are known", async || {
        (daemon.api.status(&module, "interfaces").await["1"] == json!(1)).then_some(())
    })
    .await;
    let system = exec(&daemon, &module, "walk", json!(["1.3.6.1.2.1.1"])).await;
    assert_eq!(system["1.0"], json!("Projector in the hall"), "{system}");
    assert!(system.as_object().unwrap().len() > 20, "{system}");
    assert_eq!(exec(&daemon, &module, "set", json!(["1.3.6.1.2.1.1.5.0", "hall-1"])).await, json!("hall-1"));
    shows(&daemon, &module, "name", json!("hall-1")).await;
    let refused = daemon.api.exec(&module, "set", json!(["1.3.6.1.2.1.1.6.0", "Attic"])).await;
    assert!(!refused.status.is_success() && refused.text.contains("1.3.6.1.2.1.1.6.0"), "{refused:?}");
    let refused = daemon.api.exec(&module, "set", json!(["1.3.6.1.2.1.1.5.0", 7])).await;
    assert!(!refused.status.is_success() && refused.text.contains("is not text"), "{refused:?}");

    drop(running);
    shows(&daemon, &module, "connected", json!(false)).await;
    let _running = run(agent);
    shows(&daemon, &module, "connected", json!(true)).await;
    until("it is read again", async || {
        daemon.api.exec(&module, "read", json!(["services"])).await.status.is_success().then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_shows_what_its_lights_are_told() {
    let Some(olad) = program("olad") else { return };
    let folder = tempfile::tempdir().unwrap();
    let (web, rpc) = (port(), port());
    olad::configure(folder.path(), "ip = 127.0.0.1\nuse_loopback = true\nshort_name = Dimmer\n");
    let mut node = match rustix::process::getuid().is_root() {
        true => {
            let mut command = Command::new("setpriv");
            command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]).arg(olad);
            command
        }
        false => Command::new(olad),
    };
    node.args(["--no-register-with-dns-sd", "-l", "0", "-i", "127.0.0.1", "-p", &web.to_string()]);
    let _node = run(node.args(["-r", &rpc.to_string(), "-c"]).arg(folder.path()));
    let daemon = Daemon::start();
    let driver = driver(&daemon, "artnet", "Lighting").await;
    let client = &daemon.api.http;
    let page = format!("http://127.0.0.1:{web}");
    until("the node has a universe", async || {
        let form = client.post(format!("{page}/new_universe")).body("id=1&name=one&add_ports=1-I-0");
        let form = form.header("content-type", "application/x-www-form-urlencoded");
        let answer: Value = serde_json::from_str(&form.send().await.ok()?.text().await.ok()?).ok()?;
        answer["ok"].as_bool()?.then_some(())
    })
    .await;
    let lit = async |expected: &[u8]| {
        until(&format!("the node shows {expected:?}"), async || {
            let text = client.get(format!("{page}/get_dmx?u=1")).send().await.ok()?.text().await.ok()?;
            let levels: Value = serde_json::from_str(&text).ok()?;
            (levels["dmx"].as_array()?.get(..expected.len())? == json!(expected).as_array()?).then_some(())
        })
        .await;
    };

    let settings = json!({
        "universe": 1, "fade_ms": 100,
        "fixtures": {
            "desk": { "channels": [1] }, "wall": { "channels": [2, 3] },
            "stage": { "channels": [4], "area": 2 },
        },
        "scenes": { "1": { "desk": 100, "wall": 40, "stage": 20 }, "2": { "wall": 0 } },
    });
    // Its port is that of Art-Net, whatever one would like.
    let module = module(&daemon, &driver, 6454, true, settings).await;
    daemon.api.reaches(&module, "running", true).await;
    exec(&daemon, &module, "scene", json!({ "scene": 1 })).await;
    lit(&[255, 102, 102, 51]).await;
    exec(&daemon, &module, "scene", json!({ "scene": 2, "area": 1 })).await;
    lit(&[255, 0, 0, 51]).await;
    exec(&daemon, &module, "level", json!({ "fixture": "desk", "level": 20, "fade_ms": 0 })).await;
    lit(&[51, 0, 0, 51]).await;
    exec(&daemon, &module, "light", json!({ "level": 60 })).await;
    lit(&[153, 153, 153, 153]).await;
    exec(&daemon, &module, "blackout", json!([true])).await;
    lit(&[0, 0, 0, 0]).await;
    exec(&daemon, &module, "blackout", json!([false])).await;
    lit(&[153, 153, 153, 153]).await;
    exec(&daemon, &module, "channel", json!([4, 7])).await;
    lit(&[153, 153, 153, 7]).await;
    let refused = daemon.api.exec(&module, "scene", json!([9])).await;
    assert!(!refused.status.is_success() && refused.text.contains("has no 9"), "{refused:?}");
}
