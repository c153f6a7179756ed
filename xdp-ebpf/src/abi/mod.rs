//! What the BPF maps hold: the contract between the XDP program and userspace, and what `bpftool map dump` shows.
//!
//! Rules for every record here: `repr(C)`, no padding (zerocopy's `IntoBytes` refuses it), no `bool`, `Option` or
//! enum (decode after lookup), addresses in network order, ports and everything else in host order. Addresses that
//! every packet needs are of their family's width, in one table per family; all others are [`MappedAddress`]es.
//! A change of any layout or meaning bumps [`ABI_VERSION`], which is part of the pin path.
//!
//! Concurrent records ([`Half`], [`Plane`], …) are reached through [`crate::shared::Shared`].
//!
//! `session` holds what every packet of a session needs, `address` whose an address is, `service` what a new session
//! is opened by: listeners, pools, backends; `limit` how much may come, and what is counted for a listener; `config`
//! what there is one of, `interface` the ways out; `index` are the types of indexes. [`map`] names the maps, `capacity` says how much they hold.

mod address;
mod capacity;
mod config;
mod frame;
mod index;
mod interface;
mod limit;
pub mod map;
mod name;
mod next_hop;
#[cfg(feature = "user")]
mod pod;
mod service;
mod session;

pub use self::{
    address::*, capacity::*, config::*, frame::*, index::*, interface::*, limit::*, name::*, next_hop::*,
    service::*, session::*,
};
use crate::family::{V4, V6};
pub use crate::{address::MappedAddress, verdict::Counters};

/// The version of every layout in this file; maps are pinned under `…/v<ABI_VERSION>/`.
pub const ABI_VERSION: u32 = 8;

/// The program's constant that says whether frames may come in several pieces: 0 or 1, a byte.
pub const FRAGS: &str = "EK_FRAGS";

const _: () = {
    // Their fields, added up: no padding.
    assert!(size_of::<Common>() == 48);
    assert!(size_of::<Half<V4>>() == 48 + 4 * 4);
    assert!(size_of::<Half<V6>>() == 48 + 4 * 16 + 16);
    assert!(size_of::<AddressEntry<V4>>() == 4 + 4 + 4 + 4);
    assert!(size_of::<AddressEntry<V6>>() == 16 + 4 + 4 + 8);
    assert!(size_of::<AddressBucket<V4>>() == 64);
    assert!(size_of::<AddressBucket<V6>>() == 128);
    assert!(size_of::<Config>() == 2 * 64);
    assert!(size_of::<Plane>() == 128);
    assert!(
        ADDRESS_BUCKETS.is_power_of_two() && NEXT_HOPS.is_power_of_two() && SERVICE_HINTS.is_power_of_two()
    );
    assert!(MAX_PLANES.is_power_of_two() && BUCKET.is_power_of_two());
};
