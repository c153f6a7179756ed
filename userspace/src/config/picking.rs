//! How a pool's members are picked: `algorithm`, `sticky`, `slow_start`, `ejection`, and which go together.

use std::time::Duration;

use xdp_ebpf::abi::MAX_LEAST_MEMBERS;

use super::{
    document::{Shape, Table, Value},
    rule, scalar,
};
use crate::model::{
    Algorithm, Pool,
    sticky::{Ejection, SameSite, Sticky, StickyBy},
};

const STICKY: Shape =
    Shape { path: "pool.sticky", keys: &["by", "minutes", "cookie", "same_site", "remember", "drain"] };
const EJECTION: Shape = Shape { path: "pool.ejection", keys: &["failures", "time", "share"] };

const BY_SOURCE: &str = "source-ip";
const BY_OUR_COOKIE: &str = "balancer-cookie";
const BY_THEIR_COOKIE: &str = "application-cookie";

/// For how many minutes a client sticks unless told otherwise, and at most at Layer 4 and 7 (the guide's).
const MINUTES: u32 = 20;
const MOST_MINUTES: u32 = 60;
const MOST_COOKIE_MINUTES: u32 = 1440;
/// Of how many values of an application's cookie the member is remembered unless told otherwise.
const REMEMBERED: u32 = 65_536;

/// Reads all of it into a pool whose members and HTTP part are there.
pub(super) fn read(table: &Table<'_>, pool: &mut Pool) {
    pool.algorithm = algorithm(table, pool.members.len());
    if let Some(sticky) = table.table("sticky", &STICKY) {
        stickiness(&sticky, pool);
    }
    let slow_start = table.get("slow_start");
    let ejection = table.table("ejection", &EJECTION);
    let Some(http) = &mut pool.http else {
        let reason = "only a pool with protocol = \"http\" or \"https\" has this";
        slow_start.into_iter().chain(table.get("ejection")).for_each(|value| value.refuse(reason));
        return;
    };
    if let Some(value) = slow_start {
        if !matches!(pool.algorithm, Algorithm::WeightedRoundRobin { .. }) {
            value.refuse(
                "goes with \"weighted-round-robin\" only: the other algorithms have no turns to leave to others",
            );
        }
        http.slow_start = scalar::duration(value);
    }
    http.ejection = match ejection {
        Some(table) => self::ejection(&table),
        None => Some(Ejection::default()),
    };
}

fn algorithm(table: &Table<'_>, members: usize) -> Algorithm {
    let round_robin = Algorithm::default();
    let Some(value) = table.get("algorithm") else { return round_robin };
    let algorithm = match value.string() {
        Some("weighted-round-robin") | None => round_robin,
        Some("weighted-least-connections") => Algorithm::WeightedLeastConnections,
        Some("source-hash") => Algorithm::SourceHash,
        Some(other) => {
            value.refuse(format!(
                "{other:?} is no algorithm; use \"weighted-round-robin\", \"weighted-least-connections\" or \
                 \"source-hash\""
            ));
            round_robin
        }
    };
    if algorithm == Algorithm::WeightedLeastConnections && members > MAX_LEAST_MEMBERS as usize {
        value.refuse(format!(
            "compares at most {MAX_LEAST_MEMBERS} members, and this pool has {members}; use another algorithm or \
             split the pool"
        ));
    }
    algorithm
}

