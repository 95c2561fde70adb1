//! Two simulated hosts and the network between them: real TCP state machines, in simulated time, with delays from a seed.
//!
//! The daemon's host is where links dial from, the devices' host is where peers listen. Both run in one thread and one task
//! set: a socket says at each call which host it is of.

use super::super::super::{
    Address, Failure, Hub,
    dial::{failure, rfc2217, tcp, tls, websocket},
    target::Endpoint,
    wire::Wire,
};
use super::sockets::{Listener, On, Stream};
use bytes::Bytes;
use parking_lot::Mutex;
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet, HashMap},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, ReadBuf},
    time::Instant,
};
use turmoil_net::{
    EnterGuard, HostId, KernelConfig, Net, Packet, TcpFlags, TcpSegment, Transport,
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

#[derive(Default)]
struct State {
    next_port: u16,
    /// No packet passes until then.
    cut: Option<Instant>,
    /// Of devices, by port, from the first time they listen.
    listeners: BTreeMap<u16, Arc<TcpListener>>,
    /// Ports of devices that do not listen now.
    refusing: BTreeSet<u16>,
    /// Packets that no socket of the simulation sends.
    forged: Vec<Packet>,
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
    let config = KernelConfig::default().retx_threshold(50).retx_max(400);
    let mut net = Net::with_config(config);
    let (daemon, devices) = (net.add_host(DAEMON), net.add_host(DEVICES));
    let guard = net.enter();
    let state = Mutex::new(State { next_port: 4000, ..State::default() });
    let network = Network(Arc::new(Shared { seed, daemon, devices, state }));
    CURRENT.set(Some(network.clone()));
    let _over = Over(network.clone());
    runtime.expect("runtime").block_on(async {
        tokio::select! {
            biased;
            out = story => out,
            () = carry(&guard, &network) => unreachable!(),
        }
    })
}

/// However a story ends. The links' tasks have ended with the runtime, while there was a network to close their sockets on.
struct Over(Network);

impl Drop for Over {
    fn drop(&mut self) {
        CURRENT.set(None);
        *self.0.0.state.lock() = State::default();
    }
}

/// Carries packets, in order for each direction, each as late as the seed says.
async fn carry(guard: &EnterGuard, network: &Network) {
    let mut random = StdRng::seed_from_u64(network.0.seed);
    let mut tick = 0_u64;
    let mut under_way: BTreeMap<(u64, u64), Packet> = BTreeMap::new();
    let mut last: HashMap<(IpAddr, IpAddr), u64> = HashMap::new();
    let (mut number, mut leaving, mut held) = (0, Vec::new(), Vec::new());
    loop {
        tokio::time::sleep(TICK).await;
        tick += 1;
        while let Some(entry) = under_way.first_entry().filter(|entry| entry.key().0 <= tick) {
            guard.deliver(entry.remove());
        }
        drop(network.uninvited());
        let mut state = network.0.state.lock();
        leaving.append(&mut state.forged);
        guard.egress_all(&mut leaving);
        state.closing.retain_mut(|(host, stream)| discard(*host, stream));
        let cut = state.cut.is_some_and(|until| Instant::now() < until);
        if cut {
            held.extend(leaving.drain(..).filter(only_acknowledges));
        } else if !held.is_empty() {
            leaving.splice(..0, held.drain(..));
        }
        for packet in &mut leaving {
            if let Some(refusal) = state.refusal(packet) {
                *packet = refusal;
            }
        }
        drop(state);
        for packet in leaving.drain(..) {
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

/// A reset (RFC 9293, 3.10.7.1). The simulated kernel looks at nothing but its flag.
pub(super) fn reset(from: SocketAddr, to: SocketAddr) -> Packet {
    let segment = TcpSegment {
        src_port: from.port(),
        dst_port: to.port(),
        seq: 0,
        ack: 0,
        flags: TcpFlags { rst: true, ..TcpFlags::default() },
        window: 0,
        payload: Bytes::new(),
    };
    Packet { src: from.ip(), dst: to.ip(), ttl: 64, payload: Transport::Tcp(segment) }
}

/// The simulated kernel sends everything again that got lost, but not that it has room again to receive.
fn only_acknowledges(packet: &Packet) -> bool {
    let Transport::Tcp(segment) = &packet.payload else { return false };
    segment.payload.is_empty() && segment.flags == TcpFlags { ack: true, ..TcpFlags::default() }
}

impl State {
    /// Where nobody listens, the answer to who wants to connect.
    fn refusal(&self, packet: &Packet) -> Option<Packet> {
        let Transport::Tcp(segment) = &packet.payload else { return None };
        let refused = packet.dst == DEVICES && segment.flags.syn && self.refusing.contains(&segment.dst_port);
        let (from, to) =
            (SocketAddr::new(packet.dst, segment.dst_port), SocketAddr::new(packet.src, segment.src_port));
        refused.then(|| reset(from, to))
    }
}

impl Network {
    /// For so long no packet passes.
    pub(in crate::connections::tests) fn cut(&self, time: Duration) {
        self.0.state.lock().cut = Some(Instant::now() + time);
    }

    /// Where a device may listen.
    pub(in crate::connections::tests) fn address(&self) -> SocketAddr {
        let mut state = self.0.state.lock();
        state.next_port += 1;
        SocketAddr::new(DEVICES, state.next_port)
    }

    pub(in crate::connections::tests) async fn listen(&self, address: SocketAddr) -> Listener {
        let (host, port) = (self.0.devices, address.port());
        let known = self.0.state.lock().listeners.get(&port).cloned();
        let listener = match known {
            Some(listener) => listener,
            None => {
                let bound = (On { host, inner: Box::pin(TcpListener::bind(address)) }).await;
                let listener = Arc::new(bound.expect("an address of this simulation"));
                self.0.state.lock().listeners.insert(port, listener.clone());
                listener
            }
        };
        drop(self.uninvited());
        self.0.state.lock().refusing.remove(&port);
        Listener { network: self.clone(), port, listener }
    }

    /// Who was on the way to a device when it stopped to listen: dropped, they are reset.
    fn uninvited(&self) -> Vec<Stream> {
        let state = self.0.state.lock();
        turmoil_net::set_current(self.0.devices);
        let mut found = Vec::new();
        for listener in state.refusing.iter().filter_map(|port| state.listeners.get(port)) {
            while let Poll::Ready(Ok((stream, _))) =
                listener.poll_accept(&mut Context::from_waker(Waker::noop()))
            {
                let mut stream = Stream::new(self.0.devices, stream);
                stream.rude = true;
                found.push(stream);
            }
        }
        found
    }

    pub(super) fn devices(&self) -> HostId {
        self.0.devices
    }

    pub(super) fn refuse(&self, port: u16) {
        self.0.state.lock().refusing.insert(port);
    }

    pub(super) fn forge(&self, packet: Packet) {
        self.0.state.lock().forged.push(packet);
    }

    /// Closed on this side.
    pub(super) fn closing(&self, host: HostId, stream: TcpStream) {
        self.0.state.lock().closing.push((host, stream));
    }

    /// One attempt of the daemon's: as on a real network, but for the socket.
    pub(in crate::connections) async fn dial(
        &self,
        hub: &Arc<Hub>,
        address: &Address,
        deadline: Instant,
    ) -> Result<Wire, Failure> {
        match address {
            Address::Tcp(endpoint) => {
                let (stream, peer) = self.stream(hub, endpoint, deadline).await?;
                Ok(Wire::stream(stream, Some(peer)))
            }
            Address::Tls { endpoint, tls } => {
                tls::dial(hub, endpoint, tls, self.stream(hub, endpoint, deadline), deadline).await
            }
            Address::WebSocket(service) => {
                websocket::dial(hub, service, self.stream(hub, service.endpoint(), deadline), deadline).await
            }
            Address::Rfc2217 { endpoint, line } => {
                let stream = self.stream(hub, endpoint, deadline);
                rfc2217::dial(hub, address, *line, stream, deadline).await
            }
            Address::Bus(address) => hub.buses.dial(hub, address, deadline).await,
            other => panic!("not simulated: {other}"),
        }
    }

    async fn stream(
        &self,
        hub: &Hub,
        endpoint: &Endpoint,
        deadline: Instant,
    ) -> Result<(Stream, SocketAddr), Failure> {
        let addresses = tcp::resolve(hub, endpoint, deadline).await?;
        let to = *addresses.first().expect("an address");
        let connect = On { host: self.0.daemon, inner: Box::pin(TcpStream::connect(to)) };
        match tokio::time::timeout_at(deadline, connect).await {
            Ok(Ok(stream)) => Ok((Stream::new(self.0.daemon, stream), to)),
            Ok(Err(error)) => Err(failure::refusal(&to.to_string(), &error)),
            Err(_) => Err(failure::late(&to.to_string(), &hub.options)),
        }
    }
}
