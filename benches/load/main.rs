//! A load against the built daemon on loopback, in ratios to a raw loopback echo measured in the same run.
//!
//!     cargo bench --bench load                  # everything, about five minutes
//!     cargo bench --bench load -- exec          # calls only
//!     cargo bench --bench load -- start 1000    # start-up and memory of 1 000 modules
//!     cargo bench --bench load -- recorder      # calls with the flight recorders, beside calls without
//!
//! The path of a call: WebSocket → daemon → driver process → daemon → TCP echo device, and back. The device, the
//! clients and the daemon share the machine's cores, so absolute figures are a floor.

#![allow(clippy::expect_used, clippy::indexing_slicing, unreachable_pub)] // a program for developers: it may stop where it stands

mod admin;
mod daemon;
mod device;
mod figures;
mod sessions;

use std::path::Path;
use std::time::{Duration, Instant};

use admin::Admin;
use daemon::{Daemon, KEY};
use device::Echo;
use figures::{figure, report};

const WARM_UP: Duration = Duration::from_secs(1);
const SPAN: Duration = Duration::from_secs(5);
/// What a start leaves to be freed or flushed is not the cost of an idle module.
const SETTLE: Duration = Duration::from_secs(3);
/// Pairs of measurements of which the middle one counts.
const ROUNDS: usize = 7;
const START_LIMIT: Duration = Duration::from_secs(120);
const BUILD_LIMIT: Duration = Duration::from_secs(900);

fn main() -> anyhow::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    // reqwest wants a TLS provider even to speak plain HTTP.
    headend::tls::install_provider();
    let folder = tempfile::tempdir()?;
    let data = folder.path().join("data");
    let echo = Echo::start()?;
    runtime.block_on(async {
        let base = first_start(folder.path(), &data).await?;
        let bench = Bench { data: &data, echo: &echo, base };
        match words.as_slice() {
            [] => {
                bench.exec().await?;
                bench.recorder().await?;
                bench.starts(&[100, 1000, 5000]).await
            }
            ["exec"] => bench.exec().await,
            ["recorder"] => bench.recorder().await,
            ["start", counts @ ..] => {
                let counts: Result<Vec<usize>, _> = counts.iter().map(|count| count.parse()).collect();
                bench.starts(&counts?).await
            }
            other => anyhow::bail!("expected nothing, `exec`, `recorder`, or `start COUNT …`, not {other:?}"),
        }
    })
}

struct Bench<'a> {
    data: &'a Path,
    echo: &'a Echo,
    /// Memory of the daemon without modules, bytes.
    base: u64,
}

