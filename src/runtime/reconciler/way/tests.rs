use drivers_sdk_protocol::manifest::Kind::{self, *};
use serde_json::{Value, json};

use super::*;

/// What a way is, in one line: the kind of address, where it is, and whatever is not as it would be without settings.
fn shown(way: &Way) -> String {
    let mode = |mode| match mode {
        Mode::KeepOpen => String::new(),
        Mode::MakeBreak { hold } => format!(", held {} ms", hold.as_millis()),
    };
    match way {
        Way::None => "nothing".into(),
        Way::Emulator { mode: held, service, messages } => {
            let service = service.as_ref().map(|client| format!(" as {client}")).unwrap_or_default();
            let messages = match messages {
                None => "",
                Some(true) => " with datagrams",
                Some(false) => " with messages",
            };
            format!("emulator{messages}{service}{}", mode(*held))
        }
        Way::Link(Target { address, mode: held, http, tls }) => {
            let http = http.as_ref().map(|client| format!(", web {client}")).unwrap_or_default();
            let tls = if tls.is_some() { ", with TLS settings" } else { "" };
            format!("{}{}{http}{tls}", place(address), mode(*held))
        }
    }
}

fn place(address: &Address) -> String {
    let kind = match address {
        Address::Tcp(_) => "tcp".into(),
        Address::Tls { tls, .. } => format!("tls({})", if tls.verify { "verified" } else { "not verified" }),
        Address::Udp(target) => format!("udp({})", if target.settings.connected { "port" } else { "host" }),
        Address::Ssh(target) => format!("ssh({})", target.settings.username),
        Address::WebSocket(service) => format!("websocket({})", service.settings().ping_ms),
        Address::Http(_) => "http".into(),
        Address::Serial { line, .. } => format!("serial({line})"),
        Address::Rfc2217 { line, .. } => format!("rfc2217({line})"),
        Address::Bus(inner) => return format!("bus of {}", place(inner)),
        Address::Unix(_) | Address::UnixMessages { .. } => "unix".into(),
    };
    let source = address.endpoint().and_then(|endpoint| endpoint.source);
    let source = source.map(|source| format!(" from {source}")).unwrap_or_default();
    format!("{kind} {address}{source}")
}

/// Fields of a module that are not as in one without an address.
fn module(fields: Value) -> Module {
    serde_json::from_value(fields).expect("fields of a module")
}

fn way_of(kind: Kind, fields: Value, settings: Value) -> Result<String, String> {
    let driver = Driver { default_port: Some(4352), ..Driver::default() };
    let manifest = Manifest { kind, ..Manifest::default() };
    let settings = Settings::read(Some(settings)).expect("settings of a connection");
    way(&module(fields), &driver, &manifest, &settings).map(|way| shown(&way))
}

fn all_are(cases: Vec<(Kind, Value, Value, &str)>) {
    for (kind, fields, settings, expected) in cases {
        let case = format!("{kind:?} {fields} {settings}");
        assert_eq!(way_of(kind, fields, settings).as_deref(), Ok(expected), "{case}");
    }
}

fn none_is(cases: Vec<(Kind, Value, Value, &str)>) {
    for (kind, fields, settings, why) in cases {
        let case = format!("{kind:?} {fields} {settings}");
        let refused = way_of(kind, fields, settings).expect_err(&case);
        assert!(refused.contains(why), "{case}: {refused}");
    }
}

