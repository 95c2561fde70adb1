//! The driver against a script, and against the package's agent.

use drivers_sdk::standard_suite;
use drivers_sdk::testing::*;

use crate::Agent;
use crate::emulator::Emulator;
use crate::message::{Data, GET, Message, RESPONSE};

const LOCATION: &str = "1.3.6.1.2.1.1.6.0";

standard_suite!(
    Agent,
    emulator = Emulator,
    settings = json!({ "community": "readers", "objects": { "up": { "oid": "1.3.6.1.2.1.2.2.1.8", "walk": true } } })
);

#[tokio::test]
async fn an_agent_is_read_walked_and_set() {
    let agent = Harness::<Agent>::emulated::<Emulator>(json!({
        "community": "readers", "write_community": "writers",
        "objects": {
            "speed": { "oid": "1.3.6.1.2.1.2.2.1.5.2", "scale": 0.000001 },
            "up": { "oid": "1.3.6.1.2.1.2.2.1.8", "walk": true },
            "nothing": { "oid": "1.3.6.1.2.1.99.0" },
        },
    }))
    .await;
    agent.status("name", "emulated").await;
    agent.status("speed", 1000.0).await;
    agent.status("up", json!({ "1": 1, "2": 2 })).await;
    agent.status("nothing", Value::Null).await;
    assert_eq!(agent.call("read", ("speed",)).await, Ok(json!(1000.0)));
    assert_eq!(agent.call("set", (LOCATION, "Rack 7")).await, Ok(json!("Rack 7")));
    assert_eq!(agent.call("read", (LOCATION,)).await, Ok(json!("Rack 7")));
    agent.advance(secs(30)).await;
    agent.status("location", "Rack 7").await;
    let walked = agent.call("walk", ("1.3.6.1.2.1.2.2.1.6",)).await;
    assert_eq!(walked, Ok(json!({ "1": "00:1b:44:00:00:01", "2": "00:1b:44:00:00:02" })));
    let refused = agent.call("set", ("1.3.6.1.2.1.1.1.0", "x")).await.expect_err("refused");
    assert!(refused.message().contains("refused 1.3.6.1.2.1.1.1.0: it cannot be written"), "{refused:?}");
}

/// The next request, answered by what `answer` makes of it.
async fn answer(agent: &Harness<Agent>, kind: u8, answer: impl FnOnce(&mut Message)) {
    let read = drivers_sdk::matcher::parse_bytes(|bytes| Message::decode(bytes).map(Ok));
    let mut message = agent.expect_match(read).await;
    assert_eq!(message.kind, kind);
    message.kind = RESPONSE;
    answer(&mut message);
    agent.reply(message.encode()).await;
}

#[tokio::test]
async fn an_agent_that_makes_no_sense_is_no_trap() {
    let agent = Harness::<Agent>::new().await;
    agent.connect().await;
    answer(&agent, GET, |message| {
        assert_eq!(message.community, b"public");
        message.bindings.iter_mut().for_each(|(_, data)| *data = Data::Octets(b"Rack".to_vec()));
    })
    .await;
    agent.status("name", "Rack").await;

    // A walk that goes round in circles, an answer to another request, and none.
    let call = agent.call("walk", ("1.3.6.1",));
    answer(&agent, crate::GET_BULK, |message| {
        let (first, second) = ("1.3.6.1.2".parse().expect("a name"), "1.3.6.1.1".parse().expect("a name"));
        message.bindings = vec![(first, Data::Integer(1)), (second, Data::Integer(2))];
    })
    .await;
    let error = call.await.expect_err("endless");
    assert_eq!(error.message(), "this walk has no end: 1.3.6.1.1 comes after 1.3.6.1.2");
    let call = agent.call("read", (LOCATION,));
    answer(&agent, GET, |message| message.number += 1).await;
    agent.push(b"\x30\x82\xff").await;
    assert!(call.await.expect_err("no answer").is_timeout());
    agent.ignore_sent();
}
