//! The control plane: objects that clients of OpenStack's Octavia create, change and delete over HTTP.
//!
//! ```text
//! server      sockets, deadlines, the size of what is sent
//!   → routes, handlers   paths and methods, what is done for each   (discovery, networks: what clients ask first; list: filters, paging)
//!   → write     one change, and its trace                  (draft: the records as they will be; fields: what a body says)
//!   → resources   one file per kind of object              (kinds, record, records: what is known; from_file: of the file)
//!   → derive    records become objects of the model        (conditions: what L7 rules say; material: PEM)
//! ```
//!
//! A write is made on the records first ([`draft`]), then derived into objects, checked beside the file's, drafted by the
//! engine, committed to the store with its trace and made in both layers. The daemon's loop does the last three, so writes
//! and the file's reloads go one after another ([`write::Write`] is what it is sent). What is refused anywhere leaves
//! records, store and both layers as they were.
//!
//! Architecture invariant: only here and in `config` are wire types; nothing here touches a map, a socket of Layer 7 or a
//! TLS library.

mod conditions;
mod derive;
mod discovery;
mod draft;
mod error;
mod fields;
mod from_file;
mod handlers;
mod kinds;
mod list;
mod material;
mod networks;
mod record;
mod records;
mod resources;
mod routes;
pub mod server;
pub mod shared;
pub mod state;
pub mod stats;
#[cfg(test)]
mod tests;
mod trace;
mod view;
pub mod write;

pub use self::{error::Fault, view::Health};

/// Whose the objects are of which nobody says whose they are, and the file's.
const DEFAULT_PROJECT: &str = "default";
