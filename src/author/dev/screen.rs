//! Where lines are typed, and where everything is shown: at a terminal with a line editor, which knows the driver's
//! functions and keeps the line that is being typed below what comes; otherwise plainly, line by line.

use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::sync::Arc;

use drivers_sdk_protocol::Manifest;
use parking_lot::Mutex;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};
use rustyline::completion::Completer;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::DefaultHistory;
use rustyline::validate::Validator;
use rustyline::{CompletionType, Config, Context, Editor, ExternalPrinter as _, Helper};
use tokio::sync::mpsc;

use super::line;
use crate::author::{Error, Result};

/// What the running driver declares.
#[derive(Clone, Debug, Default)]
pub(super) struct Known(Arc<Mutex<Option<Arc<Manifest>>>>);

impl Known {
    pub(super) fn set(&self, manifest: Arc<Manifest>) {
        *self.0.lock() = Some(manifest);
    }

    pub(super) fn get(&self) -> Option<Arc<Manifest>> {
        self.0.lock().clone()
    }
}

type Print = Box<dyn FnMut(String) + Send>;

/// Shows things; cheap to clone.
#[derive(Clone)]
pub(super) struct Screen(Arc<Mutex<Print>>);

impl Screen {
    pub(super) fn say(&self, text: &str) {
        (self.0.lock())(format!("{text}\n"));
    }

    pub(super) fn is_terminal() -> bool {
        std::io::stdin().is_terminal() && std::io::stdout().is_terminal()
    }
}

/// Puts the terminal back to what it was when it is dropped: a line may be half typed then.
pub(super) struct Terminal(Option<Termios>);

impl Drop for Terminal {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, before);
            let mut out = std::io::stdout().lock();
            // The prompt is taken away.
            let _ = out.write_all(b"\r\x1b[K").and_then(|()| out.flush());
        }
    }
}

/// Opens it; gives the lines that are typed, until the end of the input.
pub(super) fn open(known: Known) -> Result<(Screen, mpsc::UnboundedReceiver<String>, Terminal)> {
    let (typed, lines) = mpsc::unbounded_channel();
    if !Screen::is_terminal() {
        std::thread::spawn(move || {
            let lines = std::io::stdin().lock().lines().map_while(std::io::Result::ok);
            let _ = lines.map(|line| typed.send(line)).take_while(std::result::Result::is_ok).count();
        });
        let print = |text: String| {
            let mut out = std::io::stdout().lock();
            let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
        };
        return Ok((Screen(Arc::new(Mutex::new(Box::new(print)))), lines, Terminal(None)));
    }
    let unusable = |error: rustyline::error::ReadlineError| {
        Error::Usage(format!("this terminal cannot be used: {error}"))
    };
    let terminal = Terminal(tcgetattr(std::io::stdin()).ok());
    let config = Config::builder().completion_type(CompletionType::List).build();
    let mut editor = Editor::<Prompt, DefaultHistory>::with_config(config).map_err(unusable)?;
    editor.set_helper(Some(Prompt(known)));
    let mut printer = editor.create_external_printer().map_err(unusable)?;
    std::thread::spawn(move || {
        while let Ok(line) = editor.readline("> ") {
            let _ = editor.add_history_entry(line.as_str());
            let ends = matches!(line.trim(), "quit" | "exit");
            // After the last line the terminal is left as it was.
            if typed.send(line).is_err() || ends {
                break;
            }
        }
    });
    let print = move |text: String| drop(printer.print(text));
    Ok((Screen(Arc::new(Mutex::new(Box::new(print)))), lines, terminal))
}

/// What the line editor asks.
struct Prompt(Known);

impl Completer for Prompt {
    type Candidate = String;

    fn complete(&self, line: &str, at: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<String>)> {
        let typed = line.get(..at).unwrap_or(line);
        Ok(line::complete(&self.0.get().unwrap_or_default(), typed))
    }
}

impl Hinter for Prompt {
    type Hint = String;

    fn hint(&self, line: &str, at: usize, _: &Context<'_>) -> Option<String> {
        if at < line.len() {
            return None;
        }
        let manifest = self.0.get()?;
        line::hint(&manifest, line)
    }
}

impl Highlighter for Prompt {}
impl Validator for Prompt {}
impl Helper for Prompt {}
