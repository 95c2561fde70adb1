//! A gateway that speaks RFC 2217: connected only when it has confirmed every setting of the line.

use super::{
    super::{
        Address, Failure, Hub, Reason,
        rfc2217::{Gateway, Session},
        wire::Wire,
    },
    failure::loss,
};
use crate::model::serial::Line;
use std::{io, net::SocketAddr};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    time::{Instant, timeout_at},
};

/// `stream` connects.
pub(in crate::connections) async fn dial<S: AsyncRead + AsyncWrite + Send + Unpin + 'static>(
    hub: &Hub,
    address: &Address,
    line: Line,
    stream: impl Future<Output = Result<(S, SocketAddr), Failure>>,
    deadline: Instant,
) -> Result<Wire, Failure> {
    let (mut stream, peer) = stream.await?;
    let mut session = Session::new(line);
    match timeout_at(deadline, agree(address, &mut stream, &mut session)).await {
        Ok(Ok(data)) => Ok(Wire::transport(Gateway::new(stream, session, data, address.clone()), Some(peer))),
        Ok(Err(error)) => Err(loss(address, &error)),
        Err(_) => {
            let (missing, limit) = (session.missing(), hub.options.connect_timeout_ms);
            Err(Failure::new(
                Reason::Protocol,
                format!(
                    "{address}: {missing} within {limit} ms. If this port of the gateway is raw TCP, use ip and port instead of the uri."
                ),
            ))
        }
    }
}

/// Until the settings are applied. Gives what the device has said since.
async fn agree(
    address: &Address,
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    session: &mut Session,
) -> io::Result<Vec<u8>> {
    let mut data = Vec::new();
    let mut piece = [0; 1024];
    loop {
        let said = std::mem::take(session.out());
        stream.write_all(&said).await?;
        if session.is_ready() {
            return Ok(data);
        }
        let read = stream.read(&mut piece).await?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        session
            .receive(piece.get(..read).unwrap_or_default(), &mut data)
            .map_err(|refusal| io::Error::other(refusal.failure(address)))?;
    }
}
