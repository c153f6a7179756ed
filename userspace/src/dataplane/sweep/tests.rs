//! Sessions of all pairs of families on plain memory, swept: what ends, who is told, which ports come back, what counts.

use std::{
    collections::BTreeSet,
    net::IpAddr,
    sync::{
        Barrier,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    thread,
};

use model::access::Access;
use xdp_ebpf::{
    abi::{CLAIMED, FLAG_MIXED, PROTOCOL_TCP, PROTOCOL_UDP},
    family,
};

use super::*;
use crate::dataplane::{
    halves::Version,
    sessions::tests::{on_plain_memory, place, take},
};

const HZ: u32 = 250;
/// The index of a backend that was removed, or is down.
const ABANDONED: BackendIndex = BackendIndex::new(9);
/// The index of a backend that is down, and whose pool then ends its sessions.
const DROPPED: BackendIndex = BackendIndex::new(13);
/// The index of a backend that has drained for long enough.
const DRAINED: BackendIndex = BackendIndex::new(10);
/// The index of a listener without its VIP.
const UNREACHABLE: ListenerIndex = ListenerIndex::new(11);
/// The index of a listener whose list lets nobody in any more.
const CLOSED: ListenerIndex = ListenerIndex::new(12);
/// Another backend, and another listener.
const BACKEND: BackendIndex = BackendIndex::new(5);
const LISTENER: ListenerIndex = ListenerIndex::new(6);
/// Where half-open sessions are counted.
const PREFIX: u32 = 7;
/// The client's family and the backend's.
type Pair = (Version, Version);
const PAIRS: [Pair; 4] = [
    (Version::V4, Version::V4),
    (Version::V6, Version::V6),
    (Version::V6, Version::V4),
    (Version::V4, Version::V6),
];

fn address(version: Version, last: u8) -> IpAddr {
    match version {
        Version::V4 => [192, 0, 2, last].into(),
        Version::V6 => [0x2001, 0xDB8, 0, 0, 0, 0, 0, last.into()].into(),
    }
}

/// Both halves of a session by their positions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Opened {
    forward: u32,
    reverse: u32,
}

impl Opened {
    fn halves(self, sessions: &Sessions) -> [AnyHalf<'_>; 2] {
        [sessions.forward.get(self.forward).unwrap(), sessions.reverse.get(self.reverse).unwrap()]
    }

    fn states(self, sessions: &Sessions) -> (u8, u8) {
        let [forward, reverse] = self.halves(sessions).map(|half| half.common().state().get());
        (forward, reverse)
    }
}

/// Opens a session at `index` of its forward table, as the XDP program does, with the second local address.
fn open(sessions: &Sessions, (client, backend): Pair, index: u32, state: State, last_seen: u32) -> Opened {
    let config = sessions.config;
    let place = |port| match backend {
        Version::V4 => place::<family::V4>(&config, 1, config.plane_mask, port),
        Version::V6 => place::<family::V6>(&config, 1, config.plane_mask6, port),
    };
    let port = take(sessions, place(4000).0).expect("a free port");
    let peer = place(port).1;
    let opened = Opened {
        forward: sessions.forward.position(client, index),
        reverse: sessions.reverse.position(backend, peer),
    };
    let common = Common {
        state: LIVE,
        last_seen,
        tcp: state as u8,
        backend: BACKEND.narrow(),
        listener: LISTENER.narrow(),
        flags: if client == backend { 0 } else { FLAG_MIXED },
        ..Common::default()
    };
    let [forward, reverse] = opened.halves(sessions);
    let there = Common { peer, sport: 40000, dport: 80, ack: 11, ..common };
    forward.write(there, address(client, 1), address(client, 2));
    let back = Common { peer: index, sport: 8080, dport: port, ack: 22, ..common };
    reverse.write(back, address(backend, 3), address(backend, 4));
    opened
}

/// `ek_load`, `ek_limit` and `ek_half_open`.
struct Counts {
    load: Mapping<u32, BackendIndex>,
    limit: Mapping<Limit, ListenerIndex>,
    half_open: Mapping<u32>,
}

impl Default for Counts {
    fn default() -> Self {
        Self { load: Mapping::of_zeros(16), limit: Mapping::of_zeros(16), half_open: Mapping::of_zeros(16) }
    }
}

