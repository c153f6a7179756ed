//! The frames of a connection of HTTP/2 (RFC 9113, section 4.1), by their heads alone as they pass: what h2 does not
//! tell. Which requests still send, how much they have sent, and what their trailers may take.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
};

use super::{
    budget::{Budget, Held},
    trailer_block,
};

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;
const WITH_PRIORITY: u8 = 0x20;
/// Of a frame's head.
const HEAD: usize = 9;
/// The most streams that are told apart; h2 refuses them long before.
const MOST: usize = 4096;

/// What every connection of HTTP/2 begins with.
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What those who watch a connection share.
#[derive(Debug)]
pub(super) struct Flow {
    /// What heads may take.
    pub(super) budget: Arc<Budget>,
    /// Set by whoever has read something, until all requests in it were taken: no more is read before.
    pub(super) is_full: AtomicBool,
    data: AtomicU64,
    bodies: AtomicUsize,
    begun: AtomicU64,
    /// Of each answer that has begun and not ended, how many bytes of its body have left.
    answers: Mutex<BTreeMap<u32, u64>>,
    is_over: AtomicBool,
}

impl Flow {
    pub(super) fn new(budget: Arc<Budget>) -> Arc<Self> {
        let is_full = AtomicBool::new(false);
        let (data, bodies) = (AtomicU64::new(0), AtomicUsize::new(0));
        Arc::new(Self {
            budget,
            is_full,
            data,
            bodies,
            begun: AtomicU64::new(0),
            answers: Mutex::default(),
            is_over: AtomicBool::new(false),
        })
    }

    /// How many bytes of the answer's body on this stream have left; none before its head.
    pub(super) fn sent(&self, stream: u32) -> Option<u64> {
        self.answers().get(&stream).copied()
    }

    /// Whether nothing leaves any more.
    pub(super) fn is_over(&self) -> bool {
        self.is_over.load(Relaxed)
    }

    fn answers(&self) -> MutexGuard<'_, BTreeMap<u32, u64>> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes of bodies that the client has sent.
    pub(super) fn data(&self) -> u64 {
        self.data.load(Relaxed)
    }

    /// How many requests have come, with the whole of their heads.
    pub(super) fn begun(&self) -> u64 {
        self.begun.load(Relaxed)
    }

