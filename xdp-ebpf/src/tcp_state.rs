//! What a segment does to its session: IPVS's table (`net/netfilter/ipvs/ip_vs_proto_tcp.c`, `tcp_states`), for what may
//! be believed, and the way back from a reset.
//!
//! IPVS trusts everybody who knows addresses and ports, so one forged packet closes a session or completes a handshake.
//! Here only those of a segment's flags count that fit what the other end has said ([`crate::slow_path`] sees to that). A reset that fits leads to
//! [`State::Close`] with its short timeout as there, but when both ends have sent something other than a reset since,
//! the session is established again ([`revived`]).

use core::hint::black_box;

use crate::{tables::Direction, wire::Flags};

/// State of a TCP session, with the numbers that `ek_forward` and `ek_reverse` hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
#[allow(missing_docs, reason = "the names are TCP's")]
pub enum State {
    None = 0,
    Established = 1,
    SynSent = 2,
    SynRecv = 3,
    FinWait = 4,
    TimeWait = 5,
    Close = 6,
    CloseWait = 7,
    LastAck = 8,
    Listen = 9,
    SynAck = 10,
}

use State::{
    Close as CL, CloseWait as CW, Established as ES, FinWait as FW, LastAck as LA, Listen as LI,
    SynAck as SA, SynRecv as SR, SynSent as SS, TimeWait as TW,
};

impl State {
    /// The state with this number.
    #[inline(always)]
    pub const fn from_u8(number: u8) -> Option<State> {
        Some(match number {
            0 => State::None,
            1 => ES,
            2 => SS,
            3 => SR,
            4 => FW,
            5 => TW,
            6 => CL,
            7 => CW,
            8 => LA,
            9 => LI,
            10 => SA,
            _ => return None,
        })
    }

    /// The name that `ss` and `netstat` print.
    pub const fn name(self) -> &'static str {
        match self {
            State::None => "NONE",
            ES => "ESTABLISHED",
            SS => "SYN_SENT",
            SR => "SYN_RECV",
            FW => "FIN_WAIT",
            TW => "TIME_WAIT",
            CL => "CLOSE",
            CW => "CLOSE_WAIT",
            LA => "LAST_ACK",
            LI => "LISTEN",
            SA => "SYN_ACK",
        }
    }

    /// Whether the connection is over: it no longer counts in `ek_load`, and a new SYN for the same tuple begins a new
    /// session, with a fresh pick and a fresh local port.
    #[inline(always)]
    pub const fn is_over(self) -> bool {
        matches!(self, TW | CL)
    }

    /// Whether the handshake is not complete.
    #[inline(always)]
    pub const fn is_half_open(self) -> bool {
        matches!(self, State::None | SS | SR | SA | LI)
    }
}

type Row = [State; 11];

#[rustfmt::skip]
static IN: [Row; 4] = [
    // None ES  SS  SR  FW  TW  CL  CW  LA  LI  SA
    [SR, ES, ES, SR, SR, SR, SR, SR, SR, SR, SR], // SYN
    [CL, CW, SS, TW, TW, TW, CL, CW, LA, LI, TW], // FIN
    [CL, ES, SS, ES, FW, TW, CL, CW, CL, LI, ES], // ACK
    [CL, CL, CL, SR, CL, CL, CL, CL, LA, LI, SR], // RST
];
#[rustfmt::skip]
static OUT: [Row; 4] = [
    [SS, ES, SS, SR, SS, SS, SS, SS, SS, LI, SR],
    [TW, FW, SS, TW, FW, TW, CL, TW, LA, LI, TW],
    [ES, ES, SS, ES, FW, TW, CL, CW, LA, ES, ES],
    [CL, CL, SS, CL, CL, TW, CL, CL, CL, CL, CL],
];

/// The state after a segment with these flags. RST counts before SYN, SYN before FIN, FIN before ACK; a segment
/// with none of them changes nothing.
#[inline(always)]
pub fn next(state: State, direction: Direction, flags: Flags) -> State {
    let event = if flags.any(Flags::RST) {
        3
    } else if flags.any(Flags::SYN) {
        0
    } else if flags.any(Flags::FIN) {
        1
    } else if flags.any(Flags::ACK) {
        2
    } else {
        return state;
    };
    let table = match direction {
        Direction::In => &IN,
        Direction::Out => &OUT,
    };
    let row: Option<&Row> = table.get(event);
    // The compiler knows that no state is out of bounds, and would leave out the check by which the verifier does.
    match row.and_then(|row| row.get(black_box(state as usize))) {
        Some(&next) => next,
        None => state,
    }
}

/// How far a FIN may lie beyond what its receiver has acknowledged, and an acknowledgement beyond the SYN-ACK: the largest
/// window there is (RFC 7323, 2.3), since nobody kept the window scales.
pub const WINDOW: u32 = 1 << 30;
/// The same of a reset: receivers believe only the very next number (RFC 5961, 3.2), but what they have acknowledged
/// may still be on its way.
pub const RESET_WINDOW: u32 = 1 << 16;

/// The state after a segment, by those of its flags that can be believed: before the handshake is complete, ACK and FIN of
/// a segment that shows that it is; SYN of a client, or with the answer of a backend that opens. None of them moves nothing.
#[inline(always)]
pub fn after(before: State, direction: Direction, believed: Flags) -> State {
    let from = if believed.any(Flags::RST) {
        if before == SR && direction == Direction::In {
            // The client takes its SYN back.
            return CL;
        }
        before
    } else if believed.any(Flags::SYN) {
        let opens = direction == Direction::Out || before == State::None;
        return if opens { SR } else { before };
    } else if before == SR && believed.any(Flags::FIN.and(Flags::ACK)) {
        ES
    } else {
        before
    };
    next(from, direction, believed)
}

