//! Whose packet is it, and which half rewrites it?

use crate::{
    abi::{
        ADDRESS_LOCAL, ADDRESS_VIP, BUCKET, Config, ENTRY_ACTIVE, FREE, Half, LIVE, Listener, ListenerIndex,
        Service, address_bucket, plane_of,
    },
    address::{Address, MIX},
    family::Family,
    parse::Segment,
    shared::Shared,
    tables::Tables,
    verdict::Event,
};

/// Whom a destination address belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// A load balancer.
    Vip,
    /// The balancer's own side towards the backends: the local address of its family with this number.
    Local(u32),
    /// Nobody here.
    Other,
}

/// Whom `address` belongs to.
#[inline(always)]
pub fn owner<F: Family, T: Tables>(tables: &T, address: F::Address) -> Owner {
    let Some(bucket) = tables.addresses::<F>(address_bucket(address)) else { return Owner::Other };
    for entry in &bucket.entries {
        if entry.address == address {
            match entry.kind {
                ADDRESS_VIP => return Owner::Vip,
                ADDRESS_LOCAL => return Owner::Local(entry.index),
                _ => {}
            }
        }
    }
    Owner::Other
}

/// The listener of a service, and its index.
///
/// `ek_service` knows, but asking it takes as long as a packet of a known session. So what it has answered is kept as a
/// hint, and the listener itself says whether the hint still holds.
#[inline(always)]
pub fn listener<'a, T: Tables>(tables: &'a T, service: &Service) -> Option<(ListenerIndex, &'a Listener)> {
    let hint = tables.service_hint(service.hint_index())?;
    let index = hint.value().get();
    if let Some(listener) = tables.listener(index)
        && listener.service == *service
        && listener.state == ENTRY_ACTIVE
    {
        return Some((index, listener));
    }
    let index = tables.service(service)?;
    hint.value().set(index);
    Some((index, tables.listener(index)?))
}

/// The two buckets of `ek_forward` in which a client's tuple can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Buckets {
    buckets: [u32; 2],
    begin: u32,
}

impl Buckets {
    /// Hashes the tuple with the seed of this table, which keeps strangers from filling a bucket on purpose.
    #[inline(always)]
    pub fn of<F: Family>(config: &Config, segment: &Segment<F>) -> Self {
        let ports = u64::from(u32::from(segment.sport) << 16 | u32::from(segment.dport));
        let mut hash = (segment.src.keyed(config.seed) ^ ports).wrapping_mul(MIX);
        hash ^= hash >> 32;
        hash = (hash ^ (u64::from(segment.protocol) << 32 ^ segment.dst.folded())).wrapping_mul(MIX);
        hash ^= hash >> 29;
        let mask = config.forward_mask_of::<F>();
        let buckets = [hash as u32 & mask, (hash >> 32) as u32 & mask];
        Buckets { buckets, begin: (hash >> 62) as u32 }
    }

    /// The hash that picks among the local addresses.
    #[inline(always)]
    pub const fn spread(self) -> u32 {
        let [first, second] = self.buckets;
        first ^ second
    }

    /// Both buckets.
    #[cfg(test)]
    pub(crate) const fn both(self) -> [u32; 2] {
        self.buckets
    }

    /// Every tuple begins at a place of its own in the bucket: most are then found at the first look, which is one
    /// cache line.
    #[inline(always)]
    fn index(self, position: u32) -> u32 {
        let [first, second] = self.buckets;
        let bucket = if position < BUCKET { first } else { second };
        bucket * BUCKET + (self.begin + position) % BUCKET
    }
}

/// A half and its index.
pub type Found<'a, F> = (u32, Shared<'a, Half<F>>);

/// Whether a half is of this segment's tuple, alive or not.
#[inline(always)]
fn is_of<F: Family>(half: Shared<'_, Half<F>>, segment: &Segment<F>) -> bool {
    half.src().get() == segment.src
        && half.sport().get() == segment.sport
        && half.dst().get() == segment.dst
        && half.dport().get() == segment.dport
        && half.protocol().get() == segment.protocol
}