    /// How many requests have not sent all of their bodies.
    pub(super) fn bodies(&self) -> usize {
        self.bodies.load(Relaxed)
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Frames {
    flow: Arc<Flow>,
    incoming: Reader,
    outgoing: Reader,
    /// The latest stream that the client has begun.
    latest: u32,
    /// Whether the header block under way is a trailer.
    is_trailer: bool,
    /// What there is of that trailer's block.
    block: Vec<u8>,
    /// The flags of the frame that the next bytes are of, if it is a trailer's.
    trailer_flags: Option<u8>,
    bodies: BTreeSet<u32>,
    trailers: BTreeMap<u32, Vec<Held>>,
}

/// A trailer is too much for what its connection may hold or has what may not stand there, or there are too many streams.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Excess;

impl Frames {
    /// Of a connection whose client has still to send the `preface` of so many bytes.
    pub(super) fn new(flow: Arc<Flow>, preface: usize) -> Self {
        Self {
            flow,
            incoming: Reader { skip: preface, ..Reader::default() },
            outgoing: Reader::default(),
            latest: 0,
            is_trailer: false,
            block: Vec::new(),
            trailer_flags: None,
            bodies: BTreeSet::new(),
            trailers: BTreeMap::new(),
        }
    }

    pub(super) fn flow(&self) -> &Arc<Flow> {
        &self.flow
    }

    /// These bytes come from the client.
    pub(super) fn read(&mut self, mut bytes: &[u8]) -> Result<(), Excess> {
        loop {
            let frame = self.incoming.next(&mut bytes);
            if let Some(flags) = self.trailer_flags.filter(|_| frame.is_some() || self.incoming.skip == 0) {
                self.end_of_trailer_frame(flags)?;
            }
            let Some(frame) = frame else { break };
            let Frame { kind, flags, stream, length } = frame;
            match kind {
                DATA => _ = self.flow.data.fetch_add(length as u64, Relaxed),
                HEADERS => {
                    self.is_trailer = stream <= self.latest;
                    if !self.is_trailer {
                        self.latest = stream;
                        self.bodies.insert(stream);
                    }
                }
                _ => {}
            }
            if matches!(kind, HEADERS | CONTINUATION) && flags & END_HEADERS != 0 && !self.is_trailer {
                self.flow.begun.fetch_add(1, Relaxed);
            }
            if matches!(kind, HEADERS | CONTINUATION) && self.is_trailer {
                let held = self.flow.budget.hold_trailer(length).ok_or(Excess)?;
                let is_first = if kind == HEADERS { flags } else { flags & END_HEADERS };
                self.trailer_flags = Some(is_first);
                self.incoming.payload = Some(Vec::new());
                self.trailers.entry(stream).or_default().push(held);
            }
            if frame.is_last() {
                self.bodies.remove(&stream);
            }
            if kind == RST_STREAM {
                self.trailers.remove(&stream);
                self.flow.answers().remove(&stream);
            }
            if self.bodies.len().max(self.trailers.len()) > MOST {
                return Err(Excess);
            }
        }
        self.flow.bodies.store(self.bodies.len(), Relaxed);
        Ok(())
    }

    /// A frame of a trailer is there as a whole.
    fn end_of_trailer_frame(&mut self, flags: u8) -> Result<(), Excess> {
        self.trailer_flags = None;
        let payload = self.incoming.payload.take().unwrap_or_default();
        let mut part = &payload[..];
        if flags & PADDED != 0 {
            // What is not as it should be h2 refuses.
            let (&padding, rest) = part.split_first().unwrap_or((&0, part));
            part = rest.get(..rest.len().saturating_sub(usize::from(padding))).unwrap_or_default();
        }
        if flags & WITH_PRIORITY != 0 {
            part = part.get(5..).unwrap_or_default();
        }
        self.block.extend_from_slice(part);
        if flags & END_HEADERS != 0 && trailer_block::is_forbidden(&std::mem::take(&mut self.block)) {
            return Err(Excess);
        }
        Ok(())
    }

    /// These bytes go to the client.
    pub(super) fn written(&mut self, mut bytes: &[u8]) {
        while let Some(frame) = self.outgoing.next(&mut bytes) {
            let stream = frame.stream;
            if frame.is_last() {
                self.bodies.remove(&stream);
                self.trailers.remove(&stream);
                self.flow.answers().remove(&stream);
            } else if matches!(frame.kind, DATA | HEADERS) {
                let length = if frame.kind == DATA { frame.length as u64 } else { 0 };
                *self.flow.answers().entry(stream).or_default() += length;
            }
        }
        self.flow.bodies.store(self.bodies.len(), Relaxed);
    }
}

impl Drop for Frames {
    fn drop(&mut self) {
        self.flow.is_over.store(true, Relaxed);
    }
}

/// Where in a series of frames one is.
#[derive(Debug, Default)]
struct Reader {
    head: [u8; HEAD],
    /// How much of the head there is.
    there: usize,
    /// What comes before the next head.
    skip: usize,
    /// That, if somebody wants it.
    payload: Option<Vec<u8>>,
}

/// A frame's head.
struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    length: usize,
}

impl Frame {
    /// Whether nothing more of its sender's comes on its stream.
    fn is_last(&self) -> bool {
        self.kind == RST_STREAM || (matches!(self.kind, DATA | HEADERS) && self.flags & END_STREAM != 0)
    }
}

impl Reader {
    /// The next head that is whole, up to which the bytes are taken; all of them if there is none.
    fn next(&mut self, bytes: &mut &[u8]) -> Option<Frame> {
        let skipped = self.skip.min(bytes.len());
        if let Some(payload) = &mut self.payload {
            payload.extend_from_slice(&bytes[..skipped]);
        }
        self.skip -= skipped;
        *bytes = &bytes[skipped..];
        let count = (HEAD - self.there).min(bytes.len());
        let (head, rest) = bytes.split_at(count);
        self.head[self.there..self.there + count].copy_from_slice(head);
        self.there += count;
        *bytes = rest;
        if self.there < HEAD {
            return None;
        }
        let [l0, l1, l2, kind, flags, s0, s1, s2, s3] = self.head;
        let length = u32::from_be_bytes([0, l0, l1, l2]) as usize;
        (self.there, self.skip) = (0, length);
        Some(Frame { kind, flags, stream: u32::from_be_bytes([s0 & 0x7f, s1, s2, s3]), length })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(kind: u8, flags: u8, stream: u32, length: usize) -> Vec<u8> {
        let head = [&(length as u32).to_be_bytes()[1..], &[kind, flags], &stream.to_be_bytes()];
        [head.concat(), vec![0; length]].concat()
    }

    proptest! {
        /// However the bytes come: of each stream, a head, some data, a trailer or an end.
        #[test]
        fn what_is_sent_is_known_however_it_is_cut(
            streams in prop::collection::vec((prop::collection::vec(0usize..40, 0..4), 0u8..4), 0..8),
            cut in 1usize..50,
        ) {
            let mut bytes = vec![0; PREFACE.len()];
            let (mut data, mut open, mut trailers) = (0, 0, 0);
            for (number, (pieces, end)) in streams.iter().enumerate() {
                let stream = 2 * number as u32 + 1;
                bytes.extend(frame(HEADERS, 0, stream, 3));
                bytes.extend(frame(CONTINUATION, 4, stream, 5));
                for piece in pieces {
                    bytes.extend(frame(DATA, 0, stream, *piece));
                    data += *piece as u64;
                }
                match end {
                    0 => open += 1,
                    1 => bytes.extend(frame(DATA, END_STREAM, stream, 0)),
                    2 => {
                        bytes.extend(frame(HEADERS, END_STREAM, stream, 1));
                        bytes.extend(frame(CONTINUATION, 4, stream, 1));
                        trailers += 1;
                    }
                    _ => bytes.extend(frame(RST_STREAM, 0, stream, 4)),
                }
            }
            let flow = Flow::new(Budget::new(1 << 20));
            let mut frames = Frames::new(flow.clone(), PREFACE.len());
            for part in bytes.chunks(cut) {
                frames.read(part).unwrap();
            }
            prop_assert_eq!((flow.data(), flow.bodies(), frames.trailers.len()), (data, open, trailers));
            prop_assert_eq!(flow.begun(), streams.len() as u64);
            // We end them all.
            let answers: Vec<u8> = (0..streams.len() as u32).flat_map(|number| frame(HEADERS, END_STREAM, 2 * number + 1, 7)).collect();
            for part in answers.chunks(cut) {
                frames.written(part);
            }
            prop_assert_eq!((flow.bodies(), frames.trailers.len()), (0, 0));
        }
    }

    #[test]
    fn what_has_left_of_an_answer_is_known_until_it_ends() {
        let flow = Flow::new(Budget::new(1 << 20));
        let mut frames = Frames::new(flow.clone(), 0);
        assert_eq!(flow.sent(1), None);
        frames.written(&frame(HEADERS, 4, 1, 7));
        assert_eq!(flow.sent(1), Some(0));
        frames.written(&[frame(DATA, 0, 1, 5), frame(DATA, 0, 3, 9), frame(DATA, 0, 1, 6)].concat());
        assert_eq!((flow.sent(1), flow.sent(3)), (Some(11), Some(9)));
        frames.written(&[frame(DATA, END_STREAM, 1, 5), frame(RST_STREAM, 0, 3, 4)].concat());
        assert_eq!((flow.sent(1), flow.sent(3), flow.is_over()), (None, None, false));
        drop(frames);
        assert!(flow.is_over());
    }

    #[test]
    fn what_may_not_stand_in_a_trailer_is_seen_however_it_is_cut() {
        let block = b"\x00\x06x-test\x02ok\x00\x05:path\x01/";
        let with = |kind, flags, payload: &[u8]| {
            let mut bytes = frame(kind, flags, 1, payload.len());
            bytes.truncate(HEAD);
            [&bytes, payload].concat()
        };
        let whole =
            [frame(HEADERS, END_HEADERS, 1, 7), with(HEADERS, END_HEADERS | END_STREAM, block)].concat();
        let padded = [&[3][..], &[0; 5], block, &[0; 3]].concat();
        let padded = [
            frame(HEADERS, END_HEADERS, 1, 7),
            with(HEADERS, END_HEADERS | END_STREAM | PADDED | WITH_PRIORITY, &padded),
        ]
        .concat();
        let parts = [
            frame(HEADERS, END_HEADERS, 1, 7),
            with(HEADERS, END_STREAM, &block[..14]),
            with(CONTINUATION, END_HEADERS, &block[14..]),
        ]
        .concat();
        for bytes in [whole, padded, parts] {
            for cut in 1..bytes.len() {
                let mut frames = Frames::new(Flow::new(Budget::new(1 << 20)), 0);
                let read = bytes.chunks(cut).try_for_each(|part| frames.read(part));
                assert_eq!(read, Err(Excess), "cut at {cut}");
            }
        }
    }

    #[test]
    fn trailers_take_no_more_than_the_budget() {
        let mut frames = Frames::new(Flow::new(Budget::new(1 << 20)), 0);
        for stream in (1..100).step_by(2) {
            frames.read(&frame(HEADERS, 4, stream, 10)).unwrap();
        }
        let most = (1..100)
            .step_by(2)
            .position(|stream| frames.read(&frame(HEADERS, 5, stream, 1000)) == Err(Excess));
        assert_eq!(most, Some((1 << 20) / 128_000));
    }
}
