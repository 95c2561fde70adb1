//! A driver package's model of its device, served on a port for any program: `headend emulate`.
//!
//! ```text
//!   program ──TCP, UDP, HTTP, WebSocket──▶ this ──Unix socket──▶ DRIVER --emulator
//! ```
//!
//! The model runs as it does for the daemon: a process of its own, bound to the life of this one. Each connection, and each
//! address that datagrams come from, is a connection of its own to the model; what the model remembers, they share.

mod datagrams;
#[cfg(test)]
mod tests;
mod websocket;

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use drivers_sdk_protocol::Manifest;
use drivers_sdk_protocol::manifest::Kind;
use tokio::net::{TcpListener, TcpStream, UdpSocket, UnixStream};

use super::scratch::{End, Scratch};
use super::{Error, Package, Result};
use crate::runtime::{self, Child, Launch, Output, Spawner};

/// Ports below this need a privilege.
const UNPRIVILEGED: u16 = 1024;

/// What to serve, and where.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The driver's own port on loopback, if nothing is said; a free one if it has none that may be had.
    pub listen: Option<SocketAddr>,
    /// A JSON object: what the model is told of the settings of the module it stands in for.
    pub settings: Option<String>,
    /// The program whose `__host` starts the model; without one, nothing binds it to the life of this process.
    pub trampoline: Option<PathBuf>,
}

/// Builds the package and serves its model until SIGINT, SIGTERM or SIGHUP; says where on standard output.
pub fn emulate(package: &Package, options: Options) -> Result<()> {
    if let Some(settings) = &options.settings {
        object(settings)?;
    }
    let (program, manifest) = package.manifest()?;
    if !manifest.emulator {
        let why = "this driver carries no model of its device: drivers_sdk::main!(…, emulator = …) gives it one. The driver \
                   guide shows how";
        return Err(Error::place(&package.folder, why));
    }
    let threads = tokio::runtime::Builder::new_current_thread().enable_all().build();
    threads.map_err(Error::disk(&program, "run"))?.block_on(async {
        let emulator = Emulator::start(program.clone(), &manifest, options).await?;
        let mut end = End::listen().map_err(Error::disk(&program, "run"))?;
        println!("{emulator} (Ctrl-C ends it)");
        tokio::select! {
            error = emulator.run() => Err(error),
            () = end.told() => Ok(()),
        }
    })
}

/// A model that is served.
#[derive(Debug)]
struct Emulator {
    name: String,
    scheme: Scheme,
    address: SocketAddr,
    port: Port,
    model: Model,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scheme {
    Tcp,
    /// The shell, without SSH around it.
    Shell,
    Udp,
    Http,
    Websocket,
}

#[derive(Debug)]
enum Port {
    Stream(TcpListener),
    Datagram(UdpSocket),
}

/// The process, and the socket that it listens on.
#[derive(Debug)]
struct Model {
    process: Child,
    output: Output,
    folder: Scratch,
}

impl Emulator {
    /// Takes the port and starts the model.
    async fn start(program: PathBuf, manifest: &Manifest, options: Options) -> Result<Emulator> {
        let scheme = Scheme::of(manifest);
        let (address, port) = scheme.listen(options.listen.unwrap_or_else(|| usual(manifest))).await?;
        let model = Model::start(program, scheme.has_messages(), options).await?;
        Ok(Emulator { name: manifest.name.clone(), scheme, address, port, model })
    }

    /// Serves until the model ends, which it does not by itself: why it did.
    async fn run(self) -> Error {
        let Emulator { name, scheme, port, model, .. } = self;
        let Model { mut process, output, folder } = model;
        let socket = path(&folder);
        let said = runtime::follow(output, runtime::Tail::new(0), |line| eprintln!("{line}"));
        let serve = async {
            match port {
                Port::Datagram(port) => datagrams::serve(port, &socket).await,
                Port::Stream(port) => serve(&port, scheme, &socket).await,
            }
        };
        let ended = async { tokio::join!(process.wait(), said).0 };
        tokio::select! {
            error = serve => Error::Emulator { name, why: error.to_string() },
            ended = ended => {
                let why = ended.map_or_else(|error| error.to_string(), |status| format!("it ended with {status}"));
                Error::Emulator { name, why }
            }
        }
    }
}

/// What is served, where.
impl std::fmt::Display for Emulator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let scheme = match self.scheme {
            Scheme::Tcp | Scheme::Shell => "tcp",
            Scheme::Udp => "udp",
            Scheme::Http => "http",
            Scheme::Websocket => "ws",
        };
        write!(f, "{}: {scheme}://{}", self.name, self.address)?;
        if self.scheme == Scheme::Shell { f.write_str(" (the shell, without SSH)") } else { Ok(()) }
    }
}

