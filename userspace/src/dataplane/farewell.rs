//! The end of all sessions: `unload` tells both ends of every TCP connection first, which would wait
//! for minutes otherwise. Next: `commands/unload`.

use std::{thread, time::Duration};

use xdp_ebpf::{
    abi::{CUT, ENTRY_ACTIVE, ENTRY_REMOVED, LISTENER_FORWARD, LIVE, Listener, PROTOCOL_TCP},
    tcp_state::State,
};

use super::{
    pins::PinDir,
    reset::{ResetSocket, for_both_ends},
    sessions::Sessions,
    tables::Tables,
    taken::Taken,
};
use crate::dataplane::error::{Context, Result};

/// How often both ends are told: nobody says whether they have heard.
const TOLD: usize = 3;
/// How long to wait from time to time. Meanwhile XDP answers whatever they send.
const PAUSE: Duration = Duration::from_millis(300);

/// Closes the listeners of Layer 4, and ends all of their connections with resets at both ends. Returns how many there were.
///
/// # Errors
/// The maps are not this version's, or cannot be used.
pub fn reset_all(pins: &PinDir) -> Result<usize> {
    let mut tables = Tables::open(pins)?;
    close_listeners(&mut tables)?;
    let sockets = ResetSocket::new().context("cannot open a raw socket")?;
    let cut = cut(&tables.sessions, &Taken::read(&tables.sessions)?);
    for round in 0..TOLD {
        if cut.is_empty() {
            break;
        }
        if round > 0 {
            thread::sleep(PAUSE);
        }
        for &(forward, reverse) in &cut {
            let halves = (tables.sessions.forward.get(forward), tables.sessions.reverse.get(reverse));
            let (Some(forward), Some(reverse)) = halves else { continue };
            for reset in for_both_ends(forward, reverse) {
                if let Err(error) = sockets.send(&reset) {
                    tracing::debug!("no reset from {} to {}: {error}", reset.from, reset.to);
                }
            }
        }
    }
    Ok(cut.len())
}

/// Nobody opens a session from here on.
fn close_listeners(tables: &mut Tables) -> Result<()> {
    let open: Vec<(u32, Listener)> = (0..)
        .zip(tables.listener.iter())
        .filter_map(|(index, record)| Some((index, record.ok()?)))
        .filter(|(_, record)| record.state == ENTRY_ACTIVE && record.kind == LISTENER_FORWARD)
        .collect();
    for (index, record) in open {
        // It may be gone: an unload that failed can be repeated.
        let _ = tables.service.remove(&record.service);
        tables.listener.set(index, Listener { state: ENTRY_REMOVED, ..record }, 0)?;
    }
    Ok(())
}

/// Cuts every TCP session that is not over, so that XDP answers what its ends still send; returns the positions of both
/// halves of each.
fn cut(sessions: &Sessions, taken: &Taken) -> Vec<(u32, u32)> {
    let cut = taken.iter().filter_map(|position| {
        let reverse = sessions.reverse.get(position)?;
        let at = reverse.peer_in(&sessions.forward);
        let forward = sessions.forward.get(at)?;
        let common = forward.common();
        let is_ours = reverse.common().state().get() == LIVE
            && forward.peer_in(&sessions.reverse) == position
            && common.protocol().get() == PROTOCOL_TCP
            && !State::from_u8(common.tcp().get()).is_none_or(State::is_over);
        if !is_ours || !common.swap_state_if(LIVE, CUT) {
            return None;
        }
        reverse.common().swap_state_if(LIVE, CUT);
        Some((at, position))
    });
    cut.collect()
}
