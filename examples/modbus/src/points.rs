//! Points: values by name, each one register or several, or a single bit.

use std::collections::BTreeMap;

use drivers_sdk::prelude::*;

use crate::protocol::Table;

/// What one value is on the device.
#[data]
pub struct Point {
    #[serde(default = "holding")]
    pub table: Table,
    /// Counted from 0, as on the wire: what manuals call register 40001 is the holding register 0.
    pub address: u16,
    /// How the registers are read.
    #[serde(rename = "type", default)]
    pub kind: Kind,
    /// Only this bit of the register, of which 0 is the lowest. Read only.
    pub bit: Option<u8>,
    /// What the number is multiplied with: 0.1 if the device counts tenths.
    #[serde(default = "one")]
    pub scale: f64,
    /// Of the registers of one number, the lowest comes first.
    #[serde(default)]
    pub low_first: bool,
    /// Whether `write` may change it.
    #[serde(default)]
    pub writable: bool,
}

fn holding() -> Table {
    Table::HoldingRegister
}

fn one() -> f64 {
    1.0
}

/// How registers become a number. What is in a table of bits is true or false, whatever stands here.
#[data]
#[derive(Default)]
pub enum Kind {
    #[default]
    U16,
    I16,
    U32,
    I32,
    U64,
    I64,
    F32,
    F64,
}

impl Kind {
    fn width(self) -> u16 {
        match self {
            Kind::U16 | Kind::I16 => 1,
            Kind::U32 | Kind::I32 | Kind::F32 => 2,
            Kind::U64 | Kind::I64 | Kind::F64 => 4,
        }
    }
}

impl Point {
    /// How many entries of its table it takes.
    pub fn width(&self) -> u16 {
        if self.table.has_bits() || self.bit.is_some() { 1 } else { self.kind.width() }
    }

    /// Its value, from as many words as it is wide.
    pub fn read(&self, words: &[u16]) -> Value {
        let join = |raw: u64, word: &u16| raw << 16 | u64::from(*word);
        let raw = match self.low_first {
            true => words.iter().rev().fold(0, join),
            false => words.iter().fold(0, join),
        };
        let whole = match self.kind {
            _ if self.table.has_bits() => return json!(raw != 0),
            _ if self.bit.is_some() => return json!(raw >> self.bit.unwrap_or_default() & 1 == 1),
            // The shortest decimal that is this number, for what the device means by 0.1 is no 0.10000000149.
            Kind::F32 => {
                return self.scaled(f32::from_bits(raw as u32).to_string().parse().unwrap_or(f64::NAN));
            }
            Kind::F64 => return self.scaled(f64::from_bits(raw)),
            Kind::U16 | Kind::U32 | Kind::U64 => i128::from(raw),
            Kind::I16 => i128::from(raw as i16),
            Kind::I32 => i128::from(raw as i32),
            Kind::I64 => i128::from(raw as i64),
        };
        if self.scale == 1.0 { json!(whole) } else { self.scaled(whole as f64) }
    }

    /// Multiplied, less the dust of binary fractions.
    fn scaled(&self, raw: f64) -> Value {
        let value = raw * self.scale;
        let dusted = (value * 1e9).round() / 1e9;
        json!(if self.scale == 1.0 || !dusted.is_finite() { value } else { dusted })
    }

