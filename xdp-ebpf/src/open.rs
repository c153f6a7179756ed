//! A new session: next hops, a local address and port, and both halves.
//!
//! Nothing in the packet has been changed yet, so every refusal leaves it whole. The forward half is claimed first,
//! because giving it back costs nothing; a local port is taken last.

use crate::{
    abi::{CLAIMED, Common, Config, DYING, FLAG_MIXED, FLAG_TOA, FREE, Half, LIVE, PROTOCOL_TCP, plane_of},
    admit::Picked,
    checksum::Sum,
    family::{Address, Family},
    lookup::{self, Buckets, Found},
    packet::Packet,
    parse::{self, Segment},
    shared::Shared,
    tables::{ANY_SOURCE, Mac, News, Route, Tables},
    tcp_state::State,
    verdict::Event,
    wire::Ethernet,
};

/// How many local addresses are asked for a port before the connection is refused.
const LOCAL_ADDRESSES_TRIED: u32 = 4;
/// How often a port is asked of one ring while other CPUs take from it at the same moment.
const PORT_ATTEMPTS: u32 = 4;

/// Opens a session with the member of family `B` that [`crate::admit`] has picked, for a client's SYN or first
/// datagram. Its state is still [`State::None`]: the caller lets the packet itself move it on.
///
/// It begins with the packet again, because it stands alone: see [`Packet::open_session`].
///
/// # Errors
/// The event under which the packet is dropped.
#[inline(always)]
pub fn open<F: Family, B: Family, P: Packet, T: Tables>(
    packet: &P,
    tables: &T,
    picked: Picked,
) -> Result<(), Event> {
    let segment = &parse::segment::<F, P>(packet, Event::PassVipOther)?;
    let config = tables.config().ok_or(Event::DropInternal)?;
    let buckets = Buckets::of(config, segment);
    let backend = tables.backend(picked.backend.into()).ok_or(Event::DropInternal)?;
    let address = B::Address::from_wide(backend.address).ok_or(Event::DropInternal)?;
    let member = Member::<B> { address, port: backend.port, index: picked.backend };
    Opening { packet, tables, config, buckets, segment, listener: picked.listener, member }.run()
}

/// Tells whoever listens what became of a client's packet that asked for a session.
#[inline(always)]
pub fn tell<F: Family, P: Packet, T: Tables>(packet: &P, tables: &T, opened: Result<(), Event>) {
    let Ok(segment) = parse::segment::<F, P>(packet, Event::PassVipOther) else { return };
    let (client, vip) = ((segment.src.wide(), segment.sport), (segment.dst.wide(), segment.dport));
    if let Err(event) = opened {
        return tables.tell(News::Refused { client, vip, event });
    }
    let Some(config) = tables.config() else { return };
    let Some(half) = lookup::forward(tables, Buckets::of(config, &segment), &segment) else { return };
    let (local, backend) = if half.flags().get() & FLAG_MIXED == 0 {
        (half.new_src().get().wide(), half.new_dst().get().wide())
    } else {
        let Some(reverse) = F::Other::reverse(tables, half.peer().get()) else { return };
        (reverse.dst().get().wide(), reverse.src().get().wide())
    };
    let (local, backend) = ((local, half.new_sport().get()), (backend, half.new_dport().get()));
    tables.tell(News::Opened { client, vip, local, backend });
}

/// Whether a SYN for this half's tuple begins a new session.
#[inline(always)]
pub fn is_over(half: Shared<'_, Common>) -> bool {
    State::from_u8(half.tcp().get()).is_none_or(State::is_over)
}

/// Claims the forward slot of a session that is over for a new one with its tuple: left to the sweeper, the slots of
/// a client that comes again and again from the same ports would fill their two buckets. The reverse half goes, so
/// that late segments of the old connection cannot meet the new one; the sweeper gives its port back.
#[inline(always)]
fn recycle<'a, F: Family, T: Tables>(tables: &'a T, half: Shared<'a, Half<F>>) -> Option<Found<'a, F>> {
    let peer = half.peer().get();
    let reverse: Shared<'_, Common> = if half.flags().get() & FLAG_MIXED == 0 {
        *F::reverse(tables, peer)?
    } else {
        *F::Other::reverse(tables, peer)?
    };
    let index = reverse.peer().get();
    if !half.state().swap_if(LIVE, CLAIMED) {
        return None;
    }
    reverse.state().swap_if(LIVE, DYING);
    tables.count(Event::SessionReopened);
    Some((index, half))
}

