//! How a pool's members are picked: `algorithm`, `weights`, `sticky`, `slow_start`, `ejection`, and which go together.

use model::{
    algorithm::{Algorithm, Weights},
    object::Turns7,
    sticky::{COOKIE_MINUTES, Ejection, REMEMBERED, STICKY_MINUTES, SameSite, Sticky, StickyBy},
    value::{CookieMinutes, Failures, Number, StickyMinutes},
};

use super::{
    document::{Shape, Table, Value},
    scalar,
};

pub(super) const STICKY: Shape =
    Shape { path: "pool.sticky", keys: &["by", "minutes", "cookie", "same_site", "remember", "drain"] };
pub(super) const EJECTION: Shape = Shape { path: "pool.ejection", keys: &["failures", "time", "share"] };

/// What a client may be known by.
#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    Source,
    OurCookie,
    TheirCookie,
}

const BY: [(&str, By); 3] =
    [("source-ip", By::Source), ("balancer-cookie", By::OurCookie), ("application-cookie", By::TheirCookie)];

const BY_LOAD: &str = "does not go with \"weighted-least-connections\", which chooses by load: a client that stays does \
                       not; use \"weighted-round-robin\"";

/// How the members of a pool of Layer 4 share the connections.
pub(super) fn layer4(table: &Table<'_>) -> Algorithm<Option<StickyMinutes>> {
    let reason = "only a pool with protocol = \"http\" or \"https\" has this";
    table.refuse_each(&["slow_start", "ejection"], reason);
    let algorithm = algorithm(table);
    let mut minutes = None;
    if let Some((sticky, value, by)) = sticky(table) {
        match algorithm {
            _ if by != By::Source => value.refuse(
                "a client of Layer 4 is known by its address only; use \"source-ip\", or protocol = \"http\" in this \
                 pool",
            ),
            Algorithm::WeightedLeastConnections => value.refuse(BY_LOAD),
            Algorithm::SourceHash => keeps_already(&sticky),
            Algorithm::WeightedRoundRobin(()) => {
                refuse_others(&sticky, &["by", "minutes"], "goes with cookies only; leave it out");
                minutes = Some(number(&sticky, "minutes", STICKY_MINUTES));
            }
        }
    }
    match algorithm {
        Algorithm::WeightedRoundRobin(()) => Algorithm::WeightedRoundRobin(minutes),
        Algorithm::WeightedLeastConnections => Algorithm::WeightedLeastConnections,
        Algorithm::SourceHash => Algorithm::SourceHash,
    }
}

/// How the members of a pool of Layer 7 share the requests.
pub(super) fn layer7(table: &Table<'_>) -> Algorithm<Turns7> {
    let algorithm = algorithm(table);
    let mut turns = Turns7::default();
    if let Some((sticky, value, by)) = sticky(table) {
        match algorithm {
            Algorithm::WeightedLeastConnections => value.refuse(BY_LOAD),
            Algorithm::SourceHash if by != By::Source => value.refuse(
                "does not go with \"source-hash\", which keeps a client by its address already; leave sticky out, or use \
                 \"weighted-round-robin\"",
            ),
            Algorithm::SourceHash => keeps_already(&sticky),
            Algorithm::WeightedRoundRobin(()) if by == By::Source => value.refuse(
                "clients of an HTTP pool are known by a cookie; use \"balancer-cookie\" or \"application-cookie\", or \
                 algorithm = \"source-hash\"",
            ),
            Algorithm::WeightedRoundRobin(()) => turns.sticky = cookie(&sticky, by),
        }
    }
    if let Some(value) = table.get("slow_start") {
        if algorithm != Algorithm::WeightedRoundRobin(()) {
            value.refuse(
                "goes with \"weighted-round-robin\" only: the other algorithms have no turns to leave to others",
            );
        }
        turns.slow_start = scalar::seconds(value);
    }
    match algorithm {
        Algorithm::WeightedRoundRobin(()) => Algorithm::WeightedRoundRobin(turns),
        Algorithm::WeightedLeastConnections => Algorithm::WeightedLeastConnections,
        Algorithm::SourceHash => Algorithm::SourceHash,
    }
}

