//! Names: each one's own among its kind, and turned into ids where others are referred to by them.

use std::collections::HashMap;

use model::{
    id::{Id, Kind},
    value::Name,
};

use super::{
    document::{Table, Value},
    scalar,
};

/// What an object of the file is known by.
pub(super) struct Named<T> {
    /// Its name; empty if something is wrong with it.
    pub(super) name: Name,
    /// What stands for it in the ids of what is inside of it.
    pub(super) key: String,
    /// Its id, no other object's.
    pub(super) id: Id<T>,
}

/// The names of one kind so far.
pub(super) struct Names<T> {
    taken: HashMap<String, (Id<T>, usize)>,
}

impl<T> Default for Names<T> {
    fn default() -> Self {
        Self { taken: HashMap::new() }
    }
}

impl<T: Kind> Names<T> {
    /// The name that a table gives; reported if there is none, or if another of its kind has it. `around` are the keys of
    /// the objects around it.
    pub(super) fn take(&mut self, table: &Table<'_>, around: &[&str]) -> Named<T> {
        let id = |key: &str| Id::of_names(&[around, &[key]].concat());
        let Some((name, line)) = table.require("name").and_then(|value| self.unique(value)) else {
            let key = nameless(table);
            return Named { name: Name::default(), id: id(&key), key };
        };
        let key = name.as_str().to_owned();
        let id = id(&key);
        self.taken.insert(key.clone(), (id, line));
        Named { name, key, id }
    }

    /// A name that is not taken, and its line.
    fn unique(&self, value: Value<'_>) -> Option<(Name, usize)> {
        let name = scalar::name(value)?;
        if let Some((_, line)) = self.taken.get(name.as_str()) {
            value.refuse(format!("{:?} is taken on line {line}; give each its own name", name.as_str()));
            return None;
        }
        Some((name, value.line()))
    }

    /// The one with this name.
    pub(super) fn find(&self, name: &str) -> Option<Id<T>> {
        self.taken.get(name).map(|&(id, _)| id)
    }

    /// The one that a value names; reported if there is none.
    pub(super) fn refer(&self, value: Value<'_>) -> Option<Id<T>> {
        let name = value.string()?;
        let found = self.find(name);
        if found.is_none() {
            let (kind, table) = (T::NAME, T::NAME.replace(' ', "_"));
            value.refuse(format!(
                "no {kind} is named {name:?}; write [[{table}]] with this name, or name another"
            ));
        }
        found
    }
}

/// What takes the place of a name that cannot be: no name has control characters.
pub(super) fn nameless(table: &Table<'_>) -> String {
    format!("\u{1}{}", table.offset())
}

/// What takes the place of an object to which a reference cannot be read; it is always among those that could not be.
pub(super) fn unknown<T: Kind>() -> Id<T> {
    Id::of_names(&["\u{1}"])
}
