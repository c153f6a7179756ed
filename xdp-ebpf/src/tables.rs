//! The questions that the stages ask of the maps.

use core::marker::PhantomData;

use crate::{
    abi::{
        AddressBucket, Backend, BackendIndex, Bandwidth, Config, Fragment, FragmentKey, Half, Interface,
        Limit, Listener, ListenerIndex, NextHop, Plane, PlaneIndex, Pool, PoolIndex, ResetRate, Scratch,
        Service, Slot, SlotIndex, Sticky, StickyKey,
    },
    address::MappedAddress,
    family::{Each, Family},
    shared::Shared,
    verdict::Event,
    wire::Mac,
};

/// A source for [`Tables::route`] that says nothing.
pub const ANY_SOURCE: MappedAddress = MappedAddress::UNSPECIFIED;

/// The BPF maps, or a model of them. An index that is out of range answers `None`.
pub trait Tables {
    /// `ek_config`.
    fn config(&self) -> Option<&Config>;
    /// [`Config::generation`] as it is at this moment.
    fn generation(&self) -> u32;
    /// `ek_address` or `ek_address6`, by [`crate::abi::address_bucket`].
    fn addresses<F: Family>(&self, bucket: u32) -> Option<&AddressBucket<F>>;
    /// `ek_forward` or `ek_forward6`, by index (bucket × [`crate::abi::BUCKET`] + position).
    fn forward<F: Family>(&self, index: u32) -> Option<Shared<'_, Half<F>>>;
    /// `ek_reverse` or `ek_reverse6`, by [`Config::reverse_index`].
    fn reverse<F: Family>(&self, index: u32) -> Option<Shared<'_, Half<F>>>;
    /// `ek_service`: the listener on this VIP and port.
    fn service(&self, key: &Service) -> Option<ListenerIndex>;
    /// `ek_service_hint`, by [`Service::hint_index`].
    fn service_hint(&self, index: u32) -> Option<Shared<'_, ListenerIndex>>;
    /// `ek_listener`.
    fn listener(&self, index: ListenerIndex) -> Option<&Listener>;
    /// `ek_limit`.
    fn limit(&self, index: ListenerIndex) -> Option<Shared<'_, Limit>>;
    /// `ek_bandwidth`.
    fn bandwidth(&self, index: u32) -> Option<Shared<'_, Bandwidth>>;
    /// `ek_reset_rate`.
    fn reset_rate(&self) -> Option<Shared<'_, ResetRate>>;
    /// `ek_half_open`, by [`crate::abi::Common::prefix`].
    fn half_open(&self, place: u16) -> Option<Shared<'_, u32>>;
    /// `ek_pool`.
    fn pool(&self, index: PoolIndex) -> Option<Shared<'_, Pool>>;
    /// `ek_cursor`: one counter per pool.
    fn cursor(&self, pool: PoolIndex) -> Option<Shared<'_, u64>>;
    /// `ek_slot`.
    fn slot(&self, index: SlotIndex) -> Option<Slot>;
    /// `ek_load`: how many connections a backend has.
    fn load(&self, backend: BackendIndex) -> Option<Shared<'_, u32>>;
    /// `ek_access`: the value of the longest prefix of this list that the address is on.
    fn access(&self, list: u32, address: MappedAddress) -> Option<u32>;
    /// `ek_sticky`.
    fn sticky(&self, key: &StickyKey) -> Option<Sticky>;
    /// Writes an entry of `ek_sticky`; the oldest goes if it is full.
    fn stick(&self, key: &StickyKey, sticky: &Sticky);
    /// `ek_fragment`.
    fn fragment(&self, key: &FragmentKey) -> Option<Fragment>;
    /// Writes an entry of `ek_fragment`; the oldest goes if it is full.
    fn remember_fragment(&self, key: &FragmentKey, fragment: &Fragment);
    /// `ek_scratch`: this CPU's.
    fn scratch(&self) -> Option<Shared<'_, Scratch>>;
    /// `ek_backend`.
    fn backend(&self, index: BackendIndex) -> Option<&Backend>;
    /// `ek_plane`, by [`Config::plane_index`].
    fn plane(&self, index: PlaneIndex) -> Option<Shared<'_, Plane>>;
    /// `ek_port`: entry `position` (already masked) of a plane's ring.
    fn port(&self, plane: PlaneIndex, position: u32, config: &Config) -> Option<u16>;
    /// `ek_next_hop`: this CPU's.
    fn next_hop(&self, index: u32) -> Option<Shared<'_, NextHop>>;
    /// `ek_interface`.
    fn interface(&self, slot: u32) -> Option<&Interface>;

