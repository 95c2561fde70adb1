//! What a process writes to its standard output and error: the last lines are kept, all are traced.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::runtime::spawner::Output;

/// A longer line is cut into several.
const LINE_BYTES: usize = 4 * 1024;

/// The last lines.
#[derive(Clone, Debug)]
pub(crate) struct Tail {
    lines: Arc<Mutex<VecDeque<String>>>,
    keep: usize,
}

impl Tail {
    pub(crate) fn new(keep: usize) -> Tail {
        Tail { lines: Arc::default(), keep }
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.lines.lock().iter().cloned().collect()
    }

    fn push(&self, line: &[u8]) -> String {
        let text = String::from_utf8_lossy(line).trim_end().to_owned();
        let mut lines = self.lines.lock();
        if lines.len() >= self.keep {
            lines.pop_front();
        }
        if self.keep > 0 {
            lines.push_back(text.clone());
        }
        text
    }

    /// Reads to the end; `each` is given every line.
    async fn read(&self, stream: Option<impl AsyncRead + Unpin>, each: impl Fn(&str)) {
        let Some(mut stream) = stream else { return };
        let mut line = Vec::new();
        let mut chunk = [0; 1024];
        loop {
            let read = match stream.read(&mut chunk).await {
                Ok(0) | Err(_) => break,
                Ok(read) => read,
            };
            for byte in chunk.get(..read).unwrap_or_default() {
                if *byte == b'\n' || line.len() >= LINE_BYTES {
                    each(&self.push(&line));
                    line.clear();
                }
                if *byte != b'\n' {
                    line.push(*byte);
                }
            }
        }
        if !line.is_empty() {
            each(&self.push(&line));
        }
    }
}

/// Reads what a process writes until it has ended; `tail` keeps the last lines of standard error.
pub(crate) async fn follow(output: Output, tail: Tail, each: impl Fn(&str)) {
    let rest = Tail::new(0);
    tokio::join!(tail.read(output.stderr, &each), rest.read(output.stdout, &each));
}
