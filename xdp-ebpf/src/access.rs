//! Whom a listener lets in.
//!
//! Asked when a session opens, and again by its packets after every change of the configuration (which bumps the
//! generation, see [`crate::slow_path`]); so a list of any length costs established sessions nothing.

use crate::{
    abi::{ACCESS_DENY, ACCESS_OPEN, Listener},
    address::MappedAddress,
    tables::Tables,
};

/// Whether the listener lets this client in: the longest prefix that the client is on decides, and if there is none,
/// [`Listener::access`].
#[inline(always)]
pub fn allows<T: Tables>(tables: &T, listener: &Listener, client: MappedAddress) -> bool {
    if listener.access == ACCESS_OPEN {
        return true;
    }
    tables.access(listener.access_list, client).unwrap_or(listener.access) != ACCESS_DENY
}
