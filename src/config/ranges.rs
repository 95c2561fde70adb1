//! What every number in the configuration may be.

use toml::{Table, Value};

use super::{
    Config, Error,
    file::{Document, Located},
    overrides::Overrides,
};

/// Section, key, least, most. Every whole number in the configuration has its row: a test sees to it.
pub(super) const RANGES: &[(&str, &str, i64, i64)] = &[("server", "worker_threads", 0, 512)];

/// Refuses a number outside its range, with the place it was read from.
pub(super) fn check(config: &Config, document: &Document<'_>, overrides: &Overrides) -> Result<(), Error> {
    let table = Table::try_from(config)
        .map_err(|cause| Error::Refused(Located { place: String::new(), message: cause.to_string() }))?;
    for (section, key, least, most) in RANGES {
        let Some(Value::Integer(value)) = table.get(*section).and_then(|options| options.get(*key)) else {
            continue;
        };
        if !(least..=most).contains(&value) {
            let place = overrides
                .origin(&table, section, key)
                .map(str::to_owned)
                .or_else(|| document.place(section, key))
                .unwrap_or_default();
            let message = format!("{section}.{key} is {value}: expected {least} to {most}");
            return Err(Error::Refused(Located { place, message }));
        }
    }
    Ok(())
}
