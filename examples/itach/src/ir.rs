//! Infrared codes: as a unit takes them, and the hexadecimal ones of Pronto remotes.

use std::fmt;

use drivers_sdk::prelude::*;

/// A code as `sendir` takes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Code {
    /// Of the carrier, hertz.
    pub frequency: u32,
    /// How often it is sent.
    pub repeat: u32,
    /// Where it begins when it is sent again: the number of a pulse, counted from 1.
    pub offset: usize,
    /// On, off, on, off …: each in periods of the carrier.
    pub pulses: Vec<u32>,
}

/// Pulses that a unit takes at most.
const LONGEST: usize = 520;

impl Code {
    /// Reads `38000,1,1,342,171,…` (frequency, repeat, offset, pulses) or `0000 006D 0022 …`.
    pub fn read(text: &str) -> Result<Code> {
        let text = text.trim();
        let code = if text.contains(',') { plain(text) } else { pronto(text) };
        let code = code.ok_or_else(|| Error::bad_request(format!("{text:.20?}… is no infrared code")))?;
        let problem = if !(15_000..=500_000).contains(&code.frequency) {
            "its frequency is not from 15000 to 500000"
        } else if !(1..=50).contains(&code.repeat) {
            "it is repeated less than once or more than 50 times"
        } else if code.pulses.is_empty() || code.pulses.len() % 2 == 1 || code.pulses.len() > LONGEST {
            "its pulses are none, no pairs, or more than 520"
        } else if code.pulses.iter().any(|pulse| !(1..=65_635).contains(pulse)) {
            "a pulse of it is 0 or longer than 65635"
        } else if code.offset % 2 == 0 || code.offset > code.pulses.len() {
            "its offset is no odd number within its pulses"
        } else {
            return Ok(code);
        };
        Err(Error::bad_request(format!("{text:.20?}…: {problem}")))
    }
}

fn plain(text: &str) -> Option<Code> {
    let numbers: Option<Vec<u32>> = text.split(',').map(|number| number.trim().parse().ok()).collect();
    let numbers = numbers?;
    let [frequency, repeat, offset, pulses @ ..] = &numbers[..] else { return None };
    Some(Code { frequency: *frequency, repeat: *repeat, offset: *offset as usize, pulses: pulses.to_vec() })
}

/// The learned form, `0000`: what is sent once, then what is sent again as long as the key is held.
fn pronto(text: &str) -> Option<Code> {
    let words: Option<Vec<u32>> =
        text.split_whitespace().map(|word| u32::from_str_radix(word, 16).ok()).collect();
    let words = words?;
    let [0, unit, once, again, pulses @ ..] = &words[..] else { return None };
    let (once, again) = (*once as usize, *again as usize);
    if *unit == 0 || pulses.len() != 2 * (once + again) {
        return None;
    }
    // A unit is 0.241246 µs long.
    let frequency = (1_000_000.0 / (f64::from(*unit) * 0.241_246)).round() as u32;
    let offset = if again > 0 { 2 * once + 1 } else { 1 };
    Some(Code { frequency, repeat: 1, offset, pulses: pulses.to_vec() })
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{},{},{}", self.frequency, self.repeat, self.offset)?;
        self.pulses.iter().try_for_each(|pulse| write!(f, ",{pulse}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_are_read() {
        let code = Code::read("38000, 2,3, 342,171,21,64").unwrap();
        assert_eq!(code.to_string(), "38000,2,3,342,171,21,64");
        let code = Code::read("0000 006D 0001 0002 0156 00AB 0015 0040 0015 05F7").unwrap();
        assert_eq!(code.to_string(), "38029,1,3,342,171,21,64,21,1527");
        // Nothing is sent again: the whole is.
        let code = Code::read("0000 006D 0002 0000 0156 00AB 0015 0040").unwrap();
        assert_eq!((code.offset, code.pulses.len()), (1, 4));
    }

    #[test]
    fn mistakes_are_named() {
        for (text, why) in [
            ("", "no infrared code"),
            ("volume up", "no infrared code"),
            ("38000,1", "no infrared code"),
            ("0100 006D 0000 0001 0015 0040", "no infrared code"),
            ("0000 006D 0000 0002 0015 0040", "no infrared code"),
            ("38000,1,1", "its pulses"),
            ("38000,1,1,21,64,21", "its pulses"),
            ("380,1,1,21,64", "its frequency"),
            ("38000,0,1,21,64", "repeated"),
            ("38000,1,2,21,64", "its offset"),
            ("38000,1,3,21,64", "its offset"),
            ("38000,1,1,0,64", "a pulse"),
        ] {
            let error = Code::read(text).expect_err(text);
            assert!(error.message().contains(why), "{text}: {error}");
        }
    }
}
