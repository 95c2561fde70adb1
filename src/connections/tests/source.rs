//! Which of this machine's addresses a connection is made from.

use super::{
    super::{Address, Connections, Reason, State, Target},
    harness::{DEADLINE, Recorder, never_retry},
};
use std::net::{IpAddr, Ipv6Addr};
use tokio::net::TcpListener;

fn from(source: impl Into<IpAddr>, host: &str, port: u16) -> Target {
    let mut target = Target::tcp(host, port);
    let Address::Tcp(endpoint) = &mut target.address else { unreachable!() };
    endpoint.source = Some(source.into());
    target
}

#[tokio::test]
async fn connects_from_the_address_that_is_asked_for() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let port = listener.local_addr().expect("address").port();
    let (recorder, connections) = (Recorder::new(), Connections::new(never_retry()));
    let _link = recorder.open(&connections, from([127, 9, 8, 7], "127.0.0.1", port));
    let accepted = tokio::time::timeout(DEADLINE, listener.accept()).await.expect("in time").expect("accept");
    assert_eq!(accepted.1.ip(), IpAddr::from([127, 9, 8, 7]));
    recorder.up_after(0).await;
}

#[tokio::test]
async fn an_address_of_another_machine_is_named() {
    let (recorder, connections) = (Recorder::new(), Connections::new(never_retry()));
    let _link = recorder.open(&connections, from([192, 0, 2, 1], "127.0.0.1", 9));
    let State::Down { reason, detail, .. } = recorder.down().await else { unreachable!() };
    assert_eq!(reason, Reason::Unreachable);
    assert!(detail.contains("the source address 192.0.2.1") && detail.contains("this machine"), "{detail}");
}

#[tokio::test]
async fn an_address_of_the_other_family_is_named() {
    let (recorder, connections) = (Recorder::new(), Connections::new(never_retry()));
    let _link = recorder.open(&connections, from(Ipv6Addr::LOCALHOST, "127.0.0.1", 9));
    let State::Down { reason, detail, .. } = recorder.down().await else { unreachable!() };
    assert_eq!(reason, Reason::Unreachable);
    assert!(detail.contains("has no IPv6 address") && detail.contains("source"), "{detail}");
}
