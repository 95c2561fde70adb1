//! Channels: what modules say to each other by name. In memory, daemon-wide, and nothing is kept for later listeners.
//!
//! A listener is a driver's module; it lasts as long as its [`Monitor`]. One whose process does not keep up loses what is
//! published meanwhile: a publisher never waits.

use std::sync::{Arc, Weak};

use dashmap::DashMap;
use parking_lot::RwLock;

/// Who hears a channel.
pub(crate) trait Listener: Send + Sync + 'static {
    /// JSON text. Called in the order of publication, for one publisher; must neither block nor use the channels.
    fn heard(&self, value: &str);
}

type Listeners = Arc<RwLock<Vec<Arc<dyn Listener>>>>;

/// All channels that somebody listens to.
#[derive(Default)]
pub(crate) struct Channels(DashMap<Arc<str>, Listeners>);

/// Listens until it is dropped.
#[must_use = "nothing is heard any more once it is dropped"]
pub(crate) struct Monitor {
    channels: Weak<Channels>,
    name: Arc<str>,
    listener: Arc<dyn Listener>,
}

impl Channels {
    pub(crate) fn publish(&self, name: &str, value: &str) {
        let Some(listeners) = self.0.get(name).map(|listeners| listeners.clone()) else { return };
        for listener in listeners.read().iter() {
            listener.heard(value);
        }
    }

    pub(crate) fn monitor(self: &Arc<Self>, name: &str, listener: Arc<dyn Listener>) -> Monitor {
        let name: Arc<str> = name.into();
        self.0.entry(name.clone()).or_default().write().push(listener.clone());
        Monitor { channels: Arc::downgrade(self), name, listener }
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        let Some(channels) = self.channels.upgrade() else { return };
        channels.0.remove_if(&self.name, |_, listeners| {
            let mut listeners = listeners.write();
            listeners.retain(|listener| !Arc::ptr_eq(listener, &self.listener));
            listeners.is_empty()
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use parking_lot::Mutex;

    #[derive(Default)]
    struct Ear(Mutex<Vec<String>>);

    impl Listener for Ear {
        fn heard(&self, value: &str) {
            self.0.lock().push(value.into());
        }
    }

    #[test]
    fn who_listens_hears_what_is_published_meanwhile_and_nobody_is_kept() {
        let channels = Arc::new(Channels::default());
        let (ann, bob) = (Arc::new(Ear::default()), Arc::new(Ear::default()));
        channels.publish("lunch", "0");
        let of_ann = channels.monitor("lunch", ann.clone());
        channels.publish("lunch", "1");
        let of_bob = channels.monitor("lunch", bob.clone());
        channels.publish("lunch", "2");
        channels.publish("dinner", "3");
        drop(of_ann);
        channels.publish("lunch", "4");
        assert_eq!(*ann.0.lock(), ["1", "2"]);
        assert_eq!(*bob.0.lock(), ["2", "4"]);
        drop(of_bob);
        assert!(channels.0.is_empty());
    }
}