/// The state of a session that a reset has closed, once neither end still has [`crate::abi::FLAG_RESET`]: both
/// have sent something else since, so the reset was not believed.
#[inline(always)]
pub const fn revived(state: State, reset_seen_in: bool, reset_seen_out: bool) -> State {
    match state {
        CL if !reset_seen_in && !reset_seen_out => ES,
        _ => state,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{string::String, vec::Vec};

    /// The table as fullnat-toa.md and the kernel print it.
    const PRINTED: &str = "
        IN  syn SR ES ES SR SR SR SR SR SR SR SR      OUT syn SS ES SS SR SS SS SS SS SS LI SR
            fin CL CW SS TW TW TW CL CW LA LI TW          fin TW FW SS TW FW TW CL TW LA LI TW
            ack CL ES SS ES FW TW CL CW CL LI ES          ack ES ES SS ES FW TW CL CW LA ES ES
            rst CL CL CL SR CL CL CL CL LA LI SR          rst CL CL SS CL CL TW CL CL CL CL CL";

    fn short(state: State) -> &'static str {
        match state {
            State::None => "NO",
            ES => "ES",
            SS => "SS",
            SR => "SR",
            FW => "FW",
            TW => "TW",
            CL => "CL",
            CW => "CW",
            LA => "LA",
            LI => "LI",
            SA => "SA",
        }
    }

    #[test]
    fn every_cell_is_that_of_the_printed_table() {
        let words: Vec<&str> = PRINTED.split_whitespace().filter(|w| !["IN", "OUT"].contains(w)).collect();
        let mut cells = 0;
        for (i, row) in words.chunks(12).enumerate() {
            let direction = [Direction::In, Direction::Out][i % 2];
            let event = match row[0] {
                "syn" => Flags::SYN,
                "fin" => Flags::FIN.and(Flags::ACK),
                "ack" => Flags::ACK.and(Flags::PSH),
                "rst" => Flags::RST.and(Flags::ACK),
                other => panic!("{other}"),
            };
            for (number, wanted) in row[1..].iter().enumerate() {
                let state = State::from_u8(number as u8).unwrap();
                assert_eq!(
                    short(next(state, direction, event)),
                    *wanted,
                    "{direction:?} {} {state:?}",
                    row[0]
                );
                cells += 1;
            }
        }
        assert_eq!(cells, 88);
    }

    fn walk(steps: &[(Direction, Flags)]) -> Vec<String> {
        let mut state = State::None;
        steps
            .iter()
            .map(|&(direction, flags)| {
                state = after(state, direction, flags);

                String::from(short(state))
            })
            .collect()
    }

    #[test]
    fn lives_of_ordinary_connections() {
        let (i, o) = (Direction::In, Direction::Out);
        let ack = Flags::ACK;
        let fin = Flags::FIN.and(ack);
        let syn_ack = Flags::SYN.and(ack);
        let open = [(i, Flags::SYN), (o, syn_ack), (i, ack), (i, ack), (o, ack)];
        let client_closes = [(i, fin), (o, ack), (o, ack), (o, fin), (i, ack)];
        let server_closes = [(o, fin), (i, ack), (i, fin), (o, ack)];
        assert_eq!(walk(&open), ["SR", "SR", "ES", "ES", "ES"]);
        assert_eq!(walk(&[&open[..], &client_closes].concat())[5..], ["CW", "CW", "CW", "TW", "TW"]);
        assert_eq!(walk(&[&open[..], &server_closes].concat())[5..], ["FW", "FW", "TW", "TW"]);
        assert_eq!(walk(&[&open[..], &[(o, Flags::RST)]].concat())[5..], ["CL"]);
        assert_eq!(walk(&[(i, Flags::SYN), (o, Flags::RST.and(ack))]), ["SR", "CL"]);
    }

    #[test]
    fn what_is_not_believed_moves_nothing_and_what_begins_begins_anew() {
        let every = (0..=10).map(|number| State::from_u8(number).unwrap());
        for (state, direction) in every.flat_map(|s| [(s, Direction::In), (s, Direction::Out)]) {
            assert_eq!(after(state, direction, Flags::default()), state);
            let begun = after(state, direction, Flags::SYN);
            let is_alone = direction == Direction::In && state != State::None;
            assert_eq!(begun, if is_alone { state } else { SR }, "a client's SYN alone begins nothing anew");
        }
    }

    #[test]
    fn a_half_open_session_is_taken_back_or_goes_on_as_an_established_one() {
        assert_eq!(after(SR, Direction::In, Flags::RST), CL);
        assert_eq!(after(SR, Direction::In, Flags::FIN.and(Flags::ACK)), CW);
        assert_eq!(after(SR, Direction::Out, Flags::FIN.and(Flags::ACK)), FW);
    }

    #[test]
    fn only_a_reset_that_both_ends_ignore_is_undone() {
        assert_eq!(revived(CL, true, true), CL);
        assert_eq!(revived(CL, true, false), CL);
        assert_eq!(revived(CL, false, true), CL);
        assert_eq!(revived(CL, false, false), ES);
        assert_eq!(revived(TW, false, false), TW);
    }
}
