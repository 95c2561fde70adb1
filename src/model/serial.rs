//! Serial ports as a device module's `uri` names them, and the settings of a line.
//!
//! ```text
//! serial:///dev/serial/by-id/usb-FTDI_FT232R_A9XX-if00-port0?baud=9600&parity=none&bits=8&stop=1&flow=none
//! rfc2217://gateway.example:4001?baud=19200&parity=even
//! ```
//!
//! What the query leaves out comes from `connection.serial` in the settings, then from the defaults: 9600 baud, 8N1, no
//! flow control. A path is taken as it stands, without percent escapes.

use std::fmt;

use serde::Deserialize;

use super::rules::{is_host, is_port};

/// Bits per second that a line may have.
const BAUD: std::ops::RangeInclusive<u32> = 50..=4_000_000;

/// A `serial:` or `rfc2217:` URI.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SerialUri {
    pub place: Place,
    pub settings: LineSettings,
}

/// Where a serial port is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// The absolute path of a device file.
    Local(String),
    /// A gateway that speaks RFC 2217. `host` without brackets.
    Gateway { host: String, port: u16 },
}

/// What somebody wants of a line; the rest is left to others.
#[derive(Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[serde(default, deny_unknown_fields)]
pub struct LineSettings {
    /// Bits per second, 50 to 4000000.
    pub baud: Option<u32>,
    pub parity: Option<Parity>,
    /// Data bits, 5 to 8.
    pub bits: Option<u8>,
    /// Stop bits, 1 or 2.
    pub stop: Option<u8>,
    pub flow: Option<Flow>,
}

/// The settings of a line, complete and possible.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Line {
    pub baud: u32,
    pub parity: Parity,
    pub bits: u8,
    pub stop: u8,
    pub flow: Flow,
}

#[derive(Deserialize, Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[serde(rename_all = "lowercase")]
pub enum Parity {
    None,
    Odd,
    Even,
}

/// Flow control.
#[derive(Deserialize, Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[serde(rename_all = "lowercase")]
pub enum Flow {
    None,
    /// XON/XOFF.
    Software,
    /// RTS/CTS.
    Hardware,
}

impl SerialUri {
    /// `None` if it is another kind of URI. The reason why it is wrong continues a sentence that begins with `uri`.
    pub fn parse(uri: &str) -> Option<Result<SerialUri, String>> {
        let (scheme, rest) = uri.split_once(':')?;
        let place = match scheme.to_ascii_lowercase().as_str() {
            "serial" => local,
            "rfc2217" => gateway,
            _ => return None,
        };
        let (address, query) = rest.split_once('?').unwrap_or((rest, ""));
        Some(place(address).and_then(|place| {
            let settings = query_settings(query)?;
            settings.check().map_err(|why| format!("has {why}"))?;
            Ok(SerialUri { place, settings })
        }))
    }

    /// Whether the path depends on the order in which things were plugged in, so that after a restart another device may be
    /// found there.
    pub fn is_volatile(path: &str) -> bool {
        ["/dev/ttyUSB", "/dev/ttyACM"].iter().any(|prefix| path.starts_with(prefix))
    }
}

fn local(address: &str) -> Result<Place, String> {
    match address.strip_prefix("//") {
        Some(path) if path.len() > 1 && path.starts_with('/') && !path.contains(['\0', '#']) => {
            Ok(Place::Local(path.to_owned()))
        }
        _ => Err("must name a device file: serial:///dev/serial/by-id/…?baud=9600".into()),
    }
}

fn gateway(address: &str) -> Result<Place, String> {
    let split = address.strip_prefix("//").map(|at| at.strip_suffix('/').unwrap_or(at));
    let (host, port) = split
        .and_then(|at| at.rsplit_once(':'))
        .ok_or("must name the gateway and its port: rfc2217://host:port?baud=9600")?;
    let inner = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let bracketed = inner.is_some();
    let host = inner.unwrap_or(host);
    if !is_host(host) || host.contains(':') != bracketed {
        return Err(format!("has {host:?} for a host, which is neither a name nor an address"));
    }
    let number = port.parse::<u16>().ok().filter(|port| is_port((*port).into()));
    let port =
        number.ok_or_else(|| format!("has {port:?} for a port, which is no number from 1 to 65535"))?;
    Ok(Place::Gateway { host: host.to_owned(), port })
}

fn query_settings(query: &str) -> Result<LineSettings, String> {
    let mut settings = LineSettings::default();
    for (key, value) in url::form_urlencoded::parse(query.as_bytes()) {
        let number = || value.parse().map_err(|_| format!("has {key}={value}, which is no number"));
        let small = || number().map(|number: u32| u8::try_from(number).unwrap_or(u8::MAX));
        let one_of = |words: &str| format!("has {key}={value}, which is none of {words}");
        match &*key {
            "baud" => settings.baud = Some(number()?),
            "bits" => settings.bits = Some(small()?),
            "stop" => settings.stop = Some(small()?),
            "parity" => {
                settings.parity = Some(match &*value {
                    "none" => Parity::None,
                    "odd" => Parity::Odd,
                    "even" => Parity::Even,
                    _ => return Err(one_of("none, odd, even")),
                });
            }
            "flow" => {
                settings.flow = Some(match &*value {
                    "none" => Flow::None,
                    "software" => Flow::Software,
                    "hardware" => Flow::Hardware,
                    _ => return Err(one_of("none, software, hardware")),
                });
            }
            _ => return Err(format!("has {key}, which is none of baud, parity, bits, stop, flow")),
        }
    }
    Ok(settings)
}

impl LineSettings {
    /// What it leaves open is as in `other`.
    pub fn or(self, other: LineSettings) -> LineSettings {
        LineSettings {
            baud: self.baud.or(other.baud),
            parity: self.parity.or(other.parity),
            bits: self.bits.or(other.bits),
            stop: self.stop.or(other.stop),
            flow: self.flow.or(other.flow),
        }
    }

