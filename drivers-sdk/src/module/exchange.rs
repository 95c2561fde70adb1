//! Requests that the daemon carries out beside the link, such as HTTP. Payloads are a JSON head with bytes behind it.

use bytes::{Bytes, BytesMut};
use drivers_sdk_protocol::Kind;
use drivers_sdk_protocol::message::Headed;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Core;
use crate::channel::Request;
use crate::error::{Error, Result};

impl Core {
    /// Sends a request of a kind that not every daemon knows; the future gives its answer.
    pub(crate) fn request_feature(&self, kind: Kind, write: impl FnOnce(&mut BytesMut)) -> Result<Request> {
        self.has_feature(kind)?;
        self.channel.request(kind, self.handle, write)
    }

    /// Whether frames of this kind may be sent.
    pub(crate) fn has_feature(&self, kind: Kind) -> Result {
        if self.is_over() {
            return Err(Error::stopped());
        }
        match kind.feature() {
            Some(feature) if !self.channel.has(feature) => Err(Error::driver(format!(
                "this driver needs what Headend calls `{feature}`, and the Headend it runs on has not got it: \
                 install a newer one"
            ))),
            _ => Ok(()),
        }
    }

    /// Sends a head and bytes; the answer's head, and its bytes.
    pub(crate) async fn exchange<A: DeserializeOwned>(
        &self,
        kind: Kind,
        head: &impl Serialize,
        body: &[u8],
    ) -> Result<(A, Bytes)> {
        let head = serde_json::to_vec(head)?;
        let request = self.request_feature(kind, |out| Headed { head: &head, body }.write(out))?;
        headed(request.await?)
    }
}

/// Reads an answer: its head, and the bytes behind it.
pub(crate) fn headed<A: DeserializeOwned>(answer: Box<[u8]>) -> Result<(A, Bytes)> {
    let answer = Bytes::from(answer);
    let Headed { head, body } =
        Headed::read(&answer).ok_or_else(|| Error::driver("an answer of the daemon is cut off"))?;
    Ok((serde_json::from_slice(head)?, answer.slice_ref(body)))
}
