#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::*;
use std::time::Instant;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket, UnixListener, UnixStream};

/// A peer that echoes.
async fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let mut stream = listener.accept().await.unwrap().0;
            tokio::spawn(async move {
                let (mut read, mut write) = stream.split();
                let _ = tokio::io::copy(&mut read, &mut write).await;
            });
        }
    });
    address
}

async fn proxied() -> (FaultProxy, TcpStream) {
    let proxy = FaultProxy::tcp(echo().await).await.unwrap();
    let client = TcpStream::connect(proxy.address()).await.unwrap();
    (proxy, client)
}

async fn round_trip(client: &mut TcpStream, text: &[u8]) {
    client.write_all(text).await.unwrap();
    let mut got = vec![0; text.len()];
    client.read_exact(&mut got).await.unwrap();
    assert_eq!(got, text);
}

/// What is read until the end, and how it ended.
async fn rest(client: &mut TcpStream) -> (Vec<u8>, io::Result<()>) {
    let mut got = Vec::new();
    let end = client.read_to_end(&mut got).await.map(drop);
    (got, end)
}

fn kind(end: io::Result<()>) -> io::ErrorKind {
    end.unwrap_err().kind()
}

#[tokio::test]
async fn passes_on_and_counts_and_ends_with_its_ends() {
    let (proxy, mut client) = proxied().await;
    for size in [1, 10_000, 3_000_000] {
        let text: Vec<u8> = flood(7, size).collect();
        let (mut read, mut write) = client.split();
        let mut got = vec![0; size];
        let (sent, received) = tokio::join!(write.write_all(&text), read.read_exact(&mut got));
        sent.unwrap();
        received.unwrap();
        assert!(got == text, "{size} bytes came back as others");
    }
    let counts = proxy.counts();
    assert_eq!((counts.connections, counts.open), (1, 1));
    assert_eq!((counts.to_peer, counts.to_client), (3_010_001, 3_010_001));
    client.shutdown().await.unwrap();
    assert!(matches!(rest(&mut client).await, (got, Ok(())) if got.is_empty()));
    proxy.until(|counts| counts.open == 0).await;
}

#[tokio::test]
async fn refuses_keeps_its_port_and_listens_again() {
    let (proxy, mut client) = proxied().await;
    round_trip(&mut client, b"before").await;
    proxy.set(Fault::Refuse).await.unwrap();
    let refused = TcpStream::connect(proxy.address()).await.unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    round_trip(&mut client, b"what was there lives on").await;
    proxy.set(Fault::None).await.unwrap();
    let mut client = TcpStream::connect(proxy.address()).await.unwrap();
    round_trip(&mut client, b"after").await;
    assert_eq!(proxy.counts().connections, 2);
}

#[tokio::test]
async fn closes_resets_and_flaps() {
    let (proxy, mut client) = proxied().await;
    proxy.set(Fault::AcceptThenClose).await.unwrap();
    assert!(matches!(rest(&mut client).await, (got, Ok(())) if got.is_empty()));
    let mut client = TcpStream::connect(proxy.address()).await.unwrap();
    assert!(matches!(rest(&mut client).await, (got, Ok(())) if got.is_empty()));

    proxy.set(Fault::None).await.unwrap();
    let mut client = TcpStream::connect(proxy.address()).await.unwrap();
    round_trip(&mut client, b"x").await;
    proxy.reset();
    assert_eq!(kind(rest(&mut client).await.1), io::ErrorKind::ConnectionReset);

    let before = proxy.counts().connections;
    let address = proxy.address();
    let client = tokio::spawn(async move {
        loop {
            let mut client = TcpStream::connect(address).await.unwrap();
            rest(&mut client).await.1.unwrap();
        }
    });
    proxy.flap(200).await;
    assert!(proxy.counts().connections >= before + 200);
    client.abort();
}

#[tokio::test]
async fn resets_in_the_middle_of_a_frame() {
    let (proxy, mut client) = proxied().await;
    round_trip(&mut client, b"whole").await;
    proxy.set(Fault::ResetAfter(Towards::Client, 3)).await.unwrap();
    client.write_all(b"broken").await.unwrap();
    let (got, end) = rest(&mut client).await;
    assert_eq!((got.as_slice(), kind(end)), (b"bro".as_slice(), io::ErrorKind::ConnectionReset));

    let before = proxy.counts().to_peer;
    proxy.set(Fault::ResetAfter(Towards::Peer, 2)).await.unwrap();
    let mut client = TcpStream::connect(proxy.address()).await.unwrap();
    client.write_all(b"broken").await.unwrap();
    assert_eq!(kind(rest(&mut client).await.1), io::ErrorKind::ConnectionReset);
    assert_eq!(proxy.counts().to_peer, before + 2);
}

#[tokio::test]
async fn silence_keeps_what_was_sent_and_half_open_loses_it() {
    let (proxy, mut client) = proxied().await;
    round_trip(&mut client, b"x").await;
    proxy.set(Fault::Silent).await.unwrap();
    client.write_all(b"into the void").await.unwrap();
    let mut second = TcpStream::connect(proxy.address()).await.unwrap();
    proxy.until(|counts| counts.connections == 2).await;
    second.write_all(b"anybody").await.unwrap();
    let quiet = tokio::time::timeout(Duration::from_millis(50), client.read_u8()).await;
    assert!(quiet.is_err(), "{quiet:?}");
    proxy.set(Fault::None).await.unwrap();
    let mut got = [0; 13];
    client.read_exact(&mut got).await.unwrap();
    assert_eq!(&got, b"into the void");
    let mut got = [0; 7];
    second.read_exact(&mut got).await.unwrap();

    proxy.set(Fault::HalfOpen).await.unwrap();
    client.write_all(b"into the void").await.unwrap();
    let quiet = tokio::time::timeout(Duration::from_millis(50), client.read_u8()).await;
    assert!(quiet.is_err(), "{quiet:?}");
    proxy.set(Fault::None).await.unwrap();
    assert_eq!(kind(rest(&mut client).await.1), io::ErrorKind::ConnectionReset);
}

