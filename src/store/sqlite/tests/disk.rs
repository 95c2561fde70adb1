//! Files that are full, damaged, foreign, old or too new.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::*;

/// A store whose file may not grow beyond this many pages of 4 KiB.
fn limited(file: &Path, pages: u32) -> Handle {
    let connection = schema::open(file).unwrap();
    connection.pragma_update(None, "max_page_count", pages).unwrap();
    Arc::new(Sqlite::start(connection, file).unwrap())
}

#[tokio::test]
async fn a_full_disk_fails_writes_and_not_reads() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("headend.db");
    let store = limited(&file, 40);
    store.commit(vec![put("before", "1", Expect::Any)]).await.unwrap();
    let large = "x".repeat(1 << 20);
    let ops = vec![put("small", "2", Expect::Any), put("large", &large, Expect::Any)];
    let error = store.commit(ops).await.unwrap_err();
    assert!(matches!(error, Error::Storage { full: true, .. }), "{error:?}");
    let sentence = error.to_string();
    assert!(sentence.contains("headend.db") && sentence.contains("Free some space"), "{sentence}");
    assert_eq!(body(&store, "before").await.as_deref(), Some("1"));
    assert_eq!(body(&store, "small").await, None);
    assert_eq!(*store.head().borrow(), 1);
    assert_eq!(store.history(Kind::Zone, "before", 10, 0).await.unwrap().0, 1);
    // What still fits is written.
    assert_eq!(store.commit(vec![put("after", "3", Expect::Any)]).await, Ok(2));
    drop(store);
    let store = open(&file).unwrap();
    assert_eq!(store.list(Kind::Zone).await.unwrap().len(), 2);
    assert_eq!(store.commit(vec![put("large", &large, Expect::Any)]).await, Ok(3));
}

#[tokio::test]
async fn one_commit_that_does_not_fit_fails_alone() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("headend.db");
    let store = limited(&file, 40);
    let large = "x".repeat(1 << 20);
    // Polled together, so that most of them wait for the writer at the same time.
    let commits = (0..64).map(|number| {
        let body = if number == 20 { &large } else { "1" };
        store.commit(vec![put(&format!("z{number}"), body, Expect::Any)])
    });
    let outcomes = futures_util::future::join_all(commits).await;
    let failed: Vec<_> = (0..64).filter(|number| outcomes[*number].is_err()).collect();
    assert_eq!(failed, [20]);
    assert_eq!(store.list(Kind::Zone).await.unwrap().len(), 63);
    assert_eq!(store.changes(0).await.unwrap().len(), 63);
}

#[tokio::test]
async fn a_write_that_is_refused_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("headend.db");
    let connection = schema::open(&file).unwrap();
    connection.busy_timeout(Duration::from_millis(50)).unwrap();
    let store: Handle = Arc::new(Sqlite::start(connection, &file).unwrap());
    store.commit(vec![put("a", "1", Expect::Any)]).await.unwrap();
    // Another process holds the database: the write waits its time and is refused, reads go on.
    let other = Connection::open(&file).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let error = store.commit(vec![put("a", "2", Expect::Any)]).await.unwrap_err();
    assert!(error.to_string().contains("locked"), "{error}");
    assert_eq!(body(&store, "a").await.as_deref(), Some("1"));
    other.execute_batch("ROLLBACK").unwrap();
    assert_eq!(store.commit(vec![put("a", "3", Expect::Revision(1))]).await, Ok(2));
}

fn refusal(file: &Path) -> Error {
    match open(file) {
        Err(error) => {
            assert!(error.to_string().contains("headend.db"), "the file is named: {error}");
            error
        }
        Ok(_) => panic!("{} was opened", file.display()),
    }
}

#[tokio::test]
async fn a_damaged_file_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("headend.db");
    fs::write(&file, "this is no database at all, but long enough to be taken for one".repeat(100)).unwrap();
    let before = fs::read(&file).unwrap();
    assert!(matches!(refusal(&file), Error::Corrupt { .. }));
    assert_eq!(fs::read(&file).unwrap(), before);

    fs::remove_file(&file).unwrap();
    let store = open(&file).unwrap();
    let ops = (0..500).map(|number| put(&format!("z{number}"), &"x".repeat(500), Expect::Any)).collect();
    store.commit(ops).await.unwrap();
    drop(store);
    let mut bytes = fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 8192].fill(0x5a);
    fs::write(&file, bytes).unwrap();
    assert!(matches!(refusal(&file), Error::Corrupt { .. }));
}

#[test]
fn a_foreign_or_newer_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("headend.db");
    let foreign = Connection::open(&file).unwrap();
    foreign.execute_batch("CREATE TABLE bookmarks (url TEXT)").unwrap();
    drop(foreign);
    assert!(refusal(&file).to_string().contains("another application"));

    fs::remove_file(&file).unwrap();
    drop(open(&file).unwrap());
    Connection::open(&file).unwrap().pragma_update(None, "user_version", 99).unwrap();
    let error = refusal(&file);
    assert!(matches!(error, Error::Newer { found: 99, .. }), "{error:?}");
    assert!(
        refusal(&folder.path().join("nowhere").join("headend.db")).to_string().contains("could not create")
    );
}

#[tokio::test]
async fn a_file_of_version_1_is_brought_up_to_date() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("headend.db");
    let old = Connection::open(&file).unwrap();
    old.execute_batch(include_str!("version-1.sql")).unwrap();
    drop(old);
    let store = open(&file).unwrap();
    assert_eq!(*store.head().borrow(), 5);
    let zone = crate::store::typed::find::<crate::model::Zone>(&*store, "zone-1").await.unwrap().unwrap();
    assert_eq!((&*zone.value.name, zone.revision), ("Building", 3));
    let (total, versions) = store.history(Kind::Zone, "zone-1", 10, 0).await.unwrap();
    assert_eq!((total, versions[1].revision, versions[1].at), (2, 1, 1_790_000_000));
    assert_eq!(store.acquire("node", "b", Duration::from_secs(1)).await.unwrap().unwrap().epoch, 8);
    assert_eq!(store.commit(vec![put("zone-2", "{}", Expect::Absent)]).await, Ok(6));
    let version: i64 =
        Connection::open(&file).unwrap().query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap();
    assert_eq!(version, schema::VERSION);
}

#[test]
fn a_step_that_fails_leaves_the_file_as_it_was() {
    let mut connection = Connection::open_in_memory().unwrap();
    let steps = ["CREATE TABLE a (x)", "CREATE TABLE b (x); INSERT INTO nowhere VALUES (1)"];
    schema::migrate(&mut connection, 0, &steps[..1]).unwrap();
    schema::migrate(&mut connection, 1, &steps).unwrap_err();
    let state = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!(state("PRAGMA user_version"), 1);
    assert_eq!(state("SELECT count(*) FROM sqlite_schema"), 1);
}

#[test]
fn others_cannot_read_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path().join("headend.db")).unwrap();
    let modes: Vec<_> = fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().metadata().unwrap().permissions().mode() & 0o777)
        .collect();
    assert!(modes.len() >= 2 && modes.iter().all(|mode| *mode == 0o600), "{modes:?}");
    drop(store);
}
