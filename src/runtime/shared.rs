//! What the parts of the runtime share: tables that many read, and the way to tell the reconciler something.

use std::sync::Arc;

use dashmap::DashMap;
use serde_json::value::RawValue;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::channels::Channels;
use super::exec::{self, Target};
use super::host::inbound::Answer;
use super::metrics::Metrics;
use super::modules::Entry;
use super::names::Names;
use super::options::Options;
use super::reconciler::{Event, LaneKey};
use super::spawner::Spawner;
use super::status::Publisher;
use super::subscriptions::Registry;
use super::view::ProcessView;
use super::{Error, debug};

pub(crate) struct Shared {
    pub(crate) options: Options,
    pub(crate) names: Arc<Names>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) publisher: Publisher,
    pub(crate) channels: Arc<Channels>,
    pub(crate) modules: DashMap<Arc<str>, Arc<Entry>>,
    pub(crate) lanes: DashMap<LaneKey, ProcessView>,
    pub(crate) metrics: Metrics,
    pub(crate) spawner: Spawner,
    /// The tasks that own a process each.
    pub(crate) processes: TaskTracker,
    /// Every process is to end now.
    pub(crate) kill: CancellationToken,
    events: mpsc::UnboundedSender<Event>,
}

impl Shared {
    /// The tables, and the work of the task that publishes late status values.
    pub(crate) fn new(
        options: Options,
        events: mpsc::UnboundedSender<Event>,
    ) -> Result<(Shared, impl Future<Output = ()> + Send + 'static), Error> {
        let names = Arc::new(Names::default());
        let (publisher, publishing) = Publisher::new(options.status_window());
        let spawner = Spawner::start(&options).map_err(|error| {
            Error::Failed(format!("the thread that starts driver processes could not be started: {error}"))
        })?;
        let shared = Shared {
            registry: Registry::new(names.clone()),
            names,
            publisher,
            channels: Arc::default(),
            modules: DashMap::new(),
            lanes: DashMap::new(),
            metrics: Metrics::default(),
            spawner,
            processes: TaskTracker::new(),
            kill: CancellationToken::new(),
            events,
            options,
        };
        Ok((shared, publishing))
    }

    /// Tells the reconciler something.
    pub(crate) fn tell(&self, event: Event) {
        let _ = self.events.send(event);
    }

    pub(crate) fn find(&self, target: &Target) -> Result<Arc<Entry>, exec::Error> {
        let entry = |id: &str| {
            let entry = self.modules.get(id).map(|entry| entry.clone());
            entry.ok_or_else(|| exec::Error::ModuleNotFound(id.to_owned()))
        };
        match target {
            Target::Module(id) => entry(id),
            Target::Named { system, name, index } => match self.names.resolve(system, name, *index) {
                Some(id) => entry(&id),
                None if self.names.places(system).is_some() => {
                    Err(exec::Error::ModuleNotFound(format!("{name}_{index} in {system}")))
                }
                None => Err(exec::Error::SystemNotFound(system.clone())),
            },
        }
    }

    pub(crate) fn save_setting(&self, entry: &Entry, key: String, value: &RawValue, answer: Answer) {
        let (module, value) = (entry.id.clone(), value.get().to_owned());
        self.tell(Event::SaveSetting { module, key, value, answer });
    }

    pub(crate) fn log_bounds(&self) -> debug::Bounds {
        debug::Bounds {
            lines: self.options.log_lines,
            backlog: self.options.log_backlog,
            line_bytes: self.options.log_line_bytes,
        }
    }

    /// The processes with the modules that are in them now.
    pub(crate) fn process_views(&self) -> Vec<ProcessView> {
        let mut views: Vec<ProcessView> = self.lanes.iter().map(|view| view.clone()).collect();
        views.sort_by(|a, b| (&a.driver, a.pid).cmp(&(&b.driver, b.pid)));
        for entry in &self.modules {
            let Some(pid) = entry.life().process else { continue };
            if let Some(view) = views.iter_mut().find(|view| view.pid == Some(pid)) {
                view.modules.push(entry.id.clone());
            }
        }
        for view in &mut views {
            view.modules.sort();
        }
        views
    }
}
