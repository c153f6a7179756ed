//! Answers become a standing. Pure.

use model::health::Pace;

use super::failure::Failure;

/// Whether a member may take new connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may.
    Up,
    /// It may not.
    Down,
}

/// What is known of a member.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// None before the first answer.
    pub verdict: Option<Verdict>,
    /// How the last probe failed that did, since then good ones may have gone by.
    pub last_failure: Option<Failure>,
}

/// The judge of one member: the first answer decides, later ones only when as many in a row contradict what holds as the
/// pace says.
#[derive(Clone, Debug)]
pub struct Judge {
    standing: Standing,
    retries: u8,
    retries_down: u8,
    /// Answers in a row, up to the last one, that contradict the verdict.
    against: u8,
}

impl Judge {
    /// Goes on from `standing`.
    pub fn new(standing: Standing, pace: &Pace) -> Self {
        Self { standing, retries: pace.retries.get(), retries_down: pace.retries_down.get(), against: 0 }
    }

    /// What holds.
    pub fn standing(&self) -> Standing {
        self.standing
    }

    /// Hears how a probe went. Whether the standing is another now.
    pub fn hear(&mut self, answer: Result<(), Failure>) -> bool {
        let before = self.standing;
        self.standing.last_failure = answer.err().or(before.last_failure);
        let speaks_for = if answer.is_ok() { Verdict::Up } else { Verdict::Down };
        let needed = if answer.is_ok() { self.retries } else { self.retries_down };
        match before.verdict {
            Some(verdict) if verdict == speaks_for => self.against = 0,
            Some(_) if self.against + 1 < needed => self.against += 1,
            _ => (self.standing.verdict, self.against) = (Some(speaks_for), 0),
        }
        self.standing != before
    }
}

#[cfg(test)]
mod tests {
    use model::value::{CheckTime, Retries};
    use proptest::{collection, prelude::*};

    use super::*;

    /// The verdict after `answers`, by definition: that of the last run of as many equal answers as it takes, the first
    /// answer counting as such a run.
    fn by_definition(start: Option<Verdict>, answers: &[bool], up: usize, down: usize) -> Option<Verdict> {
        let verdict = |good| if good { Verdict::Up } else { Verdict::Down };
        let ends_with_run = |end: &usize| {
            let last = answers[end - 1];
            let run = end.checked_sub(if last { up } else { down }).map(|begin| &answers[begin..*end]);
            run.is_some_and(|run| run.iter().all(|good| *good == last))
        };
        let first = start.or_else(|| answers.first().map(|&good| verdict(good)));
        (1..=answers.len()).rev().find(ends_with_run).map(|end| verdict(answers[end - 1])).or(first)
    }

    proptest! {
        #[test]
        fn follows_the_definition_after_every_answer(
            start in prop_oneof![Just(None), Just(Some(Verdict::Up)), Just(Some(Verdict::Down))],
            // Runs of equal answers, so that long ones are not rare.
            runs in collection::vec((any::<bool>(), 1..14usize), 1..12),
            up in 1..=10u8,
            down in 1..=10u8,
        ) {
            let answers: Vec<bool> = runs.iter().flat_map(|&(good, count)| vec![good; count]).collect();
            let second = CheckTime::literal(1);
            let mut pace = Pace::new(second, second, Retries::literal(up)).unwrap();
            pace.retries_down = Retries::literal(down);
            let mut judge = Judge::new(Standing { verdict: start, last_failure: None }, &pace);
            let (mut last_failure, mut shown) = (None, judge.standing());
            for (number, &good) in answers.iter().enumerate() {
                let failure = Failure::WrongCode(number as u16);
                let changed = judge.hear(if good { Ok(()) } else { Err(failure) });
                last_failure = if good { last_failure } else { Some(failure) };
                let verdict = by_definition(start, &answers[..=number], up.into(), down.into());
                prop_assert_eq!(judge.standing(), Standing { verdict, last_failure });
                prop_assert_eq!(changed, judge.standing() != shown);
                shown = judge.standing();
            }
        }
    }
}
