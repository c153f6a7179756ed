//! Next hops of new sessions: asked of the kernel's routing, and kept for a second.
//!
//! The next session with the same backend, or of the same client, would get the same answer. So each CPU keeps what it
//! was told, in one entry per hash of source and destination. It counts until the generation moves (the daemon moves it
//! when a route or a neighbour changes), and for a second at most, because there may be no daemon. Only a next hop whose
//! MAC is known is kept.

use zerocopy::transmute;

use crate::{
    abi::{BackendIndex, NEXT_HOPS},
    address::{Address, MIX, MappedAddress},
    admit::Picked,
    family::Family,
    packet::Packet,
    tables::{ANY_SOURCE, Hop, Route, Tables},
    verdict::Event,
    wire::{ETHERNET_LEN, Ethernet, IpHeader},
};

/// The next hops of a new session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hops {
    /// Of what the client sends.
    pub to_backend: Hop,
    /// Of what the backend answers.
    pub to_client: Hop,
    /// [`crate::abi::Config::generation`] before they were looked up: if it has moved since, so may they have.
    pub generation: u32,
}

/// This stage's functions that the kernel verifies once and apart.
pub trait OutOfLine: Packet + Sized {
    /// [`to_client`].
    ///
    /// # Errors
    /// As there.
    fn hop_to_client<F: Family, T: Tables>(&self, tables: &T) -> Result<Hop, Event> {
        to_client::<F, Self, T>(self, tables)
    }

    /// [`to_backend`].
    ///
    /// # Errors
    /// As there.
    fn hop_to_backend<T: Tables>(&self, tables: &T, backend: BackendIndex) -> Result<Hop, Event> {
        to_backend(tables, backend)
    }
}

/// Both next hops of a new session for this client's packet and with this member.
///
/// # Errors
/// The event under which the packet is dropped.
#[inline(always)]
pub fn both<F: Family, P: OutOfLine, T: Tables>(
    packet: &P,
    tables: &T,
    picked: Picked,
) -> Result<Hops, Event> {
    let generation = tables.generation();
    let to_client = packet.hop_to_client::<F, T>(tables)?;
    let to_backend = packet.hop_to_backend(tables, picked.backend())?;
    Ok(Hops { to_backend, to_client, generation })
}

/// The next hop towards a member.
///
/// # Errors
/// The event under which the packet is dropped.
#[inline(always)]
pub fn to_backend<T: Tables>(tables: &T, backend: BackendIndex) -> Result<Hop, Event> {
    let backend = tables.backend(backend).ok_or(Event::DropInternal)?;
    match look_up(tables, ANY_SOURCE, backend.address)? {
        Route::Via(hop) => Ok(hop),
        Route::NoNeighbour(_) => Err(Event::DropNoNeighbour),
        Route::Elsewhere => Err(Event::DropInterface),
        Route::None => Err(Event::DropNoRoute),
    }
}

/// The next hop towards the client. One that is on the link that the packet came from, but not known by MAC, gets the
/// MAC it came from.
///
/// # Errors
/// The event under which the packet is dropped.
#[inline(always)]
pub fn to_client<F: Family, P: Packet, T: Tables>(packet: &P, tables: &T) -> Result<Hop, Event> {
    let ip = packet.at::<F::Ip>(ETHERNET_LEN).ok_or(Event::DropInternal)?;
    let slot = match look_up(tables, ip.dst().mapped(), ip.src().mapped())? {
        Route::Via(hop) => return Ok(hop),
        Route::NoNeighbour(slot) => slot,
        Route::Elsewhere => return Err(Event::DropInterface),
        Route::None => return Err(Event::DropNoRoute),
    };
    let interface = tables.interface(slot.into()).ok_or(Event::DropInternal)?;
    if interface.device != packet.ingress() {
        return Err(Event::DropNoNeighbour);
    }
    let ethernet = packet.at::<Ethernet>(0).ok_or(Event::DropInternal)?;
    Ok(Hop::new(slot, ethernet.src.into()))
}

