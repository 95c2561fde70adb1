//! Leases in the database. Each grant raises the epoch; a row is never removed, so an epoch is never used twice.
//!
//! ```text
//! free ── acquire ──► held at epoch n ── renew ──► held at epoch n
//!   ▲                      │
//!   └── release, expiry ───┘            (the next grant is epoch n + 1)
//! ```

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, params};

use super::writer::millis;
use crate::store::Lease;

/// Is the lease held at this epoch?
pub(super) fn is_held(connection: &Connection, name: &str, epoch: u64, now: i64) -> rusqlite::Result<bool> {
    connection
        .prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM leases WHERE name = ?1 AND epoch = ?2 AND expires_at > ?3)",
        )?
        .query_row(params![name, epoch, now], |row| row.get(0))
}

/// Takes a lease, unless somebody else holds it.
pub(super) fn acquire(
    connection: &Connection,
    name: String,
    holder: String,
    ttl: Duration,
    now: i64,
) -> rusqlite::Result<Option<Lease>> {
    let expires_at = now.saturating_add(millis(ttl));
    let epoch: Option<u64> = connection
        .prepare_cached(
            "INSERT INTO leases (name, holder, epoch, expires_at) VALUES (?1, ?2, 1, ?3)
             ON CONFLICT (name) DO UPDATE
                SET holder = excluded.holder, epoch = epoch + 1, expires_at = excluded.expires_at
                WHERE leases.holder = excluded.holder OR leases.expires_at <= ?4
             RETURNING epoch",
        )?
        .query_row(params![name, holder, expires_at, now], |row| row.get(0))
        .optional()?;
    Ok(epoch.map(|epoch| Lease { name, holder, epoch, expires_at }))
}

/// Extends a lease that was not lost.
pub(super) fn renew(
    connection: &Connection,
    lease: Lease,
    ttl: Duration,
    now: i64,
) -> rusqlite::Result<Option<Lease>> {
    let expires_at = now.saturating_add(millis(ttl));
    let renewed = connection
        .prepare_cached(
            "UPDATE leases SET expires_at = ?1 WHERE name = ?2 AND epoch = ?3 AND expires_at > ?4",
        )?
        .execute(params![expires_at, lease.name, lease.epoch, now])?;
    Ok((renewed == 1).then_some(Lease { expires_at, ..lease }))
}

/// Gives a lease back, if it is still held at its epoch.
pub(super) fn release(connection: &Connection, lease: &Lease) -> rusqlite::Result<()> {
    connection
        .prepare_cached("UPDATE leases SET expires_at = 0 WHERE name = ?1 AND epoch = ?2")?
        .execute(params![lease.name, lease.epoch])
        .map(drop)
}
