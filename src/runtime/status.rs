//! The status of a module, key → JSON text, and those who follow it.
//!
//! A value lives as long as the instance of the module that set it: what a stopped module once said is no truth.
//!
//! Publication, per key:
//!
//! ```text
//!            change: publish now                    change: keep the newest
//!   ┌──────┐ ───────────────────▶ ┌─────────────┐ ─────────────────────────▶ ┌──────┐
//!   │ idle │                      │ in window   │                            │ late │
//!   └──────┘ ◀─────────────────── └─────────────┘ ◀───────────────────────── └──────┘
//!                window is over                     window is over: publish
//! ```
//!
//! Followers are called with the board locked, so that what they see is in order and ends with the last value; they
//! must not block and must not call back.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::subscriptions::Sink;

/// A key that the runtime itself sets: whether the device can be reached.
pub(crate) const CONNECTED: &str = "connected";
/// A key that the runtime itself sets, for modules that speak TLS: whether it is verified whom they speak to.
pub(crate) const TLS_VERIFIED: &str = "tls_verified";

/// As JSON.
pub(crate) fn boolean(value: bool) -> &'static str {
    if value { "true" } else { "false" }
}

/// The status of one module.
#[derive(Default)]
pub(crate) struct Board(Mutex<State>);

#[derive(Default)]
struct State {
    values: Vec<Value>,
    followers: Option<HashMap<Arc<str>, Vec<Follower>>>,
    live: bool,
}

struct Value {
    key: Arc<str>,
    text: Option<Arc<str>>,
    published: Option<Instant>,
    late: bool,
}

struct Follower {
    id: u64,
    token: u64,
    sink: Arc<dyn Sink>,
}

/// Publishes late values. One task serves all boards.
#[derive(Clone, Debug)]
pub(crate) struct Publisher {
    window: Duration,
    queue: mpsc::UnboundedSender<Due>,
}

#[derive(Debug)]
struct Due {
    at: Instant,
    board: Arc<Board>,
    key: Arc<str>,
}

impl std::fmt::Debug for Board {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Board")
    }
}

impl Publisher {
    /// A publisher, and the work that its task has to do.
    pub(crate) fn new(window: Duration) -> (Publisher, impl Future<Output = ()> + Send + 'static) {
        let (queue, mut due) = mpsc::unbounded_channel::<Due>();
        let run = async move {
            while let Some(Due { at, board, key }) = due.recv().await {
                tokio::time::sleep_until(at).await;
                board.publish(&key);
            }
        };
        (Publisher { window, queue }, run)
    }
}

impl Board {
    /// Sets a value, or removes it. Returns whether that changed anything.
    pub(crate) fn set(self: &Arc<Self>, publisher: &Publisher, key: &str, text: Option<&str>) -> bool {
        let mut state = self.0.lock();
        let State { values, followers, .. } = &mut *state;
        let position = values.iter().position(|value| &*value.key == key);
        let value = match position.and_then(|at| values.get_mut(at)) {
            Some(value) if value.text.as_deref() == text => return false,
            Some(value) => value,
            None if text.is_none() => return false,
            None => {
                values.push(Value { key: Arc::from(key), text: None, published: None, late: false });
                match values.last_mut() {
                    Some(value) => value,
                    None => return false,
                }
            }
        };
        value.text = text.map(Arc::from);
        if let Some(followers) = followers.as_ref().and_then(|all| all.get(key)) {
            let now = Instant::now();
            let open = value.published.map(|at| at + publisher.window).filter(|end| *end > now);
            match open {
                _ if value.late => {}
                Some(end) => self.later(publisher, value, end),
                None => value.publish(now, followers),
            }
        }
        if text.is_none() {
            values.retain(|value| value.text.is_some() || value.late);
        }
        true
    }

    fn later(self: &Arc<Self>, publisher: &Publisher, value: &mut Value, at: Instant) {
        let due = Due { at, board: self.clone(), key: value.key.clone() };
        value.late = publisher.queue.send(due).is_ok();
    }

    fn publish(&self, key: &str) {
        let mut state = self.0.lock();
        let State { values, followers, .. } = &mut *state;
        let Some(value) = values.iter_mut().find(|value| &*value.key == key) else { return };
        value.late = false;
        if let Some(followers) = followers.as_ref().and_then(|all| all.get(key)) {
            value.publish(Instant::now(), followers);
        }
        values.retain(|value| value.text.is_some() || value.late);
    }

    /// Removes every value but those of the link. Followers hear of it at the end of the window, so that an instance that
    /// takes over at once replaces the values without a gap.
    pub(crate) fn clear(self: &Arc<Self>, publisher: &Publisher) {
        let mut state = self.0.lock();
        let State { values, followers, .. } = &mut *state;
        let end = Instant::now() + publisher.window;
        for value in values.iter_mut().filter(|value| ![CONNECTED, TLS_VERIFIED].contains(&&*value.key)) {
            value.text = None;
            if !value.late && followers.as_ref().is_some_and(|all| all.contains_key(&value.key)) {
                self.later(publisher, value, end);
            }
        }
        values.retain(|value| value.text.is_some() || value.late);
    }

    pub(crate) fn get(&self, key: &str) -> Option<Arc<str>> {
        let state = self.0.lock();
        state.values.iter().find(|value| &*value.key == key)?.text.clone()
    }

