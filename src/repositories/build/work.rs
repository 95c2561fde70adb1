//! A worker: takes jobs from the queue until none waits. Blocks; has a slot of its own.
//!
//! Jobs of one repository and commit share a checkout, and those of one workspace a run of cargo. If such a run fails,
//! each driver that it did not bring is built by itself, so that its error is its own.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use drivers_sdk_protocol::Manifest;

use super::super::packages::Package;
use super::cargo::{self, News};
use super::error::{Error, Kind};
use super::job::Job;
use super::process::{self, End, Limits, Stream};
use super::slot::Slot;
use super::{Artifact, REMEMBERED, Shared, sdk};

/// Largest manifest that a driver may print, bytes.
const LARGEST_MANIFEST: usize = 4 << 20;
/// Most that a driver's complaint may say in an error, bytes.
const LARGEST_COMPLAINT: usize = 4 << 10;

/// How long a worker that was just started waits for more jobs of its first batch.
const GATHER: Duration = Duration::from_millis(100);

pub(super) fn run(shared: &Shared, slot: usize) {
    super::slot::wait(GATHER);
    while let Some(batch) = next(shared, slot) {
        // Whatever happens in between, nobody waits for ever.
        let worked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| work(shared, slot, &batch)));
        let why = match worked {
            Ok(Ok(())) => Error::new(Kind::Stopped, "the build was left without a result"),
            Ok(Err(error)) => error,
            Err(_) => {
                Error::new(Kind::Stopped, "the build broke off by a fault in the daemon; its log has more")
            }
        };
        for job in &batch {
            if !job.has_ended() {
                end(job, Err(why.clone()));
            }
        }
        let mut jobs = shared.jobs.lock();
        jobs.running.retain(|job| !job.has_ended());
        jobs.ended.extend(batch);
        let over = jobs.ended.len().saturating_sub(REMEMBERED);
        jobs.ended.drain(..over);
    }
}

/// The oldest job, and all others of its repository and commit; None ends the worker.
fn next(shared: &Shared, slot: usize) -> Option<Vec<Arc<Job>>> {
    let mut jobs = shared.jobs.lock();
    if shared.stop.is_cancelled() {
        for job in jobs.waiting.drain(..) {
            job.end(Err(Error::new(Kind::Stopped, super::super::Error::Stopped.to_string())));
        }
    }
    let Some(first) = jobs.waiting.front().cloned() else {
        // Under the lock, so that a job that comes now finds no worker and gets one.
        jobs.workers.retain(|worker| *worker != slot);
        return None;
    };
    let alike =
        |job: &Arc<Job>| job.key.repository == first.key.repository && job.key.commit == first.key.commit;
    let (batch, waiting): (Vec<_>, Vec<_>) = jobs.waiting.drain(..).partition(alike);
    jobs.waiting = waiting.into();
    jobs.running.extend(batch.iter().cloned());
    Some(batch)
}

fn end(job: &Job, result: Result<Artifact, Error>) {
    let key = &job.key;
    match &result {
        Ok(_) => {
            tracing::info!(repository = key.repository, driver = key.file_name, commit = key.commit, "built")
        }
        Err(error) => {
            tracing::warn!(repository = key.repository, driver = key.file_name, commit = key.commit, %error, "build failed");
        }
    }
    job.end(result);
}

fn work(shared: &Shared, slot: usize, batch: &[Arc<Job>]) -> Result<(), Error> {
    let Some(first) = batch.first() else { return Ok(()) };
    batch.iter().for_each(|job| job.start());
    tracing::info!(
        repository = first.key.repository,
        commit = first.key.commit,
        drivers = batch.len(),
        slot,
        "building"
    );
    let sdk = sdk::unpack(&shared.root)?;
    let slot = Slot::take(&shared.root, slot, &shared.stop)?;
    let reader = first.place.open()?;
    slot.check_out(&reader, &first.key.commit, shared.options.target_bytes)?;
    let mut groups: BTreeMap<Option<&str>, Vec<&Arc<Job>>> = BTreeMap::new();
    let mut alone = Vec::new();
    for job in batch {
        if let Err(error) = check_sdk(&job.package) {
            end(job, Err(error));
            continue;
        }
        slot.fence(&job.package)?;
        match job.package.workspace.as_deref() {
            Some(workspace) => groups.entry(Some(workspace)).or_default().push(job),
            None => alone.push(vec![job]),
        }
    }
    for group in groups.into_values().chain(alone) {
        let rest = build(shared, &slot, &sdk, &group, group.len() > 1);
        for job in rest {
            build(shared, &slot, &sdk, &[job], false);
        }
    }
    Ok(())
}

/// Cargo asks the registry for a version that the daemon does not carry: somebody else's crate of that name.
fn check_sdk(package: &Package) -> Result<(), Error> {
    let (Some(wanted), Some(carried)) = (&package.sdk, sdk::version()) else { return Ok(()) };
    match semver::VersionReq::parse(wanted) {
        Ok(requirement) if requirement.matches(&carried) => Ok(()),
        Ok(_) => Err(Error::new(
            Kind::Compile,
            format!(
                "{} asks for drivers-sdk {wanted:?}, and this daemon carries {carried}. Ask for a version that allows {carried}, or use \
                 a daemon that carries it",
                package.file_name
            ),
        )),
        Err(error) => Err(Error::new(
            Kind::Compile,
            format!("{} asks for drivers-sdk {wanted:?}, which is no version: {error}", package.file_name),
        )),
    }
}

