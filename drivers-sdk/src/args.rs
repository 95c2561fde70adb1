//! The arguments of a call: a JSON array by position, or an object by name.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserializer as _, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::driver::Input;
use crate::error::{Error, Result};

/// The arguments of one call, each still JSON text.
#[derive(Debug)]
pub struct Args<'a, const N: usize> {
    function: &'static str,
    names: [&'static str; N],
    values: [Option<&'a RawValue>; N],
}

impl<'a, const N: usize> Args<'a, N> {
    /// Sorts the arguments of `function` by its parameters.
    pub fn parse(function: &'static str, names: [&'static str; N], json: &'a str) -> Result<Args<'a, N>> {
        let mut args = Args { function, names, values: [None; N] };
        let mut deserializer = serde_json::Deserializer::from_str(json);
        deserializer
            .deserialize_any(Fill(&mut args))
            .map_err(|error| Error::bad_request(format!("arguments of `{function}`: {}", bare(&error))))?;
        Ok(args)
    }

    /// The argument of this number; one that is missing is read as `null`.
    pub fn get<T: Input>(&self, index: usize) -> Result<T> {
        let (function, name) = (self.function, self.names.get(index).copied().unwrap_or_default());
        match self.values.get(index).copied().flatten() {
            Some(value) => serde_json::from_str(value.get()).map_err(|error| {
                Error::bad_request(format!("argument `{name}` of `{function}`: {}", bare(&error)))
            }),
            None => serde_json::from_str("null")
                .map_err(|_| Error::bad_request(format!("argument `{name}` of `{function}` is missing"))),
        }
    }
}

/// What is wrong, without the line and column, which mean nothing to a caller.
pub(crate) fn bare(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.rfind(" at line ") {
        Some(at) => text.get(..at).unwrap_or_default().to_owned(),
        None => text,
    }
}

struct Fill<'s, 'a, const N: usize>(&'s mut Args<'a, N>);

impl<'a, const N: usize> Visitor<'a> for Fill<'_, 'a, N> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of arguments, or an object of named ones")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<S: SeqAccess<'a>>(self, mut seq: S) -> Result<(), S::Error> {
        let mut given = 0;
        while let Some(value) = seq.next_element::<&RawValue>()? {
            if let Some(place) = self.0.values.get_mut(given) {
                *place = Some(value);
            }
            given += 1;
        }
        if given > N {
            let names = self.0.names.join(", ");
            return Err(serde::de::Error::custom(format!("it takes {N} ({names}), {given} were given")));
        }
        Ok(())
    }

    fn visit_map<M: MapAccess<'a>>(self, mut map: M) -> Result<(), M::Error> {
        while let Some(name) = map.next_key::<Cow<'a, str>>()? {
            let value = map.next_value::<&RawValue>()?;
            let index = self.0.names.iter().position(|known| *known == name);
            match index.and_then(|index| self.0.values.get_mut(index)) {
                Some(place) => *place = Some(value),
                None => {
                    let names = self.0.names.join(", ");
                    return Err(serde::de::Error::custom(format!(
                        "it has none named `{name}`, only: {names}"
                    )));
                }
            }
        }
        Ok(())
    }
}
