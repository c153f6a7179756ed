//! The status for people: 120 columns, unless names are long. Every number in full is in the JSON.

use std::{collections::BTreeMap, fmt::Write, net::SocketAddr};

use comfy_table::Table;
use evenkeel::dataplane::{
    report::{ListenerRow, Member, MemberHealth, MemberState},
    sessions::Ports,
    traffic::Traffic,
};

use super::answer::Answer;
use crate::commands::output::table;

/// The whole of it.
pub(super) fn of(answer: &Answer) -> String {
    let Answer { status, http, problem } = answer;
    let mut text =
        format!("{}\n\n{}\n\n{}", load_balancers(answer), listeners(&status.listeners), members(answer));
    let http = http.as_deref().unwrap_or_default();
    if !http.is_empty() {
        text = format!("{text}\n\n{}", http_listeners(answer));
        for row in http.iter().filter(|row| row.log_lines_dropped > 0) {
            let _ = write!(
                text,
                "\n{}/{}: {} log lines lost",
                row.load_balancer, row.name, row.log_lines_dropped
            );
        }
    }
    let modes = status.interfaces.iter();
    let modes: Vec<_> = modes
        .map(|row| {
            let not_sent = match row.not_sent {
                0 => String::new(),
                frames => format!(", {frames} not sent"),
            };
            format!("{} ({}{not_sent})", row.name, row.mode.map_or("no XDP", |mode| mode.name()))
        })
        .collect();
    let interfaces = match modes[..] {
        [] => "none in this network namespace".to_owned(),
        _ => modes.join(", "),
    };
    let problem = problem.iter().map(|problem| format!("\nProblem: {problem}")).collect::<String>();
    format!("{text}\n\n{}\n\nInterfaces: {interfaces}{problem}", ports(answer))
}

fn load_balancers(Answer { status, .. }: &Answer) -> Table {
    let mut rows = table(
        [
            "LOAD BALANCER",
            "VIP",
            "MBIT/S",
            "OVER IT",
            "UP",
            "DOWN",
            "OPEN",
            "TOTAL",
            "REFUSED",
            "PKTS IN/OUT",
            "BYTES IN/OUT",
        ],
        &[2, 3, 4, 5, 6, 7, 8, 9, 10],
    );
    for row in &status.load_balancers {
        let of_it = status.listeners.iter().filter(|listener| listener.load_balancer == row.name);
        let mut vips: Vec<_> = of_it.map(|listener| listener.vip).collect();
        vips.sort_unstable();
        vips.dedup();
        let vips = match vips[..] {
            [] => "-".to_owned(),
            [only] => only.to_string(),
            [first, ..] => format!("{first} +{}", vips.len() - 1),
        };
        let [open, _, total, refused, packets, bytes] = traffic(&row.traffic);
        rows.add_row([
            row.name.clone(),
            vips,
            row.bandwidth_mbit.map_or_else(|| "-".to_owned(), |mbit| mbit.to_string()),
            short(row.traffic.refused.bandwidth_packets),
            row.members_healthy.to_string(),
            row.members_unhealthy.to_string(),
            open,
            total,
            refused,
            packets,
            bytes,
        ]);
    }
    rows
}

/// A listener is one, at however many VIPs.
fn listeners(all: &[ListenerRow]) -> Table {
    let mut rows = table(
        [
            "LISTENER",
            "PORT",
            "POOL",
            "AT MOST",
            "OPEN",
            "ESTAB",
            "TOTAL",
            "REFUSED",
            "PKTS IN/OUT",
            "BYTES IN/OUT",
        ],
        &[3, 4, 5, 6, 7, 8, 9],
    );
    let mut listeners = BTreeMap::<_, (&ListenerRow, Traffic)>::new();
    for row in all {
        let key = (&row.load_balancer, &row.name, row.protocol, row.port);
        listeners.entry(key).or_insert((row, Traffic::default())).1.add(&row.traffic);
    }
    for (row, sum) in listeners.into_values() {
        let most = row.max_connections.map(|most| short(most.into()));
        let rate = row.max_connections_per_second.map(|most| format!("{}/s", short(most.into())));
        let most = match (most, rate) {
            (None, None) => "-".to_owned(),
            (most, rate) => most.into_iter().chain(rate).collect::<Vec<_>>().join(" "),
        };
        let cells = [
            format!("{}/{}", row.load_balancer, row.name),
            format!("{} {}", row.protocol, row.port),
            if row.pool.is_empty() { "-".to_owned() } else { row.pool.clone() },
            most,
        ];
        rows.add_row(cells.into_iter().chain(traffic(&sum)));
    }
    rows
}

