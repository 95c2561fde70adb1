//! A driver's author with the built program and cargo: the guide's commands as they stand, a package of every kind, and
//! models of devices that other programs speak to.
//!
//! Everything is compiled in one target folder, which is kept from run to run.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpStream, UdpSocket},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use futures_util::{SinkExt as _, StreamExt as _};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::support::{PATIENCE, authors_target, headend, kept, processes};

const KINDS: [&str; 6] = ["udp", "http", "serial", "websocket", "ssh", "logic"];

/// Where an author works.
struct Desk {
    folder: PathBuf,
    _lock: fs::File,
}

impl Desk {
    fn empty() -> Desk {
        let lock = fs::File::create(kept().join("author.lock")).unwrap();
        lock.lock().unwrap();
        let folder = kept().join("author");
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        // The author has settings of their own for rustfmt: none.
        fs::write(folder.join("rustfmt.toml"), "").unwrap();
        Desk { folder, _lock: lock }
    }

    fn repository(&self) -> PathBuf {
        self.folder.join("drivers")
    }

    /// A command in the author's environment.
    fn prepare(&self, mut command: Command, folder: &Path) -> Command {
        let beside = Path::new(env!("CARGO_BIN_EXE_headend")).parent().unwrap();
        let path = std::env::var("PATH").unwrap();
        command.current_dir(folder).stdin(Stdio::null());
        command.env("PATH", format!("{}:{path}", beside.display()));
        command.env("CARGO_TARGET_DIR", authors_target()).env("CARGO_INCREMENTAL", "0");
        for (name, value) in [("NAME", "An Author"), ("EMAIL", "author@example.com")] {
            command.env(format!("GIT_AUTHOR_{name}"), value).env(format!("GIT_COMMITTER_{name}"), value);
        }
        command
    }

    fn run(&self, command: Command, folder: &Path) -> String {
        let output = self.prepare(command, folder).output().unwrap();
        assert!(output.status.success(), "{}", both(&output));
        both(&output)
    }

    fn headend(&self, arguments: &[&str]) -> Output {
        let mut command = headend();
        command.args(arguments);
        self.prepare(command, &self.repository()).output().unwrap()
    }

