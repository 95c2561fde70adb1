//! What happens to the module, on the screen as it happens.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::sleep;

use super::bench::{Bench, MODULE};
use super::screen::Screen;
use crate::connections::recorder::format::{About, Format, Writer};
use crate::runtime::{Runtime, debug};

/// How often status is looked at: changes that are followed by others within this time are not shown.
const LOOK: Duration = Duration::from_millis(50);

/// Log, wire and status are shown until this is dropped.
pub(super) struct Follow {
    _tasks: JoinSet<()>,
    wire: Arc<AtomicBool>,
}

impl Follow {
    pub(super) fn everything(bench: &Bench, screen: &Screen) -> Follow {
        let shown = Arc::new(AtomicBool::new(true));
        let mut tasks = JoinSet::new();
        tasks.spawn(log(bench.runtime.clone(), screen.clone()));
        tasks.spawn(wire(bench.runtime.clone(), screen.clone(), shown.clone()));
        tasks.spawn(status(bench.runtime.clone(), screen.clone()));
        Follow { _tasks: tasks, wire: shown }
    }

    /// Whether the wire is shown from now on.
    pub(super) fn show_wire(&self, shown: bool) {
        self.wire.store(shown, Relaxed);
    }
}

async fn log(runtime: Runtime, screen: Screen) {
    let Some(mut log) = runtime.debug(MODULE) else { return };
    let show = |line: &debug::Line| screen.say(&format!("log     {}: {}", line.level.as_str(), line.text));
    let before = runtime.recent_log(MODULE);
    before.iter().for_each(show);
    while let Some(item) = log.next().await {
        match item {
            debug::Item::Line(line) if before.contains(&line) => {}
            debug::Item::Line(line) => show(&line),
            debug::Item::Dropped(count) => screen.say(&format!("log     … {count} lines")),
        }
    }
}

async fn wire(runtime: Runtime, screen: Screen, shown: Arc<AtomicBool>) {
    let Some(mut wire) = runtime.recorder(MODULE).map(|recorder| recorder.follow()) else { return };
    // Made once, so that the day is said once.
    let mut writer = Writer::new(Format::Text, &About::default(), true);
    while let Some(batch) = wire.next().await {
        if batch.missed > 0 {
            writer.missed(batch.missed);
        }
        batch.records.iter().for_each(|record| writer.record(record));
        let text = writer.take();
        let lines = String::from_utf8_lossy(&text);
        for line in lines.lines().filter(|line| shown.load(Relaxed) && !line.starts_with("-- ")) {
            screen.say(&format!("wire    {line}"));
        }
    }
}

async fn status(runtime: Runtime, screen: Screen) {
    let mut shown = BTreeMap::new();
    let mut state = None;
    loop {
        let now = runtime.module(MODULE).map(|view| (view.state, view.detail));
        if now != state {
            if let Some((state, detail)) = &now {
                screen.say(&format!("status  {}", word(state.as_str(), detail.as_deref())));
            }
            state = now;
        }
        let values: BTreeMap<_, _> = runtime.status(MODULE).unwrap_or_default().into_iter().collect();
        for (key, value) in values.iter().filter(|(key, value)| shown.get(*key) != Some(*value)) {
            screen.say(&format!("status  {key} = {value}"));
        }
        let gone: Vec<String> =
            shown.keys().filter(|key| !values.contains_key(*key)).map(ToString::to_string).collect();
        if !gone.is_empty() {
            screen.say(&format!("status  gone: {}", gone.join(", ")));
        }
        shown = values;
        sleep(LOOK).await;
    }
}

/// The state, and why the device is not connected, or the module failed.
pub(super) fn word(state: &str, detail: Option<&str>) -> String {
    match (state, detail) {
        ("running", Some(detail)) => format!("running, not connected: {detail}"),
        (_, Some(detail)) => format!("{state}: {detail}"),
        (_, None) => state.to_owned(),
    }
}