fn members(Answer { status, .. }: &Answer) -> Table {
    let mut rows = table(
        ["POOL", "MEMBER", "WEIGHT", "STATE", "OPEN", "TOTAL", "BYTES IN/OUT", "LAST FAILURE"],
        &[2, 4, 5, 6],
    );
    for pool in &status.pools {
        for member in &pool.members {
            rows.add_row([
                pool.name.clone(),
                SocketAddr::new(member.address, member.port).to_string(),
                member.weight.to_string(),
                state(member),
                short(member.sessions_open),
                short(member.sessions_total),
                pair(member.bytes_in, member.bytes_out),
                failure(member),
            ]);
        }
    }
    rows
}

fn ports(Answer { status, .. }: &Answer) -> Table {
    let mut rows = table(["LOCAL PORTS TOWARDS", "FREE", "OF"], &[1, 2]);
    let pools = status.pools.iter().map(|pool| (pool.name.as_str(), pool.ports));
    for (towards, Ports { free, total }) in pools.chain([("all planes", status.ports)]) {
        rows.add_row([towards.to_owned(), free.to_string(), total.to_string()]);
    }
    rows
}

fn http_listeners(Answer { http, .. }: &Answer) -> Table {
    let mut rows = table(
        [
            "HTTP LISTENER",
            "REQUESTS",
            "2XX",
            "3XX",
            "4XX",
            "5XX",
            "404/499/502",
            "REFUSED",
            "AVG/MAX MS",
            "CONNS OPEN/ALL",
            "BYTES IN/OUT",
        ],
        &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10],
    );
    for row in http.iter().flatten() {
        let ms = |us: u64| us.div_ceil(1000);
        rows.add_row([
            format!("{}/{}", row.load_balancer, row.name),
            short(row.requests),
            short(row.answers._2xx),
            short(row.answers._3xx),
            short(row.answers._4xx),
            short(row.answers._5xx),
            format!("{}/{}/{}", short(row.http_404), short(row.http_499), short(row.http_502)),
            short(row.refused.values().sum()),
            pair(ms(row.response_us_sum.checked_div(row.requests).unwrap_or(0)), ms(row.response_us_max)),
            pair(row.connections_open, row.connections),
            pair(row.bytes_in, row.bytes_out),
        ]);
    }
    rows
}

/// Open, established, all and refused sessions, packets, bytes.
fn traffic(traffic: &Traffic) -> [String; 6] {
    [
        short(traffic.sessions_open),
        short(traffic.sessions_established),
        short(traffic.sessions_total),
        short(traffic.refused.sessions()),
        pair(traffic.packets_in, traffic.packets_out),
        pair(traffic.bytes_in, traffic.bytes_out),
    ]
}

fn state(member: &Member) -> String {
    let health = match member.health {
        MemberHealth::Up => "up",
        MemberHealth::Down => "down",
        MemberHealth::Checking => "checking",
        MemberHealth::Unchecked => "unchecked",
    };
    match member.state {
        MemberState::Active => health.to_owned(),
        MemberState::Draining => format!("drains, {health}"),
        MemberState::Removed => "removed".to_owned(),
    }
}

fn failure(member: &Member) -> String {
    match (&member.reason, member.well_for_s) {
        (None, _) => "-".to_owned(),
        (Some(reason), None) => reason.clone(),
        (Some(reason), Some(seconds)) => format!("{reason}, well {}", age(seconds)),
    }
}

