//! A packet on its way: its half, the interface that it leaves by, and the books that are kept on it.

use crate::{
    abi::{Common, Config, Half, Interface, PROTOCOL_UDP},
    family::Family,
    lookup::{self, Buckets, Owner},
    packet::Packet,
    parse::Segment,
    shared::Shared,
    tables::{Direction, Tables},
    tcp_state::State,
    verdict::{Event, Outcome},
    wire::Flags,
};

/// A packet's half, and which way it goes.
#[derive(Clone, Copy)]
pub struct Leg<'a, F: Family> {
    /// What rewrites it.
    pub half: Shared<'a, Half<F>>,
    /// With the forward half [`Direction::In`], with the reverse half [`Direction::Out`].
    pub direction: Direction,
}

impl<'a, F: Family> Leg<'a, F> {
    /// That of a segment whose destination is this owner's.
    ///
    /// # Errors
    /// [`Event::DropNoSession`] for a client's segment without a session, what [`lookup::reverse`] says of a backend's,
    /// [`Event::PassNotOurs`] for anybody else's.
    #[inline(always)]
    pub fn of<T: Tables>(
        tables: &'a T,
        config: &Config,
        owner: Owner,
        segment: &Segment<F>,
    ) -> Result<Self, Event> {
        let (half, direction) = match owner {
            Owner::Vip => {
                let half = lookup::forward(tables, Buckets::of(config, segment), segment);
                (half.ok_or(Event::DropNoSession)?, Direction::In)
            }
            Owner::Local(local) => (lookup::reverse(tables, config, local, segment)?, Direction::Out),
            Owner::Other => return Err(Event::PassNotOurs),
        };
        Ok(Self { half, direction })
    }

    /// Whether this segment leaves its session as it is, with nothing to add to it or to ask.
    #[inline(always)]
    pub fn is_settled(&self, segment: &Segment<F>, config: &Config) -> bool {
        let quiet = !segment.flags.any(Flags::SYN.and(Flags::FIN).and(Flags::RST));
        // Datagrams that nobody answers do not move their session.
        let stays = self.half.tcp().get() == State::Established as u8
            || (segment.protocol == PROTOCOL_UDP && self.direction == Direction::In);
        quiet
            && stays
            && self.half.flags().get() == 0
            && self.half.generation().get() == config.generation as u16
    }

    /// The interface that the packet leaves by with this many bytes from the IP header on, if it may.
    ///
    /// # Errors
    /// [`Event::DropTtl`], [`Event::DropOverMtu`], or [`Event::DropInterface`]: it was taken out of the configuration.
    #[inline(always)]
    pub fn interface<'t, T: Tables>(
        &self,
        tables: &'t T,
        ttl: u8,
        leaves_with: u32,
    ) -> Result<&'t Interface, Event> {
        if ttl <= 1 {
            return Err(Event::DropTtl);
        }
        let out = tables.interface(u32::from(self.half.interface().get())).ok_or(Event::DropInternal)?;
        if leaves_with > out.mtu {
            return Err(too_large_for(out));
        }
        Ok(out)
    }

    /// Keeps what the sender of a segment that is believed expects next.
    #[inline(always)]
    pub fn keep_ack(&self, segment: &Segment<F>) {
        if segment.flags.any(Flags::ACK) {
            self.half.ack().set(segment.ack);
        }
    }

    /// Keeps the books on a packet that came in as `segment` and is rewritten, and says where it goes.
    #[inline(always)]
    pub fn account<P: Packet, T: Tables>(
        self,
        packet: &P,
        tables: &T,
        segment: &Segment<F>,
        out: &Interface,
    ) -> Outcome {
        self.half.last_seen().set(tables.now());
        self.half.packets().set(self.half.packets().get().wrapping_add(1));
        let (listener, backend) = (self.half.listener().get(), self.half.backend().get());
        tables.count_packet(listener.into(), backend.into(), self.direction, segment.total_len);
        way_out(*self.half, out, packet)
    }
}

/// How a packet ends that is larger than the interface's MTU. One that was taken out of the configuration has an empty
/// slot, whose MTU is zero: nobody is to be told so small a size.
#[inline(always)]
const fn too_large_for(out: &Interface) -> Event {
    if out.index == 0 { Event::DropInterface } else { Event::DropOverMtu }
}

/// Where a packet goes that leaves as this half says, by its interface `out`.
#[inline(always)]
pub fn way_out<P: Packet>(half: Shared<'_, Common>, out: &Interface, packet: &P) -> Outcome {
    let slot = half.interface().get();
    if out.tags != [0; 2] {
        Outcome::Tag(slot)
    } else if out.index == packet.ingress() {
        Outcome::Tx
    } else {
        Outcome::Redirect(slot)
    }
}
