//! The daemon's end of the channel to one driver process: frames out, requests and their answers, and which module a
//! handle means. A handle is never used twice.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::{BufMut, BytesMut};
use drivers_sdk_protocol::Kind;
use drivers_sdk_protocol::message::Call;
use parking_lot::{Mutex, RwLock};
use serde::Serialize;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::outgoing::Outgoing;
use super::pending::{Outcome, Pending, Purpose, Recorded, Waiter};
use crate::runtime::channels::Monitor;
use crate::runtime::modules::Entry;
use crate::runtime::options::Options;
use crate::runtime::subscriptions::Subscription;

pub(crate) struct Channel {
    pub(crate) out: Outgoing,
    pub(crate) pending: Pending,
    modules: RwLock<HashMap<u32, Arc<Entry>>>,
    last_handle: AtomicU32,
    /// What modules of this process follow, by handle and correlation.
    subscriptions: Mutex<HashMap<(u32, u32), Followed>>,
    /// The features that the process named.
    features: OnceLock<Vec<String>>,
    /// Something came from the process since the last look.
    heard: AtomicBool,
    /// The module that was last given bytes of its device.
    last_received: AtomicU32,
}

/// What a module follows, until this is dropped.
#[allow(dead_code, reason = "held, and dropped")]
pub(crate) enum Followed {
    /// A status value.
    Status(Subscription),
    /// A channel.
    Said(Monitor),
}

impl Channel {
    pub(crate) fn new(options: &Options) -> Channel {
        Channel {
            out: Outgoing::new(options.received_bytes, options.channel_bytes),
            pending: Pending::default(),
            modules: RwLock::default(),
            last_handle: AtomicU32::new(0),
            subscriptions: Mutex::default(),
            features: OnceLock::new(),
            heard: AtomicBool::new(false),
            last_received: AtomicU32::new(0),
        }
    }

    // --- features ---

    /// The process has named the features that it uses.
    pub(crate) fn agree(&self, features: Vec<String>) {
        let _ = self.features.set(features);
    }

    /// Whether both sides named the feature.
    pub(crate) fn has(&self, feature: &str) -> bool {
        self.features.get().is_some_and(|features| features.iter().any(|name| name == feature))
    }

    // --- modules ---

    /// Gives a module a handle on this channel.
    pub(crate) fn enlist(&self, entry: &Arc<Entry>) -> u32 {
        let handle = self.last_handle.fetch_add(1, Ordering::Relaxed) + 1;
        self.modules.write().insert(handle, entry.clone());
        handle
    }

    /// The module of a handle.
    pub(crate) fn module(&self, handle: u32) -> Option<Arc<Entry>> {
        self.modules.read().get(&handle).cloned()
    }

    /// The handle means nothing any more; whoever waits for the module is told why.
    pub(crate) fn discharge(&self, handle: u32, why: &Arc<str>) {
        let module = self.modules.write().remove(&handle);
        // First the module is shown as down, then callers are told: one that tries again must not find it running.
        if let Some(module) = module {
            module.fell(self, why);
        }
        self.pending.fail_module(handle, why);
        let ended: Vec<_> =
            self.subscriptions.lock().extract_if(|(module, _), _| *module == handle).collect();
        drop(ended);
    }

    /// The modules that were at work, for judging who may have brought the process down: those that worked on a
    /// request, or else the one that was last given bytes of its device.
    pub(crate) fn suspects(&self) -> Vec<Arc<Entry>> {
        let busy = self.pending.busy();
        let modules = self.modules.read();
        let mut suspects: Vec<_> = busy.iter().filter_map(|handle| modules.get(handle).cloned()).collect();
        if suspects.is_empty() {
            suspects.extend(modules.get(&self.last_received.load(Ordering::Relaxed)).cloned());
        }
        suspects
    }

    pub(crate) fn note_received(&self, handle: u32) {
        self.last_received.store(handle, Ordering::Relaxed);
    }

    // --- life ---

    pub(crate) fn note_heard(&self) {
        self.heard.store(true, Ordering::Relaxed);
    }

    /// Whether something came since the last look.
    pub(crate) fn take_heard(&self) -> bool {
        self.heard.swap(false, Ordering::Relaxed)
    }

    /// Ends everything that goes over this channel.
    pub(crate) fn close(&self, why: &Arc<str>) {
        self.out.close();
        let modules = std::mem::take(&mut *self.modules.write());
        for module in modules.values() {
            module.fell(self, why);
        }
        self.pending.close(why);
        let ended = std::mem::take(&mut *self.subscriptions.lock());
        drop(ended);
    }

