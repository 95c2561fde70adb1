//! A recording plays the device that it is of: what is sent to it is looked for in the recording, and answered as it was
//! then. `docs/recording.md` says the same for people.
//!
//! - A **command** is what the driver sent at once. In a stream commands are told apart by the end that all of them have
//!   in common, such as CR ([`Commands`]).
//! - An **exchange** is a command with everything that was received after it, up to the next command: its answer, and what
//!   the device said by itself.
//! - A command is that of an exchange if it is the same, or the same but for values ([`likeness`]); fewer differences are
//!   better. Of several equally good exchanges it is
//!     1. the next one, looking ahead as far as the first command that a call was the reason of: what a driver asks by
//!        itself may come more often, less often or in another order than it did;
//!     2. else the last one before: nothing has happened since, and it is answered as then (only the answer, see
//!        [`Player::answer`]);
//!     3. else the next one further ahead.
//!
//!   In the first and third case the recording goes on from there.
//! - A new connection is the next connection of the recording, or the last one once more; what the device said before it
//!   was asked anything is said again. Not so for HTTP, where a connection means nothing.
//! - Of HTTP requests, method, target and body count; headers are the client's.

mod commands;
mod likeness;
mod read;
#[cfg(test)]
mod tests;

use std::time::Duration;

pub use commands::Commands;
pub use read::Error;

use crate::message::Form;

/// A pause of the device's is as long as it was, but not longer than this.
const PAUSE: Duration = Duration::from_secs(1);
/// What comes this soon after the first that is received still belongs to the answer.
const ANSWER: Duration = Duration::from_millis(100);
/// What stands in the place of a secret.
const HIDDEN: &[u8] = b"***";

/// What kind of connections a recording is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// Bytes without boundaries: TCP, serial ports.
    Stream,
    /// UDP.
    Datagrams,
    /// Messages, of which some are text: WebSocket.
    Messages,
}

/// Something that the device says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// So long after what was before.
    pub after: Duration,
    /// As it came: bytes, or a message of text.
    pub form: Form,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// The device.
#[derive(Debug)]
pub struct Player {
    transport: Transport,
    end: commands::End,
    /// What the device said when it was connected to, for each connection.
    greetings: Vec<Vec<Said>>,
    exchanges: Vec<Exchange>,
    /// Where in the recording we are: the exchange that comes next.
    next: usize,
    /// Connections so far.
    connections: usize,
}

#[derive(Clone, Debug, Default)]
struct Exchange {
    /// Place of its connection among those of the recording.
    connection: usize,
    sent: Vec<u8>,
    /// It was sent for a call.
    called: bool,
    received: Vec<Said>,
}

impl Player {
    /// Of the text of a recording. Lines that are not whole, at its end, are passed over.
    pub fn read(text: &str) -> Result<Player, Error> {
        read::read(text)
    }

    /// What kind of connections it is of.
    pub fn transport(&self) -> Transport {
        self.transport
    }

    /// Tells the commands of one new connection apart.
    pub fn commands(&self) -> Commands {
        Commands::new(self.end.clone(), self.transport)
    }

    /// A connection is made; what the device says to that.
    pub fn connect(&mut self) -> Vec<Said> {
        if self.is_http() && self.connections > 0 {
            return Vec::new();
        }
        let connection = self.connections.min(self.greetings.len().saturating_sub(1));
        self.connections += 1;
        let first = self.exchanges.iter().position(|exchange| exchange.connection >= connection);
        self.next = first.unwrap_or(self.exchanges.len());
        self.greetings.get(connection).cloned().unwrap_or_default()
    }

    /// What the device says to a command; `None` if nothing like it was recorded. What was received after it is all said if
    /// the recording goes on with it; if the command is answered as it was before, then only what came first, and within
    /// 100 ms after that.
    pub fn answer(&mut self, command: &[u8]) -> Option<Vec<Said>> {
        let request = if self.is_http() { commands::essence(command) } else { command.to_owned() };
        let command = request.as_slice();
        let differences: Vec<_> =
            self.exchanges.iter().map(|exchange| likeness::differences(exchange, command)).collect();
        let best = differences.iter().flatten().min()?;
        let fits = |at: &usize| differences.get(*at).is_some_and(|found| found.as_ref() == Some(best));
        let (at, again) = self.ahead(fits).map(|at| (at, false)).or_else(|| {
            let before = (0..self.next).rev().find(fits).map(|at| (at, true));
            before.or_else(|| (self.next..self.exchanges.len()).find(fits).map(|at| (at, false)))
        })?;
        let exchange = self.exchanges.get(at)?;
        let mut said = likeness::answer(exchange, command);
        if self.is_http() {
            said.iter_mut().for_each(|said| commands::measure(&mut said.bytes));
        }
        if again {
            let mut since = Duration::ZERO;
            let answer = said.iter().skip(1).take_while(|said| {
                since += said.after;
                since <= ANSWER
            });
            let length = answer.count() + 1;
            said.truncate(length);
        } else {
            self.next = at + 1;
        }
        Some(said)
    }

    fn is_http(&self) -> bool {
        matches!(self.end, commands::End::Http)
    }

    /// The next exchange that fits, up to the first of a call, on the same connection.
    fn ahead(&self, fits: impl Fn(&usize) -> bool) -> Option<usize> {
        let connection = self.exchanges.get(self.next)?.connection;
        for (at, exchange) in self.exchanges.iter().enumerate().skip(self.next) {
            if exchange.connection != connection && !self.is_http() {
                break;
            }
            if fits(&at) {
                return Some(at);
            }
            if exchange.called {
                break;
            }
        }
        None
    }
}
