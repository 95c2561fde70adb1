//! Links that share one connection.

use super::{
    super::{Connections, Error, Link, Options, Reason, State, Target},
    harness::{DEADLINE, Receipts, Recorder, eventually, quick},
    kinds::{Kind, Stream, Tcp},
};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};

fn shared(kind: &Tcp) -> Target {
    kind.target().shared()
}

/// Links that are up on one connection, and the device's end of that.
async fn bus(connections: &Connections, kind: &mut Tcp, members: usize) -> (Vec<(Link, Recorder)>, Stream) {
    kind.appear().await;
    let mut links = Vec::new();
    for _ in 0..members {
        let recorder = Recorder::new();
        links.push((recorder.open(connections, shared(kind)), recorder));
    }
    let stream = kind.accept().await;
    for (_, recorder) in &links {
        recorder.up_after(0).await;
    }
    (links, stream)
}

async fn acquire(link: &Link) -> Result<(), Error> {
    let (answer, answered) = tokio::sync::oneshot::channel();
    link.acquire(Box::new(move |outcome| drop(answer.send(outcome))));
    tokio::time::timeout(DEADLINE, answered).await.expect("an answer in time").expect("an answer")
}

async fn read(stream: &mut Stream, expected: &str) {
    let mut got = vec![0; expected.len()];
    tokio::time::timeout(DEADLINE, stream.read_exact(&mut got)).await.expect("in time").expect("read");
    assert_eq!(String::from_utf8_lossy(&got), expected);
}

async fn closed(mut stream: Stream) {
    let mut rest = Vec::new();
    let _ = tokio::time::timeout(DEADLINE, stream.read_to_end(&mut rest)).await.expect("closed in time");
    assert_eq!(String::from_utf8_lossy(&rest), "");
}