    fn emulate(&self, arguments: &[&str]) -> Emulator {
        let mut command = headend();
        command.arg("emulate").args(arguments).args(["--listen", "127.0.0.1:0"]);
        let mut child = self.prepare(command, &self.repository()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let uri = line.split_whitespace().find(|word| word.contains("://"));
        let uri = uri.unwrap_or_else(|| panic!("it says {line:?}")).to_owned();
        Emulator { child, uri }
    }
}

fn both(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// `headend emulate` that runs; ended when it is dropped.
struct Emulator {
    child: Child,
    uri: String,
}

impl Emulator {
    fn address(&self) -> &str {
        self.uri.split_once("://").unwrap().1
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// Ctrl-C; it takes its model with it.
    fn interrupt(mut self, package: &str) {
        kill_process(Pid::from_child(&self.child), Signal::INT).unwrap();
        assert!(self.child.wait().unwrap().success());
        let model = format!("author-target/debug/{package}");
        let started = Instant::now();
        while !processes(&model).is_empty() {
            assert!(started.elapsed() < PATIENCE, "the model of {package} still runs");
            std::thread::park_timeout(Duration::from_millis(20));
        }
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        let _ = self.child.wait();
    }
}

/// Sends bytes, and reads as many as are expected back.
fn exchange(stream: &mut TcpStream, send: &str, expected: &str) {
    stream.write_all(send.as_bytes()).unwrap();
    let mut answer = vec![0; expected.len()];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(String::from_utf8_lossy(&answer), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_author_goes_from_nothing_to_tested_drivers_of_every_kind() {
    let desk = Desk::empty();
    the_guides_commands(&desk);
    every_kind(&desk);
    checks(&desk);
    refusals(&desk);
    streams(&desk);
    datagrams(&desk);
    requests(&desk);
    messages(&desk).await;
}

/// All blocks of `sh` in the guide, one after the other, by one shell that stops at the first failure.
fn the_guides_commands(desk: &Desk) {
    let guide = include_str!("../../docs/driver-guide.md");
    let blocks = guide.split("\n```sh\n").skip(1).filter_map(|rest| rest.split("\n```").next());
    let script = blocks.collect::<Vec<_>>().join("\n");
    assert!(script.contains("headend driver new lamp --kind tcp --in drivers\n"), "{script}");
    let mut shell = Command::new("sh");
    shell.arg("-exc").arg(script);
    desk.run(shell, &desk.folder);
    let page = fs::read_to_string(desk.repository().join("docs/lamp.md")).unwrap();
    assert_eq!(page, include_str!("../../docs/example-driver-page.md"), "the example in docs/ is another");
    let test = guide.split("\n```rust,ignore\n").nth(1).and_then(|rest| rest.split("\n```").next()).unwrap();
    let tests = fs::read_to_string(desk.repository().join("lamp/src/tests.rs")).unwrap();
    assert!(tests.contains(test), "the test in the guide is not that of the package");
    let repository = git2::Repository::open(desk.repository()).unwrap();
    let tree = repository.head().unwrap().peel_to_tree().unwrap();
    for file in ["Cargo.toml", "Cargo.lock", ".cargo/config.toml", ".gitignore", "lamp/src/main.rs"] {
        assert!(tree.get_path(Path::new(file)).is_ok(), "{file} is not committed");
    }
    assert!(tree.get_name(".headend").is_none());
}

fn every_kind(desk: &Desk) {
    for kind in KINDS {
        let made = desk.headend(&["driver", "new", &format!("new-{kind}"), "--kind", kind]);
        assert!(made.status.success(), "{}", both(&made));
    }
    let mut cargo = Command::new("cargo");
    cargo.args(["test", "--workspace"]);
    let said = desk.run(cargo, &desk.repository());
    for kind in KINDS {
        assert!(said.contains(&format!("new_{}-", kind)), "{kind} has not been tested:\n{said}");
    }
    assert!(!said.contains("warning"), "{said}");
    let tests =
        said.lines().filter(|line| line.starts_with("test tests::") && line.ends_with("... ok")).count();
    assert!(tests >= KINDS.len(), "{said}");
    let mut format = Command::new("cargo");
    format.args(["fmt", "--all", "--check"]);
    desk.run(format, &desk.repository());
}

fn checks(desk: &Desk) {
    let check = |package: &str| {
        let output = desk.headend(&["driver", "check", package]);
        (output.status.code(), both(&output))
    };
    let (code, said) = check("new-udp");
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("\nnew-udp\n") || said.starts_with("new-udp\n"), "{said}");
    assert!(said.contains(" ok, 0 failed, "), "{said}");

    // A function without a doc comment, and then no suite at all.
    let change = |file: &str, from: &str, to: &str| {
        let file = desk.repository().join("new-udp/src").join(file);
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.contains(from), "{text}");
        fs::write(file, text.replace(from, to)).unwrap();
    };
    let doc = "    /// Sets the level, in percent; the level that the device then has.\n";
    change("main.rs", doc, "");
    let (code, said) = check("new-udp");
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("FAILED: no doc comment on the function `level`"), "{said}");
    change("main.rs", "    #[function]\n", &format!("{doc}    #[function]\n"));
    let suite = "drivers_sdk::testing::standard_suite!(NewUdp, emulator = Emulator);\n";
    change("tests.rs", suite, "");
    let (code, said) = check("new-udp");
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains(
            "this driver has no standard suite. Add to its tests: drivers_sdk::testing::standard_suite!"
        ),
        "{said}"
    );
    change("tests.rs", "use crate::NewUdp;\n", &format!("use crate::NewUdp;\n{suite}"));
}

fn refusals(desk: &Desk) {
    let refused = |arguments: &[&str], why: &str| {
        let output = desk.headend(arguments);
        assert_eq!(output.status.code(), Some(1), "{}", both(&output));
        assert!(both(&output).contains(why), "{}", both(&output));
    };
    refused(&["driver", "new", "lamp", "--kind", "tcp"], "there is something of that name already");
    refused(&["driver", "docs", "docs"], "there is no Cargo.toml");
    refused(&["emulate", "nothing"], "there is no such package");
    refused(&["emulate", "new-logic"], "carries no model of its device");
    refused(&["emulate", "lamp", "--settings", "[]"], "--settings is no JSON object");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    refused(&["emulate", "lamp", "--listen", &address], "--listen 127.0.0.1:0 takes a free port");
    let main = desk.repository().join("lamp/src/main.rs");
    let text = fs::read_to_string(&main).unwrap();
    fs::write(&main, format!("{text}\nfn broken() -> u8 {{ undefined }}\n")).unwrap();
    refused(&["emulate", "lamp"], "building lamp failed; cargo says why above");
    fs::write(&main, text).unwrap();
    // What the model is told has to be what it takes.
    let emulator = desk.repository().join("lamp/src/emulator.rs");
    let text = fs::read_to_string(&emulator).unwrap();
    let curious = text.replace("type Settings = ();", "type Settings = Told;");
    let curious = curious.replace("fn create(_: ())", "fn create(_: Told)");
    let curious = format!(
        "{curious}\n#[derive(Settings)]\npub struct Told {{\n    #[setting(default = 30)]\n    _poll_seconds: u64,\n}}\n"
    );
    fs::write(&emulator, &curious).unwrap();
    let often = ["emulate", "lamp", "--listen", "127.0.0.1:0", "--settings", r#"{"_poll_seconds": "often"}"#];
    refused(&often, "setting `_poll_seconds`: invalid type: string \"often\", expected ");
    fs::write(&emulator, text).unwrap();
}

fn streams(desk: &Desk) {
    let emulator = desk.emulate(&["lamp"]);
    assert!(emulator.uri.starts_with("tcp://"), "{}", emulator.uri);
    let mut first = emulator.connect();
    exchange(&mut first, "POWER ON\r\n", "POWER ON\r\n");
    // Another one finds the lamp as the first left it; and by its folder, the package is found too.
    exchange(&mut emulator.connect(), "POWER ?\r\n", "POWER ON\r\n");
    emulator.interrupt("lamp");
    let emulator = desk.emulate(&["lamp/", "--settings", "{}"]);
    exchange(&mut emulator.connect(), "POWER ?\r\n", "POWER OFF\r\n");
    // Of an SSH device it is the shell, as SSH would carry it.
    let emulator = desk.emulate(&["new-ssh"]);
    assert!(emulator.uri.starts_with("tcp://"), "{}", emulator.uri);
    exchange(&mut emulator.connect(), "set input 3\n", "input 3\n");
    exchange(&mut emulator.connect(), "show input\n", "input 3\n");
}

fn datagrams(desk: &Desk) {
    let emulator = desk.emulate(&["new-udp"]);
    assert!(emulator.uri.starts_with("udp://"), "{}", emulator.uri);
    let ask = |command: &str, expected: &str| {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.send_to(command.as_bytes(), emulator.address()).unwrap();
        let mut answer = [0; 100];
        let length = socket.recv(&mut answer).unwrap();
        assert_eq!(String::from_utf8_lossy(&answer[..length]), expected);
    };
    ask("SET 40", "LEVEL 40");
    ask("GET", "LEVEL 40");
}

fn requests(desk: &Desk) {
    let emulator = desk.emulate(&["new-http"]);
    assert!(emulator.uri.starts_with("http://"), "{}", emulator.uri);
    let ask = |request: &str| {
        let mut stream = emulator.connect();
        stream.write_all(request.as_bytes()).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.split_once("\r\n\r\n").unwrap().1.parse::<Value>().unwrap()
    };
    let put = "PUT /relay HTTP/1.1\r\nhost: x\r\ncontent-length: 12\r\n\r\n{\"on\": true}";
    assert_eq!(ask(put), json!({ "on": true }));
    assert_eq!(ask("GET /relay HTTP/1.1\r\nhost: x\r\n\r\n"), json!({ "on": true }));
}

async fn messages(desk: &Desk) {
    let emulator = desk.emulate(&["new-websocket"]);
    assert!(emulator.uri.starts_with("ws://"), "{}", emulator.uri);
    let (mut socket, _) = tokio_tungstenite::connect_async(format!("{}/api", emulator.uri)).await.unwrap();
    socket.send(Message::text(r#"{"id": 7, "set": {"volume": 40}}"#)).await.unwrap();
    let answer = tokio::time::timeout(PATIENCE, socket.next()).await.unwrap().unwrap().unwrap();
    assert!(answer.is_text(), "{answer:?}");
    assert_eq!(answer.into_text().unwrap().parse::<Value>().unwrap(), json!({ "id": 7, "volume": 40 }));
    socket.close(None).await.unwrap();
}
