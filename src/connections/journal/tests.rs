use super::*;
use crate::connections::{Endpoint, Reason};
use parking_lot::Mutex;
use std::{io, sync::Arc};

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What `story` logs at INFO and above.
fn logged(story: impl FnOnce(&mut Journal, &dyn Fn(&mut Journal, bool))) -> Vec<String> {
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .without_time()
        .with_writer(move || writer.clone())
        .finish();
    tracing::subscriber::with_default(subscriber, || {
        let failure = Failure::new(Reason::Refused, "192.0.2.1:23 refused the connection.");
        let down = |journal: &mut Journal, held| journal.down("mod-1", &address(), &failure, held);
        story(&mut Journal::Fine, &down);
    });
    let text = String::from_utf8(lines.0.lock().clone()).expect("text");
    text.lines().map(str::to_owned).collect()
}

fn address() -> Address {
    Address::Tcp(Endpoint::new("192.0.2.1", 23))
}

#[test]
fn an_outage_is_two_lines_however_many_attempts_fail() {
    let lines = logged(|journal, down| {
        for _ in 0..1000 {
            down(journal, false);
        }
        journal.up("mod-1", &address());
    });
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].contains("WARN") && lines[0].contains("refused"), "{}", lines[0]);
    assert!(lines[0].contains("mod-1") && lines[0].contains("192.0.2.1:23"), "{}", lines[0]);
    assert!(lines[1].contains("INFO") && lines[1].contains("up again after"), "{}", lines[1]);
}

#[test]
fn a_good_connection_that_is_lost_begins_another_outage() {
    let lines = logged(|journal, down| {
        for _ in 0..3 {
            down(journal, true);
            journal.up("mod-1", &address());
        }
    });
    assert_eq!(lines.len(), 6, "{lines:?}");
}

#[test]
fn flapping_is_said_once_and_its_end_once() {
    let lines = logged(|journal, down| {
        down(journal, true);
        for _ in 0..200 {
            journal.up("mod-1", &address());
            down(journal, false);
        }
        journal.up("mod-1", &address());
        assert!(journal.waits());
        journal.held("mod-1", &address());
        assert!(!journal.waits());
    });
    // Down, up again, flapping, holding.
    assert_eq!(lines.len(), 4, "{lines:?}");
    assert!(lines[2].contains("lost again"), "{}", lines[2]);
    assert!(lines[3].contains("200 more connections"), "{}", lines[3]);
}

#[test]
fn a_first_connection_is_no_news() {
    let lines = logged(|journal, _| journal.up("mod-1", &address()));
    assert_eq!(lines, [""; 0]);
}
