//! Does the segment that makes the backend's socket always carry the client's address, however segments are doubled and
//! however late they come?

use std::net::SocketAddr;

use testbed::{
    Segment,
    cases::{BACK, Cast, FRONT, Side, frame, options},
};
use xdp_ebpf::{
    abi::PROTOCOL_TCP,
    host::HostTables,
    verdict::{Event, Outcome},
};

use crate::world::{INTERFACES, World};

/// Of each cast; each opens two connections, one after the other.
const TUPLES: u16 = 2500;
const STAMPS: [u8; 12] = [1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 1];

/// Numbers as good as any for this (xorshift, Marsaglia 2003).
struct Chance(u64);

impl Chance {
    fn number(&mut self) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 32) as u32
    }

    fn below(&mut self, most: usize) -> usize {
        self.number() as usize % most
    }
}

/// A client and a backend with a balancer between them, and what is on its way: in front of the balancer and behind it, in
/// no order.
struct Path<'a> {
    world: &'a World,
    cast: Cast,
    client: SocketAddr,
    chance: &'a mut Chance,
    to_balancer: Vec<(Side, Segment)>,
    to_end: Vec<(Side, Segment)>,
    /// First numbers of both ends, and how often the client has got the SYN-ACK.
    numbers: (u32, u32),
    answered: usize,
    /// Where the backend has a socket, or would make one.
    local: Option<SocketAddr>,
    has_socket: bool,
}

impl Path<'_> {
    fn send(&mut self, side: Side, segment: &Segment) {
        // One of three twice.
        for _ in 0..=usize::from(self.chance.below(3) == 0) {
            self.to_balancer.push((side, segment.clone()));
        }
    }

    fn client_sends(&mut self, edit: impl FnOnce(&mut Segment)) {
        let mut segment = Segment::new(self.client, self.cast.vip);
        segment.tcp.ack = true;
        segment.tcp.sequence_number = self.numbers.0.wrapping_add(1);
        segment.tcp.acknowledgment_number = self.numbers.1.wrapping_add(1);
        edit(&mut segment);
        self.send(Side::Front, &segment);
    }

    fn backend_sends(&mut self, to: SocketAddr, edit: impl FnOnce(&mut Segment)) {
        let mut segment = Segment::new(self.cast.backend, to);
        segment.tcp.ack = true;
        segment.tcp.sequence_number = self.numbers.1.wrapping_add(1);
        segment.tcp.acknowledgment_number = self.numbers.0.wrapping_add(1);
        edit(&mut segment);
        self.send(Side::Back, &segment);
    }

    fn connect(&mut self) {
        self.numbers = (self.chance.number(), self.chance.number());
        (self.answered, self.local, self.has_socket) = (0, None, false);
        let mut syn = self.cast.syn();
        (syn.source, syn.tcp.sequence_number) = (self.client, self.numbers.0);
        self.send(Side::Front, &syn);
    }

    /// Lets something on its way arrive. Whether there was something.
    fn step(&mut self) -> bool {
        let (first, second) = (self.to_balancer.len(), self.to_end.len());
        if first + second == 0 {
            return false;
        }
        let chosen = self.chance.below(first + second);
        if chosen < first {
            let (side, segment) = self.to_balancer.swap_remove(chosen);
            let (outcome, left) = self.world.send(side, &frame(side, &segment.packet().unwrap()));
            if let Outcome::Redirect(_) = outcome {
                self.to_end.push((side, Segment::parse(&left).unwrap()));
            }
            return true;
        }
        match self.to_end.swap_remove(chosen - first) {
            (Side::Front, segment) => self.arrive_at_backend(&segment),
            (Side::Back, segment) => self.arrive_at_client(&segment),
        }
        true
    }

    fn arrive_at_backend(&mut self, segment: &Segment) {
        let (mine, theirs) = (self.numbers.1, self.numbers.0);
        if segment.tcp.syn {
            if segment.tcp.sequence_number != theirs || self.has_socket {
                return;
            }
            // The port may be one that an earlier connection of the backend's still rests on.
            let late = (self.chance.number(), self.chance.number());
            if self.chance.below(3) == 0 {
                self.backend_sends(segment.source, |s| {
                    (s.tcp.sequence_number, s.tcp.acknowledgment_number) = late;
                    if late.0.is_multiple_of(2) {
                        s.payload = b"late".to_vec();
                    }
                });
            }
            self.local = Some(segment.source);
            self.backend_sends(segment.source, |s| {
                (s.tcp.syn, s.tcp.sequence_number) = (true, mine);
                options(s, &[&[2, 4, 5, 0xB4][..], &STAMPS].concat());
            });
            return;
        }
        let completes = Some(segment.source) == self.local
            && !segment.tcp.rst
            && segment.tcp.acknowledgment_number == mine.wrapping_add(1)
            && segment.tcp.sequence_number == theirs.wrapping_add(1);
        if completes && !self.has_socket {
            assert_eq!(segment.toa(), [self.client], "{:?}: {segment:?}", self.cast);
            self.has_socket = true;
            match self.chance.below(3) {
                0 => self.backend_sends(segment.source, |s| s.payload = b"220".to_vec()),
                1 => self.backend_sends(segment.source, |_| ()),
                _ => {}
            }
        }
    }

    fn arrive_at_client(&mut self, segment: &Segment) {
        if !segment.tcp.syn {
            let is_late = segment.tcp.acknowledgment_number != self.numbers.0.wrapping_add(1);
            if is_late && self.answered == 0 {
                let number = segment.tcp.acknowledgment_number;
                self.client_sends(|s| (s.tcp.rst, s.tcp.ack, s.tcp.sequence_number) = (true, false, number));
            }
            return;
        }
        if segment.tcp.acknowledgment_number != self.numbers.0.wrapping_add(1) {
            return;
        }
        let sack = |blocks: usize| [&[1, 1, 5, 2 + 8 * blocks as u8][..], &vec![9; 8 * blocks]].concat();
        // The third segment, then duplicate acknowledgements that say what came twice (RFC 2883).
        let blocks = self.answered.min(3);
        let carried = if blocks == 0 { STAMPS.to_vec() } else { [&STAMPS[..], &sack(blocks)].concat() };
        self.answered += 1;
        self.client_sends(|s| options(s, &carried));
        if self.chance.below(2) == 0 {
            self.client_sends(|s| {
                options(s, &carried);
                s.payload = b"question".to_vec();
            });
        }
    }

    /// Both ends close, so that a SYN on this tuple opens a session anew.
    fn close(&mut self) {
        let Some(local) = self.local else { return };
        let (client, backend) = (self.numbers.0.wrapping_add(1), self.numbers.1.wrapping_add(1));
        for side in [Side::Front, Side::Back] {
            let (source, destination) =
                if side == Side::Front { (self.client, self.cast.vip) } else { (self.cast.backend, local) };
            let mut fin = Segment::new(source, destination);
            (fin.tcp.fin, fin.tcp.ack) = (true, true);
            (fin.tcp.sequence_number, fin.tcp.acknowledgment_number) =
                if side == Side::Front { (client, backend) } else { (backend, client) };
            self.world.send(side, &frame(side, &fin.packet().unwrap()));
        }
    }
}

