//! Versions and the change feed.

use super::*;
use crate::store::HISTORY;
use crate::store::sqlite::memory::{FEED_BYTES, FEED_CHANGES};

#[tokio::test]
async fn history_has_every_version_newest_first_up_to_its_limit() {
    let store = open_in_memory().unwrap();
    for count in 1..=HISTORY + 5 {
        store.commit(vec![put("a", &count.to_string(), Expect::Any)]).await.unwrap();
        store.commit(vec![put("other", "x", Expect::Any)]).await.unwrap();
    }
    let (total, page) = store.history(Kind::Zone, "a", 3, 0).await.unwrap();
    assert_eq!(total, HISTORY);
    let bodies: Vec<_> = page.iter().map(|version| version.body.as_deref().unwrap()).collect();
    assert_eq!(bodies, ["25", "24", "23"]);
    let current = store.get(Kind::Zone, "a").await.unwrap().unwrap();
    assert_eq!(page[0].revision, current.revision);
    let (_, last) = store.history(Kind::Zone, "a", 100, HISTORY - 1).await.unwrap();
    assert_eq!(last.len(), 1);
    assert_eq!(last[0].body.as_deref(), Some("6"));
    assert!(store.history(Kind::Zone, "a", 10, 1000).await.unwrap().1.is_empty());

    store.commit(vec![delete("a", Expect::Any)]).await.unwrap();
    let (total, page) = store.history(Kind::Zone, "a", 2, 0).await.unwrap();
    assert_eq!(total, HISTORY + 1, "the deletion comes on top");
    assert_eq!((page[0].body.as_deref(), page[1].body.as_deref()), (None, Some("25")));
    assert_eq!(store.history(Kind::Zone, "nobody", 10, 0).await.unwrap(), (0, Vec::new()));
    assert_eq!(store.history(Kind::System, "a", 10, 0).await.unwrap().0, 0, "kinds are apart");
}

#[tokio::test]
async fn the_history_of_what_was_deleted_long_ago_goes() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("headend.db");
    let store = open(&file).unwrap();
    for id in ["long-gone", "just-gone", "back-again", "alive"] {
        store.commit(vec![put(id, "1", Expect::Any)]).await.unwrap();
    }
    for id in ["long-gone", "just-gone", "back-again"] {
        store.commit(vec![delete(id, Expect::Any)]).await.unwrap();
    }
    store.commit(vec![put("back-again", "2", Expect::Absent)]).await.unwrap();
    drop(store);
    let connection = Connection::open(&file).unwrap();
    connection.execute("UPDATE versions SET at = at - 8000000 WHERE id <> 'just-gone'", []).unwrap();
    drop(connection);

    let store = open(&file).unwrap();
    let mut kept = Vec::new();
    for id in ["long-gone", "just-gone", "back-again", "alive"] {
        kept.push(store.history(Kind::Zone, id, 10, 0).await.unwrap().0);
    }
    assert_eq!(kept, [0, 2, 3, 1]);
    assert_eq!(*store.head().borrow(), 8, "numbers are not given again");
}

#[tokio::test]
async fn a_reader_that_is_too_far_behind_is_told_to_list() {
    let store = open_in_memory().unwrap();
    let count = FEED_CHANGES as u64 + 10;
    let ops = (0..count).map(|number| put(&format!("z{}", number % 100), "1", Expect::Any)).collect();
    assert_eq!(store.commit(ops).await.unwrap(), count);
    assert_eq!(store.changes(9).await.unwrap_err(), Error::TooOld { after: 9, oldest: 10 });
    let changes = store.changes(10).await.unwrap();
    assert_eq!(changes.len(), FEED_CHANGES);
    assert_eq!((changes[0].sequence, changes[FEED_CHANGES - 1].sequence), (11, count));
    assert!(store.changes(count).await.unwrap().is_empty());
    assert!(store.changes(count + 5).await.unwrap().is_empty());

    // Large bodies shorten the feed, but the newest change is always in it.
    let large = "x".repeat(FEED_BYTES / 2);
    for id in ["a", "b", "c"] {
        store.commit(vec![put(id, &large, Expect::Any)]).await.unwrap();
    }
    assert_eq!(store.changes(count + 1).await.unwrap().len(), 2);
    assert!(store.changes(count).await.is_err());
    store.commit(vec![put("d", &"x".repeat(FEED_BYTES + 1), Expect::Any)]).await.unwrap();
    let newest = store.changes(count + 3).await.unwrap();
    assert_eq!(newest.len(), 1);
    assert_eq!(newest[0].document.as_ref().unwrap().id, "d");
}

#[tokio::test]
async fn the_feed_starts_empty_when_the_store_is_opened() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("headend.db");
    let store = open(&file).unwrap();
    assert!(store.changes(0).await.unwrap().is_empty());
    store.commit(vec![put("a", "1", Expect::Any), delete("a", Expect::Any)]).await.unwrap();
    let changes = store.changes(0).await.unwrap();
    assert!(changes[0].document.is_some());
    assert!(changes[1].document.is_none());
    drop(store);
    let store = open(&file).unwrap();
    assert_eq!(store.changes(0).await.unwrap_err(), Error::TooOld { after: 0, oldest: 2 });
    assert!(store.changes(2).await.unwrap().is_empty());
}