    /// The words to write for a value.
    pub fn write(&self, value: &Value) -> Result<Vec<u16>> {
        if !self.writable || !self.table.is_writable() || self.bit.is_some() {
            return Err(Error::bad_request(
                "it is read only; `writable: true` in its settings, if the device takes it",
            ));
        }
        if self.table.has_bits() {
            let on =
                value.as_bool().ok_or_else(|| Error::bad_request(format!("{value} is not true or false")))?;
            return Ok(vec![u16::from(on)]);
        }
        let number = value.as_f64().ok_or_else(|| Error::bad_request(format!("{value} is not a number")))?;
        let (raw, kind) = (number / self.scale, self.kind);
        let whole =
            value.as_i64().map(i128::from).or(value.as_u64().map(i128::from)).filter(|_| self.scale == 1.0);
        let whole = whole.unwrap_or(raw.round() as i128);
        let bits = match kind {
            Kind::F32 => Some(u64::from((raw as f32).to_bits())),
            Kind::F64 => Some(raw.to_bits()),
            Kind::U16 => u16::try_from(whole).ok().map(u64::from),
            Kind::I16 => i16::try_from(whole).ok().map(|whole| whole as u64),
            Kind::U32 => u32::try_from(whole).ok().map(u64::from),
            Kind::I32 => i32::try_from(whole).ok().map(|whole| whole as u64),
            Kind::U64 => u64::try_from(whole).ok(),
            Kind::I64 => i64::try_from(whole).ok().map(|whole| whole as u64),
        };
        let bits = bits
            .ok_or_else(|| Error::bad_request(format!("{value} does not fit: it is {whole} as {kind:?}")))?;
        let words = (0..kind.width()).map(|at| (bits >> (16 * at)) as u16);
        Ok(if self.low_first { words.collect() } else { words.rev().collect() })
    }
}

/// What one request reads: neighbours together.
#[derive(Debug, PartialEq)]
pub struct Block<'a> {
    pub table: Table,
    pub address: u16,
    pub count: u16,
    pub points: Vec<(&'a str, &'a Point)>,
}

/// The requests that read all points, or what is wrong with one of these.
pub fn blocks(points: &BTreeMap<String, Point>) -> Result<Vec<Block<'_>>> {
    let mut sorted: Vec<_> = points.iter().collect();
    sorted.sort_by_key(|(_, point)| (point.table, point.address));
    let mut blocks: Vec<Block<'_>> = Vec::new();
    for (name, point) in sorted {
        let (start, end) = (u32::from(point.address), u32::from(point.address) + u32::from(point.width()));
        if end > 0x1_0000 || point.bit.is_some_and(|bit| bit > 15) || point.scale == 0.0 {
            let wrong = "it ends behind the last register, has a bit over 15, or is scaled by 0";
            return Err(Error::bad_request(format!("setting `points`: {name}: {wrong}")));
        }
        match blocks.last_mut() {
            Some(block)
                if block.table == point.table
                    && start <= u32::from(block.address) + u32::from(block.count)
                    && end - u32::from(block.address) <= u32::from(block.table.most()) =>
            {
                block.count = block.count.max((end - u32::from(block.address)) as u16);
                block.points.push((name, point));
            }
            _ => blocks.push(Block {
                table: point.table,
                address: point.address,
                count: point.width(),
                points: vec![(name, point)],
            }),
        }
    }
    Ok(blocks)
}

