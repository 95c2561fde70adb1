//! The recovery contract of docs/connections.md, from the outside: the built daemon, a real driver, and a fault proxy
//! between daemon and device. What each kind of connection does by itself is tested in `src/connections/tests/`.

use std::{
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use fault_proxy::{Fault, FaultProxy, Towards};
use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::support::{Api, Daemon, Setup, device::Device, drivers, memory, until};

/// Little waiting between attempts, and time-outs short enough to happen in a test.
const CONFIG: &str = "[connections]\nconnect_timeout_ms = 1000\nretry_min_ms = 20\nretry_jitter_ms = 20\n\
    retry_first_ms = 10\nretry_first_jitter_ms = 10\nasked_min_ms = 10\nretry_cap_ms = 1000\n";

/// A module and its device, with a proxy in between.
struct Case {
    api: Api,
    module: String,
    proxy: FaultProxy,
    _device: Device,
}

impl Case {
    /// Connected, but for make-break ones: those connect when they are asked something.
    async fn new(daemon: &Daemon, driver: &str, extra: Value) -> Case {
        let device = Device::start().await;
        let proxy = FaultProxy::tcp(device.address).await.unwrap();
        let module = daemon.module(driver, proxy.address(), extra).await;
        daemon.api.reaches(&module, "running", true).await;
        Case { api: daemon.api.clone(), module, proxy, _device: device }
    }

    async fn set(&self, fault: Fault) {
        self.proxy.set(fault).await.unwrap();
    }

    async fn live(&self) -> Value {
        self.api.get(&format!("/modules/{}", self.module)).await["runtime"].clone()
    }

    /// Waits until the API shows the module offline for one of these reasons, with a sentence that names the address.
    async fn offline(&self, reasons: &[&str]) {
        let what = format!("offline, because of {reasons:?}");
        let live = until(&what, async || {
            let live = self.live().await;
            let reason = live["reason"].as_str().unwrap_or_default();
            (live["connected"] == json!(false) && reasons.contains(&reason)).then_some(live)
        })
        .await;
        assert_eq!(live["state"], "running", "{live}");
        let address = self.proxy.address().to_string();
        assert!(live["detail"].as_str().unwrap().contains(&address), "{live}");
    }

    /// Somebody calls; answered in any case.
    fn call(&self, text: &str) -> JoinHandle<(u16, String)> {
        let (api, module, arguments) = (self.api.clone(), self.module.clone(), json!([text]));
        tokio::spawn(async move {
            let answer = api.exec(&module, "echo", arguments).await;
            (answer.status.as_u16(), answer.text)
        })
    }

    /// Who calls now is told that it did not work, in these words.
    async fn refuses(&self, words: &[&str]) {
        let (status, text) = self.call("hello?").await.unwrap();
        assert!(status >= 400, "{status} {text}");
        assert!(words.iter().any(|word| text.contains(word)), "{status} {text}");
    }

    /// All is well again, without anybody mending anything: commands go out and are answered.
    async fn recovers(&self) {
        self.set(Fault::None).await;
        self.works().await;
    }

    async fn works(&self) {
        until("a command is answered", async || {
            let (status, text) = self.call("hello").await.unwrap();
            (status == 200 && text.contains("hello")).then_some(())
        })
        .await;
        let live = self.api.reaches(&self.module, "running", true).await;
        assert!(live["reason"].is_null(), "{live}");
        assert_eq!(self.api.status(&self.module, "connected").await, json!(true));
    }
}

async fn daemon() -> (Daemon, String) {
    let probe = drivers::probe();
    probe.built().await;
    let daemon = Setup::new(CONFIG).start();
    let loaded = probe.load(&daemon).await;
    (daemon, loaded.drivers[0].clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_cannot_be_connected_to() {
    let (daemon, driver) = daemon().await;
    let case = Case::new(&daemon, &driver, json!({})).await;

    case.set(Fault::Refuse).await;
    case.proxy.cut();
    case.offline(&["refused"]).await;
    case.refuses(&["refused"]).await;
    case.recovers().await;

    case.set(Fault::AcceptThenClose).await;
    case.offline(&["closed"]).await;
    let before = case.proxy.counts().connections;
    case.proxy.until(|counts| counts.connections > before + 3).await;
    case.offline(&["closed"]).await;
    case.recovers().await;

    // An address that takes no connection and says nothing: its backlog is full.
    let (address, _held) = unroutable();
    let path = format!("/modules/{}", case.module);
    let elsewhere = |to: SocketAddr| json!({ "ip": to.ip().to_string(), "port": to.port() });
    case.api.patch(&path, elsewhere(address)).await;
    let live = until("a time-out", async || {
        let live = case.live().await;
        (live["reason"] == "timeout").then_some(live)
    })
    .await;
    assert!(live["detail"].as_str().unwrap().contains(&address.to_string()), "{live}");
    assert_eq!(live["connected"], json!(false));
    case.refuses(&["did not answer"]).await;

    // The address is mended, and then is another device's: each time the module goes there at once.
    let other = Device::start().await;
    for address in [case.proxy.address(), other.address] {
        case.api.patch(&path, elsewhere(address)).await;
        case.works().await;
    }
    assert_eq!(other.connections(), 1);
}

/// Nobody accepts there, and no more may wait for it.
fn unroutable() -> (SocketAddr, Vec<socket2::Socket>) {
    let stream = || socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    let listener = stream();
    listener.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    listener.listen(0).unwrap();
    let address = listener.local_addr().unwrap();
    let mut held = vec![listener];
    for _ in 0..4 {
        let filler = stream();
        filler.set_nonblocking(true).unwrap();
        let _ = filler.connect(&address);
        held.push(filler);
    }
    (address.as_socket().unwrap(), held)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_in_flight_when_its_device_goes_is_told_so_at_once() {
    let (daemon, driver) = daemon().await;
    let kept = Case::new(&daemon, &driver, json!({})).await;
    for towards in [Towards::Peer, Towards::Client] {
        kept.set(Fault::ResetAfter(towards, 3)).await;
        kept.refuses(&["reset the connection"]).await;
        kept.recovers().await;
    }
    // However many wait: each is answered, and none with a time-out.
    kept.set(Fault::ResetAfter(Towards::Peer, 3)).await;
    let calls: Vec<_> = (0..50).map(|number| kept.call(&format!("call {number}"))).collect();
    for answer in join_all(calls).await {
        let (status, text) = answer.unwrap();
        assert!(status >= 400 && text.contains("offline"), "{status} {text}");
    }
    kept.recovers().await;

    let made = Case::new(&daemon, &driver, json!({ "makebreak": true })).await;
    made.works().await;
    made.set(Fault::AcceptThenClose).await;
    // A reset if it had not read the command yet.
    made.refuses(&["ended before the device answered", "closed the connection", "reset the connection"])
        .await;
    made.recovers().await;
    made.set(Fault::ResetAfter(Towards::Client, 3)).await;
    made.refuses(&["reset the connection"]).await;
    made.recovers().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_says_nothing_or_little() {
    let (daemon, driver) = daemon().await;
    let silent = async {
        let case = Case::new(&daemon, &driver, json!({})).await;
        case.set(Fault::Silent).await;
        // Its host goes on answering, so only the driver can know: by the time-out of its command.
        case.refuses(&["no reply"]).await;
        assert_eq!(case.live().await["connected"], json!(true));
        case.recovers().await;
        assert_eq!(case.proxy.counts().connections, 1);
    };
    let half_open = async {
        let case = Case::new(&daemon, &driver, json!({})).await;
        case.set(Fault::HalfOpen).await;
        case.refuses(&["no reply"]).await;
        case.recovers().await;
        assert!(case.proxy.counts().connections > 1, "the old connection was of no use");
    };
    let slow = async {
        let case = Case::new(&daemon, &driver, json!({})).await;
        case.set(Fault::Pace(Duration::from_secs(1))).await;
        let (status, text) = case.call("a").await.unwrap();
        assert_eq!((status, text.as_str()), (200, "\"a\""), "one byte a second is slow, and no fault");
        case.recovers().await;
    };
    tokio::join!(silent, half_open, slow);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_flaps_in_a_row_answer_every_caller() {
    let (daemon, driver) = daemon().await;
    let case = Case::new(&daemon, &driver, json!({})).await;
    let mut flaps = std::pin::pin!(case.proxy.flap(200));
    loop {
        let called = async {
            let (status, text) = case.call("hello").await.unwrap();
            assert!(status == 200 || text.contains("offline"), "{status} {text}");
        };
        tokio::select! {
            () = &mut flaps => break,
            () = called => {}
        }
    }
    assert!(case.proxy.counts().connections >= 200);
    case.works().await;
    // An outage is logged when it begins and when it ends, not each attempt.
    let log = daemon.log();
    let lines = log.lines().filter(|line| line.contains(&case.proxy.address().to_string())).count();
    assert!(lines < 20, "{lines} lines for one restless device");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_100_mb_leaves_no_trace_in_memory() {
    const FLOOD: u64 = 100 << 20;
    let (daemon, driver) = daemon().await;
    let (case, other) =
        (Case::new(&daemon, &driver, json!({})).await, Case::new(&daemon, &driver, json!({})).await);
    case.works().await;
    other.works().await;
    let process = u32::try_from(case.live().await["process"].as_u64().unwrap()).unwrap();
    let before = (memory(daemon.pid()), memory(process));
    let mut most = before;
    case.set(Fault::Flood(FLOOD)).await;
    let begun = Instant::now();
    while case.proxy.counts().to_client < FLOOD {
        most = (most.0.max(memory(daemon.pid())), most.1.max(memory(process)));
        // Its sibling in the same process is served meanwhile.
        let (status, text) = other.call("meanwhile").await.unwrap();
        assert_eq!(status, 200, "{text}");
        assert!(begun.elapsed() < Duration::from_secs(300), "{:?}", case.proxy.counts());
    }
    let grown = (most.0 - before.0, most.1 - before.1);
    assert!(grown.0 < 32 << 20 && grown.1 < 32 << 20, "grown by {grown:?} bytes: daemon, driver process");
    case.recovers().await;
}

/// Names are the system's business, and the test must not touch it: cwrap's nss_wrapper shows the daemon a file of its own.
#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_is_not_known_then_is_and_then_means_another_device() {
    let library = format!("/usr/lib/{}-linux-gnu/libnss_wrapper.so", std::env::consts::ARCH);
    if !Path::new(&library).exists() {
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "libnss-wrapper is missing");
        eprintln!("not tested: libnss-wrapper is missing; scripts/test installs it");
        return;
    }
    let probe = drivers::probe();
    probe.built().await;
    let folder = tempfile::tempdir().unwrap();
    let hosts = folder.path().join("hosts");
    let names = |line: &str, second: u64| {
        std::fs::write(&hosts, line).unwrap();
        // The wrapper looks at the whole seconds of this to see whether the file is another.
        let file = std::fs::File::options().write(true).open(&hosts).unwrap();
        file.set_modified(std::time::UNIX_EPOCH + Duration::from_secs(second)).unwrap();
    };
    names("127.0.0.1 localhost\n", 1_000);
    let mut setup = Setup::new(CONFIG);
    setup.environment = vec![("LD_PRELOAD", PathBuf::from(library)), ("NSS_WRAPPER_HOSTS", hosts.clone())];
    let daemon = setup.start();
    let driver = probe.load(&daemon).await.drivers[0].clone();

    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let extra = json!({ "ip": "projector.invalid" });
    let module = daemon.module(&driver, ([127, 0, 0, 1], port).into(), extra).await;
    let live = until("the name is unknown", async || {
        let live = daemon.api.get(&format!("/modules/{module}")).await["runtime"].clone();
        (live["reason"] == "dns").then_some(live)
    })
    .await;
    assert!(live["detail"].as_str().unwrap().contains("projector.invalid"), "{live}");
    assert!(!daemon.api.exec(&module, "echo", json!(["hello?"])).await.status.is_success());

    // Two devices at one port of two addresses, and a name that leads to one, then to the other.
    for last in [2, 3] {
        let mut device = Device::at(([127, 0, 0, last], port).into()).await;
        names(&format!("127.0.0.{last} projector.invalid\n"), 1_000 + u64::from(last));
        daemon.api.reaches(&module, "running", true).await;
        assert_eq!(daemon.api.exec(&module, "echo", json!(["hello"])).await.json(), json!("hello"));
        assert!(device.connections() > 0);
        device.go_away();
        daemon.api.reaches(&module, "running", false).await;
    }
}
