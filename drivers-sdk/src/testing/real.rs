//! A device that is out there: bytes and datagrams go to its address and back. Time is everybody's then.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;

use bytes::BytesMut;
use drivers_sdk_protocol::emulated;
use drivers_sdk_protocol::manifest::Kind;
use drivers_sdk_protocol::message::Form;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, copy, split};
use tokio::net::{TcpStream, UdpSocket, lookup_host};

use super::device::Far;
use super::harness::Harness;
use super::step::Step;
use crate::driver::Driver;
use crate::error::Result;

/// Longest datagram.
const DATAGRAM: usize = 65_535;

struct Peer {
    address: SocketAddr,
    /// The connection that showed that it is there.
    first: RefCell<Option<TcpStream>>,
}

impl<D: Driver> Harness<D> {
    /// Starts a module with these settings, connected to this address by TCP, or by UDP if that is the driver's way: a real
    /// program or device. Time is real too: [`advance`](Self::advance) waits, and a step waits for 10 s. A connection that is
    /// lost is made again after a second.
    pub fn against(address: impl Into<String>, settings: Value) -> Step<Harness<D>> {
        let address = address.into();
        Step::new(async move {
            let unfit = |why: &dyn std::fmt::Display| format!("{address}: {why}");
            if D::DECLARATION.kind != Kind::Device {
                return Err(unfit(
                    &"only drivers that are reached by TCP or UDP can be tested against an address",
                ));
            }
            let found = lookup_host(&address).await.map_err(|error| unfit(&error))?.next();
            let found = found.ok_or_else(|| unfit(&"the name has no address"))?;
            let first = match D::DECLARATION.udp {
                true => None,
                false => Some(TcpStream::connect(found).await.map_err(|error| unfit(&error))?),
            };
            Harness::beside(Rc::new(Peer { address: found, first: RefCell::new(first) }), settings)
                .outcome()
                .await
        })
    }
}

impl Far for Peer {
    fn serve(self: Rc<Self>, stream: DuplexStream, messages: bool) -> Pin<Box<dyn Future<Output = Result>>> {
        Box::pin(
            async move { if messages { self.datagrams(stream).await } else { self.bytes(stream).await } },
        )
    }

    fn is_real(&self) -> bool {
        true
    }
}

impl Peer {
    /// Until either side ends it.
    async fn bytes(&self, stream: DuplexStream) -> Result {
        let first = self.first.take();
        let mut peer = match first {
            Some(peer) => peer,
            None => TcpStream::connect(self.address).await?,
        };
        let (mut from_peer, mut to_peer) = peer.split();
        let (mut from_driver, mut to_driver) = split(stream);
        tokio::select! {
            ended = copy(&mut from_peer, &mut to_driver) => ended?,
            ended = copy(&mut from_driver, &mut to_peer) => ended?,
        };
        Ok(())
    }

    async fn datagrams(&self, mut stream: DuplexStream) -> Result {
        let own = if self.address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let socket = UdpSocket::bind(own).await?;
        socket.connect(self.address).await?;
        let (mut datagram, mut buffer) = (vec![0; DATAGRAM], BytesMut::new());
        loop {
            tokio::select! {
                read = stream.read_buf(&mut buffer) => {
                    if read? == 0 {
                        return Ok(());
                    }
                    while let Ok(Some((_, message))) = emulated::decode(&mut buffer) {
                        // Who is not there answers nothing: that is all that UDP says.
                        let _ = socket.send(&message).await;
                    }
                }
                received = socket.recv(&mut datagram) => {
                    let Ok(length) = received else { continue };
                    let mut message = BytesMut::new();
                    let _ = emulated::encode(&mut message, Form::Bytes, datagram.get(..length).unwrap_or_default());
                    stream.write_all(&message).await?;
                }
            }
        }
    }
}
