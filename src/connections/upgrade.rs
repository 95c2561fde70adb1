//! TLS in mid-connection (STARTTLS and its like: RFC 3207, RFC 4642).
//!
//! ```text
//!  asked ── what was transmitted before is sent ──▶ the link's task has both halves ── handshake ──▶ goes on, with the same number
//!    │                                                                   │
//!    └─ what is transmitted from here on waits in the queue              └─ failed: the connection is lost, `tls`
//! ```

use super::{
    Error, Failure, Reason, Receipt,
    dial::tls::Prepared,
    inner::Order,
    line::End,
    options::ms,
    shared::{Either, Shared},
    tls::{Secured, Tls},
    wire::{Reader, Wire, Writer},
};
use std::{pin::pin, sync::Arc};
use tokio::time::Instant;

/// Somebody asked for it. Answered however it goes.
pub(super) struct Upgrade {
    tls: Arc<Tls>,
    receipt: Option<Receipt>,
}

impl Upgrade {
    pub(super) fn new(tls: Arc<Tls>, receipt: Option<Receipt>) -> Self {
        Self { tls, receipt }
    }

    /// For who answers it with others.
    pub(super) fn receipt(&mut self) -> Option<Receipt> {
        self.receipt.take()
    }

    fn answer(&mut self, outcome: Result<(), Error>) {
        if let Some(receipt) = self.receipt.take() {
            receipt(outcome);
        }
    }
}

impl Drop for Upgrade {
    fn drop(&mut self) {
        self.answer(Err(Error::Lost(Failure::new(
            Reason::Stopped,
            "the connection was ended on this side before it went on in TLS",
        ))));
    }
}

/// By the link's task, which goes on with what it is given, or not at all.
pub(super) async fn go_on(shared: &Shared, reader: Reader, mut upgrade: Upgrade) -> Result<Reader, End> {
    let tls = upgrade.tls.clone();
    // Without a write half somebody has ended the connection: there is an order.
    let writer = shared.writer();
    let mut handshake = pin!(async {
        match writer {
            Some(writer) => handshake(shared, reader, writer, &tls).await,
            None => std::future::pending().await,
        }
    });
    let outcome = loop {
        match shared.order_or(handshake.as_mut(), false).await {
            Either::Order(order @ (Order::Close | Order::Retarget | Order::Disconnect(..))) => {
                return Err(End::Order(order));
            }
            Either::Order(_) => {}
            Either::Done(outcome) => break outcome,
        }
    };
    match outcome {
        Ok(wire) => {
            shared.resume(wire.writer);
            upgrade.answer(Ok(()));
            Ok(wire.reader)
        }
        Err(failure) => {
            upgrade.answer(Err(Error::Lost(failure.clone())));
            Err(End::Lost(failure))
        }
    }
}

async fn handshake(shared: &Shared, reader: Reader, writer: Writer, tls: &Tls) -> Result<Wire, Failure> {
    let options = &shared.hub.options;
    let address = shared.target().address;
    let (Some(endpoint), Some(stream)) = (address.endpoint(), Wire::reunite(reader, writer)) else {
        return Err(Failure::new(Reason::Tls, format!("the connection to {address} cannot go on in TLS")));
    };
    let peer = stream.peer_addr().ok();
    let deadline = Instant::now() + ms(options.connect_timeout_ms);
    let stream = Prepared::new(endpoint, tls)?.handshake(stream, options, deadline).await?;
    Ok(Wire::stream(Secured(stream), peer))
}
