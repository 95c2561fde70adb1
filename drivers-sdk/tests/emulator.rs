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