impl Bench<'_> {
    /// A daemon whose system has `modules` modules or more, and that system; made before, or now.
    async fn daemon(&self, modules: usize) -> anyhow::Result<(Daemon, String)> {
        self.daemon_with(modules, &[]).await
    }

    async fn daemon_with(
        &self,
        modules: usize,
        options: &[(&str, &str)],
    ) -> anyhow::Result<(Daemon, String)> {
        let daemon = Daemon::with(self.data, None, options)?;
        let system = Admin::new(&daemon.listen).grow(modules, self.echo.address).await?;
        self.echo.reaches(modules, Instant::now(), START_LIMIT).await?;
        Ok((daemon, system))
    }

    async fn stop(&self, daemon: Daemon) -> anyhow::Result<()> {
        daemon.stop()?;
        self.echo.reaches(0, Instant::now(), START_LIMIT).await?;
        Ok(())
    }

    async fn exec(&self) -> anyhow::Result<()> {
        let modules = 100;
        let (daemon, system) = self.daemon(modules).await?;
        let load =
            |modules, sessions, span| sessions::load(&daemon.listen, KEY, &system, modules, sessions, span);

        load(modules, 4, WARM_UP).await?;
        let raw = device::raw(self.echo.address, 1, SPAN).await?;
        let one = load(1, 1, SPAN).await?;
        let ratio = one.quantile(0.5) / raw.quantile(0.5);
        figure("raw echo, 1 in flight: p50", format!("{:.0} µs", raw.quantile(0.5)));
        report(
            "exec, 1 in flight: p50 (p99), to raw",
            format!("{:.0} µs ({:.0} µs), {ratio:.1} ×", one.quantile(0.5), one.quantile(0.99)),
            "≤ 4 ×",
            ratio <= 4.0,
        );

        let raw = device::raw(self.echo.address, modules, SPAN).await?;
        figure("raw echo, 100 in flight: rate", format!("{:.0}/s", raw.rate()));
        for sessions in [1, 4] {
            let many = load(modules, sessions, SPAN).await?;
            let (rate, p99) = (many.rate(), many.quantile(0.99) / 1e3);
            report(
                &format!("exec, 100 modules, {sessions} session(s): rate, p99, to raw"),
                format!("{rate:.0}/s, {p99:.1} ms, {:.2} ×", rate / raw.rate()),
                "≥ 40 000/s, < 10 ms",
                rate >= 40_000.0 && p99 < 10.0,
            );
        }
        self.stop(daemon).await
    }

    /// With the recorders and without by turns, so that whatever else the machine does befalls both. Every other round begins
    /// with those without.
    async fn recorder(&self) -> anyhow::Result<()> {
        let modules = 100;
        let (mut with, mut without) = (Vec::new(), Vec::new());
        for round in 0..ROUNDS {
            for recorded in [round % 2 == 0, round % 2 != 0] {
                let bytes = if recorded { "65536" } else { "0" };
                let options = [("HEADEND_CONNECTIONS_RECORDER_BYTES", bytes)];
                let (daemon, system) = self.daemon_with(modules, &options).await?;
                // Longer than it takes to fill the rings.
                sessions::load(&daemon.listen, KEY, &system, modules, 1, 2 * WARM_UP).await?;
                let rate = sessions::load(&daemon.listen, KEY, &system, modules, 1, SPAN).await?.rate();
                if recorded {
                    with.push(rate)
                } else {
                    without.push(rate)
                }
                self.stop(daemon).await?;
            }
        }
        let ratios: Vec<f64> = with.iter().zip(&without).map(|(with, without)| with / without).collect();
        let (with, without, ratio) = (median(with), median(without), median(ratios));
        figure("exec, 100 modules, without recorders: rate", format!("{without:.0}/s"));
        report(
            "exec, 100 modules, with recorders: rate, to without",
            format!("{with:.0}/s, {ratio:.3} ×"),
            "≥ 0.97 ×",
            ratio >= 0.97,
        );
        Ok(())
    }

    async fn starts(&self, counts: &[usize]) -> anyhow::Result<()> {
        for &modules in counts {
            let (first, _) = self.daemon(modules).await?;
            self.stop(first).await?;

            let daemon = Daemon::start(self.data, None)?;
            let took = self.echo.reaches(modules, daemon.started, START_LIMIT).await?.as_secs_f64();
            let aim = if modules <= 1000 { ("≤ 1 s", 1.0) } else { ("≤ 2 s", 2.0) };
            let name = format!("{modules} modules, from serve to all connected");
            report(&name, format!("{took:.2} s"), aim.0, took <= aim.1);
            tokio::time::sleep(SETTLE).await;
            let each = daemon.memory()?.saturating_sub(self.base) as f64 / modules as f64 / 1024.0;
            let name = format!("{modules} idle modules: memory each, both processes");
            report(&name, format!("{each:.1} KiB"), "≤ 16 KiB", each <= 16.0);
            self.stop(daemon).await?;
        }
        Ok(())
    }
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Builds the driver once, as a first start does; returns what the daemon without modules takes, bytes.
async fn first_start(folder: &Path, data: &Path) -> anyhow::Result<u64> {
    let repository = daemon::driver_repository(&folder.join("drivers"))?;
    let site = folder.join("site.toml");
    daemon::site(&site, &repository)?;
    let daemon = Daemon::start(data, Some(&site))?;
    Admin::new(&daemon.listen).compiled(BUILD_LIMIT).await?;
    figure(
        "first start, with the driver's build",
        format!("{:.0} s", daemon.started.elapsed().as_secs_f64()),
    );
    tokio::time::sleep(SETTLE).await;
    let base = daemon.memory()?;
    figure("no modules: memory of the daemon", format!("{:.1} MiB", base as f64 / 1048576.0));
    daemon.stop()?;
    Ok(base)
}
