//! What was committed is there afterwards, and what is not a store of this version is refused with what to do.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
};

use proptest::{collection, prelude::*};
use rusqlite::Connection;
use tempfile::TempDir;

use super::{
    copy::{backup, check_directory, restore},
    sqlite::Sqlite,
    *,
};

fn row(number: u8, body: &str, secret: Option<&[u8]>) -> Row {
    Row {
        kind: "pool".into(),
        id: Uuid::from_bytes([number; 16]),
        body: body.into(),
        secret: secret.map(Into::into),
    }
}

fn trace(number: u8, name: &str) -> Trace {
    Trace {
        id: Uuid::from_bytes([number; 16]),
        time: 1000 + u64::from(number),
        name: name.into(),
        resource_type: "pool".into(),
        resource_id: Some(Uuid::from_bytes([number; 16])),
        resource_name: "web".into(),
        project: "shop".into(),
        user: "admin".into(),
        rating: "normal".into(),
        body: "{}".into(),
    }
}

/// What cannot be opened, and what is said of it without the path.
fn refused(directory: &Path) -> String {
    let Err(error) = Sqlite::open(directory) else { panic!("it was opened") };
    error.to_string().replace(directory.to_str().unwrap(), "DIR")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    /// Against a plain map, with a start after each commit.
    #[test]
    fn what_was_committed_is_there_after_a_start(
        steps in collection::vec((collection::btree_map(0..6u8, proptest::option::of(("[a-z]{0,9}", any::<bool>())), 0..5), any::<bool>()), 1..8)
    ) {
        let directory = TempDir::new().unwrap();
        let mut model = BTreeMap::new();
        for (step, keeps) in steps {
            let mut store = Sqlite::open(directory.path()).unwrap();
            let mut change = Change::default();
            for (number, wanted) in step {
                match wanted {
                    Some((body, has_secret)) => {
                        let secret = has_secret.then_some(&b"secret"[..]);
                        change.put.push(row(number, &body, secret));
                        if keeps {
                            model.insert(number, row(number, &body, secret));
                        }
                    }
                    None => {
                        change.remove.push(("pool".into(), Uuid::from_bytes([number; 16])));
                        if keeps {
                            model.remove(&number);
                        }
                    }
                }
            }
            let revision = store.revision();
            // One that was not at the store's revision changes nothing.
            let committed = store.commit(if keeps { revision } else { revision + 1 }, &change);
            prop_assert_eq!(committed.is_ok(), keeps);
            drop(store);
            let store = Sqlite::open(directory.path()).unwrap();
            let mut rows = store.list().unwrap();
            rows.sort_by_key(|row| row.id);
            prop_assert_eq!(rows, model.values().cloned().collect::<Vec<_>>());
        }
    }
}

#[test]
fn secrets_are_sealed_and_bound_to_their_row() {
    let directory = TempDir::new().unwrap();
    let mut store = Sqlite::open(directory.path()).unwrap();
    let secret = b"-----BEGIN PRIVATE KEY----- planted";
    let change =
        Change { put: vec![row(1, "{}", Some(secret)), row(2, "{}", Some(b"other"))], ..Change::default() };
    store.commit(0, &change).unwrap();
    drop(store);
    for name in ["store.db", "store.db-wal", "store.key"] {
        let Ok(bytes) = fs::read(directory.path().join(name)) else { continue };
        assert!(!bytes.windows(7).any(|part| part == b"planted"), "{name} shows the secret");
        let mode = fs::metadata(directory.path().join(name)).unwrap().mode();
        assert_eq!(mode & 0o077, 0, "{name} is for others too: {mode:o}");
    }
    let database = Connection::open(directory.path().join("store.db")).unwrap();
    let [one, other] = [1u8, 2].map(|number| vec![number; 16]);
    let swap = "UPDATE object SET secret = (SELECT secret FROM object WHERE id = ?1) WHERE id = ?2";
    database.execute(swap, rusqlite::params![one, other]).unwrap();
    drop(database);
    let said = Sqlite::open(directory.path()).unwrap().list().unwrap_err().to_string();
    assert!(said.contains("does not open the secret of pool 02020202"), "{said}");
}