/// Answers lines, each after a while of its own, as a slave with many addresses does.
async fn slave(stream: Stream) {
    let (read, mut write) = tokio::io::split(stream);
    let mut lines = BufReader::new(read).lines();
    let mut busy = 0;
    while let Ok(Some(line)) = lines.next_line().await {
        busy = (busy + 3) % 7;
        tokio::time::sleep(Duration::from_millis(busy)).await;
        // In two pieces: a turn that ended in between would show.
        let _ = write.write_all(b"re: ").await;
        tokio::time::sleep(Duration::from_millis(1)).await;
        if write.write_all(format!("{line}\n").as_bytes()).await.is_err() {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replies_are_never_mixed_and_everybody_has_its_turn() {
    const ROUNDS: usize = 60;
    let connections = Connections::new(quick());
    let mut kind = Tcp::make();
    let (links, stream) = bus(&connections, &mut kind, 4).await;
    tokio::spawn(slave(stream));
    let mut tasks = Vec::new();
    for (number, (link, recorder)) in links.into_iter().enumerate() {
        tasks.push(tokio::spawn(async move {
            let mut expected = String::new();
            for round in 0..ROUNDS {
                acquire(&link).await.expect("a turn");
                let line = format!("{number}/{round}\n");
                Receipts::transmit(&link, line.clone()).await.expect("sent");
                expected += &format!("re: {line}");
                recorder.received(expected.len()).await;
                recorder.look(|record| assert_eq!(String::from_utf8_lossy(&record.bytes), expected));
                link.release();
            }
            (link, recorder, expected.len())
        }));
    }
    for task in tasks {
        let (_, recorder, expected) = task.await.expect("a member");
        recorder.look(|record| assert_eq!(record.received, expected, "nothing that others asked for"));
    }
}

#[tokio::test]
async fn what_is_sent_without_a_turn_waits_for_it_and_between_turns_everybody_hears() {
    let connections = Connections::new(Options { bus_settle_ms: 20, ..quick() });
    let mut kind = Tcp::make();
    let (links, mut stream) = bus(&connections, &mut kind, 2).await;
    let [(a, heard_a), (b, heard_b)] = &links[..] else { unreachable!() };
    stream.write_all(b"hello all").await.expect("write");
    heard_a.received(9).await;
    heard_b.received(9).await;

    acquire(a).await.expect("a turn");
    let receipts = Receipts::default();
    b.transmit("b", receipts.make());
    Receipts::transmit(a, "a1").await.expect("sent");
    stream.write_all(b"for a").await.expect("write");
    heard_a.received(14).await;
    Receipts::transmit(a, "a2").await.expect("sent");
    receipts.look(|answers| assert_eq!(answers.ok, 0, "it is not its turn"));
    a.release();
    receipts.all_answered().await;
    read(&mut stream, "a1a2b").await;
    // It is answered, although it never asked for a turn.
    stream.write_all(b"for b").await.expect("write");
    heard_b.received(14).await;
    heard_b.look(|record| assert_eq!(record.bytes, b"hello allfor b"));
}

#[tokio::test]
async fn a_turn_ends_after_its_limit_with_its_link_or_when_it_is_not_wanted() {
    let connections = Connections::new(Options { bus_turn_ms: 100, bus_settle_ms: 1, ..quick() });
    let mut kind = Tcp::make();
    let (mut links, stream) = bus(&connections, &mut kind, 3).await;
    let [(a, _), (b, _), (c, _)] = &links[..] else { unreachable!() };
    acquire(a).await.expect("a turn");
    // Never given back, and yet:
    acquire(b).await.expect("a turn");
    b.close().await;
    acquire(c).await.expect("a turn");

    let receipts = Receipts::default();
    a.acquire(receipts.make().expect("a receipt"));
    assert_eq!(acquire(a).await, Err(Error::Waiting));
    a.release();
    receipts.all_answered().await;
    receipts.look(|answers| assert_eq!(answers.errors, [Error::Withdrawn]));

    // The connection is there until the last has left.
    let (a, _) = links.remove(0);
    Receipts::transmit(&a, "").await.expect("the connection stays");
    a.close().await;
    assert!(links[1].0.state().is_up());
    links.clear();
    closed(stream).await;
}

#[tokio::test]
async fn losing_it_concerns_all_and_one_attempt_brings_it_back_for_all() {
    let connections = Connections::new(quick());
    let mut kind = Tcp::make();
    let (links, mut stream) = bus(&connections, &mut kind, 3).await;
    acquire(&links[0].0).await.expect("a turn");
    let receipts = Receipts::default();
    links[1].0.acquire(receipts.make().expect("a receipt"));
    kind.disappear();
    stream.write_all(b"good-bye").await.expect("write");
    links[0].1.received(8).await;
    drop(stream);
    for (_, recorder) in &links {
        assert_eq!(recorder.ended(1).await.reason(), Some(Reason::Closed));
    }
    receipts.all_answered().await;
    receipts.look(|answers| assert_eq!(answers.errors[0].reason(), Some(Reason::Closed)));

    kind.appear().await;
    let mut stream = kind.accept().await;
    for (link, recorder) in &links {
        recorder.up_after(1).await;
        acquire(link).await.expect("a turn, of which none is left from before");
        Receipts::transmit(link, "x").await.expect("sent");
        link.release();
    }
    read(&mut stream, "xxx").await;

    // One driver has lost its way: that is told to all.
    links[2].0.disconnect(Reason::Protocol, "a reply nobody asked for");
    closed(stream).await;
    for (_, recorder) in &links {
        let told = |state: &State| state.detail().is_some_and(|detail| detail.contains("nobody asked for"));
        recorder.until("told why", |record| record.states.iter().any(told).then_some(())).await;
    }
    let _stream = kind.accept().await;
    for (_, recorder) in &links {
        recorder.up_after(2).await;
    }
}

#[tokio::test]
async fn one_moves_away_and_another_joins() {
    let connections = Connections::new(quick());
    let (mut kind, mut other) = (Tcp::make(), Tcp::make());
    other.appear().await;
    let (links, mut stream) = bus(&connections, &mut kind, 2).await;
    acquire(&links[0].0).await.expect("a turn");
    links[0].0.retarget(shared(&other));
    let mut moved = other.accept().await;
    links[0].1.up_after(1).await;
    Receipts::transmit(&links[0].0, "moved").await.expect("sent");
    read(&mut moved, "moved").await;
    // Its turn was left behind.
    acquire(&links[1].0).await.expect("a turn");
    Receipts::transmit(&links[1].0, "stayed").await.expect("sent");
    read(&mut stream, "stayed").await;
    // From a bus to a connection of its own, and back.
    links[0].0.retarget(other.target());
    closed(moved).await;
    let own = other.accept().await;
    links[0].0.retarget(shared(&kind));
    closed(own).await;
    eventually("it is back", || links[0].0.state().is_up()).await;
    links[1].0.release();
    acquire(&links[0].0).await.expect("a turn");
    Receipts::transmit(&links[0].0, "back").await.expect("sent");
    read(&mut stream, "back").await;
}

#[tokio::test]
async fn who_takes_nothing_does_not_hold_up_the_others() {
    let connections = Connections::new(Options { bus_turn_ms: 100, bus_settle_ms: 1, ..quick() });
    let mut kind = Tcp::make();
    let (links, mut stream) = bus(&connections, &mut kind, 2).await;
    let hung = Recorder::slow();
    let stuck = hung.open(&connections, shared(&kind));
    hung.up_after(0).await;
    acquire(&stuck).await.expect("a turn");
    // More than it has room for: it never takes any of it.
    stream.write_all(&[b'x'; 300_000]).await.expect("write");
    let (link, recorder) = &links[0];
    for round in 1..4 {
        acquire(link).await.expect("a turn");
        Receipts::transmit(link, "?").await.expect("sent");
        read(&mut stream, "?").await;
        stream.write_all(b"!").await.expect("write");
        let heard = |bytes: &[u8]| bytes.iter().filter(|byte| **byte == b'!').count();
        recorder.until("the reply", |record| (heard(&record.bytes) == round).then_some(())).await;
        link.release();
    }
}
