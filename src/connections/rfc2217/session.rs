//! The conversation of one connection with a gateway (RFC 2217): options are agreed, settings are applied, then data flows.
//! No I/O: bytes in, data and bytes out.
//!
//! ```text
//!              BINARY both ways,            all five settings
//!              COM-PORT-OPTION agreed       confirmed
//! Agreeing ──────────────────────▶ Setting ───────────────────▶ Ready ⇄ suspended by the gateway
//!     │                               │                           │
//!     └── refused ────────────────────┴── another value ──────────┴──▶ Refusal: the connection is of no use
//! ```
//!
//! - What the device says before the port is ready was received with somebody else's settings, and is dropped.
//! - Settings that the gateway reports later are compared too: who shares the gateway may have changed them.
//! - Requests about options are answered only when something changes, so two sides cannot keep each other busy.

use super::telnet::{Decoder, Event, Verb, escape, write_sub};
use crate::model::serial::{Flow, Line, Parity};

const BINARY: u8 = 0;
const SUPPRESS_GO_AHEAD: u8 = 3;
const COM_PORT: u8 = 44;

const SET_BAUDRATE: u8 = 1;
const SET_DATASIZE: u8 = 2;
const SET_PARITY: u8 = 3;
const SET_STOPSIZE: u8 = 4;
const SET_CONTROL: u8 = 5;
/// Added to a command's number in what the gateway says.
const FROM_GATEWAY: u8 = 100;
const SUSPEND: u8 = FROM_GATEWAY + 8;
const RESUME: u8 = FROM_GATEWAY + 9;

/// Of a rate: what a UART's divider may be off, and the other side still understands.
const BAUD_TOLERANCE_PERCENT: u32 = 2;

/// Why the gateway cannot be used: continues a sentence that begins with its address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Refusal(pub(super) String);

pub(in super::super) struct Session {
    decoder: Decoder,
    talk: Talk,
}

struct Talk {
    line: Line,
    /// What we do, and what the gateway does.
    ours: Options,
    theirs: Options,
    /// Settings were sent.
    asked: bool,
    /// By number of the command, from 1.
    confirmed: [bool; 5],
    suspended: bool,
    out: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Agreed {
    Asked,
    Yes,
    No,
}

struct Options([(u8, Agreed); 3]);

// === impl Session ===

impl Session {
    pub(in super::super) fn new(line: Line) -> Self {
        let mut out = Vec::new();
        Verb::Will.write(COM_PORT, &mut out);
        for option in [BINARY, SUPPRESS_GO_AHEAD] {
            Verb::Will.write(option, &mut out);
            Verb::Do.write(option, &mut out);
        }
        let asked = |com_port| {
            Options([(BINARY, Agreed::Asked), (SUPPRESS_GO_AHEAD, Agreed::Asked), (COM_PORT, com_port)])
        };
        let (ours, theirs) = (asked(Agreed::Asked), asked(Agreed::No));
        let talk = Talk { line, ours, theirs, asked: false, confirmed: [false; 5], suspended: false, out };
        Self { decoder: Decoder::default(), talk }
    }

    /// Takes what the gateway sent: data goes to `data`, what is to be answered to [`Session::out`].
    pub(in super::super) fn receive(&mut self, input: &[u8], data: &mut Vec<u8>) -> Result<(), Refusal> {
        let talk = &mut self.talk;
        self.decoder.decode(input, |event| match event {
            Event::Data(bytes) => {
                if talk.is_ready() {
                    data.extend(bytes);
                }
                Ok(())
            }
            Event::Option(verb, option) => talk.option(verb, option),
            Event::Sub([COM_PORT, command, value @ ..]) => talk.told(*command, value),
            Event::Sub(_) => Ok(()),
        })
    }

    /// The settings are applied, and data flows.
    pub(in super::super) fn is_ready(&self) -> bool {
        self.talk.is_ready()
    }

    /// What is missing until it is ready, for people.
    pub(in super::super) fn missing(&self) -> &'static str {
        if self.talk.asked { "it did not confirm the line settings" } else { "it did not agree to RFC 2217" }
    }

    /// The gateway asked us to send nothing for now.
    pub(super) fn is_suspended(&self) -> bool {
        self.talk.suspended
    }

    pub(super) fn send(&mut self, data: &[u8]) {
        escape(data, &mut self.talk.out);
    }

    /// What is to be sent to the gateway; who has sent some takes it away.
    pub(in super::super) fn out(&mut self) -> &mut Vec<u8> {
        &mut self.talk.out
    }
}

// === impl Talk ===

