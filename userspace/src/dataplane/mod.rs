//! The data path seen from userspace. Of this crate only this speaks to BPF; what it shares with `evenkeel-toa` is in
//! `evenkeel-loader`.
//!
//! ```text
//! geometry   the configuration's [host] becomes table sizes   (capacity: how much objects may take of the others)
//!   → pins     where the maps and links live, and who may look after them
//!   → load     the program, its maps, its links: new, or taken over from a process that ended   (features: what the
//!                                         kernel has for it; unfinished: what goes again if the start fails)
//!   → tables   all maps, opened        (memory: as plain memory; halves, sessions, addresses, mapped: what they mean)
//!   → registry who has which index     (indexes, slots: how they are given out)
//!                (limits: who shares a limit)
//!   → apply    a plan's changes, one by one, into the maps   (capacity: whether they find any)
//!   → sweep    idle sessions end       (taken: where; expiry, drain, revocation: when; reset: who is told; clock: what
//!                                         time it is; census: what it saw; reclaim: what a process that died had in hand)
//!   → strays   ends that believe in a session that is not there
//!   → steer    connections for Layer 7 find its sockets   (seats: how many it has; egress: what it sends, filter: where)
//!   → network  routes, neighbours and interfaces that the data path leans on   (devices: what it is on by now; held: what
//!                                         keeps it there without its pins)
//! ```
//!
//! `farewell` ends all sessions before an unload. `health` takes members that are down out of their pools' slots;
//! `own_members` are those that cannot be reached. `daemon` puts all together for `commands/run`;
//! `report` and `traffic` read the maps for the commands that look in.

pub mod access;
pub mod addresses;
pub mod admission;
pub mod apply;
pub mod attach;
pub mod capacity;
pub mod census;
pub mod clock;
pub mod daemon;
pub mod devices;
pub mod drain;
pub mod egress;
pub mod error;
pub mod expiry;
pub mod farewell;
pub mod features;
pub mod filter;
pub mod geometry;
pub mod halves;
pub mod health;
pub mod held;
pub mod indexes;
pub mod limits;
pub mod load;
pub mod memory;
pub mod network;
pub mod not_sent;
mod own_members;
pub mod pins;
pub mod prepare;
pub mod reclaim;
pub mod registry;
pub mod report;
pub mod reset;
pub mod revocation;

pub mod mapped;
pub mod sessions;
pub mod settings;
pub mod slots;
pub mod steer;
pub mod sweep;
pub mod tables;
pub mod taken;
pub mod totals;
pub mod traffic;
pub mod unfinished;