/// The live forward half of a client's segment.
#[inline(always)]
pub fn forward<'a, F: Family, T: Tables>(
    tables: &'a T,
    buckets: Buckets,
    segment: &Segment<F>,
) -> Option<Shared<'a, Half<F>>> {
    forward_in(tables, buckets, segment, LIVE)
}

/// The forward half of a client's segment in this state.
#[inline(always)]
pub fn forward_in<'a, F: Family, T: Tables>(
    tables: &'a T,
    buckets: Buckets,
    segment: &Segment<F>,
    state: u8,
) -> Option<Shared<'a, Half<F>>> {
    for position in 0..2 * BUCKET {
        let half = tables.forward::<F>(buckets.index(position))?;
        if is_of(half, segment) && half.state().get() == state {
            return Some(half);
        }
    }
    None
}

/// Where a tuple's session can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The tuple has a session, with its forward half here.
    Taken(u32),
    /// Here is a free forward slot.
    Free(u32),
}

/// The place for a new session.
///
/// A free one in the first bucket, where it is found sooner, unless that has but one slot left and the second has
/// more: with a table half full, 0.03 % of new sessions then find both full, where filling the first one up leaves
/// 0.36 % (simulated; 2^18 slots).
#[inline(always)]
pub fn place<F: Family, T: Tables>(tables: &T, buckets: Buckets, segment: &Segment<F>) -> Option<Place> {
    let (mut first, mut second, mut free) = (0, 0, [u32::MAX; 2]);
    // From the end, so that what stays in `free` is what a search meets first.
    for position in (0..2 * BUCKET).rev() {
        let index = buckets.index(position);
        let half = tables.forward::<F>(index)?;
        match half.state().get() {
            FREE if position < BUCKET => {
                first += 1;
                free[0] = index;
            }
            FREE => {
                second += 1;
                free[1] = index;
            }
            LIVE if is_of(half, segment) => return Some(Place::Taken(index)),
            _ => {}
        }
    }
    let [of_first, of_second] = free;
    if first == 0 && second == 0 {
        return None;
    }
    Some(Place::Free(if first == 0 || (first == 1 && second > 1) { of_second } else { of_first }))
}

/// The live reverse half of a backend's segment to local address number `local`.
///
/// # Errors
/// [`Event::PassLocalOther`] for another port than the local ones, [`Event::PassNoSession`] if there is none.
#[inline(always)]
pub fn reverse<'a, F: Family, T: Tables>(
    tables: &'a T,
    config: &Config,
    local: u32,
    segment: &Segment<F>,
) -> Result<Shared<'a, Half<F>>, Event> {
    reverse_in(tables, config, local, segment, LIVE)
}

