//! What the API counts, and the text that Prometheus reads.

use std::{
    sync::atomic::{AtomicI64, AtomicU64},
    time::Duration,
};

use axum::http::{Method, StatusCode};
use parking_lot::Mutex;
use prometheus_client::{
    collector::Collector,
    encoding::{EncodeLabelSet, text},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

/// The counters of the API, and the registry that holds them.
pub(crate) struct Metrics {
    registry: Mutex<Registry>,
    requests: Family<Labels, Counter<u64, AtomicU64>>,
    seconds: Histogram,
    pub(crate) sessions: Gauge<i64, AtomicI64>,
    pub(crate) frames_in: Counter,
    pub(crate) frames_out: Counter,
    pub(crate) stalled: Counter,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    method: &'static str,
    status: u16,
}

impl Default for Metrics {
    fn default() -> Self {
        let metrics = Metrics {
            registry: Mutex::new(Registry::with_prefix("headend")),
            requests: Family::default(),
            seconds: Histogram::new([0.000_5, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0]),
            sessions: Gauge::default(),
            frames_in: Counter::default(),
            frames_out: Counter::default(),
            stalled: Counter::default(),
        };
        {
            let mut registry = metrics.registry.lock();
            registry.register("api_requests", "Requests answered", metrics.requests.clone());
            registry.register("api_request_seconds", "Time to answer a request", metrics.seconds.clone());
            registry.register("control_sessions", "Open control WebSockets", metrics.sessions.clone());
            registry.register(
                "control_frames_in",
                "Frames from WebSocket clients",
                metrics.frames_in.clone(),
            );
            registry.register(
                "control_frames_out",
                "Frames to WebSocket clients",
                metrics.frames_out.clone(),
            );
            registry.register("control_stalled", "Clients that stopped reading", metrics.stalled.clone());
        }
        metrics
    }
}

impl Metrics {
    /// A request was answered.
    pub(crate) fn request(&self, method: &Method, status: StatusCode, time: Duration) {
        let method = match *method {
            Method::GET => "GET",
            Method::POST => "POST",
            Method::PUT => "PUT",
            Method::PATCH => "PATCH",
            Method::DELETE => "DELETE",
            Method::HEAD => "HEAD",
            _ => "other",
        };
        self.requests.get_or_create(&Labels { method, status: status.as_u16() }).inc();
        self.seconds.observe(time.as_secs_f64());
    }

    /// Adds what another component counts.
    pub(crate) fn add(&self, figures: impl Collector) {
        self.registry.lock().register_collector(Box::new(figures));
    }

    /// The text that Prometheus reads.
    pub(crate) fn encode(&self) -> Result<String, std::fmt::Error> {
        let mut out = String::new();
        text::encode(&mut out, &self.registry.lock())?;
        Ok(out)
    }
}