#[test]
fn devices_by_their_ip_and_port() {
    let ip = |more: Value| {
        let mut fields = json!({"ip": " 10.0.0.9 ", "port": 23});
        fields.as_object_mut().expect("object").extend(more.as_object().expect("object").clone());
        fields
    };
    all_are(vec![
        (Device, ip(json!({})), json!({}), "tcp 10.0.0.9:23, web http://10.0.0.9/"),
        (Device, json!({"ip": "beamer", "port": 0}), json!({}), "tcp beamer:4352, web http://beamer/"),
        (Device, json!({"ip": "fd00::7", "port": 1}), json!({}), "tcp [fd00::7]:1, web http://[fd00::7]/"),
        (
            Device,
            ip(json!({})),
            json!({"source": "10.0.0.1", "http": {"base": "https://10.0.0.9:8443/api"}}),
            "tcp 10.0.0.9:23 from 10.0.0.1, web https://10.0.0.9:8443/api",
        ),
        // For when the driver starts TLS in mid-connection, and for the web server.
        (
            Device,
            ip(json!({})),
            json!({"tls": {"verify": false}}),
            "tcp 10.0.0.9:23, web http://10.0.0.9/, with TLS settings",
        ),
        (Device, ip(json!({"tls": true})), json!({}), "tls(verified) 10.0.0.9:23, web http://10.0.0.9/"),
        (
            Device,
            ip(json!({"tls": true})),
            json!({"tls": {"verify": false}}),
            "tls(not verified) 10.0.0.9:23, web http://10.0.0.9/, with TLS settings",
        ),
        (Device, ip(json!({"udp": true})), json!({}), "udp(port) 10.0.0.9:23, web http://10.0.0.9/"),
        (
            Device,
            ip(json!({"udp": true, "tls": true})),
            json!({"udp": {"connected": false}, "source": "10.0.0.1"}),
            "udp(host) 10.0.0.9:23 from 10.0.0.1, web http://10.0.0.9/",
        ),
        (Device, ip(json!({})), json!({"bus": true}), "bus of tcp 10.0.0.9:23, web http://10.0.0.9/"),
        (
            Device,
            ip(json!({"tls": true})),
            json!({"bus": true}),
            "bus of tls(verified) 10.0.0.9:23, web http://10.0.0.9/",
        ),
        // A uri of another kind is not this driver's way.
        (Device, ip(json!({"uri": "http://x/"})), json!({}), "tcp 10.0.0.9:23, web http://10.0.0.9/"),
        // Sections of other kinds are ignored.
        (
            Device,
            ip(json!({})),
            json!({"udp": {"broadcast": true}, "ssh": {"username": "otto"}, "serial": {"baud": 300}}),
            "tcp 10.0.0.9:23, web http://10.0.0.9/",
        ),
    ]);
    none_is(vec![
        (Device, json!({"ip": " ", "port": 23}), json!({}), "it has no address; set its ip"),
        (Device, json!({"ip": "x", "port": 70000}), json!({}), "70000 is not a port"),
        (Device, json!({"ip": "x", "port": -1}), json!({}), "-1 is not a port"),
        (Device, ip(json!({"udp": true})), json!({"bus": true}), "connection.bus is for streams of bytes"),
        (
            Device,
            ip(json!({})),
            json!({"tls": {"ca": "no certificate"}}),
            "the setting connection.tls cannot be used: ",
        ),
        (Device, ip(json!({})), json!({"http": {"base": "ftp://x"}}), "connection.http.base: "),
        (Device, json!({"ip": "a b", "port": 23}), json!({}), "not a URI"),
    ]);
}

#[test]
fn serial_ports_by_their_uri() {
    let at = |uri: &str| json!({"uri": uri, "ip": "10.0.0.9", "port": 23});
    let alone = |uri: &str| json!({"uri": uri});
    all_are(vec![
        (Device, alone("serial:///dev/ttyS0"), json!({}), "serial(9600 8N1) serial:///dev/ttyS0"),
        (
            Device,
            alone("serial:///dev/ttyS0?baud=300"),
            json!({"serial": {"baud": 19200, "parity": "even"}}),
            "serial(300 8E1) serial:///dev/ttyS0",
        ),
        // It goes before the ip, which is left for the web server.
        (
            Device,
            at("serial:///dev/ttyS0"),
            json!({"bus": true}),
            "bus of serial(9600 8N1) serial:///dev/ttyS0, web http://10.0.0.9/",
        ),
        (
            Device,
            alone("rfc2217://gw:4001?parity=odd"),
            json!({"source": "10.0.0.1"}),
            "rfc2217(9600 8O1) gw:4001 from 10.0.0.1",
        ),
        (Device, alone("rfc2217://gw:4001"), json!({"bus": true}), "bus of rfc2217(9600 8N1) gw:4001"),
    ]);
    none_is(vec![
        (Device, alone("serial://ttyS0"), json!({}), "its uri must name a device file"),
        (Device, alone("rfc2217://gw"), json!({}), "its uri must name the gateway and its port"),
        (
            Device,
            alone("serial:///dev/ttyS0"),
            json!({"serial": {"bits": 9}}),
            "the setting connection.serial has bits=9",
        ),
        (Ssh, alone("serial:///dev/ttyS0"), json!({"ssh": {"username": "otto"}}), "it has no address"),
        (Service, alone("serial:///dev/ttyS0"), json!({}), "its uri cannot be used: "),
    ]);
}