fn algorithm(table: &Table<'_>) -> Algorithm<()> {
    let all = [Algorithm::WeightedRoundRobin(()), Algorithm::WeightedLeastConnections, Algorithm::SourceHash];
    let words = all.map(|algorithm| (algorithm.name(), algorithm));
    let given = table.get("algorithm").and_then(|value| scalar::word(value, "is no algorithm", &words));
    given.unwrap_or_default()
}

/// What members' weights are to this algorithm.
pub(super) fn weights(table: &Table<'_>, algorithm: Algorithm<()>) -> Weights {
    let Some(value) = table.get("weights") else { return Weights::default() };
    if algorithm != Algorithm::SourceHash {
        value.refuse("goes with \"source-hash\" only: the other algorithms share by weights; leave it out");
    }
    let words = Weights::ALL.map(|weights| (weights.name(), weights));
    scalar::word(value, "is not what weights can be", &words).unwrap_or_default()
}

/// The table of stickiness, and what a client is known by.
fn sticky<'a>(pool: &Table<'a>) -> Option<(Table<'a>, Value<'a>, By)> {
    let table = pool.table("sticky", &STICKY)?;
    let value = table.require("by")?;
    let by = scalar::word(value, "is nothing that a client can be known by", &BY)?;
    Some((table, value, by))
}

/// Keeping a client by its address is what the algorithm does.
fn keeps_already(sticky: &Table<'_>) {
    refuse_others(sticky, &["by"], "source-hash keeps a client without it; leave it out");
}

fn cookie(table: &Table<'_>, by: By) -> Option<Sticky> {
    let time: CookieMinutes = number(table, "minutes", COOKIE_MINUTES);
    let drain = table.get("drain").and_then(|value| value.boolean()).unwrap_or(false);
    let name = || table.get("cookie").and_then(scalar::token);
    let by = if by == By::OurCookie {
        let keys = ["by", "minutes", "drain", "cookie", "same_site"];
        refuse_others(table, &keys, "goes with \"application-cookie\" only; leave it out");
        let words = SameSite::ALL.map(|same_site| (same_site.name(), same_site));
        let same_site = table.get("same_site");
        let same_site = same_site.and_then(|value| scalar::word(value, "is no value of SameSite", &words));
        StickyBy::BalancerCookie { name: name(), same_site: same_site.unwrap_or_default() }
    } else {
        let keys = ["by", "minutes", "drain", "cookie", "remember"];
        refuse_others(table, &keys, "goes with \"balancer-cookie\" only; leave it out");
        table.require("cookie")?;
        StickyBy::ApplicationCookie { name: name()?, remembered: number(table, "remember", REMEMBERED) }
    };
    Some(Sticky { by, time, drain })
}

/// When a member that fails rests; `None` if never.
pub(super) fn ejection(pool: &Table<'_>) -> Option<Ejection> {
    let mut ejection = Ejection::default();
    let Some(table) = pool.table("ejection", &EJECTION) else { return Some(ejection) };
    scalar::set(&table, "time", &mut ejection.time);
    ejection.share = number(&table, "share", ejection.share);
    if let Some(failures) = table.get("failures") {
        let range = 0..=*Failures::RANGE.end();
        ejection.failures = Failures::new(failures.integer(Failures::WHAT, range)?).ok()?;
    }
    Some(ejection)
}

/// The number under `key`, or the usual one.
fn number<N: Number>(table: &Table<'_>, key: &'static str, usual: N) -> N {
    table.get(key).and_then(|value| value.number()).unwrap_or(usual)
}

fn refuse_others(table: &Table<'_>, but: &[&str], reason: &str) {
    let others: Vec<_> = STICKY.keys.iter().copied().filter(|key| !but.contains(key)).collect();
    table.refuse_each(&others, reason);
}