impl Counts {
    fn note(&self, forward: Shared<'_, Common>, standings: [Standing; 2]) {
        let [load, half_open] = [self.load.get(DRAINED), self.half_open.get(PREFIX)].map(Option::unwrap);
        Note::new(forward, standings).write(load, self.limit.get(LISTENER).unwrap(), half_open);
    }

    /// Of the member, the listener and the network of this test's sessions.
    fn now(&self) -> [u32; 3] {
        let connections = self.limit.get(LISTENER).unwrap().snapshot().connections;
        [
            self.load.get(DRAINED).unwrap().snapshot(),
            connections,
            self.half_open.get(PREFIX).unwrap().snapshot(),
        ]
    }
}

fn pass(sweeper: &mut Sweeper, sessions: &Sessions, now: u32) -> (Census, Vec<Reset>) {
    counted_pass(sweeper, sessions, now, &Counts::default())
}

fn counted_pass(
    sweeper: &mut Sweeper,
    sessions: &Sessions,
    now: u32,
    counts: &Counts,
) -> (Census, Vec<Reset>) {
    let (mut idle, timeouts) = (IdleTimeouts::default(), Timeouts::default());
    idle.set(LISTENER, Duration::from_secs(90));
    let abandoned = HashSet::from([ABANDONED]);
    let mut changed_lists = ChangedLists::default();
    changed_lists.note(CLOSED, &Access { allow: Some(BTreeSet::new()), ..Access::default() });
    let criteria = Criteria {
        now,
        hz: HZ,
        timeouts: &timeouts,
        idle: &idle,
        abandoned: &abandoned,
        dropped: &HashSet::from([DROPPED]),
        drained: &HashSet::from([DRAINED]),
        unreachable: &HashSet::from([UNREACHABLE]),
        changed_lists: &changed_lists,
        half_open: &counts.half_open,
        limit: &counts.limit,
        load: &counts.load,
    };
    let mut resets = Vec::new();
    let mut calls = 0;
    loop {
        calls += 1;
        if let Some(census) = sweeper.part(sessions, &criteria, &mut resets).unwrap() {
            assert_eq!(calls, PARTS);
            return (census, resets);
        }
    }
}

#[test]
fn an_idle_session_is_cut_and_freed_some_passes_later() {
    for pair in PAIRS {
        let sessions = on_plain_memory(2, 12);
        let start = u32::MAX - 100;
        let session = open(&sessions, pair, 9, State::Established, start);
        let states = || session.states(&sessions);
        let mut sweeper = Sweeper::new(&sessions).unwrap();

        let (census, resets) = pass(&mut sweeper, &sessions, start.wrapping_add(90 * HZ - 1));
        assert_eq!((states(), resets.len()), ((LIVE, LIVE), 0), "{pair:?}");
        assert!(census.backends.contains(BACKEND) && census.listeners.contains(LISTENER));

        let ends = |resets: &[Reset]| -> Vec<_> {
            resets.iter().map(|r| (r.from.ip(), r.to.ip(), r.to.port(), r.sequence)).collect()
        };
        let of_client = (address(pair.0, 2), address(pair.0, 1), 40000, 11);
        let of_backend = |sequence| (address(pair.1, 4), address(pair.1, 3), 8080, sequence);
        let (_, resets) = pass(&mut sweeper, &sessions, start.wrapping_add(90 * HZ));
        assert_eq!(states(), (CUT, CUT));
        assert_eq!(ends(&resets), [of_client, of_backend(22)], "each end hears it from its peer");
        // An end says what it expects by now, and XDP keeps it.
        session.halves(&sessions)[1].common().ack().set(33);
        let mut told = 1;
        for passes in 2..=5 {
            let (census, resets) = pass(&mut sweeper, &sessions, start.wrapping_add(91 * HZ));
            assert_eq!(states(), (CUT, CUT), "pass {passes}");
            if !resets.is_empty() {
                told += 1;
                assert_eq!(ends(&resets), [of_client, of_backend(33)]);
            }
            assert!(census.backends.contains(BACKEND) && census.listeners.contains(LISTENER));
            assert_eq!(sessions.ports().free, sessions.ports().total - 1);
        }
        assert!(told > 1, "nobody says whether it was heard");
        for after in [(DYING, DYING), (DYING, DYING), (FREE, FREE)] {
            assert_eq!(pass(&mut sweeper, &sessions, start).1, []);
            assert_eq!(states(), after);
        }
        assert_eq!(sessions.ports().free, sessions.ports().total);
        assert_eq!(pass(&mut sweeper, &sessions, start).0, Census::default());
        assert_eq!(sessions.ports().free, sessions.ports().total, "a port is given back once");
    }
}

