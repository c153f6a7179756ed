//! Who may be picked at one moment. Picking reads this and locks nothing; it is made anew when a verdict, a member's rest
//! or a configuration changes it.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use model::schedule::taking_part;

use super::member::{Member, MemberState, SlowStart};

/// Who may be picked.
#[derive(Debug)]
pub(super) struct View {
    /// The members for everybody, by address; each has weight.
    pub(super) open: Vec<Open>,
    /// Indexes of `open` in the order that the algorithm walks through.
    pub(super) turns: Vec<u32>,
    /// The members for clients that stick to them.
    kept: HashMap<SocketAddr, Kept>,
    /// All members, also those that nobody may have now.
    members: HashMap<SocketAddr, Arc<Member>>,
    until: Option<Instant>,
}

/// A member for everybody.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) member: Arc<Member>,
    pub(super) weight: u16,
    slow_start: SlowStart,
}

impl Open {
    /// Whether it takes the turn that it has; in slow start it leaves some to the others.
    pub(super) fn takes_its_turn(&self, ramp: Duration, now: Instant) -> bool {
        let SlowStart::Since(start) = self.slow_start else { return true };
        let share = now.saturating_duration_since(start).as_secs_f64() / ramp.as_secs_f64();
        share >= 1.0 || self.member.takes(share)
    }
}

/// A member for clients that stick to it.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    pub(super) member: Arc<Member>,
    /// Whether it takes no new clients, so that the time of those that it has must not be made longer.
    pub(super) drains: bool,
}

impl View {
    /// `turns` puts indexes of the members for everybody into the order in which they are walked through; so many members
    /// has the pool, with those that nobody may have now.
    pub(super) fn new(
        states: &BTreeMap<SocketAddr, MemberState>,
        turns: impl FnOnce(&[Open], usize) -> Vec<u32>,
        drains: bool,
        now: Instant,
    ) -> Self {
        let takes_part = || states.values().filter(|state| state.takes_part());
        // While nobody is known to be well, those of whom nothing is known are better than none.
        let nobody = !takes_part().any(MemberState::is_up);
        let is_well = |state: &MemberState| state.is_up() || (nobody && state.is_unknown());
        // Those that rest leave their requests to others that are up, also to backups.
        let awake = takes_part().filter(|state| state.is_up() && !state.is_ejected(now));
        let mut best = taking_part(awake.map(MemberState::candidate));
        if best.is_empty() {
            best = taking_part(takes_part().map(MemberState::candidate));
        }
        let best: HashSet<SocketAddr> = best.into_iter().collect();
        let takes_part_now = |state: &MemberState| best.contains(&state.member.address);
        // If all that take part rest, they do not: a member that fails sometimes is better than none.
        let rest = takes_part().any(|state| takes_part_now(state) && !state.is_ejected(now));
        let well = || {
            let well = states.values().filter(|state| is_well(state) && !state.is_gone(now));
            well.filter(|state| !rest || !state.is_ejected(now))
        };
        let member = |state: &MemberState| Arc::clone(&state.member);
        let open: Vec<Open> = well()
            .filter(|state| takes_part_now(state))
            .map(|state| Open {
                member: member(state),
                weight: state.weight.get(),
                slow_start: state.slow_start,
            })
            .collect();
        let kept = well()
            .filter(|state| drains || state.takes_part())
            .map(|state| Kept { member: member(state), drains: !state.takes_part() })
            .map(|kept| (kept.member.address, kept))
            .collect();
        Self {
            turns: turns(&open, states.values().filter(|state| !state.leaves()).count()),
            open,
            kept,
            members: states.iter().map(|(&address, state)| (address, member(state))).collect(),
            until: states.values().filter_map(|state| state.next_change(now)).min(),
        }
    }

    /// Whether something has changed by itself since it was made.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| until <= now)
    }

    /// The member at an address if a client may stick to it.
    pub(super) fn kept(&self, address: SocketAddr) -> Option<&Kept> {
        self.kept.get(&address)
    }

    /// The member at an address, whatever its state.
    pub(super) fn member(&self, address: SocketAddr) -> Option<&Member> {
        self.members.get(&address).map(AsRef::as_ref)
    }

    /// The one whose turn it is after this many turns.
    pub(super) fn turn(&self, number: u64) -> Option<&Open> {
        let number = number.checked_rem(self.turns.len() as u64)?;
        let index = self.turns.get(usize::try_from(number).ok()?)?;
        self.open.get(*index as usize)
    }
}
