//! TCP segments without a live session: who sends them believes in a connection that is not there, and would wait for
//! minutes. A reset says so, with the very number that its sender expects (RFC 9293, 3.10.7.1).
//!
//! Segments of a session that was cut are always answered. All others only while no other host can own the session
//! ([`crate::abi::Config::without_session`]), so many in a second ([`crate::abi::ResetRate`]), and to nobody whom the
//! listener shuts out or who talks to a socket of this host's.

use crate::{
    abi::{CUT, PROTOCOL_TCP, Service, WITHOUT_SESSION_RESET},
    access,
    address::Address,
    family::Family,
    fragment,
    lookup::{self, Buckets, Owner},
    packet::Packet,
    parse,
    tables::Tables,
    tcp_reset,
    verdict::{Code, Event},
    wire::Flags,
};

/// This stage's function that the kernel verifies once and apart.
pub trait OutOfLine: Packet + Sized {
    /// [`answer`].
    fn answer_stray<F: Family, T: Tables>(&mut self, tables: &T, event: Event) -> Code {
        answer::<F, Self, T>(self, tables, event)
    }
}

/// Answers a segment that would end with this event, if it may be answered.
///
/// It begins with the packet again, because it stands alone: see [`OutOfLine`].
#[inline(always)]
pub fn answer<F: Family, P: Packet, T: Tables>(packet: &mut P, tables: &T, event: Event) -> Code {
    let silent = Code::stop(event);
    let Ok(segment) = parse::segment::<F, P>(packet, event) else { return silent };
    if segment.protocol != PROTOCOL_TCP
        || segment.flags.opens()
        || segment.flags.any(Flags::RST)
        || fragment::is_one::<F, P, T>(packet, tables)
    {
        return silent;
    }
    let Some(config) = tables.config() else { return silent };
    let owner = lookup::owner::<F, T>(tables, segment.dst);
    let cut = match owner {
        Owner::Vip => lookup::forward_in(tables, Buckets::of(config, &segment), &segment, CUT),
        Owner::Local(local) => lookup::reverse_in(tables, config, local, &segment, CUT).ok(),
        Owner::Other => None,
    };
    let reason = if let Some(half) = cut {
        if segment.flags.any(Flags::ACK) {
            // For the resets that the daemon sends.
            half.ack().set(segment.ack);
        }
        Event::ResetCut
    } else {
        if event == Event::DropDenied {
            return silent;
        }
        if event == Event::PassNoSession
            && tables.has_socket::<F>(segment.src, segment.dst, segment.sport, segment.dport)
        {
            return silent;
        }
        let silent = Code::stop(Event::DropNoSession);
        if config.without_session != WITHOUT_SESSION_RESET {
            return silent;
        }
        let may_hear = match owner {
            Owner::Vip => {
                let service = Service::new(segment.dst.mapped(), segment.dport, segment.protocol);
                lookup::listener(tables, &service)
                    .is_some_and(|(_, listener)| access::allows(tables, listener, segment.src.mapped()))
            }
            _ => true,
        };
        let Some(rate) = tables.reset_rate() else { return silent };
        if !may_hear || !rate.bucket().take(tables.jiffies(), 1) {
            return silent;
        }
        Event::ResetNoSession
    };
    if tcp_reset::answer(packet, &segment).is_none() {
        return Code::stop(Event::DropInternal);
    }
    tables.count(reason);
    Code::ANSWER
}
