//! The query string, read by the contract's rules: only `true` is true, lists are split on commas, a number that
//! is none is refused with the parameter's name. Unknown parameters are ignored.

use axum::{
    extract::FromRequestParts,
    http::{Uri, request::Parts},
};

use crate::api::error::{Error, Result};

/// The query of a request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Query {
    pairs: Vec<(String, String)>,
    path: String,
}

impl Query {
    /// Reads a URI's query; what is not UTF-8 is replaced.
    pub(crate) fn of(uri: &Uri) -> Self {
        let pairs = url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes())
            .map(|(key, value)| (key.into_owned(), value.into_owned()))
            .collect();
        Query { pairs, path: uri.path().to_owned() }
    }

    /// The path of the request.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// Every parameter, in order.
    pub(crate) fn pairs(&self) -> &[(String, String)] {
        &self.pairs
    }

    /// The first value of a parameter.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// A value that is not blank.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.get(name).map(str::trim).filter(|value| !value.is_empty())
    }

    /// A value that must be there.
    pub(crate) fn require(&self, parameter: &'static str) -> Result<&str> {
        self.text(parameter).ok_or(Error::Missing { parameter, restriction: "String" })
    }

    /// Is it `true`?
    pub(crate) fn flag(&self, name: &str) -> bool {
        self.tristate(name) == Some(true)
    }

    /// `None` if it is not there; otherwise whether it is `true`.
    pub(crate) fn tristate(&self, name: &str) -> Option<bool> {
        self.get(name).map(|value| value.trim().eq_ignore_ascii_case("true"))
    }

    /// An integer; blank counts as absent.
    pub(crate) fn integer(&self, name: &str) -> Result<Option<i64>> {
        let Some(text) = self.text(name) else { return Ok(None) };
        match text.parse() {
            Ok(number) => Ok(Some(number)),
            Err(_) => Err(Error::Parameter { parameter: name.to_owned(), restriction: "Int32" }),
        }
    }

    /// An integer, clamped to `0..=most`.
    pub(crate) fn bounded(&self, name: &str, default: usize, most: usize) -> Result<usize> {
        let number = self.integer(name)?;
        Ok(number.map_or(default, |number| usize::try_from(number.max(0)).unwrap_or(most).min(most)))
    }

    /// A comma list: trimmed, without blanks and repetitions; `None` if nothing is left.
    pub(crate) fn list(&self, name: &str) -> Option<Vec<&str>> {
        let mut items: Vec<&str> = Vec::new();
        for item in self.get(name)?.split(',').map(str::trim).filter(|item| !item.is_empty()) {
            if !items.contains(&item) {
                items.push(item);
            }
        }
        (!items.is_empty()).then_some(items)
    }
}

impl<S: Sync> FromRequestParts<S> for Query {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(Query::of(&parts.uri))
    }
}