impl Block<'_> {
    /// The values of its points, from what was read; null where that does not reach.
    pub fn values<'a>(&'a self, words: &'a [u16]) -> impl Iterator<Item = (&'a str, Value)> {
        self.points.iter().map(move |(name, point)| {
            let start = usize::from(point.address - self.address);
            let words = words.get(start..start + usize::from(point.width()));
            (*name, words.map_or(Value::Null, |words| point.read(words)))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Options;
    use proptest::prelude::{any, *};

    fn point(settings: Value) -> Point {
        let options = Options::parse(&json!({"points": {"x": settings}}).to_string());
        options.expect("settings").points.remove("x").expect("a point")
    }

    #[test]
    fn numbers_are_read_as_the_point_says() {
        for (settings, words, value) in [
            (json!({"address": 0}), &[0xfffe][..], json!(65534)),
            (json!({"address": 0, "type": "i16"}), &[0xfffe], json!(-2)),
            (json!({"address": 0, "type": "u16", "scale": 0.1}), &[231], json!(23.1)),
            (json!({"address": 0, "type": "i32"}), &[0xffff, 0xfffe], json!(-2)),
            (json!({"address": 0, "type": "u32", "low_first": true}), &[1, 2], json!(0x2_0001)),
            (json!({"address": 0, "type": "f32"}), &[0x3dcc, 0xcccd], json!(0.1)),
            (json!({"address": 0, "type": "f32"}), &[0x7fc0, 0], json!(null)),
            (json!({"address": 0, "type": "f64"}), &[0x4035, 0x8000, 0, 0], json!(21.5)),
            (json!({"address": 0, "type": "u64"}), &[0xffff; 4], json!(u64::MAX)),
            (json!({"address": 0, "bit": 3}), &[0b1000], json!(true)),
            (json!({"address": 0, "table": "coil"}), &[1], json!(true)),
        ] {
            assert_eq!(point(settings.clone()).read(words), value, "{settings}");
        }
    }

    #[test]
    fn what_does_not_fit_is_not_written() {
        let tenths = point(json!({"address": 0, "type": "i16", "scale": 0.1, "writable": true}));
        assert_eq!(tenths.write(&json!(-21.5)), Ok(vec![0xff29]));
        let error = tenths.write(&json!(4000)).expect_err("too large");
        assert_eq!(error.message(), "4000 does not fit: it is 40000 as I16");
        for (settings, value) in [
            (json!({"address": 0}), json!(1)),
            (json!({"address": 0, "table": "input_register", "writable": true}), json!(1)),
            (json!({"address": 0, "table": "coil", "writable": true}), json!(1)),
            (json!({"address": 0, "writable": true}), json!("1")),
            (json!({"address": 0, "writable": true}), json!(-1)),
            (json!({"address": 0, "bit": 1, "writable": true}), json!(true)),
        ] {
            assert!(point(settings.clone()).write(&value).is_err(), "{settings}");
        }
    }

    #[test]
    fn neighbours_are_read_together() {
        let points: BTreeMap<String, Point> = [
            ("b", json!({"address": 12, "type": "f32"})),
            ("a", json!({"address": 10, "type": "u32"})),
            ("again", json!({"address": 10})),
            ("far", json!({"address": 20})),
            ("coil", json!({"table": "coil", "address": 10})),
        ]
        .map(|(name, settings)| (name.to_owned(), point(settings)))
        .into();
        let read = blocks(&points).expect("they fit");
        let seen: Vec<_> = read.iter().map(|block| (block.table, block.address, block.count)).collect();
        let holding = Table::HoldingRegister;
        assert_eq!(seen, [(Table::Coil, 10, 1), (holding, 10, 4), (holding, 20, 1)]);
        let values: BTreeMap<_, _> = read[1].values(&[0, 7, 0x3f80, 0]).collect();
        assert_eq!(values, [("a", json!(7)), ("again", json!(0)), ("b", json!(1.0))].into());
        assert!(read[1].values(&[]).all(|(_, value)| value.is_null()));

        let many = |count: u16| -> BTreeMap<String, Point> {
            (0..count).map(|at| (at.to_string(), point(json!({"address": at})))).collect()
        };
        let counts: Vec<_> = blocks(&many(300)).expect("they fit").iter().map(|block| block.count).collect();
        assert_eq!(counts, [125, 125, 50]);
        let last = [("x".to_owned(), point(json!({"address": 65535, "type": "u32"})))].into();
        let error = blocks(&last).expect_err("it ends behind the last");
        assert!(error.message().contains("`points`: x"), "{error}");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(
            kind in prop::sample::select(vec!["u16", "i16", "u32", "i32", "u64", "i64", "f32", "f64"]),
            low_first: bool, words in prop::collection::vec(any::<u16>(), 4),
        ) {
            let point = point(json!({"address": 0, "type": kind, "low_first": low_first, "writable": true}));
            let words = &words[..usize::from(point.width())];
            let value = point.read(words);
            prop_assume!(!value.is_null());
            prop_assert_eq!(point.write(&value), Ok(words.to_vec()), "{}", value);
        }

        #[test]
        fn whatever_is_written_fits_or_is_refused(number: f64, scale in 0.001f64..1000.0) {
            let point = point(json!({"address": 0, "type": "i32", "scale": scale, "writable": true}));
            if let Ok(words) = point.write(&json!(number)) {
                let back = point.read(&words).as_f64().expect("a number");
                prop_assert!((back - number).abs() <= scale, "{} became {}", number, back);
            }
        }
    }
}
