//! What the flight recorder has of a link, of every kind.

use super::{
    super::{
        Connections, Form, Payload,
        recorder::{Event, Record},
    },
    contract::connected,
    harness::{Recorder, pattern, quick},
    kinds::Kind,
};
use bytes::Bytes;

/// Checks that no answer of an echo was recorded before its question; what was sent, and what was received.
fn in_order(records: &[Record]) -> (Vec<u8>, Vec<u8>) {
    let (mut sent, mut received) = (Vec::new(), Vec::new());
    for record in records {
        match &record.event {
            Event::Sent(data) => sent.extend(&data.bytes),
            Event::Received(data) => received.extend(&data.bytes),
            Event::Up { .. } | Event::Down { .. } => {}
        }
        assert!(received.len() <= sent.len(), "record {} answers what was not sent yet", record.number);
    }
    (sent, received)
}

/// The record of a link of messages: which way, in which form and what, each as one however many records it takes.
pub(super) fn messages(recorder: &Recorder) -> Vec<(&'static str, Form, Vec<u8>)> {
    let mut messages: Vec<(_, _, Vec<u8>)> = Vec::new();
    let mut more = false;
    for record in recorder.tape().records() {
        let (Event::Sent(data) | Event::Received(data)) = &record.event else { continue };
        match messages.last_mut() {
            Some((word, form, bytes)) if more => {
                assert_eq!((*word, *form), (record.word(), data.form));
                bytes.extend(&data.bytes);
            }
            _ => messages.push((record.word(), data.form, data.bytes.clone())),
        }
        more = data.more;
    }
    assert!(!more);
    messages
}

pub(super) async fn everything_is_recorded_in_order<K: Kind>() {
    let recorder = Recorder::new();
    let connections = Connections::new(quick());
    let (kind, link, stream) = connected::<K>(&connections, &recorder).await;
    let echo = tokio::spawn(async move {
        let (mut read, mut write) = tokio::io::split(stream);
        let _ = tokio::io::copy(&mut read, &mut write).await;
    });
    let mut sent = 0;
    for round in 0..200 {
        // Alone, which the transmitting thread writes, and in bursts, which the link's task does.
        for _ in 0..if round % 10 == 0 { 40 } else { 1 } {
            let bytes = Bytes::from_static(pattern(sent, 10));
            link.transmit(Payload { bytes, command: 7, ..Payload::default() }, None);
            sent += 10;
        }
        recorder.received(sent).await;
    }
    let tape = recorder.tape();
    let records = tape.records();
    let (took, gave) = in_order(&records);
    assert!(
        took == pattern(0, sent) && gave == pattern(0, sent),
        "{} and {} of {sent}",
        took.len(),
        gave.len()
    );
    let Some(Event::Up { address, .. }) = records.first().map(|record| &record.event) else {
        panic!("{:?}", records.first())
    };
    assert_eq!(*address, kind.target().address.to_string());
    assert!(records.iter().all(|record| record.connection == 1));

    echo.abort();
    let end = recorder.ended(1).await;
    // It may be up again.
    let last = tape.records().into_iter().rfind(|record| record.connection == 1);
    let Some(Event::Down { reason, detail }) = last.as_ref().map(|record| record.event.clone()) else {
        panic!("{last:?}")
    };
    assert_eq!(reason, end.reason().map_or("", |reason| reason.as_str()));
    assert_eq!(detail, end.detail().unwrap_or("closed on this side"));

    link.attempt();
    let _stream = kind.accept().await;
    recorder.up_after(1).await;
    link.close().await;
    let records = tape.records();
    let last: Vec<_> =
        records.iter().rev().take(2).map(|record| (record.word(), record.connection)).collect();
    assert_eq!(last, [("down", 2), ("up", 2)]);
}
