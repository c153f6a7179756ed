//! Where objects stand in the file, so that what is wrong between them is told by line and key.

use std::collections::{HashMap, HashSet};

use model::{
    check::{At, Problem},
    id::Id,
};
use uuid::Uuid;

use super::document::{Table, Value};

/// Where everything stands.
pub(super) struct Places<'a> {
    file: Table<'a>,
    tables: HashMap<Uuid, Table<'a>>,
    lists: HashMap<(Uuid, &'static str), Vec<Value<'a>>>,
    doubtful: HashSet<Uuid>,
}

/// Where one thing stands.
enum Place<'a> {
    Value(Value<'a>),
    Table(Table<'a>),
    /// The key is not there.
    Missing(Table<'a>, &'static str),
}

impl<'a> Places<'a> {
    /// In this file, of which nothing is read yet.
    pub(super) fn new(file: Table<'a>) -> Self {
        Self { file, tables: HashMap::new(), lists: HashMap::new(), doubtful: HashSet::new() }
    }

    /// An object stands in this table.
    pub(super) fn stand<T>(&mut self, id: Id<T>, table: &Table<'a>) {
        self.tables.insert(id.uuid(), *table);
    }

    /// The elements of an object's field stand here, as many and in the same order as the object has them.
    pub(super) fn list<T>(&mut self, id: Id<T>, field: &'static str, values: Vec<Value<'a>>) {
        self.lists.insert((id.uuid(), field), values);
    }

    /// The host's table and, ascending, its ranges of local addresses.
    pub(super) fn host(&mut self, table: &Table<'a>, local_addresses: Vec<Value<'a>>) {
        self.tables.insert(Uuid::nil(), *table);
        self.lists.insert((Uuid::nil(), "local_addresses"), local_addresses);
    }

    /// An object could be read only in part, so whether it is the same as another cannot be told.
    pub(super) fn doubt<T>(&mut self, id: Id<T>) {
        self.doubtful.insert(id.uuid());
    }

    /// Ids of all that stands anywhere.
    pub(super) fn ids(&self) -> impl Iterator<Item = Uuid> {
        self.tables.keys().copied()
    }

    /// The order in which objects stand in the file.
    pub(super) fn order(&self) -> HashMap<Uuid, usize> {
        self.tables.iter().map(|(&id, table)| (id, table.offset())).collect()
    }

    /// Reports these where they stand.
    pub(super) fn report(&self, problems: &[Problem]) {
        let mut told = HashSet::new();
        for Problem { at, reason, other, remedy } in problems {
            let is_one_of_two = other.is_some_and(|other| other.kind == at.kind);
            let ids = [at.id, other.map_or(at.id, |other| other.id)];
            // Several pools of one server group may find the same fault with it.
            let is_told = !told.insert((*at, reason, *other));
            if is_told || is_one_of_two && ids.iter().any(|id| self.doubtful.contains(id)) {
                continue;
            }
            let line = other.map(|other| format!(" on line {}", self.find(other).line()));
            self.find(*at).refuse(format!("{reason}{}; {remedy}", line.unwrap_or_default()));
        }
    }

    fn find(&self, at: At) -> Place<'a> {
        let Some(table) = self.tables.get(&at.id) else { return Place::Table(self.file) };
        let element = || self.lists.get(&(at.id, at.field))?.get(at.index?);
        match element().copied().or_else(|| table.find(at.field)) {
            Some(value) => Place::Value(value),
            None if at.field.is_empty() => Place::Table(*table),
            None => Place::Missing(*table, at.field),
        }
    }
}

impl Place<'_> {
    fn line(&self) -> usize {
        match self {
            Self::Value(value) => value.line(),
            Self::Table(table) | Self::Missing(table, _) => table.line(),
        }
    }

    fn refuse(&self, reason: String) {
        match self {
            Self::Value(value) => value.refuse(reason),
            Self::Table(table) => table.refuse(reason),
            Self::Missing(table, key) => table.refuse_key(key, reason),
        }
    }
}