#[test]
fn an_end_that_does_not_answer_is_not_kept_alive_by_the_other() {
    for (pair, silent) in PAIRS.into_iter().flat_map(|pair| [(pair, 0), (pair, 1)]) {
        let sessions = on_plain_memory(2, 12);
        let session = open(&sessions, pair, 0, State::Established, 0);
        let now = 200 * HZ;
        session.halves(&sessions)[1 - silent].common().last_seen().set(now);
        let (_, resets) = pass(&mut Sweeper::new(&sessions).unwrap(), &sessions, now);
        assert_eq!(resets.len(), 2, "{pair:?}");
    }
}

/// Indexes say little: both tables have them.
#[test]
fn sessions_of_both_families_with_the_same_indexes_are_four_sessions() {
    let sessions = on_plain_memory(2, 12);
    let opened: Vec<_> = [(0, PAIRS[0]), (0, PAIRS[1]), (1, PAIRS[2]), (1, PAIRS[3])]
        .map(|(index, pair)| open(&sessions, pair, index, State::Established, 0))
        .into();
    let taken = Taken::read(&sessions).unwrap();
    let found: Vec<_> =
        sessions.live(taken.iter()).map(|s| (s.client.is_ipv4(), s.backend.is_ipv4())).collect();
    assert_eq!(found, [(true, true), (false, true), (false, false), (true, false)]);
    opened[0].halves(&sessions)[1].common().state().set(DYING);
    opened[3].halves(&sessions)[0].common().state().set(DYING);
    assert_eq!(sessions.live(Taken::read(&sessions).unwrap().iter()).count(), 2);
}

#[test]
fn traffic_in_either_direction_keeps_a_session() {
    for pair in PAIRS {
        let sessions = on_plain_memory(2, 12);
        let session = open(&sessions, pair, 0, State::Established, 0);
        session.halves(&sessions)[1].common().last_seen().set(80 * HZ);
        let (_, resets) = pass(&mut Sweeper::new(&sessions).unwrap(), &sessions, 100 * HZ);
        assert!(resets.is_empty());
        assert_eq!(sessions.live(Taken::read(&sessions).unwrap().iter()).count(), 1);
    }
}

#[test]
fn udp_leaves_an_abandoned_backend_at_once_and_tcp_stays() {
    for (pair, (protocol, left)) in
        PAIRS.into_iter().flat_map(|pair| [(pair, (PROTOCOL_UDP, 0)), (pair, (PROTOCOL_TCP, 1))])
    {
        let sessions = on_plain_memory(2, 12);
        let [forward, _] = open(&sessions, pair, 3, State::Established, 100).halves(&sessions);
        forward.common().write(Common {
            protocol,
            backend: ABANDONED.narrow(),
            ..forward.common().snapshot()
        });
        let (_, resets) = pass(&mut Sweeper::new(&sessions).unwrap(), &sessions, 101);
        assert_eq!((sessions.live(Taken::read(&sessions).unwrap().iter()).count(), resets.len()), (left, 0));
    }
}

#[test]
fn whoever_must_go_is_told() {
    for (pair, (backend, listener)) in PAIRS.into_iter().flat_map(|pair| {
        [(DRAINED, LISTENER), (BACKEND, UNREACHABLE), (BACKEND, CLOSED)].map(|indexes| (pair, indexes))
    }) {
        for (protocol, state, left, resets) in [
            (PROTOCOL_TCP, State::Established, 0, 2),
            (PROTOCOL_TCP, State::FinWait, 0, 2),
            (PROTOCOL_UDP, State::Established, 0, 0),
            // Both ends know already.
            (PROTOCOL_TCP, State::TimeWait, 1, 0),
        ] {
            let sessions = on_plain_memory(2, 12);
            let [forward, _] = open(&sessions, pair, 3, state, 100).halves(&sessions);
            forward.common().write(Common {
                protocol,
                backend: backend.narrow(),
                listener: listener.narrow(),
                ..forward.common().snapshot()
            });
            let (_, told) = pass(&mut Sweeper::new(&sessions).unwrap(), &sessions, 101);
            let expected = (left, resets);
            assert_eq!(
                (sessions.live(Taken::read(&sessions).unwrap().iter()).count(), told.len()),
                expected,
                "{backend:?} {listener:?} {state:?}"
            );
        }
    }
}

