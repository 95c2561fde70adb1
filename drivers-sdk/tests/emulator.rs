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
            let body = String::from_utf8_lossy(&request.body).into_owned();
            let said = (request.method.clone(), request.path.clone(), request.query.clone(), body);
            http.answer(if request.header("x-key") == Some("k") { 200 } else { 403 }, &said).await?;
        }
        Ok(())
    }
}

#[test]
fn a_service_reads_requests_however_they_come() {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build_local(Default::default()).unwrap();
    runtime.block_on(async {
        let (mut client, server) = tokio::io::duplex(1024);
        tokio::task::spawn_local(async move { Echo.session(DeviceStream::new(server)).await });
        let both =
            "POST /a?b=c%20d&e HTTP/1.1\r\nX-Key: k\r\nContent-Length: 5\r\n\r\nhelloGET /z HTTP/1.1\r\n\r\n";
        for byte in both.bytes() {
            client.write_all(&[byte]).await.unwrap();
            tokio::task::yield_now().await;
        }
        client.shutdown().await.unwrap();
        let mut answer = String::new();
        tokio::io::AsyncReadExt::read_to_string(&mut client, &mut answer).await.unwrap();
        let (first, second) = answer.split_at(answer.rfind("HTTP/1.1").unwrap());
        assert!(first.starts_with("HTTP/1.1 200"), "{first}");
        assert!(first.ends_with(r#"["POST","/a",[["b","c d"],["e",""]],"hello"]"#), "{first}");
        assert!(second.starts_with("HTTP/1.1 403") && second.ends_with(r#"["GET","/z",[],""]"#), "{second}");
    });
}
