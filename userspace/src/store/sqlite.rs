//! A store in one SQLite file: a write-ahead log that is on the disk before a commit returns.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::{Connection, ErrorCode, Transaction, params, types::Value};
use uuid::Uuid;

use super::{Change, Row, Store, StoreError, Trace, TraceFilter, key::Key};

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
}

impl Sqlite {
    /// The store in a directory: `store.db`, and `store.key`, which seals private keys. What is not there is made, for its
    /// owner only.
    ///
    /// # Errors
    /// It is damaged, of a later version or another program's, or the directory cannot be written to.
    pub fn open(directory: &Path) -> Result<Self, StoreError> {
        let path = directory.join("store.db");
        let key = Key::at(&directory.join("store.key"))?;
        let damaged = |error: rusqlite::Error| damage(&path, error);
        let mut database = Connection::open(&path)?;
        let private = fs::set_permissions(&path, fs::Permissions::from_mode(0o600));
        private.map_err(|error| StoreError::File { path: path.clone(), error })?;
        // Who has it keeps it.
        database.busy_timeout(Duration::ZERO)?;
        database.pragma_update(None, "journal_mode", "WAL").map_err(damaged)?;
        database.pragma_update(None, "synchronous", "FULL")?;
        database.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
        let number = |name| database.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
        let (application, layout) =
            (number("application_id").map_err(damaged)?, number("user_version")? as u32);
        let tables: i64 = database.query_row("SELECT count(*) FROM sqlite_master", [], |row| row.get(0))?;
        match (application, layout, tables) {
            (0, 0, 0) => {
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
        Ok(Self { path, database, key, revision })
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
                    StoreError::Key { path: self.path.with_extension("key"), reason }
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
