//! Lets aya copy the records to and from maps.
#![allow(
    unsafe_code,
    reason = "aya::Pod is an unsafe trait; the macro demands zerocopy's proof for each impl"
)]
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::*;

macro_rules! pod {
    ($($record:ty),+ $(,)?) => {$(
        const _: () = { const fn plain<T: FromBytes + IntoBytes + Immutable + Copy + 'static>() {} plain::<$record>() };
        // SAFETY: zerocopy proves that every bit pattern is valid and that no byte is padding.
        unsafe impl aya::Pod for $record {}
    )+};
}
pod!(
    Half,
    Plane,
    AccessKey,
    StickyKey,
    Sticky,
    Config,
    AddressEntry,
    AddressBucket,
    Service,
    Listener,
    Pool,
    Backend,
    BackendStat,
    ListenerStat,
    Limit,
    Bandwidth,
    Interface,
    Counters
);
