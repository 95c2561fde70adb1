//! Telnet (RFC 854, 855) as bytes: data, requests about options, subnegotiations. No I/O, and no idea what options mean.

pub(super) const IAC: u8 = 255;
const SB: u8 = 250;
const SE: u8 = 240;
/// What is kept of one subnegotiation; one that is longer is not reported. RFC 2217 needs 5 bytes, and has texts.
const SUB: usize = 256;

/// What one side says about an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    Will,
    Wont,
    Do,
    Dont,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Event<'a> {
    Data(&'a [u8]),
    Option(Verb, u8),
    /// Option and payload, unescaped.
    Sub(&'a [u8]),
}

#[derive(Default)]
pub(super) struct Decoder {
    state: State,
    sub: Vec<u8>,
}

#[derive(Clone, Copy, Default)]
enum State {
    #[default]
    Data,
    Iac,
    Option(Verb),
    Sub,
    SubIac,
}

// === impl Decoder ===

impl Decoder {
    /// Calls `tell` with everything that `input` completes, in order; ends early with its error.
    pub(super) fn decode<E>(
        &mut self,
        mut input: &[u8],
        mut tell: impl FnMut(Event<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        while let Some((&byte, rest)) = input.split_first() {
            if matches!(self.state, State::Data) && byte != IAC {
                let end = input.iter().position(|byte| *byte == IAC).unwrap_or(input.len());
                let (data, rest) = input.split_at(end);
                input = rest;
                tell(Event::Data(data))?;
                continue;
            }
            input = rest;
            self.byte(byte, &mut tell)?;
        }
        Ok(())
    }

    fn byte<E>(&mut self, byte: u8, tell: &mut impl FnMut(Event<'_>) -> Result<(), E>) -> Result<(), E> {
        self.state = match (self.state, byte) {
            (State::Data, _) => State::Iac,
            (State::Iac, IAC) => {
                tell(Event::Data(&[IAC]))?;
                State::Data
            }
            // A subnegotiation that is broken off by another command is not reported.
            (State::Iac | State::SubIac, SB) => {
                self.sub.clear();
                State::Sub
            }
            (State::SubIac, SE) => {
                if self.sub.len() <= SUB {
                    tell(Event::Sub(&self.sub))?;
                }
                State::Data
            }
            (State::SubIac, IAC) => self.keep(IAC),
            (State::Iac | State::SubIac, verb) => match Verb::read(verb) {
                Some(verb) => State::Option(verb),
                // No operation, go ahead, data mark, break …: nothing to a serial port.
                None => State::Data,
            },
            (State::Option(verb), option) => {
                tell(Event::Option(verb, option))?;
                State::Data
            }
            (State::Sub, IAC) => State::SubIac,
            (State::Sub, byte) => self.keep(byte),
        };
        Ok(())
    }

    fn keep(&mut self, byte: u8) -> State {
        if self.sub.len() <= SUB {
            self.sub.push(byte);
        }
        State::Sub
    }
}

// === impl Verb ===

impl Verb {
    fn read(byte: u8) -> Option<Self> {
        match byte {
            251 => Some(Self::Will),
            252 => Some(Self::Wont),
            253 => Some(Self::Do),
            254 => Some(Self::Dont),
            _ => None,
        }
    }

    pub(super) fn write(self, option: u8, out: &mut Vec<u8>) {
        let verb = match self {
            Self::Will => 251,
            Self::Wont => 252,
            Self::Do => 253,
            Self::Dont => 254,
        };
        out.extend([IAC, verb, option]);
    }
}

/// Data as it goes over the wire.
pub(in super::super) fn escape(data: &[u8], out: &mut Vec<u8>) {
    for run in data.split_inclusive(|byte| *byte == IAC) {
        out.extend(run);
        if run.ends_with(&[IAC]) {
            out.push(IAC);
        }
    }
}

/// `payload` begins with the option.
pub(super) fn write_sub(payload: &[u8], out: &mut Vec<u8>) {
    out.extend([IAC, SB]);
    escape(payload, out);
    out.extend([IAC, SE]);
}