fn world() -> World {
    let locals = [Cast::IPV4.local.ip(), Cast::IPV6.local.ip()];
    let mut tables = HostTables::new(&locals, Cast::IPV4.local.port(), 30_000, 1 << 14);
    for cast in Cast::ALL {
        tables.listen(PROTOCOL_TCP, cast.vip, &[cast.backend]);
        tables.connect(INTERFACES[0], FRONT[0], cast.client.ip(), FRONT[1]);
        tables.connect(INTERFACES[1], BACK[0], cast.backend.ip(), BACK[1]);
    }
    World { tables }
}

#[test]
fn of_20_000_connections_no_backend_takes_one_for_the_balancer_s() {
    let world = world();
    let mut chance = Chance(0x5eed_0123_4567_89ab);
    let (mut tried, mut made) = (0, 0);
    for cast in Cast::ALL {
        for n in 0..TUPLES {
            let mut path = Path {
                world: &world,
                cast,
                client: SocketAddr::new(cast.client.ip(), 10_000 + n),
                chance: &mut chance,
                to_balancer: Vec::new(),
                to_end: Vec::new(),
                numbers: (0, 0),
                answered: 0,
                local: None,
                has_socket: false,
            };
            // The second on the same tuple, while some of the first is still on its way.
            for round in 0..2 {
                path.connect();
                tried += 1;
                let most = if round == 0 { 6 + path.chance.below(20) } else { usize::MAX };
                for _ in 0..most {
                    if !path.step() {
                        break;
                    }
                }
                made += u32::from(path.has_socket);
                path.close();
            }
        }
    }
    assert_eq!(tried, 20_000);
    assert!(made > 15_000, "{made} sockets were made: the others were cut by what came late");
    assert_eq!(world.tables.counted(Event::ToaNoRoom), 0);
}
