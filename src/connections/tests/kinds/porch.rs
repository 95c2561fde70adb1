//! Where a device of a kind with a handshake receives: hands are shaken whether or not the test waits for it.

use super::{Listener, Stream};
use crate::connections::tests::harness::DEADLINE;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use std::{future::poll_fn, net::SocketAddr, sync::Arc, task::Poll};
use tokio::sync::mpsc;

/// From a connection to what is within; `None` if that fails.
pub(in crate::connections::tests) type Handshake =
    Arc<dyn Fn(Stream) -> BoxFuture<'static, Option<Stream>> + Send + Sync>;

pub(in crate::connections::tests) struct Porch {
    pub(in crate::connections::tests) address: SocketAddr,
    /// Where it is taken away, nobody is let in any more at once.
    listener: Arc<Mutex<Option<Listener>>>,
    handshake: Handshake,
    guests: (mpsc::UnboundedSender<Stream>, tokio::sync::Mutex<mpsc::UnboundedReceiver<Stream>>),
}

impl Porch {
    pub(in crate::connections::tests) fn new(
        address: SocketAddr,
        handshake: impl Fn(Stream) -> BoxFuture<'static, Option<Stream>> + Send + Sync + 'static,
    ) -> Self {
        let (sender, receiver) = mpsc::unbounded_channel();
        Self {
            address,
            listener: Arc::default(),
            handshake: Arc::new(handshake),
            guests: (sender, tokio::sync::Mutex::new(receiver)),
        }
    }

    pub(in crate::connections::tests) async fn appear(&self) {
        let fresh = Listener::bind(self.address).await;
        *self.listener.lock() = Some(fresh);
        let (listener, handshake, guests) =
            (self.listener.clone(), self.handshake.clone(), self.guests.0.clone());
        tokio::spawn(async move {
            let next = || {
                poll_fn(|cx| match &*listener.lock() {
                    Some(listener) => listener.poll_accept(cx).map(Some),
                    None => Poll::Ready(None),
                })
            };
            while let Some(accepted) = next().await {
                let Ok(stream) = accepted else { continue };
                let (shaking, guests) = (handshake(stream), guests.clone());
                tokio::spawn(async move { shaking.await.map(|stream| guests.send(stream)) });
            }
        });
    }

    pub(in crate::connections::tests) fn disappear(&self) {
        *self.listener.lock() = None;
    }

    pub(in crate::connections::tests) async fn accept(&self) -> Stream {
        let mut guests = self.guests.1.lock().await;
        let guest = tokio::time::timeout(DEADLINE, guests.recv()).await;
        guest.expect("a connection in time").expect("a connection")
    }
}
