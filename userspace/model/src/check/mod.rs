//! The rules between objects: what must hold beyond what the types of their values see to. Pure.
//!
//! ```text
//! references  what is named is there, and is of the right kind
//!   → access     access lists
//!   → pools      members, algorithms, health monitors
//!   → listeners  ports, policies, redirections
//!   → addresses  no address has two roles
//!   → room       the data path has room for all of it, and for changes of it
//! ```
//!
//! A problem is told where it is, not where it leads to: what refers to an object that could not be read is not blamed.

mod access;
mod addresses;
mod capacity;
mod listeners;
mod pools;
mod references;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fmt,
    net::SocketAddr,
};

use uuid::Uuid;

use crate::{
    capacity::Capacity,
    difference::Difference,
    host::LocalAddresses,
    id::{Id, Kind, Object},
    object::{Map, Objects, Pool, PoolId, ServerGroupId},
};

/// What objects are checked against, beside each other.
#[derive(Clone, Copy, Debug)]
pub struct Surroundings<'a> {
    /// The host's local addresses; none if they are not known, and then nothing is said about them.
    pub local_addresses: &'a LocalAddresses,
    /// How much of everything there may be.
    pub capacity: &'a Capacity,
    /// Ids of objects that are meant to be there and could not be read, or not all of what they need; nil if some local
    /// addresses could not. References to them are good, and they are not blamed for what they lack.
    pub unread: &'a HashSet<Uuid>,
    /// In which order objects came, by id; those without a place came first. Of two that cannot both be, the later one
    /// is at fault, and so is the first one for which there is no room any more.
    pub order: &'a HashMap<Uuid, usize>,
    /// Objects in which nothing was wrong with these surroundings: what is checked shares the most with them, and is
    /// looked at only where it differs. It makes no difference to what is found.
    pub before: Option<&'a Objects>,
}

/// Something that must not be, one line when shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where.
    pub at: At,
    /// What is wrong.
    pub reason: String,
    /// The other place that `reason` ends with, if it does: "80 is another listener's" (that one). Of the same kind as
    /// `at` if one of the two must go.
    pub other: Option<At>,
    /// What would be right.
    pub remedy: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at, reason, other, remedy } = self;
        write!(f, "{at}: {reason}")?;
        if let Some(other) = other {
            write!(f, " ({other})")?;
        }
        write!(f, "; {remedy}")
    }
}

/// An object, or a field of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct At {
    /// The kind of the object: [`Kind::NAME`], or "host".
    pub kind: &'static str,
    /// Its id; nil for the host.
    pub id: Uuid,
    /// The field, as in files; empty for the object as a whole.
    pub field: &'static str,
    /// Which one of a list, from 0.
    pub index: Option<usize>,
}

impl At {
    /// An object as a whole.
    pub fn object<K: Kind>(id: Id<K>) -> Self {
        Self { kind: K::NAME, id: id.uuid(), field: "", index: None }
    }

    /// A field of an object.
    pub fn field<K: Kind>(id: Id<K>, field: &'static str) -> Self {
        Self { field, ..Self::object(id) }
    }

    /// One of a list.
    pub fn nth(self, index: usize) -> Self {
        Self { index: Some(index), ..self }
    }

    /// One of the ranges of the host's local addresses: [`LocalAddresses::ranges`].
    pub fn local_addresses(index: usize) -> Self {
        Self { kind: "host", id: Uuid::nil(), field: "local_addresses", index: Some(index) }
    }
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind)?;
        if !self.id.is_nil() {
            write!(f, " {}", self.id)?;
        }
        match (self.field, self.index) {
            ("", _) => Ok(()),
            (field, None) => write!(f, ": {field}"),
            (field, Some(index)) => write!(f, ": {field}[{index}]"),
        }
    }
}

/// All that is wrong with the objects, causes before what follows from them; empty if they can be served.
pub fn check(objects: &Objects, surroundings: &Surroundings<'_>) -> Vec<Problem> {
    let nothing = Objects::default();
    let before = surroundings.before.unwrap_or(&nothing);
    let difference = &Difference::between(before, objects);
    let pools = &difference.pools_of(objects);
    let (cut_off, problems) = (HashMap::new(), Vec::new());
    let mut check = Check { objects, surroundings, before, difference, pools, cut_off, problems };
    let listeners = check.listeners_in_question();
    check.references(&listeners);
    check.access_lists();
    check.server_groups();
    check.pools();
    check.ports();
    check.listeners(&listeners);
    check.addresses();
    check.capacity();
    check.problems
}

struct Check<'a> {
    objects: &'a Objects,
    surroundings: &'a Surroundings<'a>,
    /// Nothing is wrong with these.
    before: &'a Objects,
    difference: &'a Difference<'a>,
    /// Those that differ from before, or whose server group does.
    pools: &'a [(PoolId, &'a Pool)],
    /// Of each server group that was asked for, a member that cannot be reached.
    cut_off: HashMap<ServerGroupId, Option<SocketAddr>>,
    problems: Vec<Problem>,
}

impl Check<'_> {
    fn add(&mut self, at: At, reason: impl Into<String>, remedy: impl Into<String>) {
        let (reason, remedy) = (reason.into(), remedy.into());
        self.problems.push(Problem { at, reason, other: None, remedy });
    }

    fn add_beside(&mut self, at: At, reason: impl Into<String>, other: At, remedy: impl Into<String>) {
        let (reason, remedy) = (reason.into(), remedy.into());
        self.problems.push(Problem { at, reason, other: Some(other), remedy });
    }

    /// Objects in the order in which they came.
    fn in_order<'m, K, V>(&self, map: &'m BTreeMap<Id<K>, V>) -> Vec<(Id<K>, &'m V)> {
        let mut all: Vec<_> = map.iter().map(|(&id, object)| (id, object)).collect();
        let order = self.surroundings.order;
        if !order.is_empty() {
            all.sort_by_key(|(id, _)| order.get(&id.uuid()));
        }
        all
    }

    /// Whether an object is there or is meant to be.
    fn is_there<T: Object>(&self, map: &Map<T>, id: Id<T::Kind>) -> bool {
        map.contains_key(&id) || self.surroundings.unread.contains(&id.uuid())
    }
}
