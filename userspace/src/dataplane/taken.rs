//! Which local ports are taken. A session has one each, and the port says where its reverse half is: who knows the ports
//! finds every session without a look at the places of those that are not there, so that this costs by use and not by the
//! tables' size.
//!
//! XDP takes ports at the head of a ring, and only userspace puts any there; so what was taken since the last look still
//! stands in the ring, between the head of then and that of now. Next: `sweep`, which walks over them.

use super::sessions::Sessions;
use crate::dataplane::error::{Context, Result};

/// Ports to a word.
const WORD: u32 = u64::BITS;

/// The taken ports, by the positions of their reverse halves.
pub struct Taken {
    bits: Vec<u64>,
    /// Up to where each ring was read, by index in `ek_plane`.
    heads: Vec<u32>,
}

impl Taken {
    /// Those of now: all that are in no ring.
    ///
    /// # Errors
    /// Maps smaller than `ek_config` says.
    pub fn read(sessions: &Sessions) -> Result<Self> {
        let mut taken =
            Self { bits: vec![0; sessions.reverse.entries().div_ceil(WORD) as usize], heads: Vec::new() };
        for (index, plane) in sessions.plane.iter() {
            let (head, tail) = (plane.head().get(), plane.tail().get());
            for offset in 0..sessions.config.port_count {
                taken.set(
                    sessions.reverse_position(index, (sessions.config.port_base + offset) as u16),
                    true,
                )?;
            }
            for position in 0..tail.wrapping_sub(head) {
                let port = sessions.ring_entry(index, head.wrapping_add(position))?.snapshot();
                taken.set(sessions.reverse_position(index, port), false)?;
            }
            taken.heads.push(head);
        }
        Ok(taken)
    }

    /// Adds what was taken since the last look.
    ///
    /// # Errors
    /// Maps smaller than `ek_config` says.
    pub fn follow(&mut self, sessions: &Sessions) -> Result<()> {
        for (index, plane) in sessions.plane.iter() {
            let head = plane.head().get();
            let mut seen = self.heads.get(index as usize).copied().context("ek_plane has grown")?;
            while seen != head {
                let port = sessions.ring_entry(index, seen)?.snapshot();
                self.set(sessions.reverse_position(index, port), true)?;
                seen = seen.wrapping_add(1);
                self.heads[index as usize] = seen;
            }
        }
        Ok(())
    }

    /// The port whose reverse half is here was put back into its ring.
    pub fn remove(&mut self, position: u32) {
        if let Some(word) = self.bits.get_mut((position / WORD) as usize) {
            *word &= !(1 << (position % WORD));
        }
    }

    /// The positions in one of `parts` equal parts of the table.
    pub fn part(&self, part: u32, parts: u32) -> impl Iterator<Item = u32> {
        let bound = |part: u32| (self.bits.len() as u64 * u64::from(part) / u64::from(parts)) as usize;
        let words = (bound(part)..bound(part + 1)).map(|at| (at as u32 * WORD, self.bits[at]));
        words.flat_map(|(first, mut word)| {
            std::iter::from_fn(move || {
                (word != 0).then(|| {
                    let bit = word.trailing_zeros();
                    word &= word - 1;
                    first + bit
                })
            })
        })
    }

    /// All positions.
    pub fn iter(&self) -> impl Iterator<Item = u32> {
        self.part(0, 1)
    }

    fn set(&mut self, position: Option<u32>, is_taken: bool) -> Result<()> {
        let position = position.context("a ring has a port that is none of ours")?;
        let word = self
            .bits
            .get_mut((position / WORD) as usize)
            .context("ek_reverse is smaller than ek_config says")?;
        match is_taken {
            true => *word |= 1 << (position % WORD),
            false => *word &= !(1 << (position % WORD)),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeSet, VecDeque};

    use proptest::{collection, prelude::*};

    use super::*;
    use crate::dataplane::sessions::tests::{on_plain_memory, take};

    proptest! {
        /// Ports come and go in any order, and whoever looks now and then, or for the first time, knows all that are out.
        #[test]
        fn what_is_taken_is_what_no_ring_has(steps in collection::vec((0..3u8, any::<u32>()), 0..200)) {
            let sessions = on_plain_memory(2, 12);
            let mut taken = Taken::read(&sessions).unwrap();
            prop_assert_eq!(taken.iter().count(), 0);
            let (mut out, mut known) = (VecDeque::new(), BTreeSet::new());
            for (what, number) in steps {
                let plane = number % sessions.plane.entries();
                match what {
                    0 => {
                        let port = take(&sessions, plane);
                        out.extend(port.and_then(|port| sessions.reverse_position(plane, port)));
                    }
                    // Only what was seen is put back.
                    1 => if let Some(position) = out.pop_front_if(|position| known.contains(position)) {
                        sessions.free_port_of(position).unwrap();
                        taken.remove(position);
                        known.remove(&position);
                    },
                    _ => {
                        taken.follow(&sessions).unwrap();
                        known = out.iter().copied().collect();
                        prop_assert_eq!(taken.iter().collect::<BTreeSet<_>>(), known.clone());
                        let fresh = Taken::read(&sessions).unwrap();
                        prop_assert_eq!(fresh.iter().collect::<BTreeSet<_>>(), known.clone());
                        let parts = (0..4).flat_map(|part| taken.part(part, 4));
                        prop_assert!(parts.eq(taken.iter()));
                    }
                }
            }
        }
    }
}
