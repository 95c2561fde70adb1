//! An SSH server whose shell says what it hears.

use russh::{
    Channel, ChannelId,
    keys::{Algorithm, HashAlg, PrivateKey},
    server::{Auth, ChannelOpenHandle, Config, Handler, Msg, Session, run_stream},
};
use std::sync::Arc;
use tokio::net::TcpStream;

/// The server, and the fingerprint of its key.
pub(crate) fn config() -> (Arc<Config>, String) {
    let key = PrivateKey::random(&mut russh::keys::key::safe_rng(), Algorithm::Ed25519).expect("key");
    let fingerprint = key.public_key().fingerprint(HashAlg::Sha256).to_string();
    (Arc::new(Config { keys: vec![key], nodelay: true, ..Config::default() }), fingerprint)
}

pub(crate) async fn echo(config: Arc<Config>, stream: TcpStream) {
    let session = run_stream(config, stream, Host).await.expect("handshake");
    let _ = session.await;
}

struct Host;

impl Handler for Host {
    type Error = russh::Error;

    async fn auth_password(&mut self, _: &str, _: &str) -> Result<Auth, russh::Error> {
        Ok(Auth::Accept)
    }

    async fn channel_open_session(
        &mut self,
        _: Channel<Msg>,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), russh::Error> {
        reply.accept().await;
        Ok(())
    }

    async fn pty_request(
        &mut self,
        channel: ChannelId,
        _: &str,
        _: u32,
        _: u32,
        _: u32,
        _: u32,
        _: &[(russh::Pty, u32)],
        session: &mut Session,
    ) -> Result<(), russh::Error> {
        session.channel_success(channel)
    }

    async fn shell_request(&mut self, channel: ChannelId, session: &mut Session) -> Result<(), russh::Error> {
        session.channel_success(channel)
    }

    async fn data(
        &mut self,
        channel: ChannelId,
        data: &[u8],
        session: &mut Session,
    ) -> Result<(), russh::Error> {
        session.data(channel, data.to_vec())
    }
}
