//! The objects of the API as Octavia's clients know them: what is stored of each, and how they hang together. The file's
//! objects are among them, read-only.
//!
//! A record is the truth about its object. What is served because of it, [`super::derive`] makes of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use uuid::Uuid;

use super::{
    error::Fault,
    record::{Kind, Record, Stored},
};
use crate::store::{Change, Row};

/// A record as one of its kind: its kind and its id.
pub type Key = (&'static str, Uuid);

/// All records by kind and id. A change shares what it does not touch.
#[derive(Clone, Default)]
pub struct Records {
    all: BTreeMap<Key, Arc<dyn Stored>>,
    /// Parent, kind and id of every record that has a parent.
    children: BTreeSet<(Uuid, &'static str, Uuid)>,
}

impl Records {
    /// The one with this id.
    pub fn get<T: Record>(&self, id: Uuid) -> Option<&T> {
        (**self.all.get(&(T::KIND, id))?).as_any().downcast_ref()
    }

    /// The one with this id.
    ///
    /// # Errors
    /// There is none.
    pub fn find<T: Record>(&self, id: Uuid) -> Result<&T, Fault> {
        self.get(id).ok_or_else(|| Fault::not_found(T::NAME, id))
    }

    /// All of a kind.
    pub fn all<T: Record>(&self) -> impl Iterator<Item = &T> {
        let range = self.all.range((T::KIND, Uuid::nil())..=(T::KIND, Uuid::max()));
        range.filter_map(|(_, record)| (**record).as_any().downcast_ref())
    }

    /// Those that belong to another.
    pub fn children<T: Record>(&self, parent: Uuid) -> impl Iterator<Item = &T> {
        let range = (parent, T::KIND, Uuid::nil())..=(parent, T::KIND, Uuid::max());
        self.children.range(range).filter_map(|&(_, _, id)| self.get(id))
    }

    /// Puts one in, in the place of the one with its id.
    pub fn put<T: Record>(&mut self, record: T) {
        self.put_any(Arc::new(record));
    }

    fn put_any(&mut self, record: Arc<dyn Stored>) {
        let key = (record.kind(), record.head().id);
        self.take(key);
        if let Some(parent) = record.parent() {
            self.children.insert((parent, key.0, key.1));
        }
        self.all.insert(key, record);
    }

    /// Takes one out.
    pub fn take(&mut self, key: Key) {
        let old = self.all.remove(&key);
        if let Some(parent) = old.and_then(|old| old.parent()) {
            self.children.remove(&(parent, key.0, key.1));
        }
    }

    /// The keys of all that can be changed here.
    pub fn keys(&self) -> BTreeSet<Key> {
        let own = self.all.iter().filter(|(_, record)| !record.head().is_of_file);
        own.map(|(key, _)| *key).collect()
    }

    /// These records with `file`'s, which are the file's, instead of those that were.
    pub fn with_file(&self, file: &Records) -> Self {
        let mut all = Self::default();
        let own = self.all.values().filter(|record| !record.head().is_of_file);
        own.chain(file.all.values()).for_each(|record| all.put_any(record.clone()));
        all
    }

    /// What a store has to do so that it has these of the touched records.
    ///
    /// # Errors
    /// A record cannot be written, of which none is known.
    pub fn change(&self, touched: &BTreeSet<Key>) -> Result<Change, Fault> {
        let mut change = Change::default();
        for key in touched {
            match self.all.get(key).map(|record| record.row()) {
                Some(Ok(row)) => change.put.push(row),
                Some(Err(error)) => return Err(Fault::unavailable(format!("it cannot be stored: {error}"))),
                None => change.remove.push((key.0.into(), key.1)),
            }
        }
        Ok(change)
    }

    /// What a store has.
    ///
    /// # Errors
    /// A row is not what this version writes; one line.
    pub fn of_rows(rows: &[Row], kinds: &[Kind]) -> Result<Self, String> {
        let mut records = Self::default();
        for row in rows {
            let kind = kinds.iter().find(|kind| kind.name == row.kind);
            let kind = kind.ok_or_else(|| {
                format!("{} {} is of a kind that this version does not know", row.kind, row.id)
            })?;
            let read = (kind.read)(row);
            records
                .put_any(read.map_err(|error| format!("{} {} cannot be read: {error}", row.kind, row.id))?);
        }
        Ok(records)
    }
}
