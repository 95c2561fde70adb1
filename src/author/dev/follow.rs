//! What happens to the module, on the screen as it happens.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::sleep;

use super::bench::{Bench, MODULE};
use super::screen::Screen;
use crate::connections::recorder::format::{About, Format, Writer};
use crate::runtime::{Runtime, debug};

/// How often status is looked at: changes that are followed by others within this time are not shown.
const LOOK: Duration = Duration::from_millis(50);

/// Follows log, wire and status, until the runtime is gone.
pub(super) fn everything(bench: &Bench, screen: &Screen) {
    tokio::spawn(log(bench.runtime.clone(), screen.clone()));
    tokio::spawn(wire(bench.runtime.clone(), screen.clone()));
    tokio::spawn(status(bench.runtime.clone(), screen.clone()));
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

async fn wire(runtime: Runtime, screen: Screen) {
    let Some(mut wire) = runtime.recorder(MODULE).map(|recorder| recorder.follow()) else { return };
    // Made once, so that the day is said once.
    let mut writer = Writer::new(Format::Text, &About::default(), true);
    while let Some(batch) = wire.next().await {
        if batch.missed > 0 {
            writer.missed(batch.missed);
        }
        batch.records.iter().for_each(|record| writer.record(record));
        let text = writer.take();
        for line in String::from_utf8_lossy(&text).lines().filter(|line| !line.starts_with("-- ")) {
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
                let why = detail.as_ref().map_or_else(String::new, |detail| format!(": {detail}"));
                screen.say(&format!("status  {}{why}", state.as_str()));
            }
            state = now;
        }
        let values: BTreeMap<_, _> = runtime.status(MODULE).unwrap_or_default().into_iter().collect();
        for (key, value) in values.iter().filter(|(key, value)| shown.get(*key) != Some(*value)) {
            screen.say(&format!("status  {key} = {value}"));
        }
        for key in shown.keys().filter(|key| !values.contains_key(*key)) {
            screen.say(&format!("status  {key} is gone"));
        }
        shown = values;
        sleep(LOOK).await;
    }
}
