//! How the stages see a packet.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::{
    admit::Picked,
    family::Family,
    frame::Kind,
    next_hop::Hops,
    tables::{Hop, Tables},
    verdict::{Code, Event},
};

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

    /// [`crate::icmp_error::too_big`], as a function that is verified once and apart.
    fn answer_too_big<F: Family, T: Tables>(&mut self, tables: &T) -> Code;

    /// [`crate::frame::make_plain`], as a function that is verified once and apart.
    ///
    /// # Errors
    /// The event with which the packet ends.
    fn make_plain<T: Tables>(&mut self, tables: &T) -> Result<Kind, Event>;

    /// [`crate::frame::restore`], as a function too.
    fn restore<T: Tables>(&mut self, tables: &T, code: Code) -> Code;

    /// [`crate::frame::tag`] with the tags of the interface in this slot, as a function too.
    ///
    /// # Errors
    /// The event with which the packet ends instead.
    fn tag<T: Tables>(&mut self, tables: &T, slot: u8) -> Result<(), Event>;

    /// [`crate::frame::way_back`], as a function too.
    fn way_back<T: Tables>(&self, tables: &T) -> Code;

    /// [`crate::fragment::handle`], as a function too.
    fn handle_fragment<F: Family, T: Tables>(&mut self, tables: &T) -> Code;

    /// [`crate::toa::strip`]. The kernel's packets call it as a function that is verified once and apart, because
    /// its loop, inlined behind every path that leads to it, is more than the verifier follows.
    fn strip_forged<F: Family>(&mut self, header_len: usize, syn: bool) -> Option<bool>;

    /// [`crate::toa::lower_mss`], apart for the same reason.
    fn lower_mss<F: Family>(&mut self, header_len: usize, by: u16) -> Option<()>;

    /// [`crate::unsettled::handle`], as a function too: see [`crate::pipeline`].
    fn handle_unsettled<F: Family, T: Tables>(&mut self, tables: &T) -> Code;

    /// [`crate::admit::pick`], as a function too.
    ///
    /// # Errors
    /// The event with which the packet ends.
    fn pick_member<F: Family, T: Tables>(&self, tables: &T) -> Result<Picked, Event>;

    /// [`crate::next_hop::to_client`], as a function too.
    ///
    /// # Errors
    /// The event under which the packet is dropped.
    fn hop_to_client<F: Family, T: Tables>(&self, tables: &T) -> Result<Hop, Event>;

    /// [`crate::next_hop::to_backend`], as a function too.
    ///
    /// # Errors
    /// The event under which the packet is dropped.
    fn hop_to_backend<T: Tables>(&self, tables: &T, backend: u16) -> Result<Hop, Event>;

    /// [`crate::open::open`] for the family of the member, as a function too.
    ///
    /// # Errors
    /// The event under which the packet is dropped.
    fn open_session<F: Family, T: Tables>(&self, tables: &T, picked: Picked, hops: Hops)
    -> Result<(), Event>;

    /// [`crate::refuse::reset`], as a function too.
    fn answer_reset<F: Family>(&mut self) -> Option<()>;

    /// [`crate::open::tell`], as a function too.
    fn tell_of_session<F: Family, T: Tables>(&self, tables: &T, opened: Result<(), Event>);

    /// [`crate::icmp::translate`], as a function too.
    fn translate_icmp<F: Family, T: Tables>(&mut self, tables: &T, otherwise: Event) -> Code;

    /// Index of the interface it came in by.
    fn ingress(&self) -> u32;
}
