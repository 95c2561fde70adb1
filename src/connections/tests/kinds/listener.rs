//! Where a device on a network listens: on loopback, or in the simulation that this thread runs.

use super::{super::simulated, FarEnd, Stream, own_address};
use futures_util::future::{BoxFuture, FutureExt as _};
use std::{
    io,
    net::SocketAddr,
    task::{Context, Poll},
    time::Duration,
};
use tokio::net::{TcpListener, TcpStream};

pub(in crate::connections::tests) enum Listener {
    System(TcpListener),
    Simulated(simulated::Listener),
}

impl Listener {
    /// An address that is this test's own.
    pub(in crate::connections::tests) fn address() -> SocketAddr {
        match simulated::current() {
            Some(network) => network.address(),
            None => SocketAddr::from((own_address(), 4000)),
        }
    }

    pub(super) async fn bind(address: SocketAddr) -> Self {
        match simulated::current() {
            Some(network) => Self::Simulated(network.listen(address).await),
            None => Self::System(TcpListener::bind(address).await.expect("bind")),
        }
    }

    pub(super) fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<Stream>> {
        match self {
            Self::System(listener) => {
                listener.poll_accept(cx).map_ok(|(stream, _)| Box::new(stream) as Stream)
            }
            Self::Simulated(listener) => {
                listener.poll_accept(cx).map(|stream| Ok(Box::new(stream) as Stream))
            }
        }
    }
}

impl FarEnd for TcpStream {
    fn reset(self: Box<Self>) -> BoxFuture<'static, ()> {
        socket2::SockRef::from(&*self).set_linger(Some(Duration::ZERO)).expect("linger");
        std::future::ready(()).boxed()
    }

    fn system(self: Box<Self>) -> Option<TcpStream> {
        Some(*self)
    }
}

impl FarEnd for simulated::Stream {
    fn reset(mut self: Box<Self>) -> BoxFuture<'static, ()> {
        self.rude = true;
        std::future::ready(()).boxed()
    }
}
