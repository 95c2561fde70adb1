//! `headend driver dev`: a driver from its work tree, running against its device or a model of it, while it is written.
//!
//! ```text
//!   files ──saved──▶ cargo build ──a program──▶ bench (store, runtime, links: the daemon's own) ◀──▶ device
//!                        │                        │ log, status, wire
//!                        └──▶ what cargo says ──▶ screen ◀── lines typed: calls
//! ```
//!
//! What runs is what the daemon runs, over a store that is gone at the end ([`mod@bench`]). A build that fails changes nothing. A new
//! program takes over as a new commit does in the daemon: the connection to the device stays up. (The model of a device is
//! part of the program, and begins anew with it.)

mod bench;
mod follow;
mod line;
mod screen;
#[cfg(test)]
mod tests;
mod watch;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use drivers_sdk_protocol::Manifest;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::{JoinHandle, JoinSet, spawn_blocking};
use tokio::time::{MissedTickBehavior, interval};

use super::{Error, Package, Result};
use bench::Bench;
use screen::{Known, Screen};
use watch::Watch;

/// How often the files are looked at.
const LOOK: Duration = Duration::from_millis(300);

/// What the driver runs against.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Its device: `host:port`, `host`, or a URI. None: the model that the package carries.
    pub connect: Option<String>,
    /// Of the module, in JSON or YAML.
    pub settings: Option<String>,
    /// As of [`emulate::Options`](super::emulate::Options).
    pub trampoline: Option<PathBuf>,
}

/// A program, and what it declares.
struct Built {
    program: PathBuf,
    manifest: Manifest,
    took: Duration,
}

type Building = JoinHandle<Result<Result<Built, String>>>;

/// Settings as they are said on a command line: a JSON object, or a file of them.
pub fn settings(said: &str) -> Result<String> {
    if said.trim_start().starts_with('{') {
        return Ok(said.to_owned());
    }
    let path = std::path::Path::new(said);
    std::fs::read_to_string(path).map_err(Error::disk(path, "read"))
}

/// Runs the driver until `quit`, the end of the input, SIGINT or SIGTERM.
pub fn dev(package: &Package, options: Options) -> Result<()> {
    let threads = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let threads = threads.map_err(Error::disk(&package.folder, "run"))?;
    let done = threads.block_on(run(package, options));
    // A build or a line that is being typed must not hold the process.
    threads.shutdown_background();
    done
}

async fn run(package: &Package, options: Options) -> Result<()> {
    crate::tls::install_provider();
    let unheard = || Error::disk(&package.folder, "run");
    let mut terminate = signal(SignalKind::terminate()).map_err(unheard())?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(unheard())?;
    let known = Known::default();
    let (screen, mut lines) = screen::open(known.clone())?;
    let mut bench: Option<Bench> = None;
    let mut watch = Watch::new(&package.workspace);
    let mut look = interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut building: Option<Building> = None;
    let mut calls = JoinSet::new();
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            typed = lines.recv() => match typed.as_deref().map(str::trim) {
                None | Some("quit" | "exit") => break,
                Some("") => {}
                Some(typed) => match &bench {
                    Some(bench) => obey(bench, &screen, &known, typed, &mut calls),
                    None => screen.say("the driver is not built yet"),
                },
            },
            _ = look.tick(), if building.is_none() => if watch.changed() {
                screen.say(&format!("building {} …", package.name));
                let package = package.clone();
                building = Some(spawn_blocking(move || build(&package, Screen::is_terminal())));
            },
            built = finished(&mut building) => {
                building = None;
                match built? {
                    Err(said) => {
                        let goes_on = if bench.is_some() { "; what ran goes on" } else { "" };
                        screen.say(&format!("{}\nnot built{goes_on}", said.trim_end()));
                    }
                    Ok(built) => load(&mut bench, built, &options, &screen, &known).await?,
                }
            }
            _ = calls.join_next(), if !calls.is_empty() => {}
        }
    }
    if let Some(bench) = bench {
        while calls.join_next().await.is_some() {}
        bench.stop().await;
    }
    Ok(())
}

/// The build that is under way, if there is one.
async fn finished(building: &mut Option<Building>) -> Result<Result<Built, String>> {
    match building {
        Some(building) => building.await.unwrap_or_else(|error| Ok(Err(error.to_string()))),
        None => std::future::pending().await,
    }
}

fn build(package: &Package, colored: bool) -> Result<Result<Built, String>> {
    let began = Instant::now();
    Ok(package.build_silently(colored)?.map(|(program, manifest)| Built {
        program,
        manifest,
        took: began.elapsed(),
    }))
}

/// Puts a program on the bench, which the first one sets up.
async fn load(
    bench: &mut Option<Bench>,
    built: Built,
    options: &Options,
    screen: &Screen,
    known: &Known,
) -> Result<()> {
    let manifest = std::sync::Arc::new(built.manifest);
    let news = match bench {
        Some(bench) => bench.load(&built.program, &manifest).await?,
        None => {
            let new = Bench::start(&built.program, &manifest, options).await?;
            follow::everything(&new, screen);
            *bench = Some(new);
            true
        }
    };
    let seconds = built.took.as_secs_f64();
    screen.say(&match news {
        true => format!("built in {seconds:.1} s; {} runs. `help` says what can be done", manifest.name),
        false => format!("built in {seconds:.1} s: the program is the same"),
    });
    known.set(manifest);
    Ok(())
}

/// Does what a line says. A call is waited for beside what else is typed.
fn obey(bench: &Bench, screen: &Screen, known: &Known, typed: &str, calls: &mut JoinSet<()>) {
    let manifest = known.get().unwrap_or_default();
    let words = match line::words(typed) {
        Ok(words) => words,
        Err(problem) => return screen.say(&problem),
    };
    let Some((first, rest)) = words.split_first() else { return };
    match (*first, rest) {
        ("help", []) => screen.say(&line::help(&manifest)),
        ("status", []) => screen.say(&bench.status()),
        ("wire", []) => screen.say(&bench.wire()),
        _ => {
            let function = manifest.functions.iter().find(|function| function.name == *first);
            let args = line::arguments(function, rest);
            let (call, screen, name) = (bench.call(first, args), screen.clone(), (*first).to_owned());
            calls.spawn(async move {
                let said = match call.await {
                    Ok(value) => format!("{name} = {value}"),
                    Err(error) => format!("{name} failed: {error}"),
                };
                screen.say(&said);
            });
        }
    }
}