impl Scheme {
    fn of(manifest: &Manifest) -> Scheme {
        match manifest.kind {
            Kind::Device if manifest.udp => Scheme::Udp,
            Kind::Device | Kind::Logic => Scheme::Tcp,
            Kind::Ssh => Scheme::Shell,
            Kind::Service => Scheme::Http,
            Kind::Websocket => Scheme::Websocket,
        }
    }

    fn has_messages(self) -> bool {
        matches!(self, Scheme::Udp | Scheme::Websocket)
    }

    async fn listen(self, address: SocketAddr) -> Result<(SocketAddr, Port)> {
        let listen = async {
            if self == Scheme::Udp {
                let port = UdpSocket::bind(address).await?;
                return Ok((port.local_addr()?, Port::Datagram(port)));
            }
            let port = TcpListener::bind(address).await?;
            Ok((port.local_addr()?, Port::Stream(port)))
        };
        listen.await.map_err(|why| Error::Listen { address, why })
    }
}

impl Model {
    async fn start(program: PathBuf, messages: bool, options: Options) -> Result<Model> {
        let failed = |why: io::Error| Error::disk(&program, "run")(why);
        let folder = Scratch::new("headend-emulate-").map_err(failed)?;
        let listener = UnixListener::bind(path(&folder)).map_err(failed)?;
        let args: &[&str] = if messages { &["--emulator", "--messages"] } else { &["--emulator"] };
        let launch = Launch {
            program: program.clone(),
            args: args.iter().map(Into::into).collect(),
            channel: OwnedFd::from(listener),
            input: options.settings.unwrap_or_default().into_bytes(),
        };
        let limits = runtime::Options { trampoline: options.trampoline, ..runtime::Options::default() };
        let spawner = Spawner::start(&limits).map_err(failed)?;
        let (process, output) = spawner.spawn(launch).await.map_err(failed)?;
        Ok(Model { process, output, folder })
    }
}

/// Gives every connection to the model; ends only if the port fails.
async fn serve(port: &TcpListener, scheme: Scheme, socket: &Path) -> io::Error {
    loop {
        let (outside, peer) = match port.accept().await {
            Ok(accepted) => accepted,
            Err(error) => return error,
        };
        let socket = socket.to_owned();
        tokio::spawn(async move {
            let result = match scheme {
                Scheme::Websocket => websocket::pass(outside, &socket).await,
                _ => pass(outside, &socket).await,
            };
            if let Err(error) = result {
                eprintln!("the connection from {peer} broke: {error}");
            }
        });
    }
}

async fn pass(mut outside: TcpStream, socket: &Path) -> io::Result<()> {
    let mut model = UnixStream::connect(socket).await?;
    outside.set_nodelay(true)?;
    match tokio::io::copy_bidirectional(&mut outside, &mut model).await {
        // A program that goes away in the middle is no mishap of ours.
        Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(()),
        result => result.map(drop),
    }
}

fn path(folder: &Scratch) -> PathBuf {
    folder.path().join("device")
}

/// The driver's own port, if a usual user may have it.
fn usual(manifest: &Manifest) -> SocketAddr {
    let of_uri = || url::Url::parse(manifest.uri.as_deref()?).ok()?.port();
    let port = manifest.port.or_else(of_uri).filter(|port| *port >= UNPRIVILEGED);
    SocketAddr::from(([127, 0, 0, 1], port.unwrap_or(0)))
}

fn object(settings: &str) -> Result<()> {
    serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(settings)
        .map(drop)
        .map_err(|why| Error::Settings { why })
}
