//! An emulated device on a listening socket: sessions share its state, and one may write to another.
#![allow(clippy::unwrap_used)]

use drivers_sdk::emulator::{create, serve};
use drivers_sdk::prelude::*;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};

#[derive(Settings)]
struct Options {
    password: Option<Secret>,
}

struct Lamp {
    password: String,
    on: Cell<bool>,
    watchers: RefCell<Vec<DeviceWriter>>,
}

impl Device for Lamp {
    type Settings = Options;

    fn create(settings: Options) -> Result<Self> {
        let password = settings.password.map(|password| password.reveal().to_owned()).unwrap_or_default();
        Ok(Lamp { password, on: Cell::new(false), watchers: RefCell::default() })
    }

    async fn session(&self, mut stream: DeviceStream) -> Result {
        stream.framing(lines("\r\n").send("\n").limit(100));
        while let Some(line) = stream.next().await? {
            match &*line.text() {
                "watch" => self.watchers.borrow_mut().push(stream.writer()),
                "bye" => return Ok(()),
                line if line == format!("on {}", self.password) => {
                    self.on.set(true);
                    let watchers = self.watchers.borrow().clone();
                    for watcher in watchers {
                        // One that went away does not matter.
                        let _ = watcher.send("it is on").await;
                    }
                }
                _ => stream.send(format!("on={}", self.on.get())).await?,
            }
        }
        Ok(())
    }
}

#[test]
fn sessions_share_the_device() {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build_local(Default::default()).unwrap();
    runtime.block_on(async {
        let directory = std::env::temp_dir().join(format!("drivers-sdk-emulator-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let path = directory.join("socket");
        let _ = std::fs::remove_file(&path);
        let listener = UnixListener::bind(&path).unwrap();
        let device: Lamp = create(r#"{"password": "hunter2", "other": 1}"#).unwrap();
        tokio::task::spawn_local(serve(device, listener));

        let mut watcher = BufReader::new(UnixStream::connect(&path).await.unwrap());
        watcher.write_all(b"watch\r\n?\r\n").await.unwrap();
        let mut line = String::new();
        watcher.read_line(&mut line).await.unwrap();
        assert_eq!(line, "on=false\n");

        let mut other = BufReader::new(UnixStream::connect(&path).await.unwrap());
        other.write_all(b"on hunter2\r\nbye\r\n").await.unwrap();
        let mut rest = String::new();
        assert_eq!(other.read_line(&mut rest).await.unwrap(), 0, "the device closed the connection");

        line.clear();
        watcher.read_line(&mut line).await.unwrap();
        assert_eq!(line, "it is on\n");
        std::fs::remove_dir_all(&directory).unwrap();
    });
}

#[test]
fn settings_that_do_not_fit_are_refused_by_name() {
    assert!(create::<Lamp>("").is_ok());
    let error = create::<Lamp>(r#"{"password": []}"#).err().unwrap();
    assert_eq!(error.message(), "setting `password`: invalid type, expected a string");
}

/// A service on a listening socket, spoken to byte by byte.
#[derive(Default)]
struct Echo;

impl Device for Echo {
    type Settings = ();

    fn create(_: ()) -> Result<Self> {
        Ok(Echo)
    }

    async fn session(&self, stream: DeviceStream) -> Result {
        let mut http = HttpServer::new(stream);
        while let Some(request) = http.next().await? {
            if request.path == "/door" {
                // The same to whoever wants only the head, and a status without a body.
                let status = if request.method == "DELETE" { 204 } else { 401 };
                http.answer_with(status, &[("WWW-Authenticate", "Basic"), ("Set-Cookie", "a=1")], "who?")
                    .await?;
                continue;
            }
            let said = (request.method.clone(), request.path.clone(), request.query.clone(), request.text());
            http.answer(if request.header("X-Key") == Some("k") { 200 } else { 403 }, &said).await?;
        }
        Ok(())
    }
}

/// What the service says to these requests, which come byte by byte.
fn answers(requests: &str) -> String {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build_local(Default::default()).unwrap();
    runtime.block_on(async {
        let (mut client, server) = tokio::io::duplex(1024);
        tokio::task::spawn_local(async move { Echo.session(DeviceStream::new(server)).await });
        for byte in requests.bytes() {
            client.write_all(&[byte]).await.unwrap();
            tokio::task::yield_now().await;
        }
        client.shutdown().await.unwrap();
        let mut answer = String::new();
        tokio::io::AsyncReadExt::read_to_string(&mut client, &mut answer).await.unwrap();
        answer
    })
}

#[test]
fn a_service_reads_requests_however_they_come() {
    let answer = answers(
        "POST /a?b=c%20d&e HTTP/1.1\r\nX-Key: k\r\nContent-Length: 5\r\n\r\nhelloGET /z HTTP/1.1\r\n\r\n",
    );
    let (first, second) = answer.split_at(answer.rfind("HTTP/1.1").unwrap());
    assert!(first.starts_with("HTTP/1.1 200"), "{first}");
    assert!(first.ends_with(r#"["POST","/a",[["b","c d"],["e",""]],"hello"]"#), "{first}");
    assert!(second.starts_with("HTTP/1.1 403") && second.ends_with(r#"["GET","/z",[],""]"#), "{second}");
}

#[test]
fn a_service_answers_with_any_status_headers_and_text() {
    let head = "WWW-Authenticate: Basic\r\nSet-Cookie: a=1\r\n";
    assert_eq!(
        answers("GET /door HTTP/1.1\r\n\r\n"),
        format!("HTTP/1.1 401 -\r\n{head}content-length: 4\r\n\r\nwho?")
    );
    assert_eq!(
        answers("HEAD /door HTTP/1.1\r\n\r\n"),
        format!("HTTP/1.1 401 -\r\n{head}content-length: 4\r\n\r\n")
    );
    assert_eq!(answers("DELETE /door HTTP/1.1\r\n\r\n"), format!("HTTP/1.1 204 -\r\n{head}\r\n"));
}