    /// The next hop of a packet from `src` to `dst`, as the host's own routing has it. The
    /// destination says which family it is, and [`ANY_SOURCE`] is of both.
    fn route(&self, src: MappedAddress, dst: MappedAddress) -> Route;
    /// Whether this host has a socket of TCP that a segment between these addresses and ports is for.
    fn has_socket<F: Family>(&self, src: F::Address, dst: F::Address, sport: u16, dport: u16) -> bool;
    /// `jiffies_64`.
    fn jiffies(&self) -> u64;
    /// Its low 32 bits.
    fn now(&self) -> u32 {
        self.jiffies() as u32
    }

    /// Counts an event.
    fn count(&self, event: Event);
    /// Counts a session opened by a listener towards a backend, if there is one.
    fn count_session(&self, listener: ListenerIndex, backend: Option<BackendIndex>);
    /// Counts what a listener did not let on, by the reason.
    fn count_refused(&self, listener: ListenerIndex, reason: Event);
    /// Counts a packet of `bytes` (from the IP header on) of a session of this listener and backend.
    fn count_packet(&self, listener: ListenerIndex, backend: BackendIndex, direction: Direction, bytes: u32);
    /// Counts packets of a listener that has no backends; `bytes` are those of all.
    fn count_traffic(&self, listener: ListenerIndex, direction: Direction, packets: u32, bytes: u32);
    /// Writes to the session log (aya-log). Off unless asked for.
    fn log(&self, entry: LogEntry);
}

/// A bucket of `ek_address` or of `ek_address6`.
pub struct AddressBuckets<'a>(PhantomData<&'a ()>);

impl<'a> Each for AddressBuckets<'a> {
    type Of<F: Family> = Option<&'a AddressBucket<F>>;
}

/// A half in the one family's table or in the other's.
pub struct Halves<'a>(PhantomData<&'a ()>);

impl<'a> Each for Halves<'a> {
    type Of<F: Family> = Option<Shared<'a, Half<F>>>;
}

/// Which way a packet goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Client → backend.
    In,
    /// Backend → client.
    Out,
}

/// A next hop in one register, as a [`Mac`] is: a slot of `ek_interface`, and the MAC below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hop(u64);

impl Hop {
    /// Out of the interface in this slot to this MAC.
    #[inline(always)]
    pub const fn new(slot: u8, mac: Mac) -> Self {
        Hop((slot as u64) << 48 | mac.number())
    }

    /// The slot.
    #[inline(always)]
    pub const fn slot(self) -> u8 {
        (self.0 >> 48) as u8
    }

    /// The MAC.
    #[inline(always)]
    pub const fn mac(self) -> Mac {
        Mac::from_number(self.0)
    }

    /// As a number below 2^56, and back.
    #[inline(always)]
    pub const fn number(self) -> u64 {
        self.0
    }

    /// See [`Hop::number`].
    #[inline(always)]
    pub const fn from_number(number: u64) -> Self {
        Hop(number & 0xff_ffff_ffff_ffff)
    }
}

/// The answer of a route lookup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// This way.
    Via(Hop),
    /// Out of the interface in this slot, but nobody knows the next hop's MAC.
    NoNeighbour(u8),
    /// Out of an interface that XDP is not attached to.
    Elsewhere,
    /// Nowhere.
    None,
}

/// One end of a connection: its address and port.
pub type End = (MappedAddress, u16);

/// An entry of the session log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogEntry {
    /// A session was opened: between these.
    Opened {
        /// Client's address and port.
        client: End,
        /// VIP and port.
        vip: End,
    },
    /// And on the other side between these.
    Joined {
        /// Local address and port.
        local: End,
        /// Backend's address and port.
        backend: End,
    },
    /// A session was not opened.
    Refused {
        /// Client's address and port.
        client: End,
        /// VIP and port.
        vip: End,
        /// Why.
        event: Event,
    },
}
