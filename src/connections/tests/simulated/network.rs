//! Two simulated hosts and the network between them: real TCP state machines, in simulated time, with delays from a seed.
//!
//! The daemon's host is where links dial from, the devices' host is where peers listen. Both run in one thread and one task
//! set: a socket says at each call which host it is of.

use super::super::super::{Failure, dial, target::Endpoint, wire::Wire};
use parking_lot::Mutex;
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use std::{
    cell::RefCell,
    collections::{BTreeMap, HashMap},
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Instant,
};
use turmoil_net::{
    EnterGuard, HostId, KernelConfig, Net, Packet,
    shim::tokio::net::{TcpListener, TcpStream},
};

/// The step of simulated time.
const TICK: Duration = Duration::from_millis(1);
/// A packet takes up to this many ticks.
const SLOWEST: u64 = 5;
const DAEMON: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
const DEVICES: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2));

thread_local! {
    static CURRENT: RefCell<Option<Network>> = const { RefCell::new(None) };
}

/// What a simulation is about, for whoever runs in it.
#[derive(Clone)]
pub(in crate::connections) struct Network(Arc<Shared>);

struct Shared {
    seed: u64,
    daemon: HostId,
    devices: HostId,
    state: Mutex<State>,
}

struct State {
    next_port: u16,
    /// No packet passes.
    cut: bool,
    /// Ends that were closed on this side only: what still comes is read and thrown away, as the simulated kernel does not.
    closing: Vec<(HostId, TcpStream)>,
}

/// The network of the simulation that this thread runs, if it runs one.
pub(in crate::connections) fn current() -> Option<Network> {
    CURRENT.with_borrow(Clone::clone)
}

/// What links roll their dice with in a simulation.
pub(in crate::connections) fn random() -> Option<StdRng> {
    current().map(|network| StdRng::seed_from_u64(network.0.seed))
}

/// Runs `story` in a simulation of its own.
pub(super) fn simulate<T>(seed: u64, story: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    // The simulated kernel counts rounds, not time: enough of them for the slowest packets.
    let config = KernelConfig::default().retx_threshold(50).retx_max(1000);
    let mut net = Net::with_config(config);
    let (daemon, devices) = (net.add_host(DAEMON), net.add_host(DEVICES));
    let guard = net.enter();
    let state = Mutex::new(State { next_port: 4000, cut: false, closing: Vec::new() });
    let network = Network(Arc::new(Shared { seed, daemon, devices, state }));
    CURRENT.set(Some(network.clone()));
    let out = runtime.expect("runtime").block_on(async {
        tokio::select! {
            biased;
            out = story => out,
            () = carry(&guard, &network) => unreachable!(),
        }
    });
    // The links' tasks ended with the runtime, while there was a network to close their sockets on.
    CURRENT.set(None);
    network.0.state.lock().closing.clear();
    drop(guard);
    out
}

/// Carries packets, in order for each direction, each as late as the seed says.
async fn carry(guard: &EnterGuard, network: &Network) {
    let mut random = StdRng::seed_from_u64(network.0.seed);
    let mut tick = 0_u64;
    let mut under_way: BTreeMap<(u64, u64), Packet> = BTreeMap::new();
    let mut last: HashMap<(IpAddr, IpAddr), u64> = HashMap::new();
    let (mut number, mut leaving) = (0, Vec::new());
    loop {
        tokio::time::sleep(TICK).await;
        tick += 1;
        while let Some(entry) = under_way.first_entry().filter(|entry| entry.key().0 <= tick) {
            guard.deliver(entry.remove());
        }
        guard.egress_all(&mut leaving);
        let mut state = network.0.state.lock();
        state.closing.retain_mut(|(host, stream)| discard(*host, stream));
        let cut = state.cut;
        drop(state);
        for packet in leaving.drain(..).filter(|_| !cut) {
            let last = last.entry((packet.src, packet.dst)).or_default();
            *last = (tick + random.random_range(0..=SLOWEST)).max(*last);
            number += 1;
            under_way.insert((*last, number), packet);
        }
    }
}

