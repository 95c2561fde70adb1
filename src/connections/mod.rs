//! Links to devices: connecting, detecting loss, recovery.

mod counters;
mod error;
mod link;
mod options;
mod state;
mod target;

pub use counters::Snapshot;
pub use error::Error;
pub use link::{Link, Receipt};
pub use options::Options;
pub use state::{Failure, Reason, State};
pub use target::{Address, Mode, Target};

use counters::Counters;
use std::{borrow::Cow, future::Future, sync::Arc};

/// Opens links and holds what they share: the retry budget, the resolver, read buffers, counters. Cheap to clone.
#[derive(Clone)]
pub struct Connections(Arc<Hub>);

struct Hub {
    #[allow(dead_code)]
    options: Options,
    counters: Counters,
}

/// Where a link delivers to. Only the link's own task calls it, so its calls never overlap; none of them after
/// [`Link::close`] has returned.
pub trait Sink: Send + Sync + 'static {
    /// The state is news: its kind, reason, detail or connection changed. In order with [`Sink::received`]: what was
    /// received on a connection comes between its `Up` and the next state. Must not block.
    fn state(&self, state: &State);

    /// What the peer sent, in order. The link reads nothing more until this is done: that is the back-pressure to the
    /// wire. Dropped unfinished when the link is closed, retargeted or disconnected meanwhile.
    fn received(&self, bytes: &[u8]) -> impl Future<Output = ()> + Send;

    /// What people call this link, for the log: the module's id and name, say.
    fn label(&self) -> Cow<'_, str> {
        Cow::Borrowed("")
    }
}

impl Connections {
    /// Within a tokio runtime.
    pub fn new(options: Options) -> Self {
        Self(Arc::new(Hub { options, counters: Counters::default() }))
    }

    /// Starts to connect at once (make-break: when there is something to send). The link lives until it is closed or its
    /// last clone is dropped.
    pub fn open<S: Sink>(&self, target: Target, sink: S) -> Link {
        Link::open(self.0.clone(), target, sink)
    }

    pub fn metrics(&self) -> Snapshot {
        self.0.counters.snapshot()
    }
}
