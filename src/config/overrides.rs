//! The environment and the command line, laid over the file.
//!
//! `HEADEND_<SECTION>_<KEY>` sets any option; a few have a short name as well. A variable that starts with
//! `HEADEND_` and names nothing is refused: a misspelt limit must not be silently absent.

use serde::Deserialize as _;
use toml::{Table, Value};

use super::{
    Config, Error,
    file::{Located, plain},
};

/// Short names, and what they stand for.
const SHORT: &[(&str, &str, &str)] = &[
    ("HEADEND_LISTEN", "server", "listen"),
    ("HEADEND_DATA", "data", "dir"),
    ("HEADEND_LOG", "log", "level"),
    ("HEADEND_SITE", "site", "file"),
];

/// Variables that are not options: the admin key preset for the first start, and the client's.
const OTHERS: &[&str] = &["HEADEND_ADMIN_KEY", "HEADEND_URL", "HEADEND_KEY", "HEADEND_CONFIG"];

/// Values that win over the file's, the later over the earlier.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    values: Vec<Override>,
}

#[derive(Clone, Debug)]
struct Override {
    /// Where it comes from: `HEADEND_LOG`, `--data`.
    origin: String,
    /// `None`: a variable whose name has yet to be looked up.
    path: Option<(&'static str, &'static str)>,
    value: String,
}

impl Overrides {
    /// The variables of `environment` that start with `HEADEND_`.
    pub fn environment(environment: impl Iterator<Item = (String, String)>) -> Self {
        let mut values: Vec<Override> = environment
            .filter(|(name, _)| name.starts_with("HEADEND_") && !OTHERS.contains(&name.as_str()))
            .map(|(origin, value)| {
                let short = SHORT.iter().find(|(name, ..)| *name == origin);
                Override { path: short.map(|(_, section, key)| (*section, *key)), origin, value }
            })
            .collect();
        // A long name wins over its short one, whatever order the environment has them in.
        values.sort_by_key(|value| (value.path.is_none(), value.origin.clone()));
        Overrides { values }
    }

    /// Adds a flag, if it was given.
    #[must_use]
    pub fn flag(
        mut self,
        flag: &str,
        section: &'static str,
        key: &'static str,
        value: Option<String>,
    ) -> Self {
        self.values.extend(value.map(|value| Override {
            origin: flag.into(),
            path: Some((section, key)),
            value,
        }));
        self
    }

    pub(super) fn apply(&self, config: Config) -> Result<Config, Error> {
        if self.values.is_empty() {
            return Ok(config);
        }
        let mut table = Table::try_from(&config).map_err(|cause| refuse("", cause.to_string()))?;
        let mut config = config;
        for value in &self.values {
            let (section, key) = value.path(&table).ok_or_else(|| {
                refuse(
                    &value.origin,
                    "is not an option: expected HEADEND_<SECTION>_<KEY>, such as HEADEND_LOG_LEVEL",
                )
            })?;
            let Some(Value::Table(section)) = table.get_mut(&section) else { continue };
            let Some(slot) = section.get_mut(&key) else { continue };
            *slot = read(slot, &value.value)
                .map_err(|expected| refuse(&value.origin, format!("`{}` is not {expected}", value.value)))?;
            config = Config::deserialize(table.clone())
                .map_err(|cause| refuse(&value.origin, plain(cause.message())))?;
        }
        Ok(config)
    }

    /// Which of them set `section.key` last.
    pub(super) fn origin(&self, table: &Table, section: &str, key: &str) -> Option<&str> {
        self.values
            .iter()
            .rev()
            .find(|value| value.path(table).is_some_and(|path| path.0 == section && path.1 == key))
            .map(|value| value.origin.as_str())
    }
}

impl Override {
    fn path(&self, table: &Table) -> Option<(String, String)> {
        if let Some((section, key)) = self.path {
            return Some((section.into(), key.into()));
        }
        let name = self.origin.strip_prefix("HEADEND_")?.to_lowercase();
        let (section, key) = name.split_once('_')?;
        let Some(Value::Table(options)) = table.get(section) else { return None };
        options.contains_key(key).then(|| (section.into(), key.into()))
    }
}

/// Reads `text` as what `like` is.
fn read(like: &Value, text: &str) -> Result<Value, &'static str> {
    match like {
        Value::String(_) => Ok(Value::String(text.into())),
        Value::Integer(_) => text.trim().parse().map(Value::Integer).map_err(|_| "a whole number"),
        Value::Float(_) => text.trim().parse().map(Value::Float).map_err(|_| "a number"),
        Value::Boolean(_) => text.trim().parse().map(Value::Boolean).map_err(|_| "true or false"),
        _ => text.trim().parse().map_err(|_| "a TOML value"),
    }
}

fn refuse(place: &str, message: impl Into<String>) -> Error {
    Error::Refused(Located { place: place.into(), message: message.into() })
}
