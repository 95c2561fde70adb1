//! Commands out of what arrives.
//!
//! How a stream's commands end is found out from the recording: HTTP requests by their length; others by what all of them
//! end with, which is no letter, digit or space. If they have no such end, then what comes at once is one command, unless
//! it begins with one that was recorded.

use super::{Exchange, Transport};

/// How commands end.
#[derive(Clone, Debug)]
pub(super) enum End {
    Http,
    With(Vec<u8>),
    /// These were recorded.
    None(Vec<Vec<u8>>),
}

impl End {
    pub(super) fn of(exchanges: &[Exchange]) -> End {
        let mut sent = exchanges.iter().map(|exchange| exchange.sent.as_slice());
        if !exchanges.is_empty() && sent.clone().all(is_http) {
            return End::Http;
        }
        let first = sent.next().unwrap_or_default();
        let common = sent.fold(first, |common, sent| {
            let same = common.iter().rev().zip(sent.iter().rev()).take_while(|(a, b)| a == b).count();
            common.get(common.len() - same..).unwrap_or_default()
        });
        // At most as much as CR LF: more would be part of what is said.
        let end = |byte: &&u8| !byte.is_ascii_alphanumeric() && **byte != b' ';
        let length = common.iter().rev().take(2).take_while(end).count();
        match common.get(common.len() - length..) {
            None | Some([]) => End::None(exchanges.iter().map(|exchange| exchange.sent.clone()).collect()),
            Some(end) => End::With(end.to_owned()),
        }
    }

    /// The length of the first command of what there is, if it is whole.
    pub(super) fn first(&self, bytes: &[u8]) -> Option<usize> {
        match self {
            _ if bytes.is_empty() => None,
            End::Http => http_length(bytes),
            End::With(end) => find(bytes, end).map(|at| at + end.len()),
            End::None(recorded) => {
                let begins = recorded.iter().filter(|known| bytes.starts_with(known)).map(Vec::len).max();
                let unfinished =
                    recorded.iter().any(|known| known.len() > bytes.len() && known.starts_with(bytes));
                begins.filter(|length| *length > 0).or((!unfinished).then_some(bytes.len()))
            }
        }
    }
}

/// The commands of one connection.
#[derive(Debug)]
pub struct Commands {
    end: End,
    transport: Transport,
    buffer: Vec<u8>,
}

impl Commands {
    pub(super) fn new(end: End, transport: Transport) -> Commands {
        Commands { end, transport, buffer: Vec::new() }
    }

    /// Takes what arrived, and gives the commands that are whole. Of datagrams and messages each is one.
    pub fn arrived(&mut self, bytes: &[u8]) -> Vec<Vec<u8>> {
        if self.transport != Transport::Stream {
            return vec![bytes.to_owned()];
        }
        self.buffer.extend_from_slice(bytes);
        let mut commands = Vec::new();
        while let Some(length) = self.end.first(&self.buffer) {
            commands.push(self.buffer.drain(..length).collect());
        }
        commands
    }
}

pub(super) fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len().max(1)).position(|window| window == wanted)
}

fn is_http(sent: &[u8]) -> bool {
    let line = sent.split(|byte| *byte == b'\r').next().unwrap_or_default();
    line.ends_with(b" HTTP/1.1")
}

/// Of a request that is whole (RFC 9112, with `content-length` or without a body).
fn http_length(bytes: &[u8]) -> Option<usize> {
    let head = find(bytes, b"\r\n\r\n")? + 4;
    let text = String::from_utf8_lossy(bytes.get(..head)?).to_ascii_lowercase();
    let length = text.lines().find_map(|line| line.strip_prefix("content-length:"));
    let whole = head + length.and_then(|length| length.trim().parse().ok()).unwrap_or(0);
    (bytes.len() >= whole).then_some(whole)
}

/// What of a request counts: its first line and its body.
pub(super) fn essence(request: &[u8]) -> Vec<u8> {
    let line = request.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let body = find(request, b"\r\n\r\n").and_then(|end| request.get(end..)).unwrap_or(b"\r\n\r\n");
    [line, body].concat()
}

/// A response with the length of the body that it has: a recording shows bodies whole and decompressed.
pub(super) fn measure(response: &mut Vec<u8>) {
    let Some(end) = find(response, b"\r\n\r\n") else { return };
    let head = String::from_utf8_lossy(response.get(..end).unwrap_or_default()).into_owned();
    let body = response.split_off(end + 4);
    let way = ["content-length:", "content-encoding:", "transfer-encoding:"];
    let kept = |line: &&str| !way.iter().any(|name| line.to_ascii_lowercase().starts_with(name));
    let head: Vec<&str> = head.split("\r\n").filter(kept).collect();
    *response = format!("{}\r\ncontent-length: {}\r\n\r\n", head.join("\r\n"), body.len()).into_bytes();
    response.extend(body);
}
