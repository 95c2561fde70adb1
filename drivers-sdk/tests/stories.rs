//! Any story of calls, cancellations, connections, turns and replies ends with every caller answered, once.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::collections::HashSet;

use drivers_sdk::prelude::{Cx, Result, driver, exact, millis, secs};
use drivers_sdk_protocol::Kind;
use drivers_sdk_protocol::message::Send;
use proptest::collection::vec;
use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop_oneof, proptest};
use serde_json::json;
use support::{Daemon, run};

#[derive(Default)]
struct Lamp;

#[driver(name = "Lamp", module = "Lamp", tcp = 5000, framing = lines("\n"), timeout_ms = 1000)]
impl Lamp {
    #[function]
    async fn ask(&self, cx: &Cx<Self>, number: u32) -> Result {
        cx.send(format!("{number}")).reply(exact(format!("={number}"))).await
    }

    #[function]
    async fn keep(&self, cx: &Cx<Self>, number: u32) -> Result {
        cx.send(format!("{number}")).keep(secs(5)).reply(exact(format!("={number}"))).await
    }

    #[function]
    async fn tell(&self, cx: &Cx<Self>, number: u32) -> Result {
        cx.send(format!("{number}")).keep(secs(5)).delay(millis(300)).await
    }
}

#[derive(Clone, Debug)]
enum Step {
    Call(&'static str),
    /// Of the call that is this far back.
    Cancel(usize),
    Up {
        turns: bool,
    },
    Down,
    /// To what was sent last.
    Reply,
    Grant,
    Refuse,
    Wait(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let call = proptest::sample::select(vec!["ask", "keep", "tell"]).prop_map(Step::Call);
    let step = prop_oneof![
        6 => call,
        2 => (0usize..4).prop_map(Step::Cancel),
        3 => any::<bool>().prop_map(|turns| Step::Up { turns }),
        2 => Just(Step::Down),
        5 => Just(Step::Reply),
        5 => Just(Step::Grant),
        1 => Just(Step::Refuse),
        4 => proptest::sample::select(vec![1, 200, 700, 1500, 6000]).prop_map(Step::Wait),
    ];
    vec(step, 1..60)
}

/// What the daemon knows.
struct Story {
    daemon: Daemon,
    connection: u64,
    up: bool,
    turns: bool,
    /// An `Acquire` without an answer.
    asked: Option<u32>,
    has_turn: bool,
    calls: Vec<u32>,
    unanswered: HashSet<u32>,
    /// Those may be answered, if that was on its way.
    cancelled: HashSet<u32>,
    last_sent: u32,
}

impl Story {
    async fn step(&mut self, step: &Step) {
        let story = self;
        match step {
            Step::Call(function) => {
                let number = story.calls.len() as u32 + 1;
                let call = story.daemon.begin(1, function, json!([number])).await;
                story.calls.push(call);
                story.unanswered.insert(call);
            }
            Step::Cancel(back) => {
                let call = story.calls.iter().rev().nth(*back).copied();
                if let Some(call) = call.filter(|call| story.unanswered.remove(call)) {
                    story.cancelled.insert(call);
                    story.daemon.send(Kind::Cancel, 1, call, "").await;
                }
            }
            Step::Up { .. } if story.up => {}
            Step::Up { turns } => {
                (story.up, story.turns) = (true, *turns);
                story.connection += 1;
                let link = json!({"connection": story.connection, "turns": turns});
                story.daemon.link_up_with(1, link).await;
            }
            Step::Down if !story.up => {}
            Step::Down => {
                (story.up, story.has_turn) = (false, false);
                story.refuse("offline").await;
                story.daemon.link_down(1, "reset", "").await;
            }
            Step::Reply => story.daemon.received(1, &format!("={}\n", story.last_sent)).await,
            Step::Grant => {
                if let Some(asked) = story.asked.take() {
                    story.has_turn = true;
                    story.daemon.send(Kind::Done, 1, asked, "").await;
                }
            }
            Step::Refuse => story.refuse("timeout").await,
            Step::Wait(time) => story.daemon.wait(millis(*time)).await,
        }
        story.daemon.wait(millis(1)).await;
        while story.daemon.has_frames() {
            story.hear().await;
        }
    }

    async fn refuse(&mut self, code: &str) {
        if let Some(asked) = self.asked.take() {
            let failure = json!({"code": code, "message": "no turn"}).to_string();
            self.daemon.send(Kind::Failed, 1, asked, failure).await;
        }
    }

    async fn hear(&mut self) {
        let frame = self.daemon.next().await;
        let correlation = frame.header.correlation;
        match frame.kind().unwrap() {
            Kind::Send => {
                let Send { connection, bytes, .. } = Send::read(&frame.payload).unwrap();
                assert_eq!((self.up, connection), (true, self.connection), "sent while the link is down");
                assert!(!self.turns || self.has_turn, "sent without a turn");
                let number: u32 = std::str::from_utf8(bytes).unwrap().trim().parse().unwrap();
                assert!(number > self.last_sent, "{number} was sent after {}", self.last_sent);
                self.last_sent = number;
                if correlation != 0 {
                    self.daemon.send(Kind::Done, 1, correlation, "").await;
                }
            }
            Kind::Acquire => {
                assert!(self.asked.is_none() && !self.has_turn, "asked for a second turn");
                self.asked = Some(correlation);
                if !self.up {
                    self.refuse("offline").await;
                }
            }
            Kind::Release => {
                self.has_turn = false;
                self.refuse("replaced").await;
            }
            Kind::Done | Kind::Failed => {
                let waits = self.unanswered.remove(&correlation) || self.cancelled.remove(&correlation);
                assert!(waits, "answered twice");
            }
            other => panic!("{other:?}"),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_caller_is_answered_and_no_turn_is_kept(steps in steps()) {
        run(async {
            let mut daemon = Daemon::of::<Lamp>().await;
            daemon.start(1, json!({}), None).await;
            let mut story = Story {
                daemon, connection: 0, up: false, turns: false, asked: None, has_turn: false, calls: Vec::new(),
                unanswered: HashSet::new(), cancelled: HashSet::new(), last_sent: 0,
            };
            for step in &steps {
                story.step(step).await;
            }
            // What is left is answered by replies, time-outs and deadlines, as long as turns are given.
            for _ in 0..2 * steps.len() + 10 {
                story.step(&Step::Grant).await;
                story.step(&Step::Wait(1500)).await;
            }
            assert!(story.unanswered.is_empty(), "{:?} of {:?} wait", story.unanswered, story.calls);
            assert!(!story.has_turn && story.asked.is_none(), "a turn was kept");
        });
    }
}