struct Opening<'a, 's, F: Family, B: Family, P, T> {
    packet: &'s P,
    tables: &'a T,
    config: &'s Config,
    buckets: Buckets,
    segment: &'s Segment<F>,
    member: Member<B>,
    /// Index in `ek_listener`.
    listener: u16,
}

/// A next hop: slot of the interface, and MAC.
type Hop = (u8, Mac);

/// The member of a new session, of family `B`.
struct Member<B: Family> {
    address: B::Address,
    port: u16,
    /// Index in `ek_backend`.
    index: u16,
}

impl<'a, F: Family, B: Family, P: Packet, T: Tables> Opening<'a, '_, F, B, P, T> {
    #[inline(always)]
    fn run(&self) -> Result<(), Event> {
        let to_client = self.hop_to_client()?;
        let to_backend = self.hop_to_backend()?;
        let forward = self.claim().ok_or(Event::DropTableFull)?;
        let local = match self.take_port() {
            Ok(local) => local,
            Err(event) => {
                forward.1.state().publish(FREE);
                return Err(event);
            }
        };
        self.fill(forward, &local, to_backend, to_client);
        self.tables.count(Event::SessionOpened);
        self.tables.count_session(self.member.index.into());
        if let Some(load) = self.tables.load(self.member.index.into()) {
            load.value().add(1);
        }
        Ok(())
    }

    #[inline(always)]
    fn claim(&self) -> Option<Found<'a, F>> {
        let over = lookup::forward(self.tables, self.buckets, self.segment);
        over.and_then(|half| recycle(self.tables, half))
            .or_else(|| lookup::claim_forward(self.tables, self.buckets))
    }

    #[inline(always)]
    fn hop_to_backend(&self) -> Result<Hop, Event> {
        match self.tables.route(ANY_SOURCE, self.member.address.wide()) {
            Route::Via { slot, mac } => Ok((slot, mac)),
            Route::NoNeighbour { .. } => Err(Event::DropNoNeighbour),
            Route::Elsewhere => Err(Event::DropInterface),
            Route::None => Err(Event::DropNoRoute),
        }
    }

    /// A client whose next hop is on the link that it came from, but not known by MAC, gets the MAC it came from.
    #[inline(always)]
    fn hop_to_client(&self) -> Result<Hop, Event> {
        let slot = match self.tables.route(self.segment.dst.wide(), self.segment.src.wide()) {
            Route::Via { slot, mac } => return Ok((slot, mac)),
            Route::NoNeighbour { slot } => slot,
            Route::Elsewhere => return Err(Event::DropInterface),
            Route::None => return Err(Event::DropNoRoute),
        };
        let interface = self.tables.interface(slot.into()).ok_or(Event::DropInternal)?;
        if interface.index != self.packet.ingress() {
            return Err(Event::DropNoNeighbour);
        }
        let ethernet = self.packet.at::<Ethernet>(0).ok_or(Event::DropInternal)?;
        Ok((slot, ethernet.src.into()))
    }

    /// Takes a free port of the member's plane, of the local address that the client's tuple hashes to or, if that
    /// has none left, of one of the next.
    #[inline(always)]
    fn take_port(&self) -> Result<Local<'a, B>, Event> {
        let plane = plane_of(self.member.address, self.member.port, self.config.plane_mask);
        let addresses = self.config.local_addresses_of::<B>();
        let first = self.buckets.spread();
        for step in 0..LOCAL_ADDRESSES_TRIED {
            if step >= addresses {
                break;
            }
            let number = first.wrapping_add(step) % addresses;
            let plane_index = self.config.plane_index::<B>(number, plane);
            let ring = self.tables.plane(plane_index).ok_or(Event::DropInternal)?;
            for _ in 0..PORT_ATTEMPTS {
                let head = ring.head().get();
                if head == ring.tail().get() {
                    break;
                }
                let position = head & self.config.ring_mask;
                let port = self.tables.port(plane_index, position, self.config).ok_or(Event::DropInternal)?;
                if !ring.head().swap_if(head, head.wrapping_add(1)) {
                    continue;
                }
                let index = self.config.reverse_index(number, plane, port).ok_or(Event::DropInternal)?;
                let half = B::reverse(self.tables, index).ok_or(Event::DropInternal)?;
                if !half.state().swap_if(FREE, CLAIMED) {
                    return Err(Event::DropPortBusy);
                }
                let address = B::Address::from_wide(ring.address().get()).ok_or(Event::DropInternal)?;
                return Ok(Local { address, port, reverse: (index, half) });
            }
        }
        Err(Event::DropNoPort)
    }

    /// Writes both halves and lets them live, the reverse one first: a reply cannot come before the SYN is sent.
    #[inline(always)]
    fn fill(
        &self,
        (forward_index, forward): Found<'a, F>,
        local: &Local<'a, B>,
        to_backend: Hop,
        to_client: Hop,
    ) {
        let (segment, member) = (self.segment, &self.member);
        let (reverse_index, reverse) = local.reverse;
        self.fill_half(reverse, forward_index, to_client);
        reverse.src().set(member.address);
        reverse.sport().set(member.port);
        reverse.dst().set(local.address);
        reverse.dport().set(local.port);
        reverse.new_sport().set(segment.dport);
        reverse.new_dport().set(segment.sport);
        reverse.ack().set(segment.seq.wrapping_add(1));
        self.fill_half(forward, reverse_index, to_backend);
        forward.src().set(segment.src);
        forward.sport().set(segment.sport);
        forward.dst().set(segment.dst);
        forward.dport().set(segment.dport);
        forward.new_sport().set(local.port);
        forward.new_dport().set(member.port);
        forward.ack().set(0);

        let clients = segment.dst.add_to(segment.src.add_to(Sum::ZERO));
        let backends = member.address.add_to(local.address.add_to(Sum::ZERO));
        // The TTL shares its word with the protocol, which does not change.
        let ttl = Sum::ZERO.sub2([1, 0]);
        forward.ip_delta().set(ttl.add(backends).sub(clients).delta());
        reverse.ip_delta().set(ttl.add(clients).sub(backends).delta());
        let clients = clients.add2(segment.sport.to_be_bytes()).add2(segment.dport.to_be_bytes());
        let backends = backends.add2(local.port.to_be_bytes()).add2(member.port.to_be_bytes());
        forward.l4_delta().set(backends.sub(clients).delta());
        reverse.l4_delta().set(clients.sub(backends).delta());

        // Of a mixed session there is no room for them, and they become zeros; see `FLAG_MIXED`.
        forward.new_src().set(in_family(local.address));
        forward.new_dst().set(in_family(member.address));
        reverse.new_src().set(in_family(segment.dst));
        reverse.new_dst().set(in_family(segment.src));
        if F::VERSION != B::VERSION {
            reverse.flags().set(reverse.flags().get() | FLAG_MIXED);
            forward.flags().set(forward.flags().get() | FLAG_MIXED);
        }
        reverse.state().publish(LIVE);
        forward.state().publish(LIVE);
    }

    /// What both halves begin with. Field by field: whole, a half would stand on the stack first, and there is no room.
    #[inline(always)]
    fn fill_half<G: Family>(&self, half: Shared<'_, Half<G>>, peer: u32, hop: Hop) {
        half.next_hop().set(hop.1.into());
        half.interface().set(hop.0);
        half.flags().set(if self.segment.protocol == PROTOCOL_TCP { FLAG_TOA } else { 0 });
        half.peer().set(peer);
        half.last_seen().set(self.tables.now());
        half.generation().set(self.config.generation as u16);
        half.backend().set(self.member.index);
        half.listener().set(self.listener);
        half.tcp().set(State::None as u8);
        half.protocol().set(self.segment.protocol);
        half.packets().set(0);
    }
}

/// A local port that was taken, and the reverse half that belongs to it.
struct Local<'a, B: Family> {
    address: B::Address,
    port: u16,
    reverse: Found<'a, B>,
}

/// The address if it is of this family, or else zero.
#[inline(always)]
fn in_family<A: Address, B: Address>(address: A) -> B {
    B::from_wide(address.wide()).unwrap_or_default()
}
