//! What handlers share.

use std::{sync::Arc, time::Instant};

use tokio::sync::RwLock;
use tokio_util::sync::CancellationToken;

use super::{
    Options,
    auth::Verifier,
    figures::{OfConnections, OfRuntime},
    metrics::Metrics,
};
use crate::{
    connections::Connections,
    repositories::Repositories,
    runtime::Runtime,
    secrets::Vault,
    store::{self, Store},
};

/// What handlers share. Cheap to clone.
#[derive(Clone)]
pub struct State(Arc<Inner>);

struct Inner {
    store: store::Handle,
    vault: Arc<Vault>,
    runtime: Runtime,
    repositories: Repositories,
    options: Options,
    verifier: Verifier,
    metrics: Metrics,
    writes: RwLock<()>,
    shutdown: CancellationToken,
    started: Instant,
}

impl State {
    /// The API of these parts. Once `shutdown` is cancelled it takes no more connections and ends those there are.
    pub fn new(
        store: store::Handle,
        vault: Arc<Vault>,
        runtime: Runtime,
        repositories: Repositories,
        options: Options,
        shutdown: CancellationToken,
    ) -> Self {
        let metrics = Metrics::default();
        metrics.add(OfRuntime(runtime.clone()));
        State(Arc::new(Inner {
            verifier: Verifier::new(store.clone()),
            metrics,
            writes: RwLock::new(()),
            started: Instant::now(),
            store,
            vault,
            runtime,
            repositories,
            options,
            shutdown,
        }))
    }

    /// Shows the figures of links to devices in `/metrics` too.
    pub fn show_connections(&self, connections: Connections) {
        self.metrics().add(OfConnections(connections));
    }

    pub(crate) fn store(&self) -> &dyn Store {
        self.0.store.as_ref()
    }

    pub(crate) fn vault(&self) -> &Vault {
        &self.0.vault
    }

    pub(crate) fn runtime(&self) -> &Runtime {
        &self.0.runtime
    }

    pub(crate) fn repositories(&self) -> &Repositories {
        &self.0.repositories
    }

    pub(crate) fn options(&self) -> &Options {
        &self.0.options
    }

    pub(crate) fn verifier(&self) -> &Verifier {
        &self.0.verifier
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    /// See [`super::draft`].
    pub(crate) fn writes(&self) -> &RwLock<()> {
        &self.0.writes
    }

    pub(crate) fn shutdown(&self) -> &CancellationToken {
        &self.0.shutdown
    }

    pub(crate) fn started(&self) -> Instant {
        self.0.started
    }
}
