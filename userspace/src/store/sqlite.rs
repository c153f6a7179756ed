//! A store in one SQLite file: a write-ahead log that is on the disk before a commit returns.

use std::{
    collections::BTreeMap,
    fs::{self, File, TryLockError},
    io,
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::{Connection, ErrorCode, OpenFlags, Transaction, params, types::Value};
use uuid::Uuid;

use super::{Change, Row, Store, StoreError, Trace, TraceFilter, key::Key};

/// The store's file in its directory.
pub(super) const FILE: &str = "store.db";
/// The file with its key.
pub(super) const KEY: &str = "store.key";
/// The layout of the tables; a later one knows how to follow from each earlier one.
const LAYOUT: u32 = 1;
/// Stands in the file's header: "EKst".
const APPLICATION: i32 = 0x454B_7374;

const TABLES: &str = "
    CREATE TABLE revision (number INTEGER NOT NULL);
    INSERT INTO revision VALUES (0);
    CREATE TABLE object (
        kind TEXT NOT NULL, id BLOB NOT NULL, body TEXT NOT NULL, secret BLOB, PRIMARY KEY (kind, id)
    ) WITHOUT ROWID;
    CREATE TABLE trace (
        number INTEGER PRIMARY KEY, id BLOB NOT NULL, time INTEGER NOT NULL, name TEXT NOT NULL, resource_type TEXT NOT NULL,
        resource_id TEXT, resource_name TEXT NOT NULL, project TEXT NOT NULL, user TEXT NOT NULL, rating TEXT NOT NULL,
        body TEXT NOT NULL
    );
    CREATE INDEX trace_time ON trace (time);
    CREATE INDEX trace_resource ON trace (resource_id);
";

/// A store in a file.
pub struct Sqlite {
    path: PathBuf,
    database: Connection,
    key: Key,
    revision: u64,
    /// Held as long as this may write.
    _lock: Option<File>,
}

impl Sqlite {
    /// The store in a directory: `store.db`, and `store.key`, which seals private keys. What is not there is made, for its
    /// owner only.
    ///
    /// # Errors
    /// It is damaged, of a later version or another program's, another process has it, or the directory cannot be written
    /// to.
    pub fn open(directory: &Path) -> Result<Self, StoreError> {
        let path = directory.join(FILE);
        let lock = lock(directory)?;
        let key = Key::at(&directory.join(KEY))?;
        let database = Connection::open(&path)?;
        let private = fs::set_permissions(&path, fs::Permissions::from_mode(0o600));
        private.map_err(|error| StoreError::File { path: path.clone(), error })?;
        database.busy_timeout(Duration::from_secs(1))?;
        let damaged = |error: rusqlite::Error| damage(&path, error);
        database.pragma_update(None, "journal_mode", "WAL").map_err(damaged)?;
        database.pragma_update(None, "synchronous", "FULL")?;
        Self::read(path, key, database, Some(lock))
    }

    /// A store to look at, which another process may be writing to, or a copy of one.
    ///
    /// # Errors
    /// There is none, or as [`Self::open`].
    pub fn look(file: &Path, key: &Path) -> Result<Self, StoreError> {
        for path in [file, key] {
            fs::metadata(path).map_err(|error| StoreError::File { path: path.into(), error })?;
        }
        let key = Key::at(key)?;
        // Readers of a write-ahead log write to what they share with the writer.
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE;
        let database = Connection::open_with_flags(file, flags).map_err(|error| damage(file, error))?;
        database.busy_timeout(Duration::from_secs(1))?;
        Self::read(file.into(), key, database, None)
    }

    /// Looks whether it is a store, which is made in an empty file.
    fn read(
        path: PathBuf,
        key: Key,
        mut database: Connection,
        lock: Option<File>,
    ) -> Result<Self, StoreError> {
        let damaged = |error: rusqlite::Error| damage(&path, error);
        let number = |name| database.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
        let (application, layout) =
            (number("application_id").map_err(damaged)?, number("user_version")? as u32);
        let tables: i64 = database.query_row("SELECT count(*) FROM sqlite_master", [], |row| row.get(0))?;
        match (application, layout, tables) {
            (0, 0, 0) if lock.is_some() => {
                let transaction = database.transaction()?;
                transaction.execute_batch(TABLES)?;
                transaction.pragma_update(None, "application_id", APPLICATION)?;
                transaction.pragma_update(None, "user_version", LAYOUT)?;
                transaction.commit()?;
            }
            (application, ..) if application != i64::from(APPLICATION) => {
                return Err(StoreError::Foreign { path });
            }
            (_, layout, _) if layout > LAYOUT => {
                return Err(StoreError::Newer { path, found: layout, known: LAYOUT });
            }
            _ => {}
        }
        let check: String =
            database.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(damaged)?;
        if check != "ok" {
            return Err(StoreError::Damaged { path, reason: check });
        }
        let revision =
            database.query_row("SELECT number FROM revision", [], |row| row.get(0)).map_err(damaged)?;
        Ok(Self { path, database, key, revision, _lock: lock })
    }

    /// Copies all of it, as it is at one moment, into a file that is not there yet.
    ///
    /// # Errors
    /// The file is there, or cannot be written.
    pub fn copy_to(&self, file: &Path) -> Result<(), StoreError> {
        let path = file.to_str().ok_or_else(|| {
            let error = io::Error::new(io::ErrorKind::InvalidFilename, "the name is not UTF-8");
            StoreError::File { path: file.into(), error }
        })?;
        // SQLite would write into an empty one.
        let new = File::options().write(true).create_new(true).mode(0o600).open(file);
        new.map_err(|error| StoreError::File { path: file.into(), error })?;
        self.database.execute("VACUUM INTO ?1", [path])?;
        Ok(())
    }

    /// Everything is there that should be, every index agrees with its table, and the key opens every secret. How many
    /// objects of each kind there are.
    ///
    /// # Errors
    /// What is found first.
    pub fn check(&self) -> Result<BTreeMap<String, usize>, StoreError> {
        let all = |row: &rusqlite::Row<'_>| row.get::<_, String>(0);
        let check = self.database.query_row("PRAGMA integrity_check(1)", [], all);
        let check = check.map_err(|error| damage(&self.path, error))?;
        if check != "ok" {
            return Err(StoreError::Damaged { path: self.path.clone(), reason: check });
        }
        let mut kinds = BTreeMap::new();
        for row in self.list()? {
            *kinds.entry(row.kind).or_default() += 1;
        }
        Ok(kinds)
    }

    fn write(key: &Key, transaction: &Transaction<'_>, change: &Change) -> Result<(), StoreError> {
        let mut put = transaction.prepare_cached(
            "INSERT OR REPLACE INTO object (kind, id, body, secret) VALUES (?1, ?2, ?3, ?4)",
        )?;
        for Row { kind, id, body, secret } in &change.put {
            let sealed =
                secret.as_ref().map(|secret| key.seal(&sealed_for(kind, *id), secret)).transpose()?;
            put.execute(params![kind, id.as_bytes(), body, sealed])?;
        }
        let mut remove = transaction.prepare_cached("DELETE FROM object WHERE kind = ?1 AND id = ?2")?;
        for (kind, id) in &change.remove {
            remove.execute(params![kind, id.as_bytes()])?;
        }
        let mut note = transaction.prepare_cached(
            "INSERT INTO trace (id, time, name, resource_type, resource_id, resource_name, project, user, rating, body)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        )?;
        for it in &change.traces {
            let resource = it.resource_id.map(|id| id.to_string());
            note.execute(params![
                it.id.as_bytes(),
                it.time,
                it.name,
                it.resource_type,
                resource,
                it.resource_name,
                it.project,
                it.user,
                it.rating,
                it.body
            ])?;
        }
        Ok(())
    }
}

impl Store for Sqlite {
    fn revision(&self) -> u64 {
        self.revision
    }

    fn list(&self) -> Result<Vec<Row>, StoreError> {
        let mut statement = self.database.prepare_cached("SELECT kind, id, body, secret FROM object")?;
        let mut rows = statement.query([])?;
        let mut all = Vec::new();
        while let Some(row) = rows.next()? {
            let (kind, id): (String, Uuid) = (row.get(0)?, Uuid::from_bytes(row.get(1)?));
            let secret = match row.get::<_, Option<Vec<u8>>>(3)? {
                Some(sealed) => Some(self.key.open(&sealed_for(&kind, id), &sealed).ok_or_else(|| {
                    let reason = format!("it does not open the secret of {kind} {id}");
                    StoreError::Key { path: self.key.path().into(), reason }
                })?),
                None => None,
            };
            all.push(Row { body: row.get(2)?, kind, id, secret });
        }
        Ok(all)
    }

    fn commit(&mut self, revision: u64, change: &Change) -> Result<u64, StoreError> {
        if revision != self.revision {
            return Err(StoreError::Revision { found: self.revision, expected: revision });
        }
        let changes_objects = !change.put.is_empty() || !change.remove.is_empty();
        let next = revision + u64::from(changes_objects);
        let transaction = self.database.transaction()?;
        Self::write(&self.key, &transaction, change)?;
        transaction.execute("UPDATE revision SET number = ?1", [next])?;
        transaction.commit()?;
        self.revision = next;
        Ok(next)
    }

    fn traces(&self, filter: &TraceFilter) -> Result<Vec<Trace>, StoreError> {
        let text = |text: &Option<String>| text.clone().map(Value::Text);
        let number = |number: Option<u64>| number.map(|number| Value::Integer(number as i64));
        let wanted = [
            ("name = ?", text(&filter.name)),
            ("resource_type = ?", text(&filter.resource_type)),
            ("resource_id = ?", text(&filter.resource_id)),
            ("resource_name = ?", text(&filter.resource_name)),
            ("user = ?", text(&filter.user)),
            ("rating = ?", text(&filter.rating)),
            ("project = ?", text(&filter.project)),
            ("time >= ?", number(filter.from)),
            ("time <= ?", number(filter.to)),
        ];
        let (conditions, mut values): (Vec<&str>, Vec<Value>) =
            wanted.into_iter().filter_map(|(condition, value)| Some((condition, value?))).unzip();
        let conditions = if conditions.is_empty() { "1".into() } else { conditions.join(" AND ") };
        values.push(Value::Integer(filter.limit.into()));
        let mut statement = self.database.prepare_cached(&format!(
            "SELECT id, time, name, resource_type, resource_id, resource_name, project, user, rating, body FROM trace
             WHERE {conditions} ORDER BY number DESC LIMIT ?"
        ))?;
        let traces = statement.query_map(rusqlite::params_from_iter(values), |row| {
            Ok(Trace {
                id: Uuid::from_bytes(row.get(0)?),
                time: row.get(1)?,
                name: row.get(2)?,
                resource_type: row.get(3)?,
                resource_id: row.get::<_, Option<String>>(4)?.and_then(|id| id.parse().ok()),
                resource_name: row.get(5)?,
                project: row.get(6)?,
                user: row.get(7)?,
                rating: row.get(8)?,
                body: row.get(9)?,
            })
        })?;
        Ok(traces.collect::<Result<_, _>>()?)
    }

    fn forget_traces(&mut self, time: u64) -> Result<(), StoreError> {
        self.database.execute("DELETE FROM trace WHERE time < ?1", [time])?;
        Ok(())
    }
}

/// Keeps other processes from writing to a directory's store, until it is dropped.
pub(super) fn lock(directory: &Path) -> Result<File, StoreError> {
    let path = directory.join("store.lock");
    let file = File::options().write(true).create(true).truncate(false).mode(0o600).open(&path);
    let locked = file.map_err(TryLockError::Error).and_then(|file| file.try_lock().map(|()| file));
    locked.map_err(|error| match error {
        TryLockError::WouldBlock => StoreError::Taken { path: directory.join(FILE) },
        TryLockError::Error(error) => StoreError::File { path, error },
    })
}

/// What a secret is bound to, so that it cannot be put into another object's row.
fn sealed_for(kind: &str, id: Uuid) -> String {
    format!("{kind} {id}")
}

fn damage(path: &Path, error: rusqlite::Error) -> StoreError {
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            StoreError::Damaged { path: path.into(), reason: error.to_string() }
        }
        _ => error.into(),
    }
}
