//! Webhooks: what services on the Internet tell a driver, by an HTTP request of theirs.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::args::bare;
use crate::error::{Error, Result};

/// A request that a service made to a `#[webhook]` function, after the daemon has checked its secret.
///
/// ```
/// use drivers_sdk::prelude::*;
///
/// #[data]
/// struct Order {
///     cups: u8,
/// }
///
/// #[derive(Default)]
/// struct Kitchen;
///
/// /// Takes orders.
/// #[driver(name = "Kitchen", module = "Kitchen", logic)]
/// impl Kitchen {
///     /// Somebody has ordered coffee.
///     #[webhook]
///     async fn ordered(&self, cx: &Cx<Self>, request: Webhook) -> Result<Value> {
///         let order: Order = request.json()?;
///         cx.info(format!("{} cups", order.cups));
///         Ok(json!({"accepted": true}))
///     }
/// }
///
/// drivers_sdk::main!(Kitchen);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Webhook {
    /// `POST`, `GET`.
    pub method: String,
    /// Query parameters, without the secret; of those that are repeated the last.
    #[serde(default)]
    pub query: BTreeMap<String, String>,
    /// Headers by their name in lower case; of those that are repeated the values between commas.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// The body, exactly as it was sent: signatures can be checked.
    #[serde(default)]
    pub body: String,
}

impl Webhook {
    /// The body as JSON; what it is not is the caller's error.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_str(&self.body)
            .map_err(|error| Error::bad_request(format!("the body of the webhook: {}", bare(&error))))
    }

    /// A header, whatever the case of its name.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut found = self.headers.iter().filter(|(key, _)| key.eq_ignore_ascii_case(name));
        found.next().map(|(_, value)| value.as_str())
    }
}

/// What a service is answered. A `#[webhook]` function returns one, or what becomes one: nothing (204), a [`Value`]
/// (200, JSON), or text (200).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WebhookReply {
    /// HTTP status.
    pub status: u16,
    /// `application/json`.
    #[serde(default)]
    pub content_type: String,
    /// The body.
    #[serde(default)]
    pub body: String,
}

impl From<()> for WebhookReply {
    fn from((): ()) -> Self {
        WebhookReply { status: 204, content_type: String::new(), body: String::new() }
    }
}

impl From<Value> for WebhookReply {
    fn from(value: Value) -> Self {
        WebhookReply { status: 200, content_type: "application/json".into(), body: value.to_string() }
    }
}

impl From<String> for WebhookReply {
    fn from(body: String) -> Self {
        WebhookReply { status: 200, content_type: "text/plain; charset=utf-8".into(), body }
    }
}

impl From<&str> for WebhookReply {
    fn from(body: &str) -> Self {
        body.to_owned().into()
    }
}
