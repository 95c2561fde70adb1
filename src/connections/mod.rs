//! Links to devices: connecting, detecting loss, recovery. Knows nothing of modules or drivers.
//!
//! A [`Link`] connects to a [`Target`] and hands what it receives, and its [`State`], to a [`Sink`]. One task per link owns
//! its state; handles leave orders, and write a transmit that stands alone to the socket themselves.
//!
//! ```text
//! KEEP-OPEN            open, other address                        MAKE-BREAK         open, other address
//!                              │                                                           │
//!                              ▼                                                           ▼
//!                         Connecting ─── failed ──┐             ┌──────────────────────▶ Idle ◀──────────────┐
//!                              │                  │             │                          │ something to    │
//!                     connected│                  ▼             │                          │ send, or asked  │
//!                              ▼     lost        Down           │ unused for `hold`,       ▼                 │
//!                              Up ─────────────▶ (back-off:     │ closed by the peer   (connecting)          │
//!                              ▲                 a ticket of    │ with nothing queued      │ connected       │
//!                              │   retried       the ration)    └───────────────────────── Up                │
//!                              └──────────────────┘                                        │ failed, lost    │
//!                                its turn, or asked                                        ▼    connected    │
//!                                                                                         Down ─▶ Up ────────┘
//!                                                                               (until there is something to send, or asked)
//! ```
//!
//! - A link that is retried stays `Down` until it is `Up`, so that its reason can be read meanwhile. Every state other than
//!   `Up` means that the connection there was is gone.
//! - A make-break link that is down is *not* probed in the background: many of the devices this mode is for count, log, or
//!   show every connection. It stays `Down` until the next transmit or [`Link::attempt`] connects, which is tried at once.
//! - Retries take turns in the [`ration`]. First attempts, and attempts that were asked for, do not wait for it; a gate bounds
//!   how many of them are under way.
//! - Everything received on a connection is delivered, in order, before the state that ends it.
//! - Every receipt is answered exactly once; those in flight when the connection ends, at once.
//! - An idle link holds no buffer and no timer.
//! - A plain TCP link may go on in TLS in mid-connection ([`upgrade`]): the same connection, under the same number.
//!
//! Another kind of connection is another [`Address`], another file in [`dial`], and a [`wire::Transport`]; it must pass the
//! contract in `tests/`.

mod buffers;
mod bus;
mod counters;
mod dial;
mod error;
pub mod http;
mod inner;
mod journal;
mod line;
mod link;
mod messages;
mod options;
mod outbox;
mod payload;
mod ration;
pub mod recorder;
mod resolve;
mod rfc2217;
mod serial;
mod settings;
mod shared;
pub mod ssh;
mod state;
mod target;
mod task;
pub mod tls;
pub mod udp;
mod upgrade;
pub mod websocket;
mod wire;

#[cfg(test)]
mod tests;

pub use counters::Snapshot;
pub use error::Error;
pub use link::{Link, Receipt};
pub use options::Options;
pub use payload::{Form, Payload};
pub use recorder::Recorder;
pub use resolve::Resolve;
pub use settings::{KEY as SETTINGS_KEY, Settings};
pub use state::{Failure, Reason, State};
pub use target::{Address, Endpoint, Mode, Target};
pub use tls::Tls;

use crate::ssh::KnownHosts;
use counters::Counters;
use rand::{SeedableRng as _, rngs::StdRng};
use std::{borrow::Cow, future::Future, sync::Arc};
use tokio::sync::Semaphore;

/// Opens links and holds what they share: the retry budget, the resolver, read buffers, counters. Cheap to clone.
#[derive(Clone)]
pub struct Connections(Arc<Hub>);

struct Hub {
    options: Options,
    counters: Counters,
    ration: ration::Handle,
    /// Attempts under way that did not wait for the ration.
    gate: Arc<Semaphore>,
    resolver: Box<dyn Resolve>,
    /// The network of the simulation it was made in, instead of the system's.
    #[cfg(test)]
    simulated: Option<tests::simulated::Network>,
    buffers: buffers::Pool,
    udp: udp::Registry,
    /// The keys of SSH hosts.
    pins: Option<KnownHosts>,
    buses: bus::Buses,
}

/// Where a link delivers to. Only the link's own task calls it, so its calls never overlap; none of them after
/// [`Link::close`] has returned.
pub trait Sink: Send + Sync + 'static {
    /// The state is news: its kind, reason, detail or connection changed. In order with [`Sink::received`]: what was
    /// received on a connection comes between its `Up` and the next state. Must not block.
    fn state(&self, state: &State);

    /// What the peer sent, in order; one whole message if [`Address::messages`]. The link reads nothing more until this is done: that is the back-pressure to the
    /// wire. Dropped unfinished when the link is closed, retargeted or disconnected meanwhile.
    fn received(&self, bytes: &[u8], form: Form) -> impl Future<Output = ()> + Send;

    /// Where what goes over the wire is recorded. Asked once, when the link is opened.
    fn recorder(&self) -> Option<Arc<Recorder>> {
        None
    }

    /// What people call this link, for the log: the module's id and name, say.
    fn label(&self) -> Cow<'_, str> {
        Cow::Borrowed("")
    }
}

impl Connections {
    /// Within a tokio runtime.
    pub fn new(options: Options) -> Self {
        let resolver = resolve::System::new(options.dns_concurrency);
        Self::with_resolver(options, resolver)
    }

    /// As `new`, with another idea of what names mean.
    pub fn with_resolver(options: Options, resolver: impl Resolve + 'static) -> Self {
        let random = StdRng::from_os_rng();
        #[cfg(test)]
        let random = tests::simulated::random().unwrap_or(random);
        Self(Arc::new(Hub {
            counters: Counters::default(),
            ration: ration::Handle::start(&options, random),
            gate: Arc::new(Semaphore::new(options.first_attempts.max(1))),
            resolver: Box::new(resolver),
            #[cfg(test)]
            simulated: tests::simulated::current(),
            buffers: buffers::Pool::new(options.read_bytes),
            udp: udp::Registry::default(),
            pins: options.known_hosts.clone().map(KnownHosts::new),
            buses: bus::Buses::default(),
            options,
        }))
    }

    /// Starts to connect at once (make-break: when there is something to send). The link lives until it is closed or its
    /// last clone is dropped.
    pub fn open<S: Sink>(&self, target: Target, sink: S) -> Link {
        Link::open(self.0.clone(), target, sink)
    }

    /// A recorder for what is behind a [`Sink`]; none if they are switched off.
    pub fn recorder(&self) -> Option<Arc<Recorder>> {
        Recorder::new(self.0.options.recorder_bytes)
    }

    pub fn metrics(&self) -> Snapshot {
        Snapshot { dropped_datagrams: self.0.udp.dropped(), ..self.0.counters.snapshot() }
    }
}
