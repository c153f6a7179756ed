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
    Common,
    Plane,
    AccessKey,
    StickyKey,
    Sticky,
    Config,
    Scratch,
    FragmentKey,
    Fragment,
    Service,
    ListenerIndex,
    Slot,
    MappedAddress,
    Listener,
    Pool,
    Backend,
    BackendStat,
    ListenerStat,
    Limit,
    Bandwidth,
    ResetRate,
    Interface,
    NextHop,
    Counters,
    crate::bench::Floor
);

macro_rules! pod_of_family {
    ($($family:ty),+) => {$(
        // SAFETY: integers and arrays of them, `repr(C)`; that there is no padding is asserted in `abi`.
        unsafe impl aya::Pod for Half<$family> {}
        // SAFETY: as above.
        unsafe impl aya::Pod for AddressEntry<$family> {}
        // SAFETY: as above.
        unsafe impl aya::Pod for AddressBucket<$family> {}
    )+};
}
pod_of_family!(V4, V6);