/// The way of a packet from `src` to `dst`, as [`Tables::route`] says or has said.
#[inline(always)]
fn look_up<T: Tables>(tables: &T, src: MappedAddress, dst: MappedAddress) -> Result<Route, Event> {
    let ends: [[u64; 2]; 2] = [transmute!(src), transmute!(dst)];
    let kept = tables.next_hop(index_of(ends)).ok_or(Event::DropInternal)?;
    let config = tables.config().ok_or(Event::DropInternal)?;
    // Read before asking: an answer must not seem newer than it is.
    let (generation, now) = (tables.generation(), tables.now());
    let counts = [kept.src().get(), kept.dst().get()] == ends
        && kept.generation().get() == generation
        && now.wrapping_sub(kept.looked_up().get()) < config.jiffies_hz;
    if counts && kept.hop().get() != 0 {
        return Ok(Route::Via(Hop::from_number(kept.hop().get())));
    }
    let route = tables.route(src, dst);
    if let Route::Via(hop) = route {
        let [src, dst] = ends;
        kept.src().set(src);
        kept.dst().set(dst);
        kept.hop().set(hop.number());
        kept.generation().set(generation);
        kept.looked_up().set(now);
    }
    Ok(route)
}

/// Where the answer for these ends is kept.
#[inline(always)]
pub(crate) fn index_of([src, dst]: [[u64; 2]; 2]) -> u32 {
    let [src, dst] = [src, dst].map(|[high, low]| high.wrapping_mul(MIX) ^ low);
    let mixed = (src.rotate_left(32) ^ dst).wrapping_mul(MIX);
    (mixed >> (u64::BITS - NEXT_HOPS.trailing_zeros())) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{host::HostTables, wire::Mac};
    use std::net::{IpAddr, Ipv4Addr};

    const BACKEND: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 11));
    const HOP: Hop = Hop::new(1, Mac::from_words([1, 2, 3]));
    const OTHER: Hop = Hop::new(2, Mac::from_words([4, 5, 6]));

    fn tables(route: Route) -> HostTables {
        let mut tables = HostTables::new(&[], 0, 0, 1);
        tables.routes.insert(MappedAddress::from(BACKEND), route);
        tables
    }

    fn hop(tables: &HostTables, dst: IpAddr) -> Route {
        look_up(tables, ANY_SOURCE, MappedAddress::from(dst)).unwrap()
    }

    #[test]
    fn an_answer_is_kept_for_a_second() {
        let mut tables = tables(Route::Via(HOP));
        assert_eq!(hop(&tables, BACKEND), Route::Via(HOP));
        tables.routes.insert(MappedAddress::from(BACKEND), Route::Via(OTHER));
        tables.now.set(tables.now.get() + tables.config.jiffies_hz - 1);
        assert_eq!((hop(&tables, BACKEND), tables.route_lookups.get()), (Route::Via(HOP), 1));
        tables.now.set(tables.now.get() + 1);
        assert_eq!((hop(&tables, BACKEND), tables.route_lookups.get()), (Route::Via(OTHER), 2));
    }

    #[test]
    fn a_new_generation_asks_again() {
        let mut tables = tables(Route::Via(HOP));
        assert_eq!(hop(&tables, BACKEND), Route::Via(HOP));
        tables.routes.insert(MappedAddress::from(BACKEND), Route::Via(OTHER));
        tables.config.generation += 1;
        assert_eq!(hop(&tables, BACKEND), Route::Via(OTHER));
    }

    #[test]
    fn only_a_known_neighbour_is_kept() {
        for unknown in [Route::NoNeighbour(1), Route::Elsewhere, Route::None] {
            let mut tables = tables(unknown);
            assert_eq!(hop(&tables, BACKEND), unknown);
            tables.routes.insert(MappedAddress::from(BACKEND), Route::Via(HOP));
            assert_eq!(hop(&tables, BACKEND), Route::Via(HOP));
        }
    }

    /// More ends than entries: every answer is of those that were asked for.
    #[test]
    fn ends_that_share_an_entry_are_told_apart() {
        let mut tables = HostTables::new(&[], 0, 0, 1);
        let ends = |n: u32| MappedAddress::from(IpAddr::V4(Ipv4Addr::from_bits(0xc612_0000 + n)));
        let route = |n: u32| Route::Via(Hop::new(1, Mac::from_words([n as u16, (n >> 16) as u16, 1])));
        for n in 0..2 * NEXT_HOPS {
            tables.routes.insert(ends(n), route(n));
        }
        for n in (0..2 * NEXT_HOPS).chain(0..2 * NEXT_HOPS) {
            assert_eq!(look_up(&tables, ANY_SOURCE, ends(n)), Ok(route(n)));
        }
        // The source counts too: each asks for itself.
        let asked = tables.route_lookups.get();
        for n in 0..2 * NEXT_HOPS {
            assert_eq!(look_up(&tables, ends(n), ends(0)), Ok(route(0)));
        }
        assert_eq!(tables.route_lookups.get(), asked + 2 * NEXT_HOPS);
    }
}
