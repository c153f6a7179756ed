//! Pairs of rates, and what they say together.

use std::fmt;

use serde::Serialize;

/// Connections per second in two windows side by side.
#[derive(Clone, Copy, Debug)]
pub struct Pair {
    pub without: f64,
    pub with: f64,
}

/// What was measured.
#[derive(Debug, Serialize)]
pub struct Report {
    pairs: usize,
    /// Medians, connections per second.
    without: f64,
    with: f64,
    /// Median of the pairs' ratios, with over without.
    ratio: f64,
    /// Another run's median is within these in 95 of 100 cases.
    ratio_95: [f64; 2],
    /// Half of the pairs' ratios are within these.
    ratio_half: [f64; 2],
    /// Time in the programs.
    ns_per_connection: u64,
    /// Connections without an answer.
    failed: u64,
}

impl Report {
    /// From at least ten pairs.
    pub fn new(pairs: &[Pair], ns_per_connection: u64, failed: u64) -> Self {
        let ratios = sorted(pairs, |pair| pair.with / pair.without);
        let middle = |pick: fn(&Pair) -> f64| sorted(pairs, pick)[pairs.len() / 2];
        let len = ratios.len();
        // How many of `len` values lie below the true median is binomial: `len` / 2, give or take √`len` in 95 %.
        let aside = ((len as f64).sqrt() as usize).min(len / 2 - 1);
        Self {
            pairs: len,
            without: middle(|pair| pair.without),
            with: middle(|pair| pair.with),
            ratio: ratios[len / 2],
            ratio_95: [ratios[len / 2 - aside], ratios[len / 2 + aside]],
            ratio_half: [ratios[len / 4], ratios[len * 3 / 4]],
            ns_per_connection,
            failed,
        }
    }
}

fn sorted(pairs: &[Pair], pick: impl Fn(&Pair) -> f64) -> Vec<f64> {
    let mut values: Vec<f64> = pairs.iter().map(pick).collect();
    values.sort_by(f64::total_cmp);
    values
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pairs, without, with, ratio, ratio_95, ratio_half, ns_per_connection, failed } = self;
        writeln!(f, "accepted connections per second (medians of {pairs} windows each)")?;
        writeln!(f, "  without evenkeel-toa    {without:>7.0}")?;
        writeln!(f, "  with                    {with:>7.0}")?;
        writeln!(f, "with over without, per pair of windows")?;
        writeln!(f, "  median                  {ratio:>7.3}")?;
        writeln!(f, "  95 % sure to be within  {:>7.3} to {:.3}", ratio_95[0], ratio_95[1])?;
        writeln!(f, "  half of the pairs       {:>7.3} to {:.3}", ratio_half[0], ratio_half[1])?;
        writeln!(f, "in its programs           {ns_per_connection:>7} ns per connection")?;
        write!(f, "connections that failed   {failed:>7}")
    }
}
