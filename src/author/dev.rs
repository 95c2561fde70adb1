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
use std::pin::Pin;
use std::time::{Duration, Instant};

use drivers_sdk_protocol::Manifest;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use super::scratch::End;
use super::{Error, Package, Result};
use bench::Bench;
use follow::Follow;
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

/// What runs, and is shown.
struct Running {
    bench: Bench,
    follow: Follow,
}

type Building = Pin<Box<dyn Future<Output = Result<Result<Built, String>>>>>;

/// Settings as they are said on a command line: a JSON object, or a file of them.
pub fn settings(said: &str) -> Result<String> {
    if said.trim_start().starts_with('{') {
        return Ok(said.to_owned());
    }
    let path = std::path::Path::new(said);
    std::fs::read_to_string(path).map_err(Error::disk(path, "read"))
}

/// Runs the driver until `quit`, the end of the input, or a signal to end.
pub fn dev(package: &Package, options: Options) -> Result<()> {
    let threads = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let threads = threads.map_err(Error::disk(&package.folder, "run"))?;
    let done = threads.block_on(run(package, options));
    // A line that is being typed must not hold the process.
    threads.shutdown_background();
    done
}

async fn run(package: &Package, options: Options) -> Result<()> {
    crate::tls::install_provider();
    let mut end = End::listen().map_err(Error::disk(&package.folder, "run"))?;
    let known = Known::default();
    let (screen, mut lines, _terminal) = screen::open(known.clone())?;
    let mut running: Option<Running> = None;
    let mut watch = Watch::new(&package.workspace);
    let mut look = interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut building: Option<Building> = None;
    let mut calls = JoinSet::new();
    let ended = loop {
        tokio::select! {
            () = end.told() => break false,
            typed = lines.recv() => match typed.as_deref().map(str::trim) {
                None => break true,
                Some("quit" | "exit") => break false,
                Some("") => {}
                Some(typed) => match &running {
                    Some(running) => obey(running, &screen, &known, typed, &mut calls),
                    None => screen.say("the driver is not built yet"),
                },
            },
            _ = look.tick(), if building.is_none() => if watch.changed() {
                screen.say(&format!("building {} …", package.name));
                building = Some(Box::pin(build(package.clone())));
            },
            built = finished(&mut building) => {
                building = None;
                match built? {
                    Err(said) => {
                        let goes_on = if running.is_some() { "; what ran goes on" } else { "" };
                        screen.say(&format!("{}\nnot built{goes_on}", said.trim_end()));
                    }
                    Ok(built) => load(&mut running, built, &options, &screen, &known).await?,
                }
            }
            _ = calls.join_next(), if !calls.is_empty() => {}
        }
    };
    if let Some(Running { bench, follow }) = running {
        // Lines that come from a program or a file are all answered; a person who leaves waits for nothing.
        while ended && !Screen::is_terminal() && !calls.is_empty() {
            tokio::select! {
                () = end.told() => break,
                _ = calls.join_next() => {}
            }
        }
        drop(follow);
        bench.stop().await;
    }
    Ok(())
}

/// The build that is under way, if there is one.
async fn finished(building: &mut Option<Building>) -> Result<Result<Built, String>> {
    match building {
        Some(building) => building.await,
        None => std::future::pending().await,
    }
}

async fn build(package: Package) -> Result<Result<Built, String>> {
    let began = Instant::now();
    let built = package.build_silently(Screen::is_terminal()).await?;
    Ok(built.map(|(program, manifest)| Built { program, manifest, took: began.elapsed() }))
}

/// Puts a program on the bench, which the first one sets up.
async fn load(
    running: &mut Option<Running>,
    built: Built,
    options: &Options,
    screen: &Screen,
    known: &Known,
) -> Result<()> {
    let Built { program, manifest, took } = built;
    let manifest = std::sync::Arc::new(manifest);
    let (seconds, name) = (took.as_secs_f64(), &manifest.name);
    let runs = format!("built in {seconds:.1} s; {name} runs. `help` says what can be done");
    known.set(manifest.clone());
    match running {
        Some(running) => screen.say(&match running.bench.load(&program, &manifest).await? {
            true => runs,
            false => format!("built in {seconds:.1} s: the program is the same"),
        }),
        None => {
            let bench = Bench::start(&program, &manifest, options).await?;
            screen.say(&runs);
            let follow = Follow::everything(&bench, screen);
            *running = Some(Running { bench, follow });
        }
    }
    Ok(())
}

/// Does what a line says. A call is waited for beside what else is typed.
fn obey(running: &Running, screen: &Screen, known: &Known, typed: &str, calls: &mut JoinSet<()>) {
    let manifest = known.get().unwrap_or_default();
    let words = match line::words(typed) {
        Ok(words) => words,
        Err(problem) => return screen.say(&problem),
    };
    let Some((first, rest)) = words.split_first() else { return };
    let Running { bench, follow } = running;
    match (*first, rest) {
        ("help", []) => screen.say(&line::help(&manifest)),
        ("status", []) => screen.say(&bench.status()),
        ("wire", []) => screen.say(&bench.wire()),
        ("wire", ["on" | "off"]) => follow.show_wire(rest == ["on"]),
        _ => {
            let Some(function) = manifest.functions.iter().find(|function| function.name == *first) else {
                return screen.say(&format!("there is no function {first}: `help` says what there is"));
            };
            let args = line::arguments(Some(function), rest);
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
