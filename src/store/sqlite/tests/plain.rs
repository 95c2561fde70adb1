//! The store does what a plain map with a counter would do.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// What a document is expected to be, relative to what it is.
#[derive(Clone, Copy, Debug)]
enum Guess {
    Any,
    Absent,
    Right,
    Wrong,
}

#[derive(Clone, Debug)]
enum Step {
    Put { id: u8, body: u16, guess: Guess },
    Delete { id: u8, guess: Guess },
}

fn guess() -> impl Strategy<Value = Guess> {
    prop::sample::select(vec![
        Guess::Any,
        Guess::Any,
        Guess::Absent,
        Guess::Right,
        Guess::Right,
        Guess::Wrong,
    ])
}

fn commits() -> impl Strategy<Value = Vec<Vec<Step>>> {
    let put = (0..4_u8, any::<u16>(), guess()).prop_map(|(id, body, guess)| Step::Put { id, body, guess });
    let delete = (0..4_u8, guess()).prop_map(|(id, guess)| Step::Delete { id, guess });
    prop::collection::vec(prop::collection::vec(prop_oneof![2 => put, 1 => delete], 0..4), 0..12)
}

#[derive(Clone, Default)]
struct Plain {
    documents: BTreeMap<String, (u64, String)>,
    sequence: u64,
}

impl Plain {
    /// Does the commit, or gives up at the first expectation that is not met.
    fn commit(&mut self, ops: &[Op]) -> bool {
        let before = self.clone();
        for op in ops {
            let (Op::Put { id, expect, .. } | Op::Delete { id, expect, .. }) = op else { unreachable!() };
            let found = self.documents.get(id).map(|document| document.0);
            let met = match expect {
                Expect::Any => true,
                Expect::Absent => found.is_none(),
                Expect::Revision(revision) => found == Some(*revision),
            };
            if !met {
                *self = before;
                return false;
            }
            match op {
                Op::Put { body, .. } => {
                    self.sequence += 1;
                    self.documents.insert(id.clone(), (self.sequence, body.clone()));
                }
                _ if self.documents.remove(id).is_some() => self.sequence += 1,
                _ => {}
            }
        }
        true
    }

    fn op(&self, step: &Step) -> Op {
        let expect = |id: &str, guess: &Guess| match guess {
            Guess::Any => Expect::Any,
            Guess::Absent => Expect::Absent,
            Guess::Right => {
                self.documents.get(id).map_or(Expect::Absent, |document| Expect::Revision(document.0))
            }
            Guess::Wrong => Expect::Revision(self.sequence + 100),
        };
        match step {
            Step::Put { id, body, guess } => {
                let id = format!("zone-{id}");
                put(&id, &body.to_string(), expect(&id, guess))
            }
            Step::Delete { id, guess } => {
                let id = format!("zone-{id}");
                delete(&id, expect(&id, guess))
            }
        }
    }
}

async fn documents(store: &Handle) -> BTreeMap<String, (u64, String)> {
    let listed = store.list(Kind::Zone).await.unwrap();
    listed
        .iter()
        .map(|document| (document.id.clone(), (document.revision, document.body.to_string())))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn agrees_with_a_plain_map(commits in commits()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let folder = tempfile::tempdir().unwrap();
            let file = folder.path().join("headend.db");
            let store = open(&file).unwrap();
            let mut plain = Plain::default();
            let mut replayed = BTreeMap::new();
            for steps in commits {
                let ops: Vec<_> = steps.iter().map(|step| plain.op(step)).collect();
                let before = plain.sequence;
                let done = plain.commit(&ops);
                let outcome = store.commit(ops).await;
                prop_assert_eq!(outcome.is_ok(), done);
                if let Ok(sequence) = outcome {
                    prop_assert_eq!(sequence, plain.sequence);
                }
                prop_assert_eq!(documents(&store).await, plain.documents.clone());
                for change in store.changes(before).await.unwrap() {
                    match change.document {
                        Some(document) => {
                            let body = document.body.to_string();
                            replayed.insert(change.id, (document.revision, body));
                        }
                        None => drop(replayed.remove(&change.id)),
                    }
                }
                prop_assert_eq!(&replayed, &plain.documents, "the feed tells the same story");
            }
            drop(store);
            let store = open(&file).unwrap();
            prop_assert_eq!(documents(&store).await, plain.documents);
            prop_assert_eq!(*store.head().borrow(), plain.sequence);
            Ok(())
        })?;
    }
}