/// Builds jobs in one run of cargo and ends those it can. With `again`, those that failed are given back.
fn build<'a>(
    shared: &Shared,
    slot: &Slot,
    sdk: &Path,
    group: &[&'a Arc<Job>],
    again: bool,
) -> Vec<&'a Arc<Job>> {
    let packages: Vec<_> = group.iter().map(|job| &job.package).collect();
    let outcome = cargo::build(slot, sdk, &packages, &shared.options, &shared.stop, |news| match news {
        News::Line(line) => {
            tracing::debug!(repository = group.first().map(|job| job.key.repository.as_str()), "{line}");
            group.iter().for_each(|job| job.heard(line));
        }
        // Whoever waits for this one need not wait for the others.
        News::Built { manifest, binary, executable, output } => {
            let of = |job: &&&Arc<Job>| {
                slot.source().join(&job.package.file_name) == manifest && job.package.binary == binary
            };
            if let Some(job) = group.iter().find(of) {
                let kept = keep(shared, slot, job, &executable, output);
                end(job, kept.map_err(|error| named(error, job)));
            }
        }
    });
    let mut rest = Vec::new();
    for job in group.iter().copied().filter(|job| !job.has_ended()) {
        let error = match &outcome.failure {
            // What ended one run of many ends the next: only the compiler's verdict is each driver's own.
            Some(error) if again && error.kind == Kind::Compile => {
                rest.push(job);
                continue;
            }
            Some(error) => error.clone(),
            None => Error {
                kind: Kind::Compile,
                message: format!("cargo built no program {:?}", job.package.binary),
                output: outcome.output.clone(),
            },
        };
        end(job, Err(named(error, job)));
    }
    rest
}

/// Says which driver an error is about.
fn named(error: Error, job: &Job) -> Error {
    let short = job.key.commit.get(..8).unwrap_or(&job.key.commit);
    let message = format!("driver {} at commit {short}: {}", job.key.file_name, error.message);
    Error { message, ..error }
}

/// Asks the program for its manifest and puts both on the shelf.
fn keep(shared: &Shared, slot: &Slot, job: &Job, executable: &Path, output: &str) -> Result<Artifact, Error> {
    job.heard("reading the manifest");
    let manifest = manifest(shared, slot, executable).map_err(|mut error| {
        error.output = output.to_owned();
        error
    })?;
    let Job { key, .. } = job;
    shared.shelf.store(
        &key.repository,
        &key.file_name,
        &key.commit,
        executable,
        &manifest,
        output.as_bytes(),
    )?;
    shared
        .shelf
        .find(&key.repository, &key.file_name, &key.commit)
        .ok_or_else(|| Error::new(Kind::Disk, "the artifact was written, and cannot be read back"))
}

/// What `DRIVER --manifest` prints, checked.
fn manifest(shared: &Shared, slot: &Slot, executable: &Path) -> Result<Vec<u8>, Error> {
    let bad =
        |why: String| Error::new(Kind::Manifest, format!("it was built, but its manifest is no good: {why}"));
    let mut command = Command::new(executable);
    command.arg("--manifest").env_clear().current_dir(slot.target());
    let time = Duration::from_millis(shared.options.manifest_ms);
    let limits = Limits { time, memory: shared.options.build_memory_bytes };
    let (mut printed, mut complaint) = (Vec::new(), Vec::new());
    let end = process::run(command, &limits, &shared.stop, |stream, bytes| {
        let (buffer, limit) = match stream {
            Stream::Output => (&mut printed, LARGEST_MANIFEST + 1),
            Stream::Error => (&mut complaint, LARGEST_COMPLAINT),
        };
        let room = limit.saturating_sub(buffer.len()).min(bytes.len());
        buffer.extend_from_slice(bytes.get(..room).unwrap_or_default());
    });
    let said = match String::from_utf8_lossy(&complaint).trim() {
        "" => String::new(),
        said => format!(". It said: {said}"),
    };
    match end {
        Ok(End::Exited(status)) if status.success() => {}
        Ok(End::Exited(status)) => return Err(bad(format!("`--manifest` ended with {status}{said}"))),
        Ok(End::TimedOut) => {
            return Err(bad(format!("`--manifest` did not end within {} s{said}", time.as_secs())));
        }
        Ok(End::Stopped) => return Err(Error::new(Kind::Stopped, super::super::Error::Stopped.to_string())),
        Err(error) => return Err(bad(format!("the program could not be run: {error}"))),
    }
    if printed.len() > LARGEST_MANIFEST {
        return Err(bad(format!("it has more than {} MiB", LARGEST_MANIFEST >> 20)));
    }
    let manifest: Manifest =
        serde_json::from_slice(&printed).map_err(|error| bad(format!("{error}{said}")))?;
    if manifest.manifest != 1 {
        let version = manifest.manifest;
        return Err(bad(format!(
            "it is of version {version}, and this daemon knows version 1. Use a newer daemon"
        )));
    }
    if manifest.name.is_empty() || manifest.module.is_empty() {
        return Err(bad("it gives no name or no module name".to_owned()));
    }
    Ok(printed)
}