    /// With the defaults for what is left open; or what is impossible: `baud=7, which …`.
    pub fn line(self) -> Result<Line, String> {
        self.check()?;
        Ok(Line {
            baud: self.baud.unwrap_or(9600),
            parity: self.parity.unwrap_or(Parity::None),
            bits: self.bits.unwrap_or(8),
            stop: self.stop.unwrap_or(1),
            flow: self.flow.unwrap_or(Flow::None),
        })
    }

    fn check(self) -> Result<(), String> {
        if let Some(baud) = self.baud.filter(|baud| !BAUD.contains(baud)) {
            return Err(format!("baud={baud}, which is not from {} to {}", BAUD.start(), BAUD.end()));
        }
        if let Some(bits) = self.bits.filter(|bits| !(5..=8).contains(bits)) {
            return Err(format!("bits={bits}, which is not from 5 to 8"));
        }
        if let Some(stop) = self.stop.filter(|stop| !(1..=2).contains(stop)) {
            return Err(format!("stop={stop}, which is neither 1 nor 2"));
        }
        Ok(())
    }
}

/// `9600 8N1`, and flow control if there is any.
impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parity = match self.parity {
            Parity::None => 'N',
            Parity::Odd => 'O',
            Parity::Even => 'E',
        };
        write!(f, "{} {}{parity}{}", self.baud, self.bits, self.stop)?;
        match self.flow {
            Flow::None => Ok(()),
            Flow::Software => f.write_str(" XON/XOFF"),
            Flow::Hardware => f.write_str(" RTS/CTS"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(uri: &str) -> SerialUri {
        SerialUri::parse(uri).expect("a serial URI").expect("a right one")
    }

    #[test]
    fn a_local_port_with_everything_said() {
        let uri = parse(
            "serial:///dev/serial/by-id/usb-A_B-if00?baud=19200&parity=even&bits=7&stop=2&flow=hardware",
        );
        assert_eq!(uri.place, Place::Local("/dev/serial/by-id/usb-A_B-if00".into()));
        assert_eq!(uri.settings.line().unwrap().to_string(), "19200 7E2 RTS/CTS");
    }

    #[test]
    fn what_the_query_leaves_out_comes_from_elsewhere() {
        let uri = parse("SERIAL:///dev/ttyS0?parity=odd");
        let others =
            LineSettings { baud: Some(38400), parity: Some(Parity::Even), ..LineSettings::default() };
        assert_eq!(uri.settings.or(others).line().unwrap().to_string(), "38400 8O1");
        assert_eq!(LineSettings::default().line().unwrap().to_string(), "9600 8N1");
    }

    #[test]
    fn gateways() {
        let place = |uri| parse(uri).place;
        let gateway = |host: &str, port| Place::Gateway { host: host.into(), port };
        assert_eq!(place("rfc2217://gw-1.example:4001"), gateway("gw-1.example", 4001));
        assert_eq!(place("rfc2217://10.0.0.7:1/?baud=300"), gateway("10.0.0.7", 1));
        assert_eq!(place("rfc2217://[fd00::7]:4001"), gateway("fd00::7", 4001));
    }

    #[test]
    fn mistakes_are_named() {
        for (uri, why) in [
            ("serial:/dev/ttyS0", "must name a device file"),
            ("serial://ttyS0", "must name a device file"),
            ("serial:///", "must name a device file"),
            ("serial:///dev/x?baud=fast", "has baud=fast, which is no number"),
            ("serial:///dev/x?baud=7", "has baud=7, which is not from 50"),
            ("serial:///dev/x?bits=9", "has bits=9, which is not from 5 to 8"),
            ("serial:///dev/x?bits=300", "which is not from 5 to 8"),
            ("serial:///dev/x?stop=0", "has stop=0, which is neither 1 nor 2"),
            ("serial:///dev/x?parity=mark", "has parity=mark, which is none of none, odd, even"),
            ("serial:///dev/x?flow=yes", "has flow=yes, which is none of"),
            ("serial:///dev/x?speed=9600", "has speed, which is none of baud"),
            ("rfc2217://gateway", "must name the gateway and its port"),
            ("rfc2217:gateway:1", "must name the gateway and its port"),
            ("rfc2217://gateway:0", "for a port"),
            ("rfc2217://gateway:99999", "for a port"),
            ("rfc2217://a b:1", "for a host"),
            ("rfc2217://:1", "for a host"),
            ("rfc2217://fd00::7:1", "for a host"),
        ] {
            let refused = SerialUri::parse(uri).expect("ours").expect_err(uri);
            assert!(refused.contains(why), "{uri}: {refused}");
        }
        for other in ["", "http://example.com", "/dev/ttyS0", "serial"] {
            assert!(SerialUri::parse(other).is_none(), "{other}");
        }
    }

    #[test]
    fn settings_as_json() {
        let read = |text| serde_json::from_str::<LineSettings>(text);
        let settings = read(r#"{"baud": 2400, "parity": "odd", "flow": "software"}"#).unwrap();
        assert_eq!(settings.line().unwrap().to_string(), "2400 8O1 XON/XOFF");
        assert!(read(r#"{"speed": 2400}"#).is_err());
        assert!(read(r#"{"bits": 9}"#).unwrap().line().is_err());
    }

    #[test]
    fn paths_that_change_with_the_order_of_plugging() {
        assert!(SerialUri::is_volatile("/dev/ttyUSB0"));
        assert!(!SerialUri::is_volatile("/dev/serial/by-id/usb-FTDI"));
        assert!(!SerialUri::is_volatile("/dev/ttyS0"));
    }
}
