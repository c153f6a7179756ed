//! Ports that a process held when it died: between freeing a session and giving its port back, the port is neither in
//! a ring nor in a session. Whoever takes over looks for such ports once.

use std::{collections::HashSet, time::Duration};

use xdp_ebpf::abi::FREE;

use super::sessions::Sessions;
use crate::dataplane::error::Result;

/// Gives back every port that is in no ring and no session, and still so after `pause`: the XDP program also has a
/// port in hand for a moment, when it opens a session. Returns how many there were. Nobody else may give ports back
/// meanwhile.
///
/// # Errors
/// Maps smaller than `ek_config` says.
pub fn reclaim(sessions: &Sessions, pause: Duration) -> Result<usize> {
    let first = in_nobodys_hands(sessions)?;
    if first.is_empty() {
        return Ok(0);
    }
    std::thread::sleep(pause);
    let second = in_nobodys_hands(sessions)?;
    let lost: Vec<_> = first.intersection(&second).collect();
    for &&(plane, port) in &lost {
        sessions.give_back(plane, port)?;
    }
    Ok(lost.len())
}

/// Planes and ports.
fn in_nobodys_hands(sessions: &Sessions) -> Result<HashSet<(u32, u16)>> {
    let config = sessions.config;
    let mut found = HashSet::new();
    for (index, plane) in sessions.plane.iter() {
        // A port that leaves the ring meanwhile counts as in the ring, one that is in a session is in `reverse`.
        let (head, tail) = (plane.head().get(), plane.tail().get());
        let mut in_ring = HashSet::new();
        for position in 0..tail.wrapping_sub(head) {
            in_ring.insert(sessions.ring_entry(index, head.wrapping_add(position))?.snapshot());
        }
        for offset in 0..config.port_count {
            let port = (config.port_base + offset) as u16;
            let reverse = sessions.reverse_at(index, port);
            if !in_ring.contains(&port) && reverse.is_some_and(|half| half.common().state().get() == FREE) {
                found.insert((index, port));
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use xdp_ebpf::abi::{DYING, LIVE};

    use super::*;
    use crate::dataplane::sessions::tests::{on_plain_memory, take};

    #[test]
    fn only_ports_that_nobody_has_come_back() {
        let sessions = on_plain_memory(2, 12);
        let last = sessions.plane.entries() - 1;
        // A plane of an IPv4 local address, and one of an IPv6 local address.
        for plane in [1, last] {
            let taken: Vec<_> = (0..3).map(|_| take(&sessions, plane).unwrap()).collect();
            for (port, state) in taken.iter().zip([LIVE, DYING]) {
                sessions.reverse_at(plane, *port).unwrap().common().state().set(state);
            }
            assert_eq!(reclaim(&sessions, Duration::ZERO).unwrap(), 1);
            assert_eq!(take(&sessions, plane), Some(taken[2]));
            assert_eq!(take(&sessions, plane), None);
            assert_eq!(reclaim(&sessions, Duration::ZERO).unwrap(), 1, "it is in nobody's hands again");
        }
    }
}
