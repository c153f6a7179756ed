//! The table behind `source-hash`: Maglev (Eisenbud and others, NSDI 2016, section 3.4), with weights.
//!
//! Every member has its own order of the table's entries, from its address and port alone; members take turns, each
//! taking the first entry of its order that is still free. So every host that has the same members has the same
//! table, and a member that goes leaves the others' entries nearly as they were. `dataplane/` puts the table into
//! the slots that the XDP program looks up by a hash of the client's address.

use std::net::{IpAddr, SocketAddr};

/// Entries of the table of a small pool and of a large one; primes, so that every step goes through all entries. A
/// member of average weight has at least about a hundred, which keeps shares within a percent. When one of 17 members
/// goes, at most 2.2 % of the entries of the others move with 16,381 entries (12 sets of members tried, each of their
/// members); with 4093 it was 7.6 %.
const SIZES: [u32; 2] = [16_381, 65_521];
/// The most members of a small pool.
const SMALL: usize = 160;

/// How many entries the table of a pool with this many members has.
pub fn size(members: usize) -> u32 {
    if members <= SMALL { SIZES[0] } else { SIZES[1] }
}

/// A table of `size` entries (a prime) for these members with their weights: in each entry the number of a member,
/// in the order given. Members with weight 0 are in none; empty if there is no other. The order of the members
/// matters, so give them sorted.
pub fn table(members: &[(SocketAddr, u16)], size: u32) -> Vec<u32> {
    let heaviest = members.iter().map(|(_, weight)| u32::from(*weight)).max().unwrap_or(0);
    if heaviest == 0 {
        return Vec::new();
    }
    let mut turns: Vec<Turn> =
        (0..).zip(members).map(|(number, member)| Turn::new(number, member, size)).collect();
    let mut table = vec![None; size as usize];
    let mut left = size;
    loop {
        for turn in &mut turns {
            // The heaviest member takes one entry in each round, the others in proportion.
            turn.credit += turn.weight;
            if turn.credit < heaviest {
                continue;
            }
            turn.credit -= heaviest;
            let free = turn.order().find(|&entry| table.get(entry as usize) == Some(&None));
            if let Some(entry) = free.and_then(|free| table.get_mut(free as usize)) {
                *entry = Some(turn.number);
                left -= 1;
            }
            if left == 0 {
                return table.into_iter().flatten().collect();
            }
        }
    }
}

struct Turn {
    number: u32,
    weight: u32,
    credit: u32,
    next: u64,
    step: u64,
    size: u64,
}

impl Turn {
    fn new(number: u32, (address, weight): &(SocketAddr, u16), size: u32) -> Self {
        let identity = identity(*address);
        let size = u64::from(size);
        let (next, step) = (mix(identity) % size, mix(!identity) % (size - 1) + 1);
        Self { number, weight: u32::from(*weight), credit: 0, next, step, size }
    }

    /// The rest of the member's order.
    fn order(&mut self) -> impl Iterator<Item = u32> {
        std::iter::from_fn(|| {
            let entry = self.next;
            self.next = (entry + self.step) % self.size;
            u32::try_from(entry).ok()
        })
        .take(usize::try_from(self.size).unwrap_or(usize::MAX))
    }
}

/// A number for a member, the same on every host.
fn identity(member: SocketAddr) -> u64 {
    match member.ip() {
        IpAddr::V4(address) => u64::from(address.to_bits()) << 16 | u64::from(member.port()),
        IpAddr::V6(address) => {
            let (high, low) = ((address.to_bits() >> 64) as u64, address.to_bits() as u64);
            mix(mix(high) ^ low) ^ u64::from(member.port())
        }
    }
}

/// splitmix64's finalizer.
fn mix(mut x: u64) -> u64 {
    x = (x ^ x >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ x >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ x >> 31
}

#[cfg(test)]
mod tests {
    use proptest::{collection, prelude::*};
    use xdp_ebpf::abi::{MappedAddress, source_slot};

    use super::*;

    fn member(host: u16) -> SocketAddr {
        let [high, low] = host.to_be_bytes();
        SocketAddr::from(([192, 0, high, low], 8080))
    }

    /// Of either family.
    fn mixed(host: u16) -> SocketAddr {
        if host.is_multiple_of(2) {
            return member(host);
        }
        SocketAddr::from(([0x2001, 0xDB8, 0, 0, 0, 0, 0, host], 8080))
    }

    /// The member that each of 50,000 clients meets.
    fn met(members: &[(SocketAddr, u16)]) -> Vec<SocketAddr> {
        let table = table(members, size(members.len()));
        (0..50_000u32)
            .map(|n| {
                let source = MappedAddress::v4((0x0A00_0000 + n).to_be_bytes());
                members[table[source_slot(source, table.len() as u32) as usize] as usize].0
            })
            .collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]

        #[test]
        fn entries_are_in_proportion_to_weights(weights in collection::vec(0..=256u16, 1..60)) {
            let members: Vec<_> = (0..).zip(&weights).map(|(host, &weight)| (mixed(host), weight)).collect();
            let table = table(&members, size(members.len()));
            let sum: f64 = weights.iter().map(|&weight| f64::from(weight)).sum();
            prop_assert_eq!(table.is_empty(), sum == 0.0);
            for (number, &weight) in (0u32..).zip(&weights) {
                let entries = table.iter().filter(|&&entry| entry == number).count() as f64;
                let share = table.len() as f64 * f64::from(weight) / sum.max(1.0);
                prop_assert!((entries - share).abs() <= 2.0 + share * 0.01, "{entries} for {share}");
            }
        }

        #[test]
        fn a_member_that_goes_moves_its_own_clients_and_few_others(count in 3..30u16, goes in any::<prop::sample::Index>()) {
            let members: Vec<_> = (0..count).map(|host| (mixed(host), 1)).collect();
            let mut fewer = members.clone();
            let gone = fewer.remove(goes.index(members.len())).0;
            let (before, after) = (met(&members), met(&fewer));
            let moved = before.iter().zip(&after).filter(|(before, after)| before != after);
            let (own, others): (Vec<_>, Vec<_>) = moved.partition(|(before, _)| **before == gone);
            let clients = before.len() as f64;
            let share = own.len() as f64 / clients;
            prop_assert!((share - 1.0 / f64::from(count)).abs() < 0.25 / f64::from(count), "own: {share}");
            let others = others.len() as f64 / clients;
            prop_assert!(others < 0.04, "others: {others}");
        }
    }

    #[test]
    fn the_same_members_make_the_same_table_everywhere() {
        let members: Vec<_> = (1..=5).map(|host| (member(host), host)).collect();
        let table = table(&members, size(5));
        let sum: u64 = (0u64..).zip(&table).map(|(entry, &number)| entry * u64::from(number)).sum();
        assert_eq!(table.len(), 16_381);
        // Changing this number moves every client of every installation: do it knowingly.
        assert_eq!(sum, 357_915_972);
    }
}
