//! A module's live log: a bounded ring of recent lines, and viewers that follow.
//!
//! A driver never waits for a viewer: one that lags loses lines and is told how many. Nothing is kept for viewers
//! while there are none.

use std::collections::VecDeque;
use std::sync::Arc;

use drivers_sdk_protocol::message::Level;
use parking_lot::Mutex;
use serde::Serialize;
use tokio::sync::broadcast;

/// A line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Line {
    /// Unix milliseconds.
    pub time: i64,
    /// Severity.
    pub level: Level,
    /// May hold several lines of text.
    pub text: Arc<str>,
}

/// What a viewer gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// A line.
    Line(Line),
    /// The viewer lagged and this many lines are lost to it.
    Dropped(u64),
}

/// Follows a module's log from now on.
#[derive(Debug)]
pub struct Stream(broadcast::Receiver<Line>);

impl Stream {
    /// The next line, or how many were lost; `None` once the module is removed.
    pub async fn next(&mut self) -> Option<Item> {
        match self.0.recv().await {
            Ok(line) => Some(Item::Line(line)),
            Err(broadcast::error::RecvError::Lagged(lost)) => Some(Item::Dropped(lost)),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }
}

/// The log of one module.
#[derive(Debug, Default)]
pub(crate) struct Log(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    recent: VecDeque<Line>,
    viewers: Option<broadcast::Sender<Line>>,
}

/// The bounds of a log.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) lines: usize,
    pub(crate) backlog: usize,
    pub(crate) line_bytes: usize,
}

impl Log {
    pub(crate) fn push(&self, bounds: Bounds, level: Level, text: &str) {
        let line = Line { time: super::view::now(), level, text: Arc::from(cut(text, bounds.line_bytes)) };
        let mut state = self.0.lock();
        if state.viewers.as_ref().is_some_and(|viewers| viewers.send(line.clone()).is_err()) {
            state.viewers = None;
        }
        if state.recent.len() >= bounds.lines {
            state.recent.pop_front();
        }
        if bounds.lines > 0 {
            state.recent.push_back(line);
        }
    }

    pub(crate) fn follow(&self, bounds: Bounds) -> Stream {
        let mut state = self.0.lock();
        let viewers = state.viewers.get_or_insert_with(|| broadcast::Sender::new(bounds.backlog.max(1)));
        Stream(viewers.subscribe())
    }

    pub(crate) fn recent(&self) -> Vec<Line> {
        self.0.lock().recent.iter().cloned().collect()
    }
}

fn cut(text: &str, limit: usize) -> &str {
    let mut end = text.len().min(limit);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds { lines: 3, backlog: 4, line_bytes: 8 };

    fn text(item: Option<Item>) -> String {
        match item {
            Some(Item::Line(line)) => line.text.to_string(),
            other => format!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn a_viewer_that_lags_is_told_how_many_lines_it_lost_and_blocks_nobody() {
        let log = Log::default();
        let mut slow = log.follow(BOUNDS);
        for number in 0..10 {
            log.push(BOUNDS, Level::Info, &number.to_string());
        }
        assert_eq!(slow.next().await, Some(Item::Dropped(6)));
        assert_eq!(text(slow.next().await), "6");
        let mut late = log.follow(BOUNDS);
        log.push(BOUNDS, Level::Info, "last");
        assert_eq!(text(late.next().await), "last");
        drop(log);
        assert_eq!(late.next().await, None);
    }

    #[test]
    fn the_ring_keeps_the_newest_lines_and_cuts_long_ones_at_a_character() {
        let log = Log::default();
        for number in 0..5 {
            log.push(BOUNDS, Level::Warn, &format!("{number}äöüäöü"));
        }
        let kept: Vec<_> = log.recent().into_iter().map(|line| line.text.to_string()).collect();
        assert_eq!(kept, ["2äöü", "3äöü", "4äöü"]);
    }
}
