//! The built daemon under load: its data directory, the driver repository it clones, and what it costs.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use anyhow::Context;

/// The key that every daemon of the load is preset with.
pub const KEY: &str = "0123456789abcdef0123456789abcdef.bG9hZC1nZW5lcmF0b3Itb24tbG9vcGJhY2stb25seS0";

/// A running daemon; ended when dropped.
pub struct Daemon {
    child: Child,
    pub listen: String,
    pub started: Instant,
}

impl Daemon {
    /// Starts the daemon on `data`, with `site` if it is a first start.
    pub fn start(data: &Path, site: Option<&Path>) -> anyhow::Result<Daemon> {
        Daemon::with(data, site, &[])
    }

    /// The same with `options`, as environment variables.
    pub fn with(data: &Path, site: Option<&Path>, options: &[(&str, &str)]) -> anyhow::Result<Daemon> {
        let listen = free_address()?;
        let config = data.with_extension("toml");
        let site = site.map(|site| format!("[site]\nfile = {:?}\n", site)).unwrap_or_default();
        std::fs::write(&config, format!("{site}[log]\nlevel = \"warn\"\n"))?;
        let log = std::fs::OpenOptions::new().create(true).append(true).open(data.with_extension("log"))?;
        let started = Instant::now();
        let child = Command::new(env!("CARGO_BIN_EXE_headend"))
            .arg("serve")
            .arg("--config")
            .arg(&config)
            .arg("--data")
            .arg(data)
            .args(["--listen", &listen])
            .env("HEADEND_ADMIN_KEY", KEY)
            .envs(options.iter().copied())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("starting the daemon")?;
        Ok(Daemon { child, listen, started })
    }

    /// Resident memory of the daemon and its driver processes, bytes. Shared pages count for each process that maps
    /// them, so the figure errs on the high side.
    pub fn memory(&self) -> anyhow::Result<u64> {
        let daemon = self.child.id();
        let mut bytes = resident(daemon)?;
        for entry in std::fs::read_dir("/proc")? {
            let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            if parent(pid) == Some(daemon) {
                bytes += resident(pid).unwrap_or(0);
            }
        }
        Ok(bytes)
    }

    /// Ends the daemon as an operator would and waits for it.
    pub fn stop(mut self) -> anyhow::Result<()> {
        let child = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(child, rustix::process::Signal::TERM)?;
        let status = self.child.wait()?;
        anyhow::ensure!(status.success(), "the daemon ended with {status}");
        Ok(())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_address() -> anyhow::Result<String> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string())
}

fn resident(pid: u32) -> anyhow::Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    let kilobytes: u64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kilobytes * 1024)
}

fn parent(pid: u32) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

/// A git repository with the echo driver in it.
pub fn driver_repository(folder: &Path) -> anyhow::Result<PathBuf> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/echo-driver");
    std::fs::create_dir_all(folder.join("src"))?;
    for file in ["Cargo.toml", "src/main.rs"] {
        std::fs::copy(source.join(file), folder.join(file))?;
    }
    let repository = git2::Repository::init(folder)?;
    let mut index = repository.index()?;
    index.add_all(["."], git2::IndexAddOption::DEFAULT, None)?;
    let tree = repository.find_tree(index.write_tree()?)?;
    let author = git2::Signature::now("Load", "load@localhost")?;
    repository.commit(Some("HEAD"), &author, &author, "The driver under load", &tree, &[])?;
    Ok(folder.to_owned())
}

/// A site with one system, without modules yet, and the echo driver.
pub fn site(file: &Path, repository: &Path) -> anyhow::Result<()> {
    let text = format!(
        "[repositories.load]\nuri = {repository:?}\n\n[drivers.echo]\nrepository = \"load\"\nfile_name = \"Cargo.toml\"\n\
         module_name = \"Echo\"\nrole = \"device\"\n\n[systems.load]\nname = \"Load\"\nmodules = []\n"
    );
    Ok(std::fs::write(file, text)?)
}
