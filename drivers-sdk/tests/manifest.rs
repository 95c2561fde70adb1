//! Everything the macros accept, in one driver without a warning, and the manifest that comes from it.
#![deny(warnings)]
#![allow(clippy::unwrap_used)]

use drivers_sdk::prelude::*;

#[derive(Settings)]
struct Options {
    // Without docs.
    level: u8,
    /// Password of the device.
    ///
    /// Ask its owner.
    password: Option<Secret>,
    r#type: Option<String>,
    #[setting(default)]
    names: Vec<String>,
    #[setting(default = Mode::Slow)]
    mode: Mode,
}

#[data]
enum Mode {
    Slow,
    VeryFast,
}

#[data]
struct Preset {
    number: u8,
    name: String,
}

#[derive(Default, Status)]
struct State {
    r#type: Option<String>,
    presets: Vec<Preset>,
}

// State in the struct, made from the settings.
struct Everything {
    level: Cell<u8>,
}

/// Everything at once.
#[driver(
    name = "Everything",
    module = "Every-Thing_x",
    udp = 161,
    makebreak(hold_ms = 2000),
    framing = length_prefixed(2).little_endian().limit(1000),
    settings = Options,
    status = State,
    timeout_ms = 1500,
    retries = 2,
    delay_ms = 20
)]
impl Everything {
    #[create]
    fn new(settings: &Options) -> Self {
        let _ = (&settings.r#type, &settings.password, &settings.names, settings.mode);
        Everything { level: Cell::new(settings.level) }
    }

    #[function]
    fn plain(&self) {}

    /// Adds.
    ///
    /// - quickly
    ///   - and well

    #[function(security = "support")]
    fn value(&self, a: u8, b: Option<Preset>) -> u8 {
        a + b.map_or(0, |preset| preset.number) + self.level.get()
    }

    #[function(security = "administrator")]
    async fn borrowed(&self, text: &str, r#type: String) -> Result<String, std::fmt::Error> {
        Ok(format!("{text}{type}"))
    }

    #[function]
    async fn waits(&self, cx: &Cx<Self>) {
        cx.status.set(|status| {
            status.r#type = Some("x".into());
            status.presets = vec![Preset { number: 1, name: "one".into() }];
        });
        sleep(millis(1)).await;
    }

    #[started]
    fn started(&self) {}

    #[stopped]
    async fn stopped(&self, _cx: &Cx<Self>) -> Result {
        Ok(())
    }

    #[received]
    async fn received(&self, cx: &Cx<Self>, bytes: &[u8]) {
        cx.debug(bytes.len());
    }

    const LIMIT: u8 = 3;

    #[function]
    fn limit(&self) -> u8 {
        Self::LIMIT
    }
}

macro_rules! reaches {
    ($name:ident: $($reach:tt)*) => {{
        #[derive(Default)]
        struct $name;

        #[driver(name = "Some", module = "Some", $($reach)*)]
        impl $name {}

        let manifest = drivers_sdk::__private::manifest::<$name>(false);
        (manifest.kind, manifest.port, manifest.udp, manifest.uri)
    }};
}

#[test]
fn the_manifest_says_how_the_device_is_reached() {
    use drivers_sdk_protocol::manifest::Kind;
    let uri = |text: &str| Some(text.to_owned());
    assert_eq!(reaches!(Tcp: tcp = 23), (Kind::Device, Some(23), false, None));
    assert_eq!(reaches!(Udp: udp = 161), (Kind::Device, Some(161), true, None));
    assert_eq!(reaches!(Ssh: ssh = 22), (Kind::Ssh, Some(22), false, None));
    assert_eq!(reaches!(Http: uri = "http://a.b/c"), (Kind::Service, None, false, uri("http://a.b/c")));
    assert_eq!(reaches!(Https: uri = "https://a.b"), (Kind::Service, None, false, uri("https://a.b")));
    assert_eq!(reaches!(Ws: uri = "ws://a.b"), (Kind::Websocket, None, false, uri("ws://a.b")));
    assert_eq!(reaches!(Wss: uri = "wss://a.b/c"), (Kind::Websocket, None, false, uri("wss://a.b/c")));
    assert_eq!(reaches!(Logic: logic), (Kind::Logic, None, false, None));
}

#[test]
fn the_manifest_says_what_the_source_says() {
    let manifest = drivers_sdk::__private::manifest::<Everything>(true);
    let text = serde_json::to_string_pretty(&manifest).unwrap() + "\n";
    // `UPDATE=1 cargo test -p drivers-sdk --test manifest` writes it anew.
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/manifest.json");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(path, &text).unwrap();
    }
    assert_eq!(text, std::fs::read_to_string(path).unwrap());
}