#[test]
fn what_is_no_store_of_this_version_is_refused_with_what_to_do() {
    let directory = TempDir::new().unwrap();
    let (file, key) = (directory.path().join("store.db"), directory.path().join("store.key"));
    let mut store = Sqlite::open(directory.path()).unwrap();
    let many = (0..200).map(|number| row(number, &"x".repeat(300), None)).collect();
    store.commit(0, &Change { put: many, ..Change::default() }).unwrap();
    drop(store);
    let good = fs::read(&file).unwrap();

    let database = Connection::open(&file).unwrap();
    database.pragma_update(None, "user_version", 2).unwrap();
    drop(database);
    assert!(refused(directory.path()).contains("has the layout 2, and this version knows 1"));

    let mut damaged = good.clone();
    let middle = damaged.len() / 2;
    damaged[middle..middle + 4096].fill(0xFF);
    fs::write(&file, &damaged).unwrap();
    assert!(refused(directory.path()).starts_with("\"DIR/store.db\" is damaged: "));
    fs::write(&file, b"not a database, but long enough to look like one, were there a header").unwrap();
    assert!(refused(directory.path()).starts_with("\"DIR/store.db\" is damaged: "));

    fs::remove_file(&file).unwrap();
    Connection::open(&file).unwrap().execute_batch("CREATE TABLE a (b)").unwrap();
    assert!(refused(directory.path()).contains("is another program's database"));

    fs::write(&file, good).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(refused(directory.path()).contains("others may read it (mode 644); chmod 600"));
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(&key, b"short").unwrap();
    assert!(refused(directory.path()).contains("it has 5 bytes and not 32"));
}

#[test]
fn traces_are_found_by_what_is_known_of_them() {
    let directory = TempDir::new().unwrap();
    let mut store = Sqlite::open(directory.path()).unwrap();
    let traces = vec![trace(1, "create pool"), trace(2, "update pool"), trace(3, "create pool")];
    store.commit(0, &Change { traces: traces.clone(), ..Change::default() }).unwrap();
    assert_eq!(store.revision(), 0, "no object was changed");
    let filter = |filter: TraceFilter| store.traces(&TraceFilter { limit: 9, ..filter }).unwrap();
    assert_eq!(filter(TraceFilter::default()), [traces[2].clone(), traces[1].clone(), traces[0].clone()]);
    let named = TraceFilter { name: Some("create pool".into()), from: Some(1002), ..TraceFilter::default() };
    assert_eq!(filter(named), [traces[2].clone()]);
    let about =
        TraceFilter { resource_id: traces[1].resource_id.map(|id| id.to_string()), ..TraceFilter::default() };
    assert_eq!(filter(about), [traces[1].clone()]);
    store.forget_traces(1003).unwrap();
    assert_eq!(
        store.traces(&TraceFilter { limit: 9, ..TraceFilter::default() }).unwrap(),
        [traces[2].clone()]
    );
}

/// With a writer that goes on meanwhile; back into an empty directory, and over another store.
#[test]
fn a_copy_has_all_of_one_moment_and_comes_back() {
    let (from, to, copies) = (TempDir::new().unwrap(), TempDir::new().unwrap(), TempDir::new().unwrap());
    let put = |number, secret| Change { put: vec![row(number, "{}", secret)], ..Change::default() };
    let mut store = Sqlite::open(from.path()).unwrap();
    store.commit(0, &put(1, Some(b"planted"))).unwrap();
    let copy = copies.path().join("monday");
    let contents = backup(from.path(), &copy).unwrap();
    assert_eq!((contents.revision, contents.objects), (1, [("pool".to_owned(), 1)].into()));
    store.commit(1, &put(2, None)).unwrap();
    assert_eq!(check_directory(from.path()).unwrap().revision, 2);
    for name in ["monday", "monday.key"] {
        assert_eq!(
            fs::metadata(copies.path().join(name)).unwrap().mode() & 0o077,
            0,
            "{name} is for others too"
        );
    }

    let said = backup(from.path(), &copy).unwrap_err().to_string();
    assert!(said.contains("exists"), "{said}");
    let said = restore(&copy, from.path()).unwrap_err().to_string();
    assert!(said.contains("is in use by a daemon; stop that first"), "{said}");
    assert!(refused(from.path()).contains("is in use by a daemon"));

    restore(&copy, to.path()).unwrap();
    assert_eq!(Sqlite::open(to.path()).unwrap().list().unwrap(), [row(1, "{}", Some(b"planted"))]);
    let other = TempDir::new().unwrap();
    let mut store = Sqlite::open(other.path()).unwrap();
    store.commit(0, &put(3, Some(b"another"))).unwrap();
    drop(store);
    restore(&copy, other.path()).unwrap();
    assert_eq!(Sqlite::open(other.path()).unwrap().list().unwrap(), [row(1, "{}", Some(b"planted"))]);
    let before = Sqlite::look(&other.path().join("store.db.before"), &other.path().join("store.key.before"));
    assert_eq!(before.unwrap().list().unwrap(), [row(3, "{}", Some(b"another"))]);

    fs::copy(other.path().join("store.key.before"), copies.path().join("monday.key")).unwrap();
    let said = restore(&copy, other.path()).unwrap_err().to_string();
    assert!(said.contains("monday.key") && said.contains("does not open the secret of pool"), "{said}");
    assert_eq!(Sqlite::open(other.path()).unwrap().list().unwrap(), [row(1, "{}", Some(b"planted"))]);
    fs::remove_file(&copy).unwrap();
    assert!(restore(&copy, other.path()).unwrap_err().to_string().contains("No such file"));
}