/// Those of UDP go anyway, if there is somebody to go to.
#[test]
fn connections_leave_a_backend_that_is_down_if_its_pool_says_so() {
    for (protocol, left, resets) in [(PROTOCOL_TCP, 0, 2), (PROTOCOL_UDP, 1, 0)] {
        let sessions = on_plain_memory(2, 12);
        let [forward, _] = open(&sessions, PAIRS[0], 3, State::Established, 100).halves(&sessions);
        let there = forward.common().snapshot();
        forward.common().write(Common { protocol, backend: DROPPED.narrow(), ..there });
        let (_, told) = pass(&mut Sweeper::new(&sessions).unwrap(), &sessions, 101);
        assert_eq!(
            (sessions.live(Taken::read(&sessions).unwrap().iter()).count(), told.len()),
            (left, resets)
        );
    }
}

#[test]
fn closed_sessions_end_without_resets() {
    let sessions = on_plain_memory(2, 12);
    open(&sessions, PAIRS[0], 3, State::TimeWait, 0);
    let mut sweeper = Sweeper::new(&sessions).unwrap();
    let (_, resets) = pass(&mut sweeper, &sessions, 1000 * HZ);
    assert!(resets.is_empty());
    pass(&mut sweeper, &sessions, 1000 * HZ);
    assert_eq!(sessions.ports().free, sessions.ports().total);
}

#[test]
fn the_ends_of_what_the_program_cut_are_told_and_of_what_it_closed_not() {
    for (pair, (state, told)) in PAIRS.into_iter().flat_map(|pair| [(pair, (DYING, 0)), (pair, (CUT, 2))]) {
        let sessions = on_plain_memory(2, 12);
        let session = open(&sessions, pair, 3, State::Established, 0);
        let [forward, reverse] = session.halves(&sessions);
        forward.common().state().set(state);
        let mut sweeper = Sweeper::new(&sessions).unwrap();
        assert_eq!(pass(&mut sweeper, &sessions, 0).1.len(), told);
        reverse.common().state().set(state);
        (0..9).for_each(|_| drop(pass(&mut sweeper, &sessions, 0)));
        assert_eq!(session.states(&sessions), (FREE, FREE));
        assert_eq!(sessions.ports().free, sessions.ports().total);
    }
}

#[test]
fn the_port_of_a_session_whose_slot_was_given_away_comes_back_once() {
    for pair in PAIRS {
        let sessions = on_plain_memory(2, 12);
        let old = open(&sessions, pair, 3, State::TimeWait, 0);
        old.halves(&sessions)[1].common().state().set(DYING);
        let new = open(&sessions, pair, 3, State::Established, 0);
        assert_ne!(old.reverse, new.reverse);
        let mut sweeper = Sweeper::new(&sessions).unwrap();
        for (states, free) in [((DYING, LIVE), 2), ((FREE, LIVE), 1), ((FREE, LIVE), 1)] {
            pass(&mut sweeper, &sessions, 0);
            assert_eq!((old.states(&sessions).1, new.states(&sessions).1), states);
            assert_eq!(sessions.ports().free, sessions.ports().total - free);
        }
    }
}

#[test]
fn a_session_being_opened_is_left_alone() {
    let sessions = on_plain_memory(2, 12);
    let session = open(&sessions, PAIRS[0], 3, State::Established, 0);
    session.halves(&sessions)[1].common().state().set(CLAIMED);
    let (_, resets) = pass(&mut Sweeper::new(&sessions).unwrap(), &sessions, 1000 * HZ);
    assert!(resets.is_empty());
    assert_eq!(session.states(&sessions), (LIVE, CLAIMED));
}

