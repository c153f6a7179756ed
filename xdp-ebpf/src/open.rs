//! A new session: a member, a local address and port, next hops, and both halves.
//!
//! Nothing in the packet has been changed yet, so every refusal leaves it whole. The forward half is claimed first,
//! because giving it back costs nothing; a local port is taken last.

use crate::{
    abi::{
        Backend, CLAIMED, Config, DYING, FLAG_TOA, FREE, Half, LIVE, Listener, MAX_INTERFACES, PROTOCOL_TCP,
        Service, WHEN_DOWN_RESET, plane_of,
    },
    access,
    checksum::Sum,
    limit,
    lookup::{self, Buckets, Found},
    packet::Packet,
    parse::{self, Segment},
    refuse, schedule,
    shared::Shared,
    tables::{Mac, News, Route, Tables},
    tcp_state::State,
    verdict::Event,
    wire::Ethernet,
};

/// How many local addresses are asked for a port before the connection is refused.
const LOCAL_ADDRESSES_TRIED: u32 = 4;
/// How often a port is asked of one ring while other CPUs take from it at the same moment.
const PORT_ATTEMPTS: u32 = 4;

/// Opens a session for a client's SYN or first datagram. Its state is still [`State::None`]: the caller lets the
/// packet itself move it on.
///
/// It begins with the packet again, because it stands alone: see [`Packet::open_session`].
///
/// # Errors
/// The event with which the packet ends: it is dropped, or has become the answer to itself.
#[inline(always)]
pub fn open<P: Packet, T: Tables>(packet: &mut P, tables: &T) -> Result<(), Event> {
    let segment = parse::segment(packet, Event::PassVipOther)?;
    let config = tables.config().ok_or(Event::DropInternal)?;
    let buckets = Buckets::of(config, &segment);
    let segment = &segment;
    let service = Service { vip: segment.dst, port: segment.dport, protocol: segment.protocol, reserved: 0 };
    let index = tables.service(&service).ok_or(Event::DropNoListener)?;
    if !segment.opens() {
        return Err(Event::DropNoSession);
    }
    let opened = Opening { packet, tables, config, buckets, segment }.run(index);
    if let Err(event) = opened {
        let (client, vip) = ((segment.src, segment.sport), (segment.dst, segment.dport));
        tables.tell(News::Refused { client, vip, event });
        tables.count_refused(index, event);
        if event == Event::ResetNoMember {
            refuse::reset(packet, segment).ok_or(Event::DropInternal)?;
        }
    }
    opened
}

/// Whether a SYN for this half's tuple begins a new session.
#[inline(always)]
pub fn is_over(half: Shared<'_, Half>) -> bool {
    State::from_u8(half.tcp().get()).is_none_or(State::is_over)
}

/// Claims the forward slot of a session that is over for a new one with its tuple: left to the sweeper, the slots of
/// a client that comes again and again from the same ports would fill their two buckets. The reverse half goes, so
/// that late segments of the old connection cannot meet the new one; the sweeper gives its port back.
#[inline(always)]
fn recycle<'a, T: Tables>(tables: &'a T, half: Shared<'a, Half>) -> Option<Found<'a>> {
    let reverse = tables.reverse(half.peer().get())?;
    let index = reverse.peer().get();
    if !half.state().swap_if(LIVE, CLAIMED) {
        return None;
    }
    reverse.state().swap_if(LIVE, DYING);
    tables.count(Event::SessionReopened);
    Some((index, half))
}

struct Opening<'a, 's, P, T> {
    packet: &'s P,
    tables: &'a T,
    config: &'s Config,
    buckets: Buckets,
    segment: &'s Segment,
}

/// A next hop: slot of the interface, and MAC.
type Hop = (u8, Mac);