    // --- frames ---

    /// Sends a message that is JSON. One that cannot be sent because the channel is closed is lost: whoever needs to
    /// know waits for an answer, and gets one from the process's end.
    pub(crate) fn send_json(&self, kind: Kind, module: u32, correlation: u32, message: &impl Serialize) {
        let _ = self.out.push(kind, module, correlation, |out| write_json(out, message));
    }

    pub(crate) fn send(&self, kind: Kind, module: u32, correlation: u32, payload: &[u8]) {
        let _ = self.out.push(kind, module, correlation, |out| out.put_slice(payload));
    }

    /// Sends a request; `then` gets its outcome, and must not block.
    pub(crate) fn request(
        &self,
        kind: Kind,
        module: u32,
        limit: Duration,
        write: impl FnOnce(&mut BytesMut),
        then: impl FnOnce(Outcome) + Send + 'static,
    ) {
        let deadline = Instant::now() + limit;
        let waiter = Waiter::Then(Box::new(then));
        if let Some(correlation) = self.pending.insert(module, Purpose::Work, deadline, waiter) {
            let _ = self.out.push(kind, module, correlation, write);
        }
    }

    /// Calls a function. The caller gives up by dropping what it gets.
    pub(crate) fn call(
        self: &Arc<Self>,
        module: u32,
        call: &Call<'_>,
        recorded: Recorded<'_>,
        deadline: Instant,
    ) -> Calling {
        let (sender, answer) = oneshot::channel();
        let waiter = Waiter::Caller(sender);
        let correlation = self.begin_call(module, call, recorded, deadline, waiter).unwrap_or(0);
        Calling { channel: self.clone(), module, correlation, answer }
    }

    /// Calls a function for a waiter. `None`: it has been told that the channel is closed.
    pub(crate) fn begin_call(
        &self,
        module: u32,
        call: &Call<'_>,
        recorded: Recorded<'_>,
        deadline: Instant,
        waiter: Waiter,
    ) -> Option<u32> {
        let user = call.user.as_deref().map(Arc::from);
        let correlation = self.pending.insert_call(module, recorded, deadline, user, waiter)?;
        self.send_json(Kind::Call, module, correlation, call);
        Some(correlation)
    }

    /// Hands on bytes of a device and asks to be told when the module has taken them.
    pub(crate) fn ask_taken(
        &self,
        module: u32,
        limit: Duration,
    ) -> Option<(u32, oneshot::Receiver<Outcome>)> {
        let (sender, answer) = oneshot::channel();
        let deadline = Instant::now() + limit;
        let waiter = Waiter::Caller(sender);
        let correlation = self.pending.insert(module, Purpose::Received, deadline, waiter)?;
        Some((correlation, answer))
    }

    // --- what the modules of this process follow ---

    pub(crate) fn add_subscription(&self, module: u32, correlation: u32, subscription: Followed) {
        // One made for a module that has gone meanwhile ends here.
        let modules = self.modules.read();
        let before = match modules.contains_key(&module) {
            true => self.subscriptions.lock().insert((module, correlation), subscription),
            false => Some(subscription),
        };
        drop(modules);
        drop(before);
    }

    pub(crate) fn end_subscription(&self, module: u32, correlation: u32) {
        let ended = self.subscriptions.lock().remove(&(module, correlation));
        drop(ended);
    }
}

impl std::fmt::Debug for Channel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Channel")
    }
}

pub(crate) fn write_json(out: &mut BytesMut, message: &impl Serialize) {
    // Writing to memory does not fail, and neither does serializing the protocol's own messages.
    if let Err(error) = serde_json::to_writer(out.writer(), message) {
        tracing::error!(%error, "message not written");
    }
}

/// A call under way.
#[derive(Debug)]
pub(crate) struct Calling {
    channel: Arc<Channel>,
    module: u32,
    correlation: u32,
    answer: oneshot::Receiver<Outcome>,
}

impl Calling {
    pub(crate) async fn outcome(&mut self) -> Outcome {
        match (&mut self.answer).await {
            Ok(outcome) => outcome,
            Err(_) => Outcome::Gone("the call was dropped".into()),
        }
    }
}

impl Drop for Calling {
    fn drop(&mut self) {
        if self.correlation != 0 && self.channel.pending.withdraw(self.correlation) {
            self.channel.send(Kind::Cancel, self.module, self.correlation, &[]);
        }
    }
}
