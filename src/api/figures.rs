//! What other components count, as Prometheus reads it: asked for when it is read, not copied before.

use std::fmt;

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric, NoLabelSet},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
};

use crate::{
    connections::{Connections, Reason},
    runtime::{Runtime, metrics::LATENCY_BOUNDS_US},
};

/// The runtime's figures.
pub(super) struct OfRuntime(pub(super) Runtime);

/// Those of the links to devices.
pub(super) struct OfConnections(pub(super) Connections);

impl fmt::Debug for OfRuntime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OfRuntime")
    }
}

impl fmt::Debug for OfConnections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OfConnections")
    }
}

fn counter(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: u64) -> fmt::Result {
    ConstCounter::new(value).encode(encoder.encode_descriptor(name, help, None, MetricType::Counter)?)
}

fn gauge(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: u64) -> fmt::Result {
    let value = i64::try_from(value).unwrap_or(i64::MAX);
    ConstGauge::new(value).encode(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)
}

impl Collector for OfRuntime {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let now = self.0.metrics();
        for (name, help, value) in [
            ("driver_processes_started", "Driver processes started", now.processes_started),
            ("driver_processes_failed", "Driver processes that ended untold", now.processes_failed),
            ("modules_started", "Modules started", now.modules_started),
            ("modules_failed", "Modules that failed, or went down with their process", now.modules_failed),
            ("status_changes", "Status values published", now.status_changes),
            ("execs_done", "Calls that returned", now.execs_done),
            ("execs_failed", "Calls that failed", now.execs_failed),
            ("execs_late", "Calls that were not answered in time", now.execs_late),
        ] {
            counter(&mut encoder, name, help, value)?;
        }
        let running = self.0.processes().iter().filter(|process| process.pid.is_some()).count();
        gauge(&mut encoder, "driver_processes", "Driver processes that run", running as u64)?;
        let bounds = LATENCY_BOUNDS_US.iter().map(|micros| *micros as f64 / 1e6).chain([f64::INFINITY]);
        let buckets: Vec<(f64, u64)> = bounds.zip(now.exec_buckets.iter().copied()).collect();
        let count = now.exec_buckets.iter().sum();
        let help = "Time that calls took, in and out of the driver process";
        encoder
            .encode_descriptor("exec_seconds", help, None, MetricType::Histogram)?
            .encode_histogram::<NoLabelSet>(now.exec_us as f64 / 1e6, count, &buckets, None)
    }
}

impl Collector for OfConnections {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let now = self.0.metrics();
        for (name, help, value) in [
            ("link_attempts", "Attempts to connect to a device", now.attempts),
            ("link_connects", "Attempts that succeeded", now.connects),
            ("link_received_bytes", "Bytes from devices", now.bytes_in),
            ("link_sent_bytes", "Bytes to devices", now.bytes_out),
            (
                "link_refused_transmits",
                "Transmits refused because a link's queue was full",
                now.refused_transmits,
            ),
            (
                "link_dropped_datagrams",
                "Datagrams from devices that their modules took too slowly",
                now.dropped_datagrams,
            ),
        ] {
            counter(&mut encoder, name, help, value)?;
        }
        let help = "Links to devices, by what they are doing";
        let mut states = encoder.encode_descriptor("links", help, None, MetricType::Gauge)?;
        for (state, count) in
            [("idle", now.idle), ("connecting", now.connecting), ("up", now.up), ("down", now.down)]
        {
            let count = ConstGauge::new(i64::try_from(count).unwrap_or(i64::MAX));
            count.encode(states.encode_family(&[("state", state)])?)?;
        }
        by_reason(&mut encoder, "link_failures", "Attempts that failed, by reason", &now.failures)?;
        by_reason(&mut encoder, "link_losses", "Connections that were lost, by reason", &now.losses)
    }
}

fn by_reason(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    counts: &[(Reason, u64)],
) -> fmt::Result {
    if counts.is_empty() {
        return Ok(());
    }
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
    for (reason, count) in counts {
        ConstCounter::new(*count).encode(family.encode_family(&[("reason", reason.as_str())])?)?;
    }
    Ok(())
}
