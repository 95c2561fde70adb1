//! The store's promises, on a real file.

mod disk;
mod history;
mod leases;
mod plain;

use std::collections::HashSet;

use super::*;
use crate::store::Expect;

fn put(id: &str, body: &str, expect: Expect) -> Op {
    Op::Put { kind: Kind::Zone, id: id.into(), body: body.into(), expect }
}

fn delete(id: &str, expect: Expect) -> Op {
    Op::Delete { kind: Kind::Zone, id: id.into(), expect }
}

async fn body(store: &Handle, id: &str) -> Option<String> {
    store.get(Kind::Zone, id).await.unwrap().map(|document| document.body.to_string())
}

#[tokio::test]
async fn keeps_everything_when_it_is_opened_again() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("headend.db");
    let store = open(&file).unwrap();
    assert_eq!(store.commit(vec![put("a", "1", Expect::Absent)]).await.unwrap(), 1);
    assert_eq!(store.commit(vec![put("a", "2", Expect::Revision(1))]).await.unwrap(), 2);
    assert_eq!(store.commit(vec![put("b", "3", Expect::Any), put("c", "4", Expect::Any)]).await.unwrap(), 4);
    assert_eq!(store.commit(vec![delete("c", Expect::Revision(4))]).await.unwrap(), 5);
    let documents = store.list(Kind::Zone).await.unwrap();
    let history = store.history(Kind::Zone, "a", 10, 0).await.unwrap();
    drop(store);

    let store = open(&file).unwrap();
    assert_eq!(*store.head().borrow(), 5);
    assert_eq!(store.list(Kind::Zone).await.unwrap(), documents);
    assert_eq!(store.history(Kind::Zone, "a", 10, 0).await.unwrap(), history);
    assert_eq!(documents.len(), 2);
    assert_eq!(store.commit(vec![put("c", "5", Expect::Absent)]).await.unwrap(), 6);
}

#[tokio::test]
async fn a_commit_happens_as_a_whole_or_not_at_all() {
    let store = open_in_memory().unwrap();
    store.commit(vec![put("a", "1", Expect::Any)]).await.unwrap();
    let refused = store
        .commit(vec![
            put("b", "2", Expect::Any),
            delete("a", Expect::Any),
            put("c", "3", Expect::Revision(9)),
        ])
        .await;
    let expected = Expect::Revision(9);
    assert_eq!(refused, Err(Error::Conflict { kind: Kind::Zone, id: "c".into(), expected, found: None }));
    assert_eq!(body(&store, "a").await.as_deref(), Some("1"));
    assert_eq!(body(&store, "b").await, None);
    assert_eq!(*store.head().borrow(), 1);
    // Later steps see what earlier ones did.
    let last = store.commit(vec![delete("a", Expect::Revision(1)), put("a", "4", Expect::Absent)]).await;
    assert_eq!(last, Ok(3));
    // Deleting what is not there is no change.
    assert_eq!(store.commit(vec![delete("nobody", Expect::Any)]).await, Ok(3));
    assert!(store.changes(3).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_revision_has_one_winner() {
    const TASKS: usize = 32;
    const ROUNDS: u64 = 25;
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path().join("headend.db")).unwrap();
    store.commit(vec![put("counter", "0", Expect::Absent)]).await.unwrap();
    let tasks: Vec<_> = (0..TASKS)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move {
                let mut won = Vec::new();
                loop {
                    let document = store.get(Kind::Zone, "counter").await.unwrap().unwrap();
                    let count: u64 = document.body.parse().unwrap();
                    if count == ROUNDS {
                        return won;
                    }
                    let next = put("counter", &(count + 1).to_string(), Expect::Revision(document.revision));
                    match store.commit(vec![next]).await {
                        Ok(_) => won.push(document.revision),
                        Err(Error::Conflict { .. }) => {}
                        Err(error) => panic!("{error}"),
                    }
                }
            })
        })
        .collect();
    let mut won = Vec::new();
    for task in tasks {
        won.extend(task.await.unwrap());
    }
    assert_eq!(won.len() as u64, ROUNDS, "somebody overwrote somebody else");
    assert_eq!(won.iter().collect::<HashSet<_>>().len() as u64, ROUNDS);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_feed_is_ordered_and_the_head_is_readable() {
    const TASKS: usize = 16;
    const COMMITS: usize = 40;
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path().join("headend.db")).unwrap();
    let watcher = {
        let store = store.clone();
        tokio::spawn(async move {
            let (mut head, mut seen) = (store.head(), 0);
            while seen < (TASKS * COMMITS * 2) as u64 {
                let known = *head.wait_for(|head| *head > seen).await.unwrap();
                let changes = store.changes(seen).await.unwrap();
                assert!(changes.len() as u64 >= known - seen, "the head ran ahead of the feed");
                for change in changes {
                    assert_eq!(change.sequence, seen + 1);
                    seen = change.sequence;
                    let document = change.document.unwrap();
                    assert_eq!(document.revision, seen);
                    let now = store.get(change.kind, &change.id).await.unwrap().unwrap();
                    assert!(now.revision >= document.revision);
                }
                // The two documents of a commit are seen together.
                let listed = store.list(Kind::Zone).await.unwrap();
                let (left, right): (Vec<_>, Vec<_>) =
                    listed.iter().partition(|document| document.id.starts_with('l'));
                assert_eq!(left.len(), right.len());
                for (left, right) in left.iter().zip(&right) {
                    assert_eq!(left.body, right.body);
                }
            }
        })
    };
    let tasks: Vec<_> = (0..TASKS)
        .map(|task| {
            let store = store.clone();
            tokio::spawn(async move {
                for count in 0..COMMITS {
                    let (left, right) = (format!("l{task}"), format!("r{task}"));
                    let body = count.to_string();
                    let ops = vec![put(&left, &body, Expect::Any), put(&right, &body, Expect::Any)];
                    let last = store.commit(ops).await.unwrap();
                    let mine = store.get(Kind::Zone, &right).await.unwrap().unwrap();
                    assert_eq!((mine.revision, &*mine.body), (last, body.as_str()), "read your own write");
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    watcher.await.unwrap();
}

#[tokio::test]
async fn a_conflict_fails_its_own_commit_only() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path().join("headend.db")).unwrap();
    // Polled together, so that most of them share a transaction.
    let commits = (0..100).map(|number| {
        let expect = if number % 3 == 0 { Expect::Revision(99_999) } else { Expect::Absent };
        store.commit(vec![
            put(&format!("x{number}"), "1", Expect::Any),
            put(&format!("z{number}"), "1", expect),
        ])
    });
    let outcomes = futures_util::future::join_all(commits).await;
    for (number, outcome) in outcomes.iter().enumerate() {
        assert_eq!(outcome.is_err(), number % 3 == 0, "{outcome:?}");
        assert_eq!(body(&store, &format!("x{number}")).await.is_some(), number % 3 != 0);
    }
    assert_eq!(*store.head().borrow(), 66 * 2);
}

#[tokio::test]
async fn a_store_whose_last_handle_goes_finishes_what_it_began() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("headend.db");
    for round in 0..20 {
        let store = open(&file).unwrap();
        let mut commit = store.commit(vec![put(&format!("z{round}"), "1", Expect::Absent)]);
        // Handed to the writer, and then forgotten.
        let _ = futures_util::poll!(&mut commit);
        drop(commit);
        drop(store);
    }
    assert_eq!(open(&file).unwrap().list(Kind::Zone).await.unwrap().len(), 20);
}