#[tokio::test(start_paused = true)]
async fn a_byte_a_second_and_a_delay_take_the_clock_that_is_paused() {
    let (proxy, mut client) = proxied().await;
    proxy.set(Fault::Pace(Duration::from_secs(1))).await.unwrap();
    let (real, began) = (Instant::now(), tokio::time::Instant::now());
    round_trip(&mut client, &[7; 60]).await;
    assert!(began.elapsed() >= Duration::from_secs(59), "{:?}", began.elapsed());
    proxy.set(Fault::Delay(Duration::from_secs(100))).await.unwrap();
    let began = tokio::time::Instant::now();
    round_trip(&mut client, b"late").await;
    assert!(began.elapsed() >= Duration::from_secs(200), "there and back: {:?}", began.elapsed());
    assert!(real.elapsed() < Duration::from_secs(59));
}

#[tokio::test]
async fn floods_once_and_then_passes_on() {
    let (proxy, mut client) = proxied().await;
    round_trip(&mut client, b"x").await;
    proxy.set(Fault::Flood(20_000_000)).await.unwrap();
    let mut got = vec![0; 20_000_000];
    client.read_exact(&mut got).await.unwrap();
    assert!(got.iter().copied().eq(flood(0, got.len())), "another pattern");
    round_trip(&mut client, b"after the flood").await;
}

#[tokio::test]
async fn garbage_is_all_there_is() {
    let (proxy, mut client) = proxied().await;
    proxy.set(Fault::Garbage).await.unwrap();
    client.write_all(b"hello?").await.unwrap();
    let mut got = vec![0; GARBAGE.len()];
    client.read_exact(&mut got).await.unwrap();
    assert_eq!(got, GARBAGE);
    assert_eq!(proxy.counts().to_peer, 0);
}

#[tokio::test]
async fn another_peer_and_no_peer() {
    let proxy = FaultProxy::tcp("127.0.0.1:1".parse().unwrap()).await.unwrap();
    let mut client = TcpStream::connect(proxy.address()).await.unwrap();
    assert_eq!(kind(rest(&mut client).await.1), io::ErrorKind::ConnectionReset);
    proxy.set_peer(echo().await);
    let mut client = TcpStream::connect(proxy.address()).await.unwrap();
    round_trip(&mut client, b"there").await;
    drop(proxy);
    assert!(matches!(rest(&mut client).await, (got, Ok(())) if got.is_empty()));
}

#[tokio::test]
async fn unix_sockets() {
    let folder = tempfile::tempdir().unwrap();
    let (at, peer) = (folder.path().join("proxy"), folder.path().join("peer"));
    let listener = UnixListener::bind(&peer).unwrap();
    let proxy = FaultProxy::unix(&at, &peer).await.unwrap();
    let mut client = UnixStream::connect(&at).await.unwrap();
    let mut stream = listener.accept().await.unwrap().0;
    client.write_all(b"hello").await.unwrap();
    let mut got = [0; 5];
    stream.read_exact(&mut got).await.unwrap();
    assert_eq!(&got, b"hello");
    proxy.set(Fault::Refuse).await.unwrap();
    assert!(UnixStream::connect(&at).await.is_err());
    proxy.set(Fault::None).await.unwrap();
    UnixStream::connect(&at).await.unwrap();
}

#[tokio::test]
async fn datagrams() {
    let peer = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let proxy = FaultProxy::udp(peer.local_addr().unwrap()).await.unwrap();
    tokio::spawn(async move {
        let mut buffer = [0; 2048];
        loop {
            let (length, from) = peer.recv_from(&mut buffer).await.unwrap();
            peer.send_to(&buffer[..length], from).await.unwrap();
        }
    });
    let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    client.connect(proxy.address()).await.unwrap();
    let mut buffer = [0; 2048];
    client.send(b"hello").await.unwrap();
    assert_eq!(client.recv(&mut buffer).await.unwrap(), 5);

    proxy.set(Fault::Garbage).await.unwrap();
    client.send(b"hello").await.unwrap();
    let length = client.recv(&mut buffer).await.unwrap();
    assert_eq!(&buffer[..length], GARBAGE);

    proxy.set(Fault::Silent).await.unwrap();
    client.send(b"lost").await.unwrap();
    let quiet = tokio::time::timeout(Duration::from_millis(50), client.recv(&mut buffer)).await;
    assert!(quiet.is_err(), "{quiet:?}");

    proxy.set(Fault::Flood(2500)).await.unwrap();
    client.send(b"more").await.unwrap();
    for length in [1024, 1024, 452] {
        assert_eq!(client.recv(&mut buffer).await.unwrap(), length);
    }

    proxy.set(Fault::Refuse).await.unwrap();
    client.send(b"anybody?").await.unwrap();
    assert_eq!(client.recv(&mut buffer).await.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
    proxy.set(Fault::None).await.unwrap();
    client.send(b"again").await.unwrap();
    assert_eq!(client.recv(&mut buffer).await.unwrap(), 5);
    assert_eq!(proxy.counts().connections, 2);
}
