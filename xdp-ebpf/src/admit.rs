//! May this client's packet, which belongs to no session, open one, and with which member? Next: [`crate::open`].

use crate::{
    abi::{BackendIndex, LISTENER_LAYER7, Listener, ListenerIndex, Service, WHEN_DOWN_RESET},
    access,
    address::Address,
    family::Family,
    layer7,
    lookup::{self, Buckets},
    parse::{self, Segment},
    schedule,
    tables::Tables,
    verdict::Event,
};

/// What a new session will be of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Picked {
    /// The listener's index and, in the low half, the backend's: one register, not two.
    indexes: u32,
    /// Whether the backend's address is of IPv4.
    pub ipv4: bool,
}

impl Picked {
    /// A session of this listener with this backend, whose address is of IPv4 or not.
    #[inline(always)]
    pub const fn new(listener: ListenerIndex, backend: BackendIndex, ipv4: bool) -> Self {
        Self { indexes: listener.index << 16 | backend.narrow().index as u32, ipv4 }
    }

    /// The listener.
    #[inline(always)]
    pub const fn listener(self) -> ListenerIndex {
        ListenerIndex::new(self.indexes >> 16)
    }

    /// The backend.
    #[inline(always)]
    pub const fn backend(self) -> BackendIndex {
        BackendIndex::new(self.indexes & 0xffff)
    }

    /// Both indexes as one number, and back.
    #[inline(always)]
    pub const fn number(self) -> u32 {
        self.indexes
    }

    /// See [`Picked::number`].
    #[inline(always)]
    pub const fn from_number(indexes: u32, ipv4: bool) -> Self {
        Self { indexes, ipv4 }
    }
}

/// This stage's function that the kernel verifies once and apart.
pub trait OutOfLine: schedule::OutOfLine {
    /// [`pick`].
    ///
    /// # Errors
    /// As there.
    fn pick_member<F: Family, T: Tables>(&self, tables: &T) -> Result<Picked, Event> {
        pick::<F, Self, T>(self, tables)
    }
}

/// Picks the member for a client's SYN or first datagram.
///
/// # Errors
/// The event under which the packet is dropped, [`Event::PassLayer7`], or [`Event::ResetNoMember`]: the packet is to
/// become the answer to itself.
#[inline(always)]
pub fn pick<F: Family, P: schedule::OutOfLine, T: Tables>(packet: &P, tables: &T) -> Result<Picked, Event> {
    let segment = parse::segment::<F, P>(packet, Event::PassVipOther)?;
    let service = Service::new(segment.dst.mapped(), segment.dport, segment.protocol);
    let (index, listener) = lookup::listener(tables, &service).ok_or(Event::DropNoListener)?;
    if listener.kind == LISTENER_LAYER7 {
        return Err(layer7::arrive(tables, &segment, index, listener));
    }
    let picked = pick_of(packet, tables, &segment, listener);
    if let Err(event) = picked
        && event != Event::DropNoSession
    {
        tables.count_refused(index, event);
    }
    let picked = picked?;
    let backend = tables.backend(picked).ok_or(Event::DropInternal)?;
    let ipv4 = <[u8; 4]>::from_mapped(backend.address).is_some();
    Ok(Picked::new(index, picked, ipv4))
}

/// The member.
#[inline(always)]
fn pick_of<F: Family, P: schedule::OutOfLine, T: Tables>(
    packet: &P,
    tables: &T,
    segment: &Segment<F>,
    listener: &Listener,
) -> Result<BackendIndex, Event> {
    if !segment.opens() {
        return Err(Event::DropNoSession);
    }
    let source = segment.src.mapped();
    if !access::allows(tables, listener, source) {
        return Err(Event::DropDenied);
    }
    let config = tables.config().ok_or(Event::DropInternal)?;
    let spread = Buckets::of(config, segment).spread();
    match packet.schedule(tables, listener.pool, source, spread) {
        Err(Event::DropNoMember) if listener.when_down == WHEN_DOWN_RESET && segment.flags.opens() => {
            Err(Event::ResetNoMember)
        }
        picked => picked,
    }
}