/// Whether there may be more to come.
fn discard(host: HostId, stream: &mut TcpStream) -> bool {
    turmoil_net::set_current(host);
    let mut bytes = [0; 4096];
    loop {
        let mut buf = ReadBuf::new(&mut bytes);
        match Pin::new(&mut *stream).poll_read(&mut Context::from_waker(Waker::noop()), &mut buf) {
            Poll::Ready(Ok(())) if !buf.filled().is_empty() => {}
            outcome => return outcome.is_pending(),
        }
    }
}

impl Network {
    /// Until it is mended no packet passes.
    pub(super) fn cut(&self, cut: bool) {
        self.0.state.lock().cut = cut;
    }

    /// Where a device may listen.
    pub(super) fn address(&self) -> SocketAddr {
        let mut state = self.0.state.lock();
        state.next_port += 1;
        SocketAddr::new(DEVICES, state.next_port)
    }

    /// `None`: the address is still in use by what went before. A real system lets a device listen again at once; the
    /// simulated one not before its old connections are over, and (turmoil-net 0.1) now and then never.
    pub(super) async fn listen(&self, address: SocketAddr) -> Option<Listener> {
        let host = self.0.devices;
        for _ in 0..1000 {
            match (On { host, inner: Box::pin(TcpListener::bind(address)) }).await {
                Ok(listener) => return Some(Listener { host, listener }),
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => tokio::time::sleep(TICK).await,
                Err(error) => panic!("cannot listen on {address}: {error}"),
            }
        }
        None
    }

    /// One attempt of the daemon's.
    pub(in crate::connections) async fn dial(
        &self,
        endpoint: &Endpoint,
        deadline: Instant,
    ) -> Result<Wire, Failure> {
        let name = endpoint.to_string();
        let to: SocketAddr = name.parse().expect("literal addresses only");
        let connect = On { host: self.0.daemon, inner: Box::pin(TcpStream::connect(to)) };
        match tokio::time::timeout_at(deadline, connect).await {
            Ok(Ok(stream)) => Ok(Wire::stream(Stream::new(self.0.daemon, stream), Some(to))),
            Ok(Err(error)) => Err(dial::failure::refusal(&name, &error)),
            Err(_) => Err(dial::failure::refusal(&name, &io::ErrorKind::TimedOut.into())),
        }
    }
}

pub(super) struct Listener {
    host: HostId,
    listener: TcpListener,
}

impl Listener {
    pub(super) async fn accept(&self) -> Stream {
        let accept = On { host: self.host, inner: Box::pin(self.listener.accept()) };
        Stream::new(self.host, accept.await.expect("accept").0)
    }
}

/// As [`On`]; what nobody has accepted is reset.
impl Drop for Listener {
    fn drop(&mut self) {
        turmoil_net::set_current(self.host);
        while let Poll::Ready(Ok(accepted)) =
            self.listener.poll_accept(&mut Context::from_waker(Waker::noop()))
        {
            drop(accepted);
        }
    }
}

/// Polls, and is dropped, on a host.
struct On<F> {
    host: HostId,
    inner: Pin<Box<F>>,
}

impl<F: Future> Future for On<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        turmoil_net::set_current(self.host);
        self.inner.as_mut().poll(cx)
    }
}

/// Its fields are dropped right after.
impl<F> Drop for On<F> {
    fn drop(&mut self) {
        turmoil_net::set_current(self.host);
    }
}

/// One end of a connection.
pub(super) struct Stream {
    host: HostId,
    /// There until it is dropped.
    stream: Option<TcpStream>,
    /// Dropped without a word of farewell: with a reset.
    pub(super) rude: bool,
}

impl Stream {
    fn new(host: HostId, stream: TcpStream) -> Self {
        Self { host, stream: Some(stream), rude: false }
    }

    fn on(&mut self) -> Pin<&mut TcpStream> {
        turmoil_net::set_current(self.host);
        Pin::new(self.stream.as_mut().expect("not dropped"))
    }
}

impl Drop for Stream {
    /// The simulated kernel resets what was not shut down; a real one sends a FIN.
    fn drop(&mut self) {
        let rude = self.rude;
        let stream = self.on();
        if rude {
            return;
        }
        let _ = stream.poll_shutdown(&mut Context::from_waker(Waker::noop()));
        if let (Some(network), Some(stream)) = (current(), self.stream.take()) {
            network.0.state.lock().closing.push((self.host, stream));
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.on().poll_read(cx, buf)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.on().poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.on().poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.on().poll_shutdown(cx)
    }
}
