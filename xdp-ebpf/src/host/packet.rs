//! A packet in a vector.

use std::{vec, vec::Vec};

use crate::{
    admit::{self, Picked},
    family::{Family, V4, V6},
    fragment,
    frame::{self, Kind},
    icmp, icmp_error,
    next_hop::{self, Hops},
    open,
    packet::{Header, NoHeadroom, Packet},
    refuse,
    tables::{Hop, Tables},
    toa, unsettled,
    verdict::{Code, Event},
};

/// A packet with poisoned headroom in front.
#[derive(Clone, Debug)]
pub struct HostPacket {
    bytes: Vec<u8>,
    start: usize,
    ingress: u32,
}

impl HostPacket {
    /// `frame` with `headroom` bytes of 0xFF in front, from interface `ingress`.
    pub fn new(frame: &[u8], headroom: usize, ingress: u32) -> Self {
        let mut bytes = vec![0xff; headroom];
        bytes.extend_from_slice(frame);
        Self { bytes, start: headroom, ingress }
    }

    /// The frame.
    pub fn frame(&self) -> &[u8] {
        self.bytes.get(self.start..).unwrap_or_default()
    }
}

impl Packet for HostPacket {
    fn at<T: Header>(&self, offset: usize) -> Option<&T> {
        T::ref_from_prefix(self.bytes.get(self.start + offset..)?).ok().map(|(header, _)| header)
    }

    fn at_mut<T: Header>(&mut self, offset: usize) -> Option<&mut T> {
        T::mut_from_prefix(self.bytes.get_mut(self.start + offset..)?).ok().map(|(header, _)| header)
    }

    fn reaches(&self, bytes: usize) -> bool {
        self.frame().len() >= bytes
    }

    fn grow_head<const BY: usize>(&mut self) -> Result<(), NoHeadroom> {
        self.start = self.start.checked_sub(BY).ok_or(NoHeadroom)?;
        Ok(())
    }

    fn shrink_head<const BY: usize>(&mut self) -> Option<()> {
        self.shrink_head_by(BY)
    }

    fn shrink_head_by(&mut self, bytes: usize) -> Option<()> {
        self.start = Some(self.start + bytes).filter(|start| *start < self.bytes.len())?;
        Some(())
    }

    fn resize(&mut self, bytes: usize) -> Option<()> {
        let len = self.frame().len();
        if bytes > len {
            self.start = self.start.checked_sub(bytes - len)?;
        } else {
            self.bytes.truncate(self.start + bytes);
        }
        Some(())
    }

    fn answer_too_big<F: Family, T: Tables>(&mut self, tables: &T) -> Code {
        icmp_error::too_big::<F, Self, T>(self, tables).into()
    }

    fn make_plain<T: Tables>(&mut self, tables: &T) -> Result<Kind, Event> {
        frame::make_plain(self, tables)
    }

    fn restore<T: Tables>(&mut self, tables: &T, code: Code) -> Code {
        frame::restore(self, tables, code)
    }

    fn tag<T: Tables>(&mut self, tables: &T, slot: u8) -> Result<(), Event> {
        frame::tag(self, tables.interface(slot.into()).ok_or(Event::DropInternal)?.tags)
    }

    fn way_back<T: Tables>(&self, tables: &T) -> Code {
        frame::way_back(self, tables).into()
    }

    fn handle_fragment<F: Family, T: Tables>(&mut self, tables: &T) -> Code {
        fragment::handle::<F, Self, T>(self, tables).into()
    }

    fn strip_forged<F: Family>(&mut self, header_len: usize, syn: bool) -> Option<bool> {
        toa::strip::<F, Self>(self, header_len, syn)
    }

    fn lower_mss<F: Family>(&mut self, header_len: usize, by: u16) -> Option<()> {
        toa::lower_mss::<F, Self>(self, header_len, by)
    }

    fn handle_unsettled<F: Family, T: Tables>(&mut self, tables: &T) -> Code {
        unsettled::handle::<F, Self, T>(self, tables).into()
    }

    fn translate_icmp<F: Family, T: Tables>(&mut self, tables: &T, otherwise: Event) -> Code {
        icmp::translate::<F, Self, T>(self, tables, otherwise).into()
    }

    fn pick_member<F: Family, T: Tables>(&self, tables: &T) -> Result<Picked, Event> {
        admit::pick::<F, Self, T>(self, tables)
    }

    fn hop_to_client<F: Family, T: Tables>(&self, tables: &T) -> Result<Hop, Event> {
        next_hop::to_client::<F, Self, T>(self, tables)
    }

    fn hop_to_backend<T: Tables>(&self, tables: &T, backend: u16) -> Result<Hop, Event> {
        next_hop::to_backend(tables, backend)
    }

    fn open_session<F: Family, T: Tables>(
        &self,
        tables: &T,
        picked: Picked,
        hops: Hops,
    ) -> Result<(), Event> {
        if picked.ipv4 {
            open::open::<F, V4, Self, T>(self, tables, picked, hops)
        } else {
            open::open::<F, V6, Self, T>(self, tables, picked, hops)
        }
    }

    fn answer_reset<F: Family>(&mut self) -> Option<()> {
        refuse::reset::<F, Self>(self)
    }

    fn tell_of_session<F: Family, T: Tables>(&self, tables: &T, opened: Result<(), Event>) {
        open::tell::<F, Self, T>(self, tables, opened);
    }

    fn ingress(&self) -> u32 {
        self.ingress
    }
}
