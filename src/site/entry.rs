//! One resource as it stands in the file: its fields with their places, read into the model's types.

use std::ops::Range;

use serde_json::{Map, Value};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use crate::{
    config::Located,
    model::{self, Resource, settings::Level},
};

/// The fields that carry settings, and their level.
pub(super) const SETTINGS: &[(&str, Level)] = &[
    ("settings", Level::None),
    ("settings_support", Level::Support),
    ("settings_admin", Level::Admin),
    ("settings_never_display", Level::NeverDisplay),
];

/// The settings of one level.
pub(super) type Layer = (Level, Map<String, Value>);

/// The file that is being read.
pub(super) struct File<'a> {
    pub(super) name: &'a str,
    pub(super) text: &'a str,
}

/// `[section.name]`.
pub(super) struct Entry<'a> {
    pub(super) file: &'a File<'a>,
    pub(super) name: &'a str,
    span: Range<usize>,
    fields: &'a DeTable<'a>,
}

/// What a kind of resource has in the file in place of the API's fields.
pub(super) struct Shape {
    /// Fields of the file's own: references.
    pub(super) own: &'static [&'static str],
    /// Writable fields that the file leaves to the references.
    pub(super) hidden: &'static [&'static str],
    /// Does it take settings?
    pub(super) settings: bool,
}

impl File<'_> {
    pub(super) fn refuse(&self, span: &Range<usize>, message: impl Into<String>) -> Located {
        Located::at(self.name, self.text, span.start, message)
    }
}

impl<'a> Entry<'a> {
    pub(super) fn new(
        file: &'a File<'a>,
        section: &str,
        name: &'a Spanned<std::borrow::Cow<'a, str>>,
        value: &'a Spanned<DeValue<'a>>,
    ) -> Result<Self, Located> {
        let span = name.span();
        let DeValue::Table(fields) = value.get_ref() else {
            return Err(file.refuse(&span, format!("`{section}.{}` must be a table", name.get_ref())));
        };
        Ok(Entry { file, name: name.get_ref(), span, fields })
    }

    /// Refuses the entry as a whole, or one of its fields if it has it.
    pub(super) fn refuse(&self, field: &str, message: impl Into<String>) -> Located {
        let place = self.fields.iter().find(|(key, _)| key.get_ref() == field).map(|(key, _)| key.span());
        self.file.refuse(&place.unwrap_or_else(|| self.span.clone()), message)
    }

    pub(super) fn has(&self, field: &str) -> bool {
        self.fields.contains_key(field)
    }

    /// A reference: the text of `field`, and where it stands.
    pub(super) fn text(&self, field: &str) -> Result<Option<(&'a str, Range<usize>)>, Located> {
        let Some(value) = self.fields.get(field) else { return Ok(None) };
        match value.get_ref() {
            DeValue::String(text) => Ok(Some((text, value.span()))),
            _ => Err(self.refuse(field, format!("`{field}` must be text, in quotes"))),
        }
    }

    /// A list of references.
    pub(super) fn texts(&self, field: &str) -> Result<Vec<(&'a str, Range<usize>)>, Located> {
        let Some(value) = self.fields.get(field) else { return Ok(Vec::new()) };
        let wrong = || self.refuse(field, format!("`{field}` must be a list of names: [\"one\", \"two\"]"));
        let DeValue::Array(values) = value.get_ref() else { return Err(wrong()) };
        values
            .iter()
            .map(|value| match value.get_ref() {
                DeValue::String(text) => Ok((&**text, value.span())),
                _ => Err(wrong()),
            })
            .collect()
    }

    /// The settings of each level that it has.
    pub(super) fn settings(&self) -> Result<Vec<Layer>, Located> {
        let mut found = Vec::new();
        for (field, level) in SETTINGS {
            let Some(value) = self.fields.get(*field) else { continue };
            match self.json(value)? {
                Value::Object(map) => found.push((*level, map)),
                _ => return Err(self.refuse(field, format!("`{field}` must be a table: {{ key = value }}"))),
            }
        }
        Ok(found)
    }

    /// The resource: `presets` (defaults and resolved references), over them what the entry says, then `finish`,
    /// then the model's rules.
    pub(super) fn resource<R: Resource>(
        &self,
        shape: &Shape,
        presets: Map<String, Value>,
        finish: impl FnOnce(&mut R),
    ) -> Result<R, Located> {
        let allowed = |field: &str| {
            shape.own.contains(&field)
                || (shape.settings && SETTINGS.iter().any(|(name, _)| *name == field))
                || (R::WRITABLE.contains(&field) && !shape.hidden.contains(&field))
        };
        let mut body = presets;
        for (key, value) in self.fields {
            let field = key.get_ref().as_ref();
            if !allowed(field) {
                let mut expected: Vec<&str> = shape.own.to_vec();
                expected.extend(R::WRITABLE.iter().filter(|field| !shape.hidden.contains(field)));
                if shape.settings {
                    expected.extend(SETTINGS.iter().map(|(name, _)| *name));
                }
                let message = format!("unknown field `{field}`, expected one of {}", expected.join(", "));
                return Err(self.refuse(field, message));
            }
            if !R::WRITABLE.contains(&field) || shape.own.contains(&field) {
                continue;
            }
            body.insert(field.to_owned(), self.json(value)?);
        }
        let mut resource: R = model::patch(None, &body).map_err(|error| self.failed(error))?;
        finish(&mut resource);
        resource.normalize();
        match resource.validate().first() {
            None => Ok(resource),
            Some(failure) => {
                Err(self.refuse(&failure.field, format!("`{}` {}", failure.field, failure.reason)))
            }
        }
    }

    fn failed(&self, error: model::patch::Error) -> Located {
        match error {
            model::patch::Error::Type { field, detail } => {
                self.refuse(&field, format!("`{field}`: {detail}"))
            }
            model::patch::Error::Invalid(failures) => {
                let fields: Vec<String> =
                    failures.into_iter().map(|failure| format!("`{}`", failure.field)).collect();
                self.refuse("", format!("`{}` lacks {}", self.name, fields.join(", ")))
            }
        }
    }

    fn json(&self, value: &Spanned<DeValue<'_>>) -> Result<Value, Located> {
        let refuse = |message: &str| self.file.refuse(&value.span(), message);
        Ok(match value.get_ref() {
            DeValue::String(text) => Value::String(text.to_string()),
            DeValue::Boolean(value) => Value::Bool(*value),
            DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
                .map_err(|_| refuse("this number is too large"))?
                .into(),
            DeValue::Float(number) => number
                .as_str()
                .parse()
                .ok()
                .and_then(serde_json::Number::from_f64)
                .map(Value::Number)
                .ok_or_else(|| refuse("settings have no such number"))?,
            DeValue::Datetime(_) => return Err(refuse("write dates and times as text, in quotes")),
            DeValue::Array(values) => {
                Value::Array(values.iter().map(|value| self.json(value)).collect::<Result<_, _>>()?)
            }
            DeValue::Table(fields) => Value::Object(
                fields
                    .iter()
                    .map(|(key, value)| Ok((key.get_ref().to_string(), self.json(value)?)))
                    .collect::<Result<_, Located>>()?,
            ),
        })
    }
}
