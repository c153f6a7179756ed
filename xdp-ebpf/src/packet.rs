//! How the stages see a packet.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// A header: any bytes are a valid one, at any address.
pub trait Header: FromBytes + IntoBytes + Immutable + KnownLayout + Unaligned {}
impl<T: FromBytes + IntoBytes + Immutable + KnownLayout + Unaligned> Header for T {}

/// There is no room in front of the frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoHeadroom;

/// A frame, from the Ethernet header on. Every access is checked against the frame's end; offsets are in bytes.
pub trait Packet {
    /// The header at `offset`, if the frame reaches that far.
    fn at<T: Header>(&self, offset: usize) -> Option<&T>;

    /// The same, to be written. It borrows the packet, so that no two headers can be held across a change.
    fn at_mut<T: Header>(&mut self, offset: usize) -> Option<&mut T>;

    /// Whether the frame has at least `bytes` bytes, all fragments of a jumbo frame included.
    fn reaches(&self, bytes: usize) -> bool;

    /// Puts `BY` bytes of rubbish in front.
    ///
    /// # Errors
    /// [`NoHeadroom`]; the frame is as before.
    fn grow_head<const BY: usize>(&mut self) -> Result<(), NoHeadroom>;

    /// Takes `BY` bytes away in front. `None` if there are no more than those.
    fn shrink_head<const BY: usize>(&mut self) -> Option<()>;

    /// Takes `bytes` away in front, at most 300. `None` if there are no more than those.
    fn shrink_head_by(&mut self, bytes: usize) -> Option<()>;

    /// Makes the frame `bytes` long; what stands in it then is rubbish. `None` if it cannot grow as far.
    fn resize(&mut self, bytes: usize) -> Option<()>;

    /// Index of the interface it came in by.
    fn ingress(&self) -> u32;
}
