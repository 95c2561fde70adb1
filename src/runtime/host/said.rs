//! A driver's module says something on a channel, or hears one.

use std::sync::Arc;

use drivers_sdk_protocol::message::{self, Level};
use drivers_sdk_protocol::{Kind, MAX_CHANNEL, MAX_PUBLISHED};

use super::channel::{Channel, Followed};
use crate::runtime::Shared;
use crate::runtime::channels::Listener;
use crate::runtime::modules::Entry;

/// Passes on what a module says. What is too large is dropped, and its log says so.
pub(super) fn publish(shared: &Shared, entry: &Entry, message: &message::Publish<'_>) {
    let (name, length) = (&message.channel, message.value.get().len());
    if name.is_empty() || name.len() > MAX_CHANNEL || length > MAX_PUBLISHED {
        let text = format!(
            "{length} bytes published to {name:?} were dropped: the limit is {MAX_PUBLISHED}, and a name has 1 to \
             {MAX_CHANNEL} bytes"
        );
        return entry.say(shared, Level::Error, &text);
    }
    shared.channels.publish(name, message.value.get());
}

/// Lets a module hear a channel until it ends, or ends that.
pub(super) fn monitor(shared: &Shared, channel: &Arc<Channel>, handle: u32, correlation: u32, name: &str) {
    channel.send(Kind::Done, handle, correlation, &[]);
    let limit = shared.options.channel_bytes / 4;
    let ear = Arc::new(Ear { channel: channel.clone(), handle, correlation, limit });
    channel.add_subscription(handle, correlation, Followed::Said(shared.channels.monitor(name, ear)));
}

struct Ear {
    channel: Arc<Channel>,
    handle: u32,
    correlation: u32,
    /// While more bytes than this wait for the process, what is said is lost to it.
    limit: usize,
}

impl Listener for Ear {
    fn heard(&self, value: &str) {
        if self.channel.out.waiting() <= self.limit {
            self.channel.send(Kind::Notify, self.handle, self.correlation, value.as_bytes());
        }
    }
}
