//! What the operator wants: values that cannot be wrong, the objects made of them, the rules between objects, and what
//! a host serves because of them.
//!
//! ```text
//! value      one value each: a name, a port, a weight, an address, a domain      (invalid: why a value cannot be)
//!   → health, http, edge, sticky, tls, policy, access, algorithm   settings that objects and what is served share
//!   → object   objects as operators know them, by id                             (id: what an id is)
//!   → check    the rules between objects                                         (capacity: how many there may be)
//!   → flatten  objects become what this host serves
//!   → served   listeners by VIP and port, pools by id
//!   → plan     what was served and what shall be become a list of changes
//! ```
//!
//! `check` and `flatten` look only at what `difference` finds to differ from before. `schedule` says which members take
//! part; it and `maglev` turn weights into the order in which members are picked. `host` and `control` are what belongs to
//! this machine and not to its load balancers; `path` is the form in which paths are compared.
//!
//! Architecture invariant: nothing here knows a file format, a wire format, aya, Pingora, OpenSSL or the size of a map.
//! An IPv4 address is an [`std::net::IpAddr::V4`], never an IPv6 address that carries one.

pub mod access;
pub mod algorithm;
#[cfg(test)]
mod any;
pub mod capacity;
pub mod check;
pub mod control;
mod difference;
pub mod edge;
pub mod flatten;
pub mod health;
pub mod host;
pub mod http;
pub mod id;
pub mod invalid;
pub mod maglev;
pub mod object;
pub mod path;
pub mod plan;
pub mod policy;
pub mod schedule;
pub mod served;
pub mod sticky;
pub mod tls;
pub mod transport;
pub mod value;
