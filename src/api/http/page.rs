//! Lists: a bare JSON array, its total and the next page in headers.

use axum::{
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::Response,
};
use serde::Serialize;

use super::{json, query::Query};
use crate::api::error::Result;

const TOTAL: HeaderName = HeaderName::from_static("x-total-count");
const DEFAULT_LIMIT: usize = 100;
const MOST: usize = 10_000;
const FARTHEST: usize = 1_000_000;

/// The part of a list that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Page {
    pub(crate) limit: usize,
    pub(crate) offset: usize,
}

impl Page {
    /// `limit` and `offset` of a query.
    pub(crate) fn of(query: &Query) -> Result<Self> {
        Page::with_default(query, DEFAULT_LIMIT)
    }

    /// With another default limit.
    pub(crate) fn with_default(query: &Query, limit: usize) -> Result<Self> {
        Ok(Page {
            limit: query.bounded("limit", limit, MOST)?,
            offset: query.bounded("offset", 0, FARTHEST)?,
        })
    }

    /// Cuts the page out of all items; returns it with the total.
    pub(crate) fn cut<T>(self, items: Vec<T>) -> (Vec<T>, usize) {
        let total = items.len();
        (items.into_iter().skip(self.offset).take(self.limit).collect(), total)
    }

    /// The response for a page that was cut already.
    pub(crate) fn respond<T: Serialize>(
        self,
        query: &Query,
        table: &str,
        items: &[T],
        total: usize,
    ) -> Response {
        let end = self.offset + items.len();
        let mut response = json(StatusCode::OK, items);
        set_counts(&mut response, table, self.offset, end, total);
        if end < total
            && !items.is_empty()
            && let Ok(link) = HeaderValue::try_from(self.next(query, end))
        {
            response.headers_mut().insert(header::LINK, link);
        }
        response
    }

    /// The `Link` to the next page. Clients split it on `,` and `;`, so those are percent-encoded inside.
    fn next(self, query: &Query, offset: usize) -> String {
        let mut pairs = url::form_urlencoded::Serializer::new(String::new());
        for (key, value) in query.pairs() {
            // A credential in the query is for this request only.
            if !matches!(key.as_str(), "limit" | "offset" | "api-key" | "bearer_token") {
                pairs.append_pair(key, value);
            }
        }
        pairs.append_pair("limit", &self.limit.to_string());
        pairs.append_pair("offset", &offset.to_string());
        let path = query.path().replace(',', "%2C").replace(';', "%3B");
        format!("<{path}?{}>; rel=\"next\"", pairs.finish())
    }
}

/// A list that is not paged.
pub(crate) fn whole<T: Serialize>(table: &str, items: &[T]) -> Response {
    let mut response = json(StatusCode::OK, items);
    set_counts(&mut response, table, 0, items.len().saturating_sub(1), items.len());
    response
}

/// Total and range of a list; `end` as the contract has it.
pub(crate) fn set_counts(response: &mut Response, table: &str, start: usize, end: usize, total: usize) {
    let headers = response.headers_mut();
    headers.insert(TOTAL, HeaderValue::from(total));
    if let Ok(range) = HeaderValue::try_from(format!("{table} {start}-{end}/{total}")) {
        headers.insert(header::CONTENT_RANGE, range);
    }
}
