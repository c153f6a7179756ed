//! Local ports: which are left towards a member, and taking one.
//!
//! A member's connections use the ports of one plane ([`crate::abi::plane_of`]). A client's tuple says at which local
//! address the search for a free one begins; if that has none left, the next ones are asked.

use crate::{
    abi::{BackendIndex, CLAIMED, Config, FREE, Half, plane_of},
    address::Address,
    family::{Family, V4, V6},
    shared::Shared,
    tables::Tables,
    verdict::Event,
};

/// How many local addresses are asked for a port before the member counts as out of ports.
const LOCAL_ADDRESSES_TRIED: u32 = 4;
/// How often a ring is asked for a port: it may be empty, or other CPUs may take from it at the same moment.
const PORT_ATTEMPTS: u32 = 8;

/// A local port that was taken, and the reverse half that belongs to it.
pub struct Local<'a, B: Family> {
    /// Its address.
    pub address: B::Address,
    /// The port.
    pub port: u16,
    /// The reverse half's index and the half, which is the caller's until it sets another state.
    pub reverse: (u32, Shared<'a, Half<B>>),
}

/// Whether there is a free port towards this member for a client with this [`crate::lookup::Buckets::spread`].
#[inline(always)]
pub fn has_any<T: Tables>(tables: &T, member: BackendIndex, spread: u32) -> Option<bool> {
    let (config, member) = (tables.config()?, tables.backend(member)?);
    match <[u8; 4]>::from_mapped(member.address) {
        Some(address) => has_any_of::<V4, T>(tables, config, address, member.port, spread),
        None => has_any_of::<V6, T>(tables, config, member.address.bytes, member.port, spread),
    }
}

#[inline(always)]
fn has_any_of<B: Family, T: Tables>(
    tables: &T,
    config: &Config,
    address: B::Address,
    port: u16,
    spread: u32,
) -> Option<bool> {
    let plane = plane_of(address, port, config.plane_mask_of::<B>());
    let addresses = config.local_addresses_of::<B>();
    let mut number = spread;
    for _ in 0..LOCAL_ADDRESSES_TRIED.min(addresses) {
        number = number.checked_rem(addresses)?;
        let ring = tables.plane(config.plane_index::<B>(number, plane))?;
        if ring.head().get() != ring.tail().get() {
            return Some(true);
        }
        number = number.wrapping_add(1);
    }
    Some(false)
}

/// Takes a free port towards this member of family `B`.
///
/// # Errors
/// [`Event::DropNoPort`] if there is none, [`Event::DropRace`] if other CPUs were faster each time,
/// [`Event::DropPortBusy`] if the ring named one that is in use.
#[inline(always)]
pub fn take<'a, B: Family, T: Tables>(
    tables: &'a T,
    config: &Config,
    address: B::Address,
    port: u16,
    spread: u32,
) -> Result<Local<'a, B>, Event> {
    let plane = plane_of(address, port, config.plane_mask_of::<B>());
    let addresses = config.local_addresses_of::<B>();
    let mut number = spread;
    let mut untried = addresses.min(LOCAL_ADDRESSES_TRIED);
    for _ in 0..PORT_ATTEMPTS {
        if untried == 0 {
            break;
        }
        number %= addresses;
        let plane_index = config.plane_index::<B>(number, plane);
        let ring = tables.plane(plane_index).ok_or(Event::DropInternal)?;
        // Read once: what is seen to be there is what is taken.
        let head = ring.head().get();
        if head == ring.tail().get() {
            untried -= 1;
            number = number.wrapping_add(1);
            continue;
        }
        let port = tables.port(plane_index, head & config.ring_mask, config).ok_or(Event::DropInternal)?;
        if !ring.head().swap_if(head, head.wrapping_add(1)) {
            continue;
        }
        let index = config.reverse_index::<B>(number, plane, port).ok_or(Event::DropInternal)?;
        let half = tables.reverse::<B>(index).ok_or(Event::DropInternal)?;
        if !half.swap_state_if(FREE, CLAIMED) {
            return Err(Event::DropPortBusy);
        }
        let address = B::Address::from_mapped(ring.address().get()).ok_or(Event::DropInternal)?;
        return Ok(Local { address, port, reverse: (index, half) });
    }
    Err(if untried == 0 { Event::DropNoPort } else { Event::DropRace })
}
