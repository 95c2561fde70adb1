//! Whose turn it is, whatever happens in whatever order.

use super::turns::{Audience, Turns, Wish};
use proptest::prelude::*;
use std::time::Duration;
use tokio::time::Instant;

const LIMIT: Duration = Duration::from_millis(1000);
const SETTLE: Duration = Duration::from_millis(100);

fn after(start: Instant, milliseconds: u64) -> Instant {
    start + Duration::from_millis(milliseconds)
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