/// The guide's table of algorithms and stickiness.
fn stickiness(table: &Table<'_>, pool: &mut Pool) {
    let Some(value) = table.require("by") else { return };
    let Some(by) = value.string() else { return };
    let by_cookie = [BY_OUR_COOKIE, BY_THEIR_COOKIE].contains(&by);
    if by != BY_SOURCE && !by_cookie {
        value.refuse(format!(
            "{by:?} is nothing that a client can be known by; use {BY_SOURCE:?}, {BY_OUR_COOKIE:?} or {BY_THEIR_COOKIE:?}"
        ));
        return;
    }
    match (&mut pool.algorithm, &mut pool.http) {
        (_, None) if by_cookie => value.refuse(format!(
            "a client of Layer 4 is known by its address only; use {BY_SOURCE:?}, or protocol = \"http\" in this pool"
        )),
        (Algorithm::WeightedLeastConnections, _) => value.refuse(
            "does not go with \"weighted-least-connections\", which chooses by load: a client that stays does not; use \
             \"weighted-round-robin\"",
        ),
        (Algorithm::SourceHash, _) if by_cookie => value.refuse(
            "does not go with \"source-hash\", which keeps a client by its address already; leave sticky out, or use \
             \"weighted-round-robin\"",
        ),
        // That is what the algorithm does.
        (Algorithm::SourceHash, _) => {
            refuse_others(table, &["by"], "source-hash keeps a client without it; leave it out");
        }
        (Algorithm::WeightedRoundRobin { .. }, Some(_)) if !by_cookie => value.refuse(format!(
            "clients of an HTTP pool are known by a cookie; use {BY_OUR_COOKIE:?} or {BY_THEIR_COOKIE:?}, or \
             algorithm = \"source-hash\""
        )),
        (Algorithm::WeightedRoundRobin { sticky }, None) => {
            refuse_others(table, &["by", "minutes"], "goes with cookies only; leave it out");
            *sticky = time(table, MOST_MINUTES);
        }
        (Algorithm::WeightedRoundRobin { .. }, Some(http)) => http.sticky = cookie(table, by),
    }
}

fn cookie(table: &Table<'_>, by: &str) -> Option<Sticky> {
    let time = time(table, MOST_COOKIE_MINUTES);
    let drain = table.get("drain").map_or(Some(false), |value| value.boolean());
    let by = if by == BY_OUR_COOKIE {
        refuse_others(
            table,
            &["by", "minutes", "drain", "cookie", "same_site"],
            "goes with \"application-cookie\" only; leave it out",
        );
        let name = table.get("cookie").map(rule::token);
        let same_site = table.get("same_site").map_or(Some(SameSite::default()), same_site);
        StickyBy::BalancerCookie {
            name: name.map_or(Some(None), |name| name.map(Some))?,
            same_site: same_site?,
        }
    } else {
        refuse_others(
            table,
            &["by", "minutes", "drain", "cookie", "remember"],
            "goes with \"balancer-cookie\" only; leave it out",
        );
        let name = table.require("cookie").and_then(rule::token);
        let remembered = table
            .get("remember")
            .map_or(Some(REMEMBERED), |value| value.integer("a number of cookies", 1..=16_777_216));
        StickyBy::ApplicationCookie { name: name?, remembered: usize::try_from(remembered?).ok()? }
    };
    Some(Sticky { by, time: time?, drain: drain? })
}

/// How long a client stays.
fn time(table: &Table<'_>, most: u32) -> Option<Duration> {
    let minutes = match table.get("minutes") {
        Some(value) => value.integer("a number of minutes", 1..=most)?,
        None => MINUTES,
    };
    Some(Duration::from_secs(60 * u64::from(minutes)))
}

fn same_site(value: Value<'_>) -> Option<SameSite> {
    let text = value.string()?;
    let same_site = SameSite::ALL.into_iter().find(|same_site| same_site.name() == text);
    if same_site.is_none() {
        value.refuse(format!("{text:?} is no value of SameSite; use \"strict\", \"lax\" or \"none\""));
    }
    same_site
}

/// `None` if members never rest.
fn ejection(table: &Table<'_>) -> Option<Ejection> {
    let mut ejection = Ejection::default();
    if let Some(failures) = table.get("failures") {
        ejection.failures = failures.integer("a number of failures", 0..=1000)?;
    }
    if let Some(time) = table.get("time") {
        ejection.time = scalar::duration(time)?;
    }
    if let Some(share) = table.get("share") {
        ejection.share = u8::try_from(share.integer("a share in per cent", 0..=100)?).ok()?;
    }
    (ejection.failures > 0).then_some(ejection)
}

fn refuse_others(table: &Table<'_>, but: &[&str], reason: &str) {
    let others = STICKY.keys.iter().filter(|key| !but.contains(key));
    others.filter_map(|&key| table.get(key)).for_each(|value| value.refuse(reason));
}
