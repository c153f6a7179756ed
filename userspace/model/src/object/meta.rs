//! What every object has.

use std::collections::BTreeSet;

use crate::value::{Description, Name, Tag};

/// What every object has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Meta {
    /// Its name; may be empty.
    pub name: Name,
    /// What its operator says of it; may be empty.
    pub description: Description,
    /// Its tags.
    pub tags: BTreeSet<Tag>,
    /// Whose it is.
    pub project: Project,
    /// Where it comes from, and so where it can be changed.
    pub source: Source,
}

impl Meta {
    /// Of an object of the file with this name.
    pub fn of_file(name: Name) -> Self {
        Self { name, ..Self::default() }
    }
}

/// Whose an object is; the file's objects are all the empty one's.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Project(pub Name);

/// Where an object comes from: it can be changed only there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// This host's configuration file.
    #[default]
    File,
    /// This host's API.
    Api,
    /// Another host.
    Peer,
}
