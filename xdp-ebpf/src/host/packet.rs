//! A packet in a vector.

use std::{vec, vec::Vec};

use crate::{
    admit, fragment, frame, icmp, icmp_error, limit, next_hop, open,
    packet::{Header, NoHeadroom, Packet},
    schedule, slow_path, stray, tcp_reset, toa,
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

    fn ingress(&self) -> u32 {
        self.ingress
    }
}

// Nobody verifies anything here: every stage is called as it is.
impl admit::OutOfLine for HostPacket {}
impl fragment::OutOfLine for HostPacket {}
impl frame::OutOfLine for HostPacket {}
impl icmp::OutOfLine for HostPacket {}
impl icmp_error::OutOfLine for HostPacket {}
impl limit::OutOfLine for HostPacket {}
impl next_hop::OutOfLine for HostPacket {}
impl open::OutOfLine for HostPacket {}
impl schedule::OutOfLine for HostPacket {}
impl tcp_reset::OutOfLine for HostPacket {}
impl toa::OutOfLine for HostPacket {}
impl slow_path::OutOfLine for HostPacket {}
impl stray::OutOfLine for HostPacket {}
