//! Whose turn it is, whatever happens in whatever order.

use super::{
    Bus, Core, Membership, Place,
    turns::{Audience, Turns, Wish},
};
use crate::connections::{Payload, wire::Transport as _};
use bytes::Bytes;
use futures_util::task::AtomicWaker;
use parking_lot::Mutex;
use proptest::prelude::*;
use std::{
    collections::BTreeMap,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};
use tokio::{io::ReadBuf, time::Instant};

const LIMIT: Duration = Duration::from_millis(1000);
const SETTLE: Duration = Duration::from_millis(100);

fn after(start: Instant, milliseconds: u64) -> Instant {
    start + Duration::from_millis(milliseconds)
}

/// A bus whose carrier is the test.
fn bus() -> Arc<Bus> {
    let core = Core {
        members: BTreeMap::new(),
        joined: 0,
        turns: Turns::new(LIMIT, SETTLE),
        outgoing: None,
        over: None,
    };
    Arc::new(Bus {
        core: Mutex::new(core),
        carrier: AtomicWaker::new(),
        peer: None,
        _place: Arc::new(Place::default()),
    })
}

impl Bus {
    fn member(self: &Arc<Self>) -> Membership {
        let mut core = self.core.lock();
        core.joined += 1;
        let id = core.joined;
        core.members.insert(id, super::Seat::default());
        Membership { bus: self.clone(), id }
    }

    /// The connection has taken all of what is to be sent.
    fn carry(&self) {
        let mut core = self.core.lock();
        let outgoing = core.outgoing.as_mut().unwrap();
        outgoing.taken = Some(outgoing.payload.bytes.len());
    }
}

fn payload() -> Payload {
    Payload { bytes: Bytes::from_static(b"POWER?"), ..Payload::default() }
}

fn receive(member: &mut Membership) -> Option<Vec<u8>> {
    let mut buffer = [0; 64];
    let mut buffer = ReadBuf::new(&mut buffer);
    let polled = member.poll_receive(&mut Context::from_waker(Waker::noop()), &mut buffer);
    assert!(!matches!(polled, Poll::Ready(Err(_))));
    polled.is_ready().then(|| buffer.filled().to_vec())
}

#[test]
fn an_answer_is_received_after_it_is_known_that_its_question_was_sent() {
    let bus = bus();
    let (mut member, mut cx) = (bus.member(), Context::from_waker(Waker::noop()));
    assert!(member.poll_send(&mut cx, &payload()).is_pending());
    bus.carry();
    bus.core.lock().members.get_mut(&member.id).unwrap().inbox = Some(Bytes::from_static(b"ON"));
    assert_eq!(receive(&mut member), None);
    assert!(matches!(member.poll_send(&mut cx, &payload()), Poll::Ready(Ok(6))));
    assert_eq!(receive(&mut member).as_deref(), Some(&b"ON"[..]));
}

#[test]
fn a_member_that_leaves_before_it_knows_that_its_payload_was_sent_holds_up_nobody() {
    let bus = bus();
    let (mut one, mut other, mut cx) = (bus.member(), bus.member(), Context::from_waker(Waker::noop()));
    assert!(one.poll_send(&mut cx, &payload()).is_pending());
    bus.carry();
    let id = other.id;
    drop(one);
    bus.core.lock().advance(Instant::now() + SETTLE);
    assert!(other.poll_send(&mut cx, &payload()).is_pending());
    assert_eq!(bus.core.lock().outgoing.as_ref().map(|out| out.by), Some(id));
}

#[test]
fn turns_go_round_in_the_order_of_asking() {
    let (mut turns, now) = (Turns::new(LIMIT, SETTLE), Instant::now());
    for member in [1, 2, 3, 2, 1] {
        turns.ask(member, Wish::Turn);
    }
    let mut order = Vec::new();
    for _ in 0..6 {
        turns.advance(now);
        let holder = turns.holder().unwrap();
        order.push(holder);
        turns.release(holder, now);
        turns.ask(holder, Wish::Turn);
    }
    assert_eq!(order, [1, 2, 3, 1, 2, 3]);
}

#[test]
fn a_turn_is_taken_back_after_its_limit_but_not_in_the_middle_of_a_payload() {
    let (mut turns, now) = (Turns::new(LIMIT, SETTLE), Instant::now());
    turns.ask(1, Wish::Turn);
    turns.ask(2, Wish::Turn);
    assert_eq!(turns.advance(now), None);
    assert_eq!(turns.deadline(), Some(now + LIMIT));
    turns.begun();
    assert_eq!((turns.advance(after(now, 5000)), turns.deadline()), (None, None));
    turns.sent(after(now, 5000));
    assert_eq!(turns.advance(after(now, 5000)), Some(1));
    // What it has sent may be answered yet.
    assert_eq!((turns.holder(), turns.audience()), (None, Audience::One(1)));
    assert_eq!(turns.advance(after(now, 5100)), None);
    assert_eq!(turns.holder(), Some(2));
}