    pub(crate) fn all(&self) -> Vec<(Arc<str>, Arc<str>)> {
        let state = self.0.lock();
        let mut all: Vec<_> =
            state.values.iter().filter_map(|value| Some((value.key.clone(), value.text.clone()?))).collect();
        all.sort_by(|a, b| a.0.cmp(&b.0));
        all
    }

    /// Adds a follower of `key` and gives it the current value; if there is none, only when `always`.
    pub(crate) fn follow(&self, id: u64, key: &Arc<str>, token: u64, sink: Arc<dyn Sink>, always: bool) {
        let mut state = self.0.lock();
        let current =
            state.values.iter().find(|value| value.key == *key).and_then(|value| value.text.clone());
        if always || current.is_some() {
            sink.changed(token, current);
        }
        let followers = state.followers.get_or_insert_default();
        followers.entry(key.clone()).or_default().push(Follower { id, token, sink });
    }

    pub(crate) fn unfollow(&self, id: u64, key: &str) {
        let mut state = self.0.lock();
        let Some(all) = &mut state.followers else { return };
        if let Some(followers) = all.get_mut(key) {
            followers.retain(|follower| follower.id != id);
            if followers.is_empty() {
                all.remove(key);
            }
        }
        if all.is_empty() {
            state.followers = None;
        }
    }

    /// Says whether a module exists that this board belongs to.
    pub(crate) fn set_live(&self, live: bool) {
        self.0.lock().live = live;
    }

    /// Nobody needs this board: neither a module nor a follower.
    pub(crate) fn is_idle(&self) -> bool {
        let state = self.0.lock();
        !state.live && state.followers.is_none()
    }
}

impl Value {
    fn publish(&mut self, now: Instant, followers: &[Follower]) {
        self.published = Some(now);
        for follower in followers {
            follower.sink.changed(follower.token, self.text.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Seen(Mutex<Vec<Option<String>>>);

    impl Sink for Seen {
        fn changed(&self, _token: u64, value: Option<Arc<str>>) {
            self.0.lock().push(value.map(|value| value.to_string()));
        }
    }

    impl Seen {
        fn take(&self) -> Vec<Option<String>> {
            std::mem::take(&mut self.0.lock())
        }
    }

    fn some(values: &[&str]) -> Vec<Option<String>> {
        values.iter().map(|value| Some((*value).to_owned())).collect()
    }

    fn board() -> (Arc<Board>, Publisher, Arc<Seen>) {
        let (publisher, run) = Publisher::new(Duration::from_millis(20));
        tokio::spawn(run);
        let (board, seen) = (Arc::new(Board::default()), Arc::new(Seen::default()));
        board.follow(1, &"key".into(), 0, seen.clone(), false);
        (board, publisher, seen)
    }

    async fn window() {
        tokio::time::sleep(Duration::from_millis(25)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_change_goes_out_at_once_and_later_ones_coalesce() {
        let (board, publisher, seen) = board();
        for value in ["1", "2", "3"] {
            assert!(board.set(&publisher, "key", Some(value)));
        }
        assert_eq!(seen.take(), some(&["1"]));
        assert_eq!(board.get("key").as_deref(), Some("3"), "the board itself is never late");
        window().await;
        assert_eq!(seen.take(), some(&["3"]));
        // The window starts anew with what was published late.
        board.set(&publisher, "key", Some("4"));
        assert_eq!(seen.take(), []);
        window().await;
        assert_eq!(seen.take(), some(&["4"]));
        window().await;
        board.set(&publisher, "key", Some("5"));
        assert_eq!(seen.take(), some(&["5"]));
    }

    #[tokio::test(start_paused = true)]
    async fn the_same_value_is_no_change_and_a_removed_one_is() {
        let (board, publisher, seen) = board();
        assert!(!board.set(&publisher, "key", None));
        assert!(board.set(&publisher, "key", Some("1")));
        assert!(!board.set(&publisher, "key", Some("1")));
        window().await;
        assert!(board.set(&publisher, "key", None));
        assert_eq!(seen.take(), [Some("1".into()), None]);
        assert!(board.all().is_empty());
        // Other keys are nobody's business here.
        assert!(board.set(&publisher, "other", Some("1")));
        assert_eq!(seen.take(), []);
    }

    #[tokio::test(start_paused = true)]
    async fn an_instance_that_takes_over_at_once_leaves_no_gap() {
        let (board, publisher, seen) = board();
        board.set(&publisher, "key", Some("1"));
        board.set(&publisher, CONNECTED, Some("true"));
        window().await;
        board.clear(&publisher);
        assert_eq!(board.get("key"), None);
        assert_eq!(board.get(CONNECTED).as_deref(), Some("true"));
        board.set(&publisher, "key", Some("2"));
        window().await;
        assert_eq!(seen.take(), some(&["1", "2"]));
        board.clear(&publisher);
        window().await;
        assert_eq!(seen.take(), [None]);
    }

    #[tokio::test(start_paused = true)]
    async fn who_ends_following_hears_nothing_more() {
        let (board, publisher, seen) = board();
        board.set(&publisher, "key", Some("1"));
        board.set(&publisher, "key", Some("2"));
        board.unfollow(1, "key");
        window().await;
        assert_eq!(seen.take(), some(&["1"]));
        assert!(board.is_idle());
    }
}