impl Talk {
    fn is_ready(&self) -> bool {
        self.asked && self.confirmed.iter().all(|confirmed| *confirmed)
    }

    fn option(&mut self, verb: Verb, option: u8) -> Result<(), Refusal> {
        let (side, yes, no) = match verb {
            Verb::Do | Verb::Dont => (&mut self.ours, Verb::Will, Verb::Wont),
            Verb::Will | Verb::Wont => (&mut self.theirs, Verb::Do, Verb::Dont),
        };
        let on = matches!(verb, Verb::Do | Verb::Will);
        match side.get(option) {
            None if on => no.write(option, &mut self.out),
            None => {}
            Some(state) => {
                match (*state, on) {
                    (Agreed::No, true) => yes.write(option, &mut self.out),
                    (Agreed::Yes, false) => no.write(option, &mut self.out),
                    _ => {}
                }
                *state = if on { Agreed::Yes } else { Agreed::No };
            }
        }
        if !on && option == COM_PORT && matches!(verb, Verb::Dont) {
            return Err(Refusal(
                "does not speak RFC 2217. If this port of the gateway is raw TCP, use ip and port instead of the uri".into(),
            ));
        }
        if !on && option == BINARY {
            return Err(Refusal("refuses to carry all bytes (telnet's BINARY)".into()));
        }
        let agreed = self.ours.is(BINARY) && self.theirs.is(BINARY) && self.ours.is(COM_PORT);
        if agreed && !self.asked {
            self.asked = true;
            self.ask();
        }
        Ok(())
    }

    fn ask(&mut self) {
        let [a, b, c, d] = self.line.baud.to_be_bytes();
        write_sub(&[COM_PORT, SET_BAUDRATE, a, b, c, d], &mut self.out);
        for command in [SET_DATASIZE, SET_PARITY, SET_STOPSIZE, SET_CONTROL] {
            write_sub(&[COM_PORT, command, self.wanted(command)], &mut self.out);
        }
    }

    fn wanted(&self, command: u8) -> u8 {
        match command {
            SET_DATASIZE => self.line.bits,
            SET_STOPSIZE => self.line.stop,
            SET_PARITY => match self.line.parity {
                Parity::None => 1,
                Parity::Odd => 2,
                Parity::Even => 3,
            },
            _ => match self.line.flow {
                Flow::None => 1,
                Flow::Software => 2,
                Flow::Hardware => 3,
            },
        }
    }

    fn told(&mut self, command: u8, value: &[u8]) -> Result<(), Refusal> {
        match (command, value) {
            (SUSPEND, _) => self.suspended = true,
            (RESUME, _) => self.suspended = false,
            _ => {}
        }
        // Before we have asked, it tells what was.
        let Some(command) = command.checked_sub(FROM_GATEWAY).filter(|_| self.asked) else { return Ok(()) };
        let (has, wants, of) = match (command, value) {
            (SET_BAUDRATE, &[a, b, c, d]) => (u32::from_be_bytes([a, b, c, d]), self.line.baud, "baud"),
            (SET_DATASIZE, &[bits]) => (bits.into(), self.line.bits.into(), "data bits"),
            (SET_STOPSIZE, &[bits]) => (bits.into(), self.line.stop.into(), "stop bits"),
            (SET_PARITY, &[parity]) => {
                (parity.into(), self.wanted(command).into(), "for parity (1 none, 2 odd, 3 even)")
            }
            // Other values are about break, DTR and RTS, and about the other direction alone.
            (SET_CONTROL, &[control @ 1..=3]) => {
                let of = "for flow control (1 none, 2 software, 3 hardware)";
                (control.into(), self.wanted(command).into(), of)
            }
            // Notifications about modem lines and line errors, signatures, masks.
            _ => return Ok(()),
        };
        let tolerance = if command == SET_BAUDRATE { wants / 100 * BAUD_TOLERANCE_PERCENT } else { 0 };
        if has.abs_diff(wants) > tolerance {
            return Err(Refusal(format!("has {has} {of} where {wants} was asked for")));
        }
        if let Some(confirmed) = self.confirmed.get_mut(usize::from(command - SET_BAUDRATE)) {
            *confirmed = true;
        }
        Ok(())
    }
}

// === impl Options ===

impl Options {
    fn get(&mut self, option: u8) -> Option<&mut Agreed> {
        self.0.iter_mut().find(|(known, _)| *known == option).map(|(_, agreed)| agreed)
    }

    fn is(&self, option: u8) -> bool {
        self.0.contains(&(option, Agreed::Yes))
    }
}
