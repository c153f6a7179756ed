//! A new session: a local address and port, and both halves.
//!
//! Nothing in the packet has been changed yet, so every refusal leaves it whole. The forward half is claimed first,
//! because giving it back costs nothing; a local port is taken last.

use crate::{
    abi::{CLAIMED, Common, Config, DYING, FLAG_MIXED, FREE, Half, LIVE},
    address::Address,
    admit::Picked,
    checksum::Sum,
    connection::{self, Note, Standing},
    family::{Family, V4, V6},
    fragment, half_open, limit,
    lookup::{self, Buckets, Found, Place},
    next_hop::Hops,
    packet::Packet,
    parse::{self, Segment},
    ports::{self, Local},
    shared::Shared,
    tables::{Hop, LogEntry, Tables},
    tcp_state::State,
    verdict::Event,
};

/// This stage's functions that the kernel verifies once and apart.
pub trait OutOfLine: limit::OutOfLine + Packet + Sized {
    /// [`open`] for the family of the member.
    ///
    /// # Errors
    /// As there.
    fn open_session<F: Family, T: Tables>(
        &self,
        tables: &T,
        picked: Picked,
        hops: Hops,
    ) -> Result<(), Event> {
        if picked.ipv4 {
            open::<F, V4, Self, T>(self, tables, picked, hops)
        } else {
            open::<F, V6, Self, T>(self, tables, picked, hops)
        }
    }

    /// [`tell`], and of an open session [`tell_of_backend`].
    fn tell_of_session<F: Family, T: Tables>(&self, tables: &T, opened: Result<(), Event>) {
        tell::<F, Self, T>(self, tables, opened);
        if opened.is_ok() {
            tell_of_backend::<F, Self, T>(self, tables);
        }
    }
}

/// Opens a session with the member of family `B` that [`crate::admit`] has picked, for a client's SYN or first
/// datagram. Its state is still [`State::None`]: the caller lets the packet itself move it on.
///
/// It begins with the packet again, because it stands alone: see [`OutOfLine`].
///
/// # Errors
/// The event under which the packet is dropped.
#[inline(always)]
pub fn open<F: Family, B: Family, P: OutOfLine, T: Tables>(
    packet: &P,
    tables: &T,
    picked: Picked,
    hops: Hops,
) -> Result<(), Event> {
    if F::VERSION != B::VERSION && fragment::is_one::<F, P, T>(packet, tables) {
        return Err(Event::DropFragment);
    }
    let backend = tables.backend(picked.backend()).ok_or(Event::DropInternal)?;
    let segment = &parse::segment::<F, P>(packet, Event::PassVipOther)?;
    let config = tables.config().ok_or(Event::DropInternal)?;
    let buckets = Buckets::of(config, segment);
    let address = B::Address::from_mapped(backend.address).ok_or(Event::DropInternal)?;
    let member = Member::<B> { address, port: backend.port };
    let prefix = half_open::place(config, picked.listener(), segment.src);
    let opens = [Standing::Over, Standing::of(segment.protocol, State::None)];
    let note = Note::of(picked.backend(), picked.listener(), prefix, opens);
    // Before anybody can find the session, and so count it off.
    packet.enter(tables, note)?;
    let opened = Opening { packet, tables, config, buckets, segment, member, picked, hops, prefix }.run();
    if opened.is_err() {
        packet.note(tables, note.turned_round());
    }
    opened
}

/// Tells whoever listens what became of a client's packet that asked for a session.
#[inline(always)]
pub fn tell<F: Family, P: Packet, T: Tables>(packet: &P, tables: &T, opened: Result<(), Event>) {
    let Ok(segment) = parse::segment::<F, P>(packet, Event::PassVipOther) else { return };
    let (client, vip) = ((segment.src.mapped(), segment.sport), (segment.dst.mapped(), segment.dport));
    if let Err(event) = opened {
        return tables.log(LogEntry::Refused { client, vip, event });
    }
    tables.log(LogEntry::Opened { client, vip });
}

/// Tells the other side of the session that the client's packet has opened.
#[inline(always)]
pub fn tell_of_backend<F: Family, P: Packet, T: Tables>(packet: &P, tables: &T) {
    let Ok(segment) = parse::segment::<F, P>(packet, Event::PassVipOther) else { return };
    let Some(config) = tables.config() else { return };
    let Some(half) = lookup::forward(tables, Buckets::of(config, &segment), &segment) else { return };
    let (local, backend) = if half.flags().get() & FLAG_MIXED == 0 {
        (half.new_src().get().mapped(), half.new_dst().get().mapped())
    } else {
        let Some(reverse) = tables.reverse::<F::Other>(half.peer().get()) else { return };
        (reverse.dst().get().mapped(), reverse.src().get().mapped())
    };
    let (local, backend) = ((local, half.new_sport().get()), (backend, half.new_dport().get()));
    tables.log(LogEntry::Joined { local, backend });
}

/// Whether a SYN for this half's tuple begins a new session.
#[inline(always)]
pub fn is_over(half: Shared<'_, Common>) -> bool {
    State::from_u8(half.tcp().get()).is_none_or(State::is_over)
}

