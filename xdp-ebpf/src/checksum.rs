//! Internet checksums, updated instead of computed (RFC 1624).
//!
//! A [`Sum`] adds 16-bit words as they lie in memory. One's-complement addition does not care about byte order as
//! long as all words have the same, so nothing is ever swapped.

/// A one's-complement sum of what was added to a packet (and the complement of what was taken away).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum(u64);

impl Sum {
    /// Nothing added.
    pub const ZERO: Sum = Sum(0);

    /// The sum that [`Sum::delta`] stored.
    #[inline(always)]
    pub const fn from_delta(delta: u16) -> Self {
        Sum(delta as u64)
    }

    /// Adds two bytes that lie at an even offset.
    #[inline(always)]
    pub const fn add2(self, bytes: [u8; 2]) -> Self {
        Sum(self.0 + u16::from_ne_bytes(bytes) as u64)
    }

    /// Takes away two bytes that lie at an even offset.
    #[inline(always)]
    pub const fn sub2(self, bytes: [u8; 2]) -> Self {
        Sum(self.0 + !u16::from_ne_bytes(bytes) as u64)
    }

    /// Adds four bytes that lie at an even offset.
    #[inline(always)]
    pub const fn add4(self, bytes: [u8; 4]) -> Self {
        Sum(self.0 + u32::from_ne_bytes(bytes) as u64)
    }

    /// Takes away four bytes that lie at an even offset.
    #[inline(always)]
    pub const fn sub4(self, bytes: [u8; 4]) -> Self {
        Sum(self.0 + !u32::from_ne_bytes(bytes) as u64)
    }

    /// Adds eight bytes, as a word lies in memory, that lie at an even offset.
    #[inline(always)]
    pub const fn add8(self, word: u64) -> Self {
        Sum(self.0 + (word & 0xffff_ffff) + (word >> 32))
    }

    /// One byte at `offset` becomes another.
    #[inline(always)]
    pub const fn replace1(self, offset: usize, old: u8, new: u8) -> Self {
        let (old, new) = if offset.is_multiple_of(2) { ([old, 0], [new, 0]) } else { ([0, old], [0, new]) };
        self.sub2(old).add2(new)
    }

    /// Adds another sum.
    #[inline(always)]
    pub const fn add(self, other: Sum) -> Self {
        Sum(self.0 + other.0)
    }

    /// Takes another sum away.
    #[inline(always)]
    pub const fn sub(self, other: Sum) -> Self {
        Sum(self.0 + !other.delta() as u64)
    }

    /// Folded to 16 bits, to be stored.
    #[inline(always)]
    pub const fn delta(self) -> u16 {
        let mut sum = self.0;
        sum = (sum & 0xffff_ffff) + (sum >> 32);
        sum = (sum & 0xffff) + (sum >> 16);
        sum = (sum & 0xffff) + (sum >> 16);
        sum = (sum & 0xffff) + (sum >> 16);
        sum as u16
    }

    /// The checksum of a header of which this is the sum.
    #[inline(always)]
    pub const fn checksum(self) -> [u8; 2] {
        (!self.delta()).to_ne_bytes()
    }

    /// `checksum` after this change: `~(~checksum + sum)`, equation 3 of RFC 1624.
    #[inline(always)]
    pub const fn update(self, checksum: [u8; 2]) -> [u8; 2] {
        (!self.sub2(checksum).delta()).to_ne_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    /// The checksum from its definition (RFC 1071), over big-endian words.
    fn checksum(bytes: &[u8]) -> u16 {
        let mut sum = 0u32;
        for pair in bytes.chunks(2) {
            sum += u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0));
            sum = (sum & 0xffff) + (sum >> 16);
        }
        !(sum as u16)
    }

    /// 0x0000 and 0xffff are the same number in one's complement.
    fn same(a: u16, b: u16) -> bool {
        a == b || (a == 0 && b == 0xffff) || (a == 0xffff && b == 0)
    }

    proptest! {
        #[test]
        fn an_update_equals_a_new_sum(
            mut bytes in prop::collection::vec(any::<u8>(), 8..64),
            edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u32>(), 0..3u8), 1..10),
        ) {
            bytes.truncate(bytes.len() & !3);
            let before = checksum(&bytes);
            let mut sum = Sum::ZERO;
            for (at, value, width) in edits {
                let value = value.to_be_bytes();
                match width {
                    0 => {
                        let i = at.index(bytes.len());
                        sum = sum.replace1(i, bytes[i], value[0]);
                        bytes[i] = value[0];
                    }
                    1 => {
                        let i = at.index(bytes.len() / 2) * 2;
                        sum = sum.sub2([bytes[i], bytes[i + 1]]).add2([value[0], value[1]]);
                        bytes[i..i + 2].copy_from_slice(&value[..2]);
                    }
                    _ => {
                        let i = at.index(bytes.len() / 4) * 4;
                        let old: Vec<u8> = bytes[i..i + 4].to_vec();
                        sum = sum.sub4(old.try_into().unwrap()).add4(value);
                        bytes[i..i + 4].copy_from_slice(&value);
                    }
                }
            }
            let stored = Sum::from_delta(sum.delta());
            let after = u16::from_be_bytes(stored.update(before.to_be_bytes()));
            prop_assert!(same(after, checksum(&bytes)), "{after:04x} {:04x}", checksum(&bytes));
        }
    }
}
