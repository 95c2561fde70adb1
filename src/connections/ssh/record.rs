//! Commands for the flight recorder: the line, what came of its output and then of its error output, and how it ended.
//!
//! What the recorder knows to be secret it hides itself; each part is a message that is whole, so that one which is cut off
//! does not show either.

use super::{ExecError, Output};
use crate::connections::recorder::Aside;

/// It goes to the host.
pub(super) fn command(tape: Aside<'_>, line: &str) {
    let most = tape.share();
    let kept = line.as_bytes().get(..most).unwrap_or(line.as_bytes());
    tape.sent(kept);
    if kept.len() < line.len() {
        tape.sent(cut(kept.len(), line.len()).as_bytes());
    }
}

/// `output`: as far as it came.
pub(super) fn end(tape: Aside<'_>, output: &Output, error: Option<&ExecError>) {
    let most = tape.share();
    for part in [&output.stdout, &output.stderr] {
        let kept = part.get(..most).unwrap_or(part);
        if !kept.is_empty() {
            tape.received(kept);
        }
        if kept.len() < part.len() {
            tape.received(cut(kept.len(), part.len()).as_bytes());
        }
    }
    let how = match (error, output.status, &output.signal) {
        (Some(error), ..) => format!("({error})\n"),
        (None, Some(status), _) => format!("(status {status})\n"),
        (None, None, Some(signal)) => format!("(signal {signal})\n"),
        (None, None, None) => "(no status)\n".to_owned(),
    };
    tape.received(how.as_bytes());
}

fn cut(kept: usize, whole: usize) -> String {
    format!("({kept} bytes of {whole})\n")
}
