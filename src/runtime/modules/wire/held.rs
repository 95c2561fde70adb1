//! What a device said while no process held its module: the oldest of it, up to a bound.

use crate::connections::Form;

/// What a message costs beside its bytes, so that empty ones are bounded too.
const MESSAGE: usize = 64;

#[derive(Default)]
pub(super) struct Held {
    pieces: Vec<(Form, Vec<u8>)>,
    size: usize,
}

impl Held {
    /// Keeps what fits within `limit` bytes: of a stream as much as does, of messages only whole ones.
    pub(super) fn push(&mut self, bytes: &[u8], form: Form, messages: bool, limit: usize) {
        let room = limit.saturating_sub(self.size);
        if messages {
            let size = bytes.len() + MESSAGE;
            if size <= room {
                self.pieces.push((form, bytes.to_vec()));
                self.size += size;
            }
            return;
        }
        let bytes = bytes.get(..room).unwrap_or(bytes);
        self.size += bytes.len();
        match self.pieces.last_mut() {
            Some((_, stream)) => stream.extend_from_slice(bytes),
            None if bytes.is_empty() => {}
            None => self.pieces.push((form, bytes.to_vec())),
        }
    }

    /// Empties it: a stream in one piece, or message by message.
    pub(super) fn take(&mut self) -> Vec<(Form, Vec<u8>)> {
        std::mem::take(self).pieces
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_one_piece_cut_at_the_bound() {
        let mut held = Held::default();
        for part in [&b"abc"[..], b"", b"defg", b"h"] {
            held.push(part, Form::Bytes, false, 6);
        }
        assert_eq!(held.take(), [(Form::Bytes, b"abcdef".to_vec())]);
        assert!(held.take().is_empty());
    }

    #[test]
    fn messages_keep_their_boundaries_and_their_form_and_are_never_cut() {
        let mut held = Held::default();
        let limit = 3 * MESSAGE + 10;
        held.push(b"one", Form::Text, true, limit);
        held.push(b"", Form::Bytes, true, limit);
        held.push(b"too large", Form::Bytes, true, limit);
        held.push(b"two", Form::Bytes, true, limit);
        held.push(b"", Form::Bytes, true, limit);
        let expected = [(Form::Text, b"one".to_vec()), (Form::Bytes, vec![]), (Form::Bytes, b"two".to_vec())];
        assert_eq!(held.take(), expected);
    }
}
