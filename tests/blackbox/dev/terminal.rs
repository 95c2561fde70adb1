//! `headend driver dev` at a terminal, with a driver of the examples and its model of the device: keys are typed, and what the
//! terminal would show is read.

use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};

use super::{PATIENCE as BUILD, package};
use crate::support::{PATIENCE, authors_target, processes};

struct Terminal {
    child: Child,
    /// The other side of the terminal.
    keyboard: File,
    /// What is held on to, to look at the terminal's modes.
    inside: File,
    modes: LocalModes,
    /// All that was shown, without what moves the cursor.
    shown: Arc<Mutex<String>>,
    seen: usize,
}

/// What is text in what is written to a terminal.
fn text(written: &[u8]) -> String {
    let written = String::from_utf8_lossy(written);
    let mut pieces = written.split("\x1b[");
    let first = pieces.next().unwrap_or_default().to_owned();
    let rest = pieces.map(|piece| {
        let end = piece.find(|char: char| char.is_ascii_alphabetic()).map_or(piece.len(), |at| at + 1);
        &piece[end..]
    });
    rest.fold(first, |text, piece| text + piece).replace('\r', "")
}

impl Terminal {
    fn start(folder: &Path, temporary: &Path) -> Terminal {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        let inside = OpenOptions::new().read(true).write(true).open(name.to_str().unwrap()).unwrap();
        tcsetwinsize(&inside, Winsize { ws_row: 24, ws_col: 200, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
        let modes = tcgetattr(&inside).unwrap().local_modes;
        let io = || Stdio::from(inside.try_clone().unwrap());
        // In a session of its own, whose terminal this is.
        let mut command = Command::new("setsid");
        command.arg("--ctty").arg(env!("CARGO_BIN_EXE_headend")).args(["driver", "dev"]).arg(folder);
        command.arg("--emulate").env("CARGO_TARGET_DIR", authors_target()).env("TMPDIR", temporary);
        command.env("CARGO_INCREMENTAL", "0");
        command.env("TERM", "xterm").stdin(io()).stdout(io()).stderr(io());
        let child = command.spawn().unwrap();
        let keyboard = File::from(master);
        let (mut screen, shown) = (keyboard.try_clone().unwrap(), Arc::new(Mutex::new(String::new())));
        let all = shown.clone();
        std::thread::spawn(move || {
            let (mut written, mut buffer) = (Vec::new(), [0; 4096]);
            while let Some(length) = screen.read(&mut buffer).ok().filter(|length| *length > 0) {
                written.extend_from_slice(&buffer[..length]);
                *all.lock() = text(&written);
            }
        });
        Terminal { child, keyboard, inside, modes, shown, seen: 0 }
    }

    fn types(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits until this is shown, after what was waited for before.
    fn shows(&mut self, wanted: &str) {
        self.shows_within(PATIENCE, wanted);
    }

    fn shows_within(&mut self, patience: Duration, wanted: &str) {
        let began = Instant::now();
        loop {
            let shown = self.shown.lock().clone();
            if let Some(at) = shown.get(self.seen..).and_then(|rest| rest.find(wanted)) {
                self.seen += at + wanted.len();
                return;
            }
            assert!(began.elapsed() < patience, "{wanted:?} is not shown:\n{}", &shown[self.seen..]);
            std::thread::park_timeout(Duration::from_millis(20));
        }
    }

    /// Waits until this has been shown, whenever.
    fn has_shown(&mut self, wanted: &str) {
        if !self.shown.lock().contains(wanted) {
            self.shows(wanted);
        }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for the end, after which the terminal is as it was before.
    fn ends(mut self) -> (ExitStatus, String) {
        let began = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(began.elapsed() < PATIENCE, "it goes on:\n{}", self.shown.lock());
            std::thread::park_timeout(Duration::from_millis(20));
        };
        assert_eq!(tcgetattr(&self.inside).unwrap().local_modes, self.modes);
        let shown = self.shown.lock().clone();
        (status, shown)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until there is no process left that has something to do with these folders.
fn nothing_runs(folder: &Path, temporary: &Path) {
    let began = Instant::now();
    loop {
        let mut left = processes(&temporary.display().to_string());
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let works_there =
                fs::read_link(entry.path().join("cwd")).is_ok_and(|cwd| cwd.starts_with(folder));
            left.extend(
                entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()).filter(|_| works_there),
            );
        }
        if left.is_empty() {
            return;
        }
        let names: Vec<_> =
            left.iter().map(|pid| fs::read_to_string(format!("/proc/{pid}/cmdline"))).collect();
        assert!(began.elapsed() < PATIENCE, "still there: {names:?}");
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn at_a_terminal_keys_complete_and_however_it_ends_nothing_is_left() {
    let (place, temporary) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let folder = place.path();
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/pjlink");
    package(folder, &fs::read_to_string(example.join("Cargo.toml")).unwrap());
    for file in fs::read_dir(example.join("src")).unwrap().flatten() {
        fs::copy(file.path(), folder.join("src").join(file.file_name())).unwrap();
    }
    let source = folder.join("src/main.rs");
    let before = fs::read_to_string(&source).unwrap();
    let start = || Terminal::start(folder, temporary.path());
    let running = || {
        let mut terminal = start();
        terminal.shows_within(BUILD, "projector runs");
        terminal.has_shown("status  connected = true");
        terminal
    };

    let mut terminal = running();
    for shown in ["building pjlink", "log     info: started", r"%1POWR ?\r", "status  power = false"] {
        terminal.has_shown(shown);
    }
    // The name of the function, and its argument.
    terminal.types("powe\tt\t\r");
    terminal.shows("> power = true");
    terminal.types("explode\r");
    terminal.shows("there is no function explode");
    terminal.types("power maybe\r");
    terminal.shows("power failed: argument `on`");
    terminal.types("wire off\rstatus\r");
    terminal.shows("  power = true");

    fs::write(&source, format!("{before}\nfn broken() -> u8 {{ undefined }}\n")).unwrap();
    terminal.shows_within(BUILD, "cannot find value `undefined`");
    terminal.shows("not built; what ran goes on");
    // Up: what was typed before.
    terminal.types("\x1b[A\x1b[A\x1b[A\r");
    terminal.shows("power failed: argument `on`");
    fs::write(&source, before.replace("PJLink projector", "Another projector")).unwrap();
    terminal.shows_within(BUILD, "Another projector runs");
    // The model begins anew with the driver, so the device may be away for a moment.
    terminal.types("help\r");
    terminal.shows("power on:boolean");
    terminal.types("exit\r");
    let (status, shown) = terminal.ends();
    assert!(status.success(), "{status}:\n{shown}");
    assert!(!shown.ends_with("> "), "{shown}");
    nothing_runs(folder, temporary.path());

    // Ctrl-D, and Ctrl-C with something half typed.
    for key in ["\x04", "power tr\x03"] {
        let mut terminal = running();
        terminal.types(key);
        let (status, shown) = terminal.ends();
        assert!(status.success(), "{status}:\n{shown}");
        nothing_runs(folder, temporary.path());
    }
    // The latter is what a terminal sends that is closed.
    for signal in [Signal::TERM, Signal::HUP] {
        let mut terminal = running();
        terminal.types("power tr");
        terminal.signal(signal);
        assert!(terminal.ends().0.success());
        nothing_runs(folder, temporary.path());
    }
    // In the middle of a build, which is ended too.
    fs::write(&source, &before).unwrap();
    let mut terminal = start();
    terminal.shows("building pjlink");
    terminal.types("\x03");
    assert!(terminal.ends().0.success());
    nothing_runs(folder, temporary.path());
    let left = || {
        let all = fs::read_dir(temporary.path()).unwrap().flatten();
        all.filter(|entry| entry.file_name().to_string_lossy().starts_with("headend-")).count()
    };
    assert_eq!(left(), 0);

    // Killed, it leaves a folder, which the next one removes.
    drop(running());
    nothing_runs(folder, temporary.path());
    assert_eq!(left(), 1);
    let mut terminal = running();
    assert_eq!(left(), 1);
    terminal.types("quit\r");
    assert!(terminal.ends().0.success());
    assert_eq!(left(), 0);
}