/// A time in its largest unit.
fn age(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

fn pair(one: u64, other: u64) -> String {
    format!("{}/{}", short(one), short(other))
}

/// Up to 9999 in full, else three figures and what they are multiplied by: 12.3k is 12,300.
fn short(number: u64) -> String {
    if number < 10_000 {
        return number.to_string();
    }
    let (mut value, mut unit) = (number as f64, "");
    for next in ["k", "M", "G", "T", "P", "E"] {
        if value < 999.5 {
            break;
        }
        (value, unit) = (value / 1e3, next);
    }
    let digits = if value < 9.995 { 2 } else { usize::from(value < 99.95) };
    format!("{value:.digits$}{unit}")
}

#[cfg(test)]
mod tests {
    use evenkeel::dataplane::{
        report::Pool,
        totals::{LoadBalancer, Status},
    };

    use super::{super::answer::Filter, *};

    #[test]
    fn numbers_are_short_and_right() {
        for (number, expected) in [
            (0, "0"),
            (9_999, "9999"),
            (10_000, "10.0k"),
            (99_949, "99.9k"),
            (99_950, "100k"),
            (999_499, "999k"),
            (999_500, "1.00M"),
            (9_995_000, "10.0M"),
            (u64::MAX, "18.4E"),
        ] {
            assert_eq!(short(number), expected);
        }
        assert_eq!([age(119), age(120), age(7200), age(172_800)], ["119 s", "2 min", "2 h", "2 d"]);
    }

    fn busy() -> Answer {
        let mut traffic = Traffic {
            sessions_open: 1_048_576,
            sessions_established: 1_048_576,
            sessions_total: 123_456_789_012,
            packets_in: 1 << 50,
            bytes_in: 1 << 60,
            packets_out: 1 << 50,
            bytes_out: 1 << 60,
            ..Traffic::default()
        };
        traffic.refused.access = 123_456_789;
        let listener = |vip: &str| ListenerRow {
            load_balancer: "customers".into(),
            name: "websecure".into(),
            vip: vip.parse().unwrap(),
            port: 65_535,
            protocol: "tcp",
            pool: "application".into(),
            idle_timeout_s: 300,
            max_connections: Some(1_000_000),
            max_connections_per_second: Some(100_000),
            bandwidth_mbit: Some(100_000),
            traffic,
        };
        let member = Member {
            address: "2001:db8:2::11".parse().unwrap(),
            port: 65_535,
            weight: 256,
            state: MemberState::Draining,
            health: MemberHealth::Up,
            reason: Some("connection refused".into()),
            well_for_s: Some(7_000),
            sessions_open: 1_048_576,
            sessions_total: 123_456_789,
            share: 1.0,
            packets_in: 1 << 50,
            bytes_in: 1 << 60,
            packets_out: 1 << 50,
            bytes_out: 1 << 60,
        };
        let status = Status {
            load_balancers: vec![LoadBalancer {
                name: "customers".into(),
                bandwidth_mbit: Some(100_000),
                members_healthy: 1234,
                members_unhealthy: 1234,
                traffic,
            }],
            pools: vec![Pool { name: "application".into(), members: vec![member], ports: Ports::default() }],
            listeners: ["203.0.113.10", "2001:db8:a::10", "2001:db8:a::11"].map(listener).into(),
            interfaces: Vec::new(),
            ports: Ports { free: 1, total: 2 },
        };
        Answer { status, http: None, problem: None }
    }

    #[test]
    fn a_busy_host_fits_120_columns_and_a_listener_is_one_line() {
        let text = of(&busy());
        for line in text.lines() {
            assert!(line.trim_end().chars().count() <= 120, "{}: {line}", line.chars().count());
        }
        assert_eq!(text.matches("customers/websecure").count(), 1, "{text}");
        assert!(
            text.contains("203.0.113.10 +2") && text.contains("connection refused, well 116 min"),
            "{text}"
        );
    }

    #[test]
    fn what_is_not_asked_for_is_left_out() {
        let shown = |filter: Filter| {
            let mut answer = busy();
            filter.apply(&mut answer);
            (answer.status.load_balancers.len(), answer.status.listeners.len(), answer.status.pools.len())
        };
        let filter = |load_balancer: &str, listener: &str, pool: &str| {
            let [load_balancer, listener, pool] =
                [load_balancer, listener, pool].map(|name| (!name.is_empty()).then(|| name.to_owned()));
            Filter { load_balancer, listener, pool }
        };
        assert_eq!(shown(filter("", "", "")), (1, 3, 1));
        assert_eq!(shown(filter("customers", "websecure", "application")), (1, 3, 1));
        assert_eq!(shown(filter("others", "", "")), (0, 0, 0));
        assert_eq!(shown(filter("", "plain", "")), (0, 0, 0));
        assert_eq!(shown(filter("", "", "other")), (0, 0, 0));
    }
}