impl<'a, P: Packet, T: Tables> Opening<'a, '_, P, T> {
    #[inline(always)]
    fn run(&self, listener_index: u32) -> Result<(), Event> {
        let listener = self.tables.listener(listener_index).ok_or(Event::DropInternal)?;
        if !access::lets_in(self.tables, listener, self.segment.src) {
            return Err(Event::DropDenied);
        }
        let backend_index = match schedule::pick(self.tables, self.config, listener.pool, self.segment.src) {
            Err(Event::DropNoMember)
                if listener.when_down == WHEN_DOWN_RESET && self.segment.flags.opens() =>
            {
                return Err(Event::ResetNoMember);
            }
            picked => picked?,
        };
        let limit = self.tables.limit(listener_index).ok_or(Event::DropInternal)?;
        limit::enter(limit, self.tables.jiffies())?;
        let placed = self.place(listener, (backend_index, listener_index));
        if placed.is_err() {
            limit::leave(limit);
        }
        placed
    }

    /// Opens the session between the client and this member; indexes of backend and listener.
    #[inline(always)]
    fn place(&self, listener: &Listener, (backend_index, listener_index): (u32, u32)) -> Result<(), Event> {
        let backend = self.tables.backend(backend_index).ok_or(Event::DropInternal)?;
        let to_client = self.hop_to_client()?;
        let to_backend = self.hop_to_backend(backend)?;

        let forward = self.claim().ok_or(Event::DropTableFull)?;
        let local = match self.take_port(backend) {
            Ok(local) => local,
            Err(event) => {
                forward.1.state().publish(FREE);
                return Err(event);
            }
        };
        let member = (backend_index as u16, listener_index as u16);
        self.fill(forward, &local, backend, member, limit::flag(listener), (to_backend, to_client));

        self.tables.count(Event::SessionOpened);
        self.tables.count_session(listener_index, backend_index);
        if let Some(load) = self.tables.load(backend_index) {
            load.value().add(1);
        }
        self.tables.tell(News::Opened {
            client: (self.segment.src, self.segment.sport),
            vip: (self.segment.dst, self.segment.dport),
            local: (local.address, local.port),
            backend: (backend.address, backend.port),
        });
        Ok(())
    }

    #[inline(always)]
    fn claim(&self) -> Option<Found<'a>> {
        let over = lookup::forward(self.tables, self.buckets, self.segment);
        over.and_then(|half| recycle(self.tables, half))
            .or_else(|| lookup::claim_forward(self.tables, self.buckets))
    }

    #[inline(always)]
    fn hop_to_backend(&self, backend: &Backend) -> Result<Hop, Event> {
        match self.tables.route([0; 4], backend.address) {
            Route::Via { interface, mac } => Ok((self.slot_of(interface)?, mac)),
            Route::NoNeighbour { .. } => Err(Event::DropNoNeighbour),
            Route::None => Err(Event::DropNoRoute),
        }
    }

    /// A client whose next hop is on the link that it came from, but not known by MAC, gets the MAC it came from.
    #[inline(always)]
    fn hop_to_client(&self) -> Result<Hop, Event> {
        match self.tables.route(self.segment.dst, self.segment.src) {
            Route::Via { interface, mac } => Ok((self.slot_of(interface)?, mac)),
            Route::NoNeighbour { interface } if interface == self.packet.ingress() => {
                let ethernet = self.packet.at::<Ethernet>(0).ok_or(Event::DropInternal)?;
                Ok((self.slot_of(interface)?, ethernet.src.into()))
            }
            Route::NoNeighbour { .. } => Err(Event::DropNoNeighbour),
            Route::None => Err(Event::DropNoRoute),
        }
    }

    #[inline(always)]
    fn slot_of(&self, interface: u32) -> Result<u8, Event> {
        slot_of(self.tables, interface).ok_or(Event::DropInterface)
    }

    /// Takes a free port of the member's plane, of the local address that the client's tuple hashes to or, if that
    /// has none left, of one of the next.
    #[inline(always)]
    fn take_port(&self, backend: &Backend) -> Result<Local<'a>, Event> {
        let plane = plane_of(backend.address, backend.port, self.config.plane_mask);
        let addresses = self.config.local_addresses;
        let first = self.buckets.spread();
        for step in 0..LOCAL_ADDRESSES_TRIED {
            if step >= addresses {
                break;
            }
            let plane_index = self.config.plane_index(first.wrapping_add(step) % addresses, plane);
            let plane = self.tables.plane(plane_index).ok_or(Event::DropInternal)?;
            for _ in 0..PORT_ATTEMPTS {
                let head = plane.head().get();
                if head == plane.tail().get() {
                    break;
                }
                let position = head & self.config.ring_mask;
                let port = self.tables.port(plane_index, position, self.config).ok_or(Event::DropInternal)?;
                if !plane.head().swap_if(head, head.wrapping_add(1)) {
                    continue;
                }
                let index = self.config.reverse_index(plane_index, port).ok_or(Event::DropInternal)?;
                let half = self.tables.reverse(index).ok_or(Event::DropInternal)?;
                if !half.state().swap_if(FREE, CLAIMED) {
                    return Err(Event::DropPortBusy);
                }
                return Ok(Local { address: plane.address().get(), port, reverse: (index, half) });
            }
        }
        Err(Event::DropNoPort)
    }

    /// Writes both halves and lets them live, the reverse one first: a reply cannot come before the SYN is sent.
    #[inline(always)]
    fn fill(
        &self,
        (forward_index, forward): Found<'a>,
        local: &Local<'a>,
        backend: &Backend,
        (backend_index, listener_index): (u16, u16),
        limited: u8,
        (to_backend, to_client): (Hop, Hop),
    ) {
        let segment = self.segment;
        let (reverse_index, reverse) = local.reverse;
        let half = Half {
            state: CLAIMED,
            flags: limited | if segment.protocol == PROTOCOL_TCP { FLAG_TOA } else { 0 },
            last_seen: self.tables.now(),
            generation: self.config.generation as u16,
            backend: backend_index,
            listener: listener_index,
            tcp: State::None as u8,
            protocol: segment.protocol,
            packets: 0,
            ..Half::default()
        };
        reverse.write(
            Half {
                src: backend.address,
                sport: backend.port,
                dst: local.address,
                dport: local.port,
                new_src: segment.dst,
                new_sport: segment.dport,
                new_dst: segment.src,
                new_dport: segment.sport,
                interface: to_client.0,
                next_hop: to_client.1.into(),
                peer: forward_index,
                ack: segment.seq.wrapping_add(1),
                ..half
            }
            .with_deltas(),
        );
        forward.write(
            Half {
                src: segment.src,
                sport: segment.sport,
                dst: segment.dst,
                dport: segment.dport,
                new_src: local.address,
                new_sport: local.port,
                new_dst: backend.address,
                new_dport: backend.port,
                interface: to_backend.0,
                next_hop: to_backend.1.into(),
                peer: reverse_index,
                ack: 0,
                ..half
            }
            .with_deltas(),
        );
        reverse.state().publish(LIVE);
        forward.state().publish(LIVE);
    }
}

/// A local port that was taken, and the reverse half that belongs to it.
struct Local<'a> {
    address: [u8; 4],
    port: u16,
    reverse: Found<'a>,
}

impl Half {
    /// Fills in the checksum deltas from the addresses and ports.
    #[inline(always)]
    #[must_use]
    pub const fn with_deltas(mut self) -> Self {
        let addresses = Sum::ZERO.sub4(self.src).sub4(self.dst).add4(self.new_src).add4(self.new_dst);
        // The TTL shares its word with the protocol, which does not change.
        let ttl = Sum::ZERO.sub2([1, 0]);
        self.ip_delta = addresses.add(ttl).delta();
        self.l4_delta = addresses
            .sub2(self.sport.to_be_bytes())
            .sub2(self.dport.to_be_bytes())
            .add2(self.new_sport.to_be_bytes())
            .add2(self.new_dport.to_be_bytes())
            .delta();
        self
    }
}

/// The slot of an interface in `ek_interface`, if XDP is attached to it.
#[inline(always)]
pub fn slot_of<T: Tables>(tables: &T, interface: u32) -> Option<u8> {
    for slot in 0..MAX_INTERFACES {
        if tables.interface(slot)?.index == interface {
            return Some(slot as u8);
        }
    }
    None
}
