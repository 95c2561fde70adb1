//! What every number in the configuration may be.

use toml::{Table, Value};

use super::{
    Config, Error,
    file::{Document, Located},
    overrides::Overrides,
};

/// Milliseconds.
const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
/// Bytes.
const KIB: i64 = 1024;
const MIB: i64 = 1024 * KIB;
const GIB: i64 = 1024 * MIB;
const TIB: i64 = 1024 * GIB;

/// Section, key, least, most. Every whole number in the configuration has its row: a test sees to it.
#[rustfmt::skip]
pub(super) const RANGES: &[(&str, &str, i64, i64)] = &[
    ("server", "worker_threads", 0, 512),

    ("connections", "connect_timeout_ms", 100, 10 * MINUTE),
    ("connections", "address_stagger_ms", 10, MINUTE),
    ("connections", "dns_timeout_ms", 100, 10 * MINUTE),
    ("connections", "dns_concurrency", 1, 1_000),
    ("connections", "retry_budget_per_second", 1, 100_000),
    ("connections", "retry_min_ms", 10, HOUR),
    ("connections", "retry_jitter_ms", 0, HOUR),
    ("connections", "retry_first_ms", 0, HOUR),
    ("connections", "retry_first_jitter_ms", 0, HOUR),
    ("connections", "retry_cap_ms", 100, HOUR),
    ("connections", "stable_ms", 0, HOUR),
    ("connections", "asked_min_ms", 0, MINUTE),
    ("connections", "refused_pause_ms", 0, HOUR),
    ("connections", "first_attempts", 1, 100_000),
    ("connections", "first_attempt_hold_ms", 1, MINUTE),
    ("connections", "keepalive_idle_ms", 0, HOUR),
    ("connections", "keepalive_interval_ms", 1_000, HOUR),
    ("connections", "keepalive_count", 1, 100),
    ("connections", "user_timeout_ms", 0, HOUR),
    ("connections", "bus_turn_ms", 100, 600_000),
    ("connections", "bus_settle_ms", 0, 60_000),
    ("connections", "queue_bytes", 4 * KIB, GIB),
    ("connections", "read_bytes", 512, 16 * MIB),
    ("connections", "recorder_bytes", 0, GIB),

    ("builds", "fetch_ms", 1_000, DAY),
    ("builds", "connect_ms", 100, 10 * MINUTE),
    ("builds", "silence_ms", 1_000, HOUR),
    ("builds", "fetch_bytes", MIB, TIB),
    ("builds", "builds", 1, 64),
    ("builds", "build_ms", 10_000, DAY),
    ("builds", "build_memory_bytes", 0, TIB),
    ("builds", "target_bytes", 0, TIB),
    ("builds", "build_jobs", 0, 512),
    ("builds", "manifest_ms", 100, 10 * MINUTE),
    ("builds", "output_bytes", KIB, 64 * MIB),

    ("drivers", "exec_timeout_ms", 10, DAY),
    ("drivers", "exec_timeout_max_ms", 10, DAY),
    ("drivers", "status_window_ms", 0, MINUTE),
    ("drivers", "log_lines", 0, 100_000),
    ("drivers", "log_backlog", 1, 1_000_000),
    ("drivers", "log_line_bytes", 80, MIB),
    ("drivers", "process_start_ms", 100, 10 * MINUTE),
    ("drivers", "ping_interval_ms", 100, 10 * MINUTE),
    ("drivers", "hung_ms", 500, HOUR),
    ("drivers", "stop_grace_ms", 0, MINUTE),
    ("drivers", "restart_ms", 10, HOUR),
    ("drivers", "restart_max_ms", 10, DAY),
    ("drivers", "restart_reset_ms", 0, DAY),
    ("drivers", "quarantine_processes", 1, 10_000),
    ("drivers", "stderr_lines", 0, 10_000),
    ("drivers", "process_memory_bytes", 0, TIB),
    ("drivers", "process_files", 0, 1_000_000),
    ("drivers", "received_bytes", 4 * KIB, GIB),
    ("drivers", "received_window_bytes", KIB, GIB),
    ("drivers", "held_bytes", 0, GIB),
    ("drivers", "channel_bytes", MIB, 16 * GIB),
    ("drivers", "calls_in_flight", 1, 1_000_000),
    ("drivers", "fetch_retry_ms", 100, DAY),
    ("drivers", "fetch_retry_max_ms", 100, DAY),
    ("drivers", "shutdown_ms", 100, 8_000),

    ("api", "max_body_bytes", KIB, GIB),
    ("api", "header_timeout_ms", 100, 10 * MINUTE),
    ("api", "body_timeout_ms", 100, HOUR),
    ("api", "exec_timeout_ms", 10, DAY),
    ("api", "settle_timeout_ms", 0, 10 * MINUTE),
    ("api", "pull_timeout_ms", 100, HOUR),
    ("api", "compile_timeout_ms", 100, DAY),
    ("api", "shutdown_ms", 0, 8_000),
    ("api", "socket_message_bytes", KIB, GIB),
    ("api", "socket_in_flight", 1, 1_000_000),
    ("api", "socket_bindings", 1, 10_000_000),
    ("api", "socket_debugs", 0, 100_000),
    ("api", "socket_stall_ms", 100, HOUR),
    ("api", "socket_recheck_ms", 100, HOUR),
    ("api", "socket_pong_ms", 100, HOUR),
];

/// Refuses a number outside its range, with the place it was read from.
pub(super) fn check(config: &Config, document: &Document<'_>, overrides: &Overrides) -> Result<(), Error> {
    let table = Table::try_from(config)
        .map_err(|cause| Error::Refused(Located { place: String::new(), message: cause.to_string() }))?;
    for (section, key, least, most) in RANGES {
        let Some(Value::Integer(value)) = table.get(*section).and_then(|options| options.get(*key)) else {
            continue;
        };
        if !(least..=most).contains(&value) {
            let place = overrides
                .origin(&table, section, key)
                .map(str::to_owned)
                .or_else(|| document.place(section, key))
                .unwrap_or_default();
            let message = format!("{section}.{key} is {value}: expected {least} to {most}");
            return Err(Error::Refused(Located { place, message }));
        }
    }
    Ok(())
}