#[test]
fn a_late_reply_is_for_the_one_who_asked() {
    let (mut turns, now) = (Turns::new(LIMIT, SETTLE), Instant::now());
    turns.ask(1, Wish::Turn);
    turns.advance(now);
    turns.ask(2, Wish::Turn);
    turns.begun();
    turns.sent(now);
    turns.release(1, now);
    turns.advance(now);
    assert_eq!((turns.holder(), turns.audience()), (None, Audience::One(1)));
    // Nobody waits for itself.
    turns.release(2, now);
    turns.ask(1, Wish::Turn);
    turns.advance(now);
    assert_eq!(turns.holder(), Some(1));
    // Answered: the next has its turn at once.
    turns.ask(2, Wish::Turn);
    turns.begun();
    turns.sent(now);
    turns.heard();
    turns.release(1, now);
    turns.advance(now);
    assert_eq!(turns.holder(), Some(2));
}

#[test]
fn one_payload_is_a_turn_of_its_own_and_everybody_hears_what_comes_between_turns() {
    let (mut turns, now) = (Turns::new(LIMIT, SETTLE), Instant::now());
    assert_eq!(turns.audience(), Audience::All);
    turns.ask(1, Wish::Word);
    turns.advance(now);
    assert_eq!(turns.audience(), Audience::One(1));
    turns.begun();
    turns.sent(now);
    assert_eq!((turns.holder(), turns.audience()), (None, Audience::One(1)));
    turns.advance(now + SETTLE);
    assert_eq!(turns.audience(), Audience::All);
    // Given back while its payload is on its way: when that is sent.
    turns.ask(1, Wish::Turn);
    turns.advance(now);
    turns.begun();
    turns.release(1, now);
    assert!(turns.holds(1));
    turns.sent(now);
    assert!(!turns.holds(1));
}

#[derive(Clone, Debug)]
enum Step {
    Ask(u64, bool),
    Send,
    Hear,
    Release(u64),
    Leave(u64),
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0u64..5, any::<bool>()).prop_map(|(member, turn)| Step::Ask(member, turn)),
        2 => Just(Step::Send),
        2 => Just(Step::Hear),
        2 => (0u64..5).prop_map(Step::Release),
        1 => (0u64..5).prop_map(Step::Leave),
        3 => (0u64..1500).prop_map(Step::Wait),
    ]
}

proptest! {
    /// Against a model that only knows who waits since when.
    #[test]
    fn at_most_one_has_it_in_order_and_everybody_gets_it(steps in prop::collection::vec(step(), 0..120)) {
        let mut turns = Turns::new(LIMIT, SETTLE);
        let mut now = Instant::now();
        let mut waiting: Vec<u64> = Vec::new();
        let mut holder = None;
        for step in steps {
            match step {
                Step::Ask(member, turn) => {
                    if holder != Some(member) && !waiting.contains(&member) {
                        waiting.push(member);
                    }
                    turns.ask(member, if turn { Wish::Turn } else { Wish::Word });
                }
                Step::Send if turns.holder().is_some() => {
                    turns.begun();
                    turns.sent(now);
                }
                Step::Send => {}
                Step::Hear => turns.heard(),
                Step::Release(member) | Step::Leave(member) => {
                    waiting.retain(|other| *other != member);
                    if matches!(step, Step::Leave(_)) { turns.leave(member, now) } else { turns.release(member, now) }
                    prop_assert!(!turns.holds(member));
                }
                Step::Wait(milliseconds) => now += Duration::from_millis(milliseconds),
            }
            turns.advance(now);
            if turns.holder() != holder || turns.holder().is_some_and(|next| waiting.first() == Some(&next)) {
                holder = turns.holder();
                if let Some(next) = holder {
                    prop_assert_eq!(waiting.first(), Some(&next), "out of order");
                    waiting.remove(0);
                    prop_assert_eq!(turns.audience(), Audience::One(next));
                }
            }
            prop_assert!(waiting.is_empty() || turns.deadline().is_some(), "nobody would go on");
        }
        // Nobody gives anything back from here on, and yet all have their turn.
        for _ in 0..waiting.len() {
            let next = waiting.remove(0);
            while turns.holder() != Some(next) {
                let deadline = turns.deadline().unwrap();
                prop_assert!(deadline <= now + LIMIT);
                now = deadline;
                turns.advance(now);
            }
        }
    }
}