/// The reverse half of a backend's segment in this state.
///
/// # Errors
/// As [`reverse`].
#[inline(always)]
pub fn reverse_in<'a, F: Family, T: Tables>(
    tables: &'a T,
    config: &Config,
    local: u32,
    segment: &Segment<F>,
    state: u8,
) -> Result<Shared<'a, Half<F>>, Event> {
    let plane = plane_of(segment.src, segment.sport, config.plane_mask_of::<F>());
    let index = config.reverse_index::<F>(local, plane, segment.dport);
    let half = tables.reverse::<F>(index.ok_or(Event::PassLocalOther)?).ok_or(Event::PassNoSession)?;
    let matches = half.src().get() == segment.src
        && half.sport().get() == segment.sport
        && half.protocol().get() == segment.protocol
        && half.state().get() == state;
    if matches { Ok(half) } else { Err(Event::PassNoSession) }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::{
        abi::{ENTRY_REMOVED, PROTOCOL_TCP},
        address::MappedAddress,
        family::{V4, V6},
        host::HostTables,
        wire::Flags,
    };
    use std::{collections::BTreeSet, net::SocketAddr};

    /// A client's segment to port 80.
    pub(crate) fn segment<F: Family>(src: F::Address, sport: u16, dst: F::Address) -> Segment<F> {
        Segment {
            src,
            dst,
            sport,
            dport: 80,
            protocol: 6,
            seq: 0,
            ack: 0,
            flags: Flags::default(),
            ttl: 64,
            total_len: 60,
            header_len: 20,
        }
    }

    /// How many of 2^16 flows, from 256 clients in a row and 256 ports of each, have two buckets of their own.
    fn apart<F: Family>(client: impl Fn(u8) -> F::Address) -> usize {
        let config = Config {
            seed: 0x5eed_0123_4567_89ab,
            forward_mask: (1 << 24) - 1,
            forward6_mask: (1 << 24) - 1,
            ..Config::default()
        };
        let of = |n: u8, port: u8| {
            let segment = segment::<F>(client(n), 20_000 + u16::from(port), client(0));
            Buckets::of(&config, &segment).buckets
        };
        let all: BTreeSet<_> = (0..=255).flat_map(|n| (0..=255).map(move |port| of(n, port))).collect();
        all.len()
    }

    #[test]
    fn clients_and_ports_in_a_row_meet_in_no_bucket() {
        assert_eq!(apart::<V4>(|n| [198, 18, 0, n]), 1 << 16);
        for at in 0..16 {
            let client = |n| {
                let mut address = [0x20; 16];
                address[at] = n;
                address
            };
            assert_eq!(apart::<V6>(client), 1 << 16, "byte {at}");
        }
    }

    #[test]
    fn a_session_lies_where_a_search_meets_it_first() {
        const TABLE: u32 = 1 << 12;
        let tables = HostTables::new(&[], 0, 0, TABLE);
        let sessions = TABLE * BUCKET / 2;
        let (mut looks, mut at_first_look, mut without) = (0, 0, 0);
        for n in 0..sessions {
            let segment = segment::<V4>([198, 18, 0, (n >> 14) as u8], n as u16, [203, 0, 113, 10]);
            let buckets = Buckets::of(&tables.config, &segment);
            let free = |position| {
                let half = tables.forward::<V4>(buckets.index(position)).unwrap();
                half.state().get() == FREE
            };
            let Some(Place::Free(index)) = place(&tables, buckets, &segment) else {
                without += 1;
                continue;
            };
            let place = (0..2 * BUCKET).find(|position| buckets.index(*position) == index).unwrap();
            let bucket = place / BUCKET * BUCKET;
            assert_eq!((bucket..bucket + BUCKET).find(|position| free(*position)), Some(place), "{n}");
            let half = tables.forward::<V4>(index).unwrap();
            half.src().set(segment.src);
            half.sport().set(segment.sport);
            half.dst().set(segment.dst);
            half.dport().set(segment.dport);
            half.protocol().set(segment.protocol);
            half.publish_state(LIVE);
            assert_eq!(super::place(&tables, buckets, &segment), Some(Place::Taken(index)));
            looks += place + 1;
            at_first_look += u32::from(place == 0);
        }
        std::println!(
            "{sessions} sessions: {at_first_look} at the first look, {without} without room, {looks} looks"
        );
        assert!(at_first_look * 10 > sessions * 7 && looks * 10 < sessions * 17 && without * 500 < sessions);
    }

    #[test]
    fn a_hint_does_not_outlive_its_listener() {
        let [first, second] = [80, 81].map(|port| SocketAddr::from(([203, 0, 113, 10], port)));
        let service = |at: SocketAddr| Service::new(MappedAddress::from(at.ip()), at.port(), PROTOCOL_TCP);
        let found = |tables: &HostTables, at| listener(tables, &service(at)).map(|(found, _)| found.index);
        let mut tables = HostTables::new(&[], 0, 0, 1);
        tables.listen(PROTOCOL_TCP, first, &[]);
        tables.listen(PROTOCOL_TCP, second, &[]);
        for _ in 0..2 {
            assert_eq!([first, second].map(|at| found(&tables, at)), [Some(0), Some(1)]);
        }
        // What a hint says is not asked for again.
        let services = core::mem::take(&mut tables.services);
        assert_eq!(found(&tables, second), Some(1));
        tables.listeners[1].state = ENTRY_REMOVED;
        assert_eq!(found(&tables, second), None);
        // Its index is another service's, and it comes back with a new one.
        tables.services = services;
        tables.listeners[1].state = ENTRY_ACTIVE;
        tables.listeners[1].service.port = 82;
        tables.listen(PROTOCOL_TCP, second, &[]);
        assert_eq!(found(&tables, second), Some(2));
    }
}
