//! Leases and fences.

use super::*;

const LONG: Duration = Duration::from_secs(3600);
const OVER: Duration = Duration::ZERO;

#[tokio::test]
async fn one_holder_at_a_time_and_a_new_epoch_for_each() {
    let store = open_in_memory().unwrap();
    let first = store.acquire("node", "a", LONG).await.unwrap().unwrap();
    assert_eq!((first.epoch, &*first.holder), (1, "a"));
    assert_eq!(store.acquire("node", "b", LONG).await.unwrap(), None);
    assert!(store.acquire("other", "b", LONG).await.unwrap().is_some());
    let renewed = store.renew(&first, LONG).await.unwrap().unwrap();
    assert_eq!(renewed.epoch, first.epoch);
    // A holder that starts again does not know what it did before.
    let again = store.acquire("node", "a", LONG).await.unwrap().unwrap();
    assert_eq!(again.epoch, 2);
    assert_eq!(store.renew(&first, LONG).await.unwrap(), None);
    store.release(&first).await.unwrap();
    assert_eq!(store.acquire("node", "b", LONG).await.unwrap(), None, "an old epoch gives nothing back");
    store.release(&again).await.unwrap();
    assert_eq!(store.acquire("node", "b", OVER).await.unwrap().unwrap().epoch, 3);
    // It has expired already.
    let last = store.acquire("node", "c", LONG).await.unwrap().unwrap();
    assert_eq!((last.epoch, &*last.holder), (4, "c"));
}

#[tokio::test]
async fn a_fence_stops_who_lost_its_lease() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("headend.db");
    let store = open(&file).unwrap();
    let fenced = |lease: &Lease| {
        let fence = Op::Fence { lease: lease.name.clone(), epoch: lease.epoch };
        vec![put("a", "1", Expect::Any), fence]
    };
    let first = store.acquire("node", "a", OVER).await.unwrap().unwrap();
    assert_eq!(store.commit(fenced(&first)).await, Err(Error::Fenced { lease: "node".into(), epoch: 1 }));
    assert_eq!(body(&store, "a").await, None);
    let second = store.acquire("node", "b", LONG).await.unwrap().unwrap();
    drop(store);
    let store = open(&file).unwrap();
    assert!(store.commit(fenced(&first)).await.is_err());
    assert_eq!(store.commit(fenced(&second)).await, Ok(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_want_it_one_gets_it() {
    let store = open_in_memory().unwrap();
    let tasks: Vec<_> = (0..20)
        .map(|task| {
            let store = store.clone();
            tokio::spawn(async move { store.acquire("node", &format!("node-{task}"), LONG).await.unwrap() })
        })
        .collect();
    let mut granted = 0;
    for task in tasks {
        granted += usize::from(task.await.unwrap().is_some());
    }
    assert_eq!(granted, 1);
}
