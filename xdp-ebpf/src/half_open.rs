//! Half-open sessions: those of TCP whose handshake is not complete. Whoever only asks takes no place of a listener's
//! `max_connections`; instead they are counted apart, by listener and network of the client (a /24 or a /64), and of each
//! there may be so many. A SYN over that is dropped; sessions that are established pay nothing.
//!
//! Two networks may share a place of `ek_half_open`, by a hash with the tables' seed, so that nobody chooses with whom.

use crate::{
    abi::{Config, ListenerIndex},
    address::{Address, MIX, mixed},
    shared::Shared,
    verdict::Event,
};

/// What takes one away: it wraps.
const LESS: u32 = u32::MAX;

/// Where the half-open sessions of this listener with clients of this one's network are counted.
#[inline(always)]
pub fn place<A: Address>(config: &Config, listener: ListenerIndex, client: A) -> u16 {
    let listener = u64::from(listener.index).wrapping_mul(MIX);
    (mixed(client.network() ^ listener ^ config.seed) >> (u64::BITS - u16::BITS)) as u16
}

/// Counts one more there.
///
/// # Errors
/// [`Event::DropHalfOpenLimit`]: it is not counted.
#[inline(always)]
pub fn enter(config: &Config, place: Shared<'_, u32>) -> Result<(), Event> {
    let (count, most) = (place.value(), config.max_half_open);
    // Keeps a flood from counting up and down what the exact comparison sees.
    if most != 0 && count.get() >= most {
        return Err(Event::DropHalfOpenLimit);
    }
    if count.add(1) >= most && most != 0 {
        count.add(LESS);
        return Err(Event::DropHalfOpenLimit);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, vec::Vec};

    use super::*;
    use crate::abi::HALF_OPEN_PLACES;

    /// No place has more than chance alone would give it.
    fn assert_even(places: Vec<u16>) {
        let mut counts = BTreeMap::<u16, u32>::new();
        places.iter().for_each(|place| *counts.entry(*place).or_default() += 1);
        let share = places.len() as u32 / HALF_OPEN_PLACES;
        assert!(counts.values().all(|count| *count <= share + 10), "{:?}", counts.values().max());
    }

    #[test]
    fn networks_and_listeners_are_counted_apart_and_hosts_of_one_together() {
        let config = Config { seed: 0x5eed_0123_4567_89ab, ..Config::default() };
        let four = |listener, client: [u8; 4]| place(&config, ListenerIndex::new(listener), client);
        let six = |network: u32, host| {
            let mut client = [0x20; 16];
            client[4..8].copy_from_slice(&network.to_be_bytes());
            client[15] = host;
            place(&config, ListenerIndex::new(0), client)
        };
        assert!((0..=255).all(|host| four(3, [198, 18, 7, host]) == four(3, [198, 18, 7, 0])));
        assert!((0..=255).all(|host| six(7, host) == six(7, 0)));
        let networks = 0..HALF_OPEN_PLACES;
        assert_even(networks.clone().map(|n| four(0, [10, (n >> 8) as u8, n as u8, 1])).collect());
        assert_even(networks.clone().map(|n| four(n & 0x3fff, [10, 0, (n >> 14) as u8, 1])).collect());
        assert_even(networks.map(|n| six(n, 1)).collect());
    }
}