struct Opening<'a, 's, F: Family, B: Family, P, T> {
    packet: &'s P,
    tables: &'a T,
    config: &'s Config,
    buckets: Buckets,
    segment: &'s Segment<F>,
    member: Member<B>,
    picked: Picked,
    hops: Hops,
    prefix: u16,
}

/// The member of a new session, of family `B`.
struct Member<B: Family> {
    address: B::Address,
    port: u16,
}

impl<'a, F: Family, B: Family, P: OutOfLine, T: Tables> Opening<'a, '_, F, B, P, T> {
    #[inline(always)]
    fn run(&self) -> Result<(), Event> {
        let forward = self.claim()?;
        let (member, spread) = (&self.member, self.buckets.spread());
        let taken = ports::take::<B, T>(self.tables, self.config, member.address, member.port, spread);
        let local = match taken {
            Ok(local) => local,
            Err(event) => {
                forward.1.publish_state(FREE);
                return Err(event);
            }
        };
        self.fill(forward, &local);
        self.tables.count(Event::SessionOpened);
        self.tables.count_session(self.picked.listener(), Some(self.picked.backend()));
        Ok(())
    }

    /// Claims a forward slot: the caller owns it until it sets another state.
    #[inline(always)]
    fn claim(&self) -> Result<Found<'a, F>, Event> {
        let place = lookup::place(self.tables, self.buckets, self.segment).ok_or(Event::DropTableFull)?;
        let (index, from) = match place {
            Place::Free(index) => (index, FREE),
            Place::Taken(index) => (index, LIVE),
        };
        let half = self.tables.forward::<F>(index).ok_or(Event::DropInternal)?;
        // Another CPU may have opened the same session since it was looked up.
        if (from == LIVE && !is_over(*half)) || !half.swap_state_if(from, CLAIMED) {
            return Err(Event::DropRace);
        }
        if from == LIVE {
            // A packet may have brought it back from its reset meanwhile.
            let before = connection::end(*half);
            self.packet.note(self.tables, Note::new(*half, [before, Standing::Over]));
            self.recycle(half).ok_or(Event::DropInternal)?;
        }
        Ok((index, half))
    }

    /// Parts the claimed forward slot of a session that is over from its reverse half. Left to the sweeper, the slots
    /// of a client that comes again and again from the same ports would fill their two buckets. The reverse half
    /// goes, so that late segments of the old connection cannot meet the new one; the sweeper gives its port back.
    #[inline(always)]
    fn recycle(&self, half: Shared<'a, Half<F>>) -> Option<()> {
        let peer = half.peer().get();
        let reverse: Shared<'_, Common> = if half.flags().get() & FLAG_MIXED == 0 {
            *self.tables.reverse::<F>(peer)?
        } else {
            *self.tables.reverse::<F::Other>(peer)?
        };
        reverse.swap_state_if(LIVE, DYING);
        self.tables.count(Event::SessionReopened);
        Some(())
    }

    /// Writes both halves and lets them live, the reverse one first: a reply cannot come before the SYN is sent.
    #[inline(always)]
    fn fill(&self, (forward_index, forward): Found<'a, F>, local: &Local<'a, B>) {
        let (segment, member) = (self.segment, &self.member);
        let (reverse_index, reverse) = local.reverse;
        let listener = self.tables.listener(self.picked.listener());
        let flags = listener.map_or(0, limit::flag) | if F::VERSION == B::VERSION { 0 } else { FLAG_MIXED };
        self.fill_half(reverse, forward_index, self.hops.to_client, flags);
        reverse.src().set(member.address);
        reverse.sport().set(member.port);
        reverse.dst().set(local.address);
        reverse.dport().set(local.port);
        reverse.new_sport().set(segment.dport);
        reverse.new_dport().set(segment.sport);
        self.fill_half(forward, reverse_index, self.hops.to_backend, flags);
        forward.src().set(segment.src);
        forward.sport().set(segment.sport);
        forward.dst().set(segment.dst);
        forward.dport().set(segment.dport);
        forward.new_sport().set(local.port);
        forward.new_dport().set(member.port);

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
        // This writes all of the above first, the forward half too.
        reverse.publish_state(LIVE);
        forward.state().set(LIVE);
    }

    /// What both halves begin with. Field by field: whole, a half would stand on the stack first, and there is no room.
    #[inline(always)]
    fn fill_half<G: Family>(&self, half: Shared<'_, Half<G>>, peer: u32, hop: Hop, flags: u8) {
        half.next_hop().set(hop.mac().into());
        half.interface().set(hop.slot());
        half.flags().set(flags);
        half.ack().set(0);
        half.peer().set(peer);
        half.last_seen().set(self.tables.now());
        half.generation().set(self.hops.generation as u16);
        half.backend().set(self.picked.backend().narrow());
        half.listener().set(self.picked.listener().narrow());
        half.tcp().set(State::None as u8);
        half.protocol().set(self.segment.protocol);
        half.packets().set(0);
        half.prefix().set(self.prefix);
    }
}

/// The address if it is of this family, or else zero.
#[inline(always)]
fn in_family<A: Address, B: Address>(address: A) -> B {
    B::from_mapped(address.mapped()).unwrap_or_default()
}