#[test]
fn services_websockets_and_ssh() {
    let at = |uri: &str| json!({"uri": uri});
    let otto = json!({"ssh": {"username": "otto"}});
    all_are(vec![
        (Service, at(" https://api.example/v1 "), json!({}), "http https://api.example/v1"),
        (
            Service,
            at("https://api.example/"),
            json!({"tls": {"verify": false}}),
            "http https://api.example/, with TLS settings",
        ),
        (
            Websocket,
            at("wss://hub.example/live?key=hidden"),
            json!({}),
            "websocket(30000) wss://hub.example/live",
        ),
        (
            Websocket,
            at("ws://hub.example"),
            json!({"websocket": {"ping_ms": 7}, "source": "10.0.0.1"}),
            "websocket(7) ws://hub.example/ from 10.0.0.1",
        ),
        (Ssh, json!({"ip": "switch", "port": 22}), otto.clone(), "ssh(otto) switch:22"),
        (Ssh, json!({"ip": "switch", "udp": true, "tls": true}), otto.clone(), "ssh(otto) switch:4352"),
        (Logic, json!({"ip": "x", "port": 70000}), json!({}), "nothing"),
    ]);
    none_is(vec![
        (Service, json!({"ip": "10.0.0.9"}), json!({}), "it has no address; set its uri"),
        (Service, at("api.example"), json!({}), "its uri cannot be used: "),
        (Service, at("http://otto:pw@api.example"), json!({}), "its uri cannot be used: "),
        (Service, at("http://api.example"), json!({"bus": true}), "connection.bus is for streams of bytes"),
        (Websocket, json!({"ip": "10.0.0.9"}), json!({}), "it has no address; set its uri"),
        (Websocket, at("http://hub.example"), json!({}), "its uri cannot be used: http: is not ws: or wss:"),
        (Websocket, at("ws://hub.example"), json!({"bus": true}), "connection.bus is for streams of bytes"),
        (Ssh, json!({"ip": "switch", "port": 22}), json!({}), "connection.ssh.username is missing"),
        (Ssh, json!({"port": 22}), otto, "it has no address; set its ip"),
    ]);
}

#[test]
fn the_driver_brings_a_default_uri_for_services_and_websockets() {
    for (kind, uri, expected) in [
        (Service, "https://api.example/", "http https://api.example/"),
        (Websocket, "wss://hub.example/", "websocket(30000) wss://hub.example/"),
    ] {
        let driver = Driver { default_uri: Some(uri.into()), ..Driver::default() };
        let manifest = Manifest { kind, ..Manifest::default() };
        let of =
            |fields| way(&module(fields), &driver, &manifest, &Settings::default()).map(|way| shown(&way));
        assert_eq!(of(json!({})).as_deref(), Ok(expected));
        let own = of(json!({"uri": "own.example"})).expect_err("its own goes before, even if it is wrong");
        assert!(own.contains("its uri cannot be used"), "{own}");
    }
}

#[test]
fn make_break_is_held_as_the_settings_say_else_the_driver() {
    let fields = json!({"ip": "x", "port": 1, "makebreak": true});
    let emulated = json!({"makebreak": true, "emulated": true});
    for (own, drivers, held) in
        [(None, None, 5000), (None, Some(700), 700), (Some(0), Some(700), 0), (Some(90), None, 90)]
    {
        let manifest = Manifest { hold_ms: drivers, ..Manifest::default() };
        let settings = Settings { hold_ms: own, ..Settings::default() };
        let of = |fields: &Value| {
            let way = way(&module(fields.clone()), &Driver::default(), &manifest, &settings).expect("a way");
            assert!(way.makebreak());
            shown(&way)
        };
        assert_eq!(of(&fields), format!("tcp x:1, held {held} ms, web http://x/"));
        assert_eq!(of(&emulated), format!("emulator, held {held} ms"));
    }
    let kept = way_of(Device, json!({"ip": "x", "port": 1}), json!({"hold_ms": 90}));
    assert_eq!(kept.as_deref(), Ok("tcp x:1, web http://x/"), "without makebreak it says nothing");
}

#[test]
fn an_emulated_module_needs_no_address() {
    all_are(vec![
        (Device, json!({"emulated": true}), json!({"bus": true}), "emulator"),
        (Device, json!({"emulated": true, "udp": true}), json!({}), "emulator with datagrams"),
        (Device, json!({"emulated": true, "udp": true, "uri": "serial:///dev/x"}), json!({}), "emulator"),
        (Ssh, json!({"emulated": true}), json!({}), "emulator"),
        (Websocket, json!({"emulated": true}), json!({}), "emulator with messages"),
        (Service, json!({"emulated": true}), json!({}), "emulator as http://emulator/"),
        (Service, json!({"emulated": true, "uri": "https://a/b"}), json!({}), "emulator as https://a/b"),
        (Logic, json!({"emulated": true}), json!({}), "nothing"),
    ]);
    none_is(vec![(
        Service,
        json!({"emulated": true, "uri": "nowhere"}),
        json!({}),
        "its uri cannot be used",
    )]);
}
