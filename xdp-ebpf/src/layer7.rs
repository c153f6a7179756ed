//! Packets of Layer-7 listeners, whose connections end in this host: access, limits and counters on their way up to
//! its network stack, and on the way down from there. How many connections there are is Layer 7's to say: it counts
//! in [`crate::abi::Limit::connections`] those that it has accepted. Next: [`crate::limit`].

use crate::{
    abi::{LISTENER_LAYER7, Listener, ListenerIndex, PROTOCOL_TCP, Service},
    access,
    address::Address,
    family::Family,
    limit,
    lookup::{self, Owner},
    parse::Segment,
    tables::{Direction, Tables},
    verdict::Event,
};

/// What becomes of a client's segment for this listener (its index and record): [`Event::PassLayer7`], or the event
/// under which it is dropped.
#[inline(always)]
pub fn arrive<F: Family, T: Tables>(
    tables: &T,
    segment: &Segment<F>,
    index: ListenerIndex,
    listener: &Listener,
) -> Event {
    let opens = segment.flags.opens();
    if let Err(event) = admit(tables, segment, index, listener) {
        if opens {
            tables.count_refused(index, event);
        }
        return event;
    }
    if let Err(event) = limit::charge(tables, index, segment.total_len) {
        return event;
    }
    if opens {
        tables.count_session(index, None);
    }
    tables.count_traffic(index, Direction::In, 1, segment.total_len);
    Event::PassLayer7
}

#[inline(always)]
fn admit<F: Family, T: Tables>(
    tables: &T,
    segment: &Segment<F>,
    index: ListenerIndex,
    listener: &Listener,
) -> Result<(), Event> {
    if !access::allows(tables, listener, segment.src.mapped()) {
        return Err(Event::DropDenied);
    }
    if !segment.flags.opens() {
        return Ok(());
    }
    let limit = tables.limit(index).ok_or(Event::DropInternal)?;
    limit::has_room(limit)?;
    limit::acquire_rate(limit, tables.jiffies())
}

/// What the host sends: a segment, or several that the interface is going to cut apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent<F: Family> {
    /// Source address.
    pub src: F::Address,
    /// Source port, of TCP.
    pub sport: u16,
    /// How many segments.
    pub packets: u32,
    /// Bytes of all of them, each from its IP header on.
    pub bytes: u32,
}

/// Charges and counts what leaves from a Layer-7 listener; everything else is left alone.
///
/// # Errors
/// [`Event::DropBandwidth`] if the load balancer has none left.
#[inline(always)]
pub fn leave<F: Family, T: Tables>(tables: &T, sent: &Sent<F>) -> Result<(), Event> {
    if lookup::owner::<F, T>(tables, sent.src) != Owner::Vip {
        return Ok(());
    }
    let service = Service::new(sent.src.mapped(), sent.sport, PROTOCOL_TCP);
    let Some((index, listener)) = lookup::listener(tables, &service) else { return Ok(()) };
    if listener.kind != LISTENER_LAYER7 {
        return Ok(());
    }
    limit::charge(tables, index, sent.bytes)?;
    tables.count_traffic(index, Direction::Out, sent.packets, sent.bytes);
    Ok(())
}