/// Where nothing is taken, nothing is looked at: not even a half that says it lives.
#[test]
fn a_pass_costs_by_the_sessions_that_there_are() {
    let sessions = on_plain_memory(2, 12);
    let session = open(&sessions, PAIRS[0], 3, State::Established, 0);
    for (_, plane) in sessions.plane.iter() {
        plane.head().set(0);
    }
    let mut sweeper = Sweeper::new(&sessions).unwrap();
    assert_eq!(pass(&mut sweeper, &sessions, 1000 * HZ), (Census::default(), Vec::new()));
    assert_eq!(session.states(&sessions), (LIVE, LIVE));
    // XDP takes a port, and it is found.
    while (0..sessions.plane.entries()).any(|plane| take(&sessions, plane).is_some()) {}
    assert_eq!(pass(&mut sweeper, &sessions, 1000 * HZ).1.len(), 2);
    assert_eq!(session.states(&sessions), (CUT, CUT));
}

/// The next process frees what the one before was killed in the middle of, after each of its steps.
#[test]
fn a_session_half_freed_is_freed_by_the_next_process() {
    for (pair, step) in PAIRS.into_iter().flat_map(|pair| (0..6).map(move |step| (pair, step))) {
        let sessions = on_plain_memory(2, 12);
        let session = open(&sessions, pair, 3, State::TimeWait, 0);
        let [forward, reverse] = session.halves(&sessions).map(|half| half.common());
        let (states, reverse_state) =
            [(DYING, LIVE), (DYING, DYING), (FREE, DYING), (CUT, LIVE), (CUT, CUT), (DYING, CUT)][step];
        forward.state().set(states);
        reverse.state().set(reverse_state);
        let mut sweeper = Sweeper::new(&sessions).unwrap();
        (0..9).for_each(|_| drop(pass(&mut sweeper, &sessions, 0)));
        assert_eq!(session.states(&sessions), (FREE, FREE), "{pair:?} {step}");
        assert_eq!(sessions.ports().free, sessions.ports().total);
    }
}

/// Handshakes, resets and their revival by packets, over and over on several CPUs, while the sweeper ends the sessions.
#[test]
fn whatever_happens_at_once_a_connection_is_counted_off_once() {
    const SESSIONS: u32 = 16;
    const ROUNDS: usize = 200;
    const STEPS: [(State, State); 4] = [
        (State::SynRecv, State::Established),
        (State::Established, State::Close),
        (State::Close, State::Established),
        (State::Established, State::SynRecv),
    ];
    let sessions = on_plain_memory(2, 1024);
    let counts = Counts::default();
    let half = |index| sessions.forward.get(index).unwrap();
    for round in 0..ROUNDS {
        // Those of these sessions among them.
        while (0..sessions.plane.entries()).any(|plane| take(&sessions, plane).is_some()) {}
        for index in 0..SESSIONS {
            let common = Common {
                state: LIVE,
                protocol: PROTOCOL_TCP,
                tcp: State::SynRecv as u8,
                backend: DRAINED.narrow(),
                listener: LISTENER.narrow(),
                prefix: PREFIX as u16,
                peer: index,
                ..Common::default()
            };
            half(index).write(common, address(Version::V4, 1), address(Version::V4, 2));
            let reverse = sessions.reverse.get(index).unwrap();
            reverse.write(common, address(Version::V4, 3), address(Version::V4, 4));
        }
        counts.load.get(DRAINED).unwrap().write(SESSIONS);
        counts.half_open.get(PREFIX).unwrap().write(SESSIONS);
        let (barrier, is_over) = (Barrier::new(1 + STEPS.len()), AtomicBool::new(false));
        let packets = |(from, to): (State, State)| {
            barrier.wait();
            while !is_over.load(SeqCst) {
                for forward in (0..SESSIONS).map(|index| half(index).common()) {
                    let step = connection::step(forward, |state| if state == from { to } else { state });
                    step.inspect(|step| counts.note(forward, step.standings(PROTOCOL_TCP)));
                }
            }
        };
        thread::scope(|scope| {
            for step in STEPS {
                let packets = &packets;
                scope.spawn(move || packets(step));
            }
            barrier.wait();
            let mut sweeper = Sweeper::new(&sessions).unwrap();
            while (0..SESSIONS).any(|index| half(index).common().state().get() == LIVE) {
                counted_pass(&mut sweeper, &sessions, 100, &counts);
            }
            is_over.store(true, SeqCst);
        });
        assert_eq!(counts.now(), [0; 3], "round {round}");
    }
}
