//! What HTTP listeners count, for `evenkeel status`, alarms and Prometheus. A counter is one relaxed atomic add; rates
//! are computed by the reader. `endpoint` lets other processes read them, `kept` the next daemon.
//!
//! From these come the OTC guide's Layer-7 metrics (section 8.1): m1 and m2 from `backend_connections_open`, mb_l7_queries from `requests`, mc to m10 from
//! `answers`, m11_l7_http_404, m12_l7_http_499 and m13_l7_http_502 from the counters of that name, m14_l7_rt from
//! `response_us_sum` over `requests`.
//!
//! Of HTTP/2, what the protocol's own library refuses (RST_STREAM, GOAWAY, 431 for a head of more than twice the limit)
//! is counted as refused, though nothing else is known of it.

pub mod endpoint;
pub mod kept;

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use arc_swap::{ArcSwap, ArcSwapOption};
use model::object::{ListenerId, PoolId};
use pingora::upstreams::peer::{HttpPeer, Tracer, Tracing};
use serde::{Deserialize, Serialize};

use super::{
    guard::refusal::Refusal,
    log::Log,
    pick::Load,
    pools::{Pool, Pools, SharedPools},
};

/// One listener's counters, since it is there. A listener that several VIPs have counts for all of them.
#[derive(Debug, Default)]
pub struct Counters {
    names: ArcSwap<Names>,
    requests: AtomicU64,
    answers: [AtomicU64; 6],
    not_found: AtomicU64,
    client_closed: AtomicU64,
    bad_gateway: AtomicU64,
    members: [AtomicU64; 6],
    member_failures: AtomicU64,
    response_us_sum: AtomicU64,
    response_us_max: AtomicU64,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
    connections: AtomicU64,
    connections_open: AtomicU64,
    backend_connections: AtomicU64,
    backend_connections_open: AtomicU64,
    refused: [AtomicU64; Refusal::ALL.len()],
    log: ArcSwapOption<Log>,
    pools: ArcSwapOption<Vec<PoolId>>,
}

/// What a listener and its load balancer are called.
#[derive(Debug, Default)]
struct Names {
    load_balancer: String,
    listener: String,
}

/// A request that is over.
#[derive(Clone, Copy, Debug)]
pub struct Answered {
    /// The status; 499 if the client went away first.
    pub status: u16,
    /// From the request's first byte to the answer's last.
    pub time: Duration,
    /// Bytes from the client.
    pub bytes_in: u64,
    /// Bytes to the client.
    pub bytes_out: u64,
}

/// Counts a connection as open until it is dropped.
#[derive(Debug)]
pub struct OpenConnection(Arc<Counters>);

impl Counters {
    /// Counts a connection from a client.
    pub fn connection(self: &Arc<Self>) -> OpenConnection {
        self.connections.fetch_add(1, Relaxed);
        self.connections_open.fetch_add(1, Relaxed);
        OpenConnection(self.clone())
    }

    /// Goes on from what was counted before.
    fn resume(&self, before: &ListenerRow) {
        let add = |counter: &AtomicU64, count: u64| {
            counter.fetch_add(count, Relaxed);
        };
        let classes = |counters: &[AtomicU64; 6], before: &Classes| {
            let Classes { _1xx, _2xx, _3xx, _4xx, _5xx, other } = *before;
            counters
                .iter()
                .zip([other, _1xx, _2xx, _3xx, _4xx, _5xx])
                .for_each(|(one, count)| add(one, count));
        };
        add(&self.requests, before.requests);
        classes(&self.answers, &before.answers);
        add(&self.not_found, before.http_404);
        add(&self.client_closed, before.http_499);
        add(&self.bad_gateway, before.http_502);
        classes(&self.members, &before.members);
        add(&self.member_failures, before.member_failures);
        add(&self.response_us_sum, before.response_us_sum);
        self.response_us_max.fetch_max(before.response_us_max, Relaxed);
        add(&self.bytes_in, before.bytes_in);
        add(&self.bytes_out, before.bytes_out);
        add(&self.connections, before.connections);
        add(&self.backend_connections, before.backend_connections);
        for why in Refusal::ALL {
            add(&self.refused[why as usize], before.refused.get(why.name()).copied().unwrap_or(0));
        }
    }

    /// Has connections to `peer` counted as long as they last.
    pub fn count_connections(self: &Arc<Self>, peer: &mut HttpPeer) {
        peer.options.tracer = Some(Tracer(Box::new(ToBackend(self.clone()))));
    }

    /// Counts a request that is over, however it ended.
    pub fn answered(&self, answered: &Answered) {
        let Answered { status, time, bytes_in, bytes_out } = *answered;
        self.requests.fetch_add(1, Relaxed);
        self.answers[class(status)].fetch_add(1, Relaxed);
        match status {
            404 => self.not_found.fetch_add(1, Relaxed),
            499 => self.client_closed.fetch_add(1, Relaxed),
            502 => self.bad_gateway.fetch_add(1, Relaxed),
            _ => 0,
        };
        let time = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.response_us_sum.fetch_add(time, Relaxed);
        self.response_us_max.fetch_max(time, Relaxed);
        self.bytes_in.fetch_add(bytes_in, Relaxed);
        self.bytes_out.fetch_add(bytes_out, Relaxed);
    }

    /// Counts a member's answer.
    pub fn member_answered(&self, status: u16) {
        self.members[class(status)].fetch_add(1, Relaxed);
    }

    /// Counts an attempt to reach a member that gave no answer.
    pub fn member_failed(&self) {
        self.member_failures.fetch_add(1, Relaxed);
    }

    /// Counts why a request was refused; [`Self::answered`] counts the refusal's answer.
    pub fn refused(&self, refusal: Refusal) {
        self.refused[refusal as usize].fetch_add(1, Relaxed);
    }

    /// Says what the listener is called now.
    pub fn set_names(&self, load_balancer: &str, listener: &str) {
        let names = Names { load_balancer: load_balancer.into(), listener: listener.into() };
        self.names.store(Arc::new(names));
    }

    /// Names the log whose losses stand beside these counters.
    pub fn set_log(&self, log: Option<Log>) {
        self.log.store(log.map(Arc::new));
    }

    /// Names the pools to which its policies send requests.
    pub fn set_pools(&self, pools: Vec<PoolId>) {
        self.pools.store(Some(Arc::new(pools)));
    }

    fn row(&self, pools: &Pools) -> ListenerRow {
        let names = self.names.load();
        let named = self.pools.load();
        let named = named.iter().flat_map(|ids| ids.iter()).filter_map(|id| pools.get(id));
        let of = |counter: &AtomicU64| counter.load(Relaxed);
        let classes = |counters: &[AtomicU64; 6]| {
            let [other, _1xx, _2xx, _3xx, _4xx, _5xx] = counters.each_ref().map(of);
            Classes { _1xx, _2xx, _3xx, _4xx, _5xx, other }
        };
        let refused =
            Refusal::ALL.iter().map(|&why| (why.name().to_owned(), of(&self.refused[why as usize])));
        ListenerRow {
            load_balancer: names.load_balancer.clone(),
            name: names.listener.clone(),
            pools: named.map(|pool| pool.name.clone()).collect(),
            requests: of(&self.requests),
            answers: classes(&self.answers),
            http_404: of(&self.not_found),
            http_499: of(&self.client_closed),
            http_502: of(&self.bad_gateway),
            members: classes(&self.members),
            member_failures: of(&self.member_failures),
            response_us_sum: of(&self.response_us_sum),
            response_us_max: of(&self.response_us_max),
            bytes_in: of(&self.bytes_in),
            bytes_out: of(&self.bytes_out),
            connections: of(&self.connections),
            connections_open: of(&self.connections_open),
            backend_connections: of(&self.backend_connections),
            backend_connections_open: of(&self.backend_connections_open),
            refused: refused.filter(|&(_, count)| count > 0).collect(),
            log_lines_dropped: self.log.load().as_ref().map_or(0, |log| log.dropped()),
        }
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.connections_open.fetch_sub(1, Relaxed);
    }
}

/// Counts a connection to a member.
#[derive(Clone, Debug)]
struct ToBackend(Arc<Counters>);

impl Tracing for ToBackend {
    fn on_connected(&self) {
        self.0.backend_connections.fetch_add(1, Relaxed);
        self.0.backend_connections_open.fetch_add(1, Relaxed);
    }

    fn on_disconnected(&self) {
        self.0.backend_connections_open.fetch_sub(1, Relaxed);
    }

    fn boxed_clone(&self) -> Box<dyn Tracing> {
        Box::new(self.clone())
    }
}

/// The hundreds of a status, 0 for what is no status.
fn class(status: u16) -> usize {
    match status / 100 {
        class @ 1..=5 => usize::from(class),
        _ => 0,
    }
}

/// All that is counted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// By listener.
    pub listeners: Vec<ListenerRow>,
    /// By member of a pool.
    pub members: Vec<MemberRow>,
    /// What keeps the daemon from doing all that it has to.
    pub problem: Option<String>,
}

/// What one member of an HTTP pool has had to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberRow {
    /// Its pool.
    pub pool: String,
    /// The rest.
    #[serde(flatten)]
    pub load: Load,
}

/// What one listener has counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ListenerRow {
    /// Its load balancer.
    pub load_balancer: String,
    /// Its name.
    pub name: String,
    /// Pools to which its policies send requests, beside its own.
    pub pools: Vec<String>,
    /// Requests that are over, those that were refused included.
    pub requests: u64,
    /// Answers to clients; those below 404, 499 and 502 are in their classes too.
    pub answers: Classes,
    /// Not found.
    pub http_404: u64,
    /// The client went away before it had an answer.
    pub http_499: u64,
    /// No good answer from a member.
    pub http_502: u64,
    /// Answers of members, one for each attempt that got one.
    pub members: Classes,
    /// Attempts that got none.
    pub member_failures: u64,
    /// Time from requests' first bytes to their answers' last, µs.
    pub response_us_sum: u64,
    /// The longest, µs.
    pub response_us_max: u64,
    /// Bytes of requests, heads included.
    pub bytes_in: u64,
    /// Bytes of answers, heads included.
    pub bytes_out: u64,
    /// Connections from clients.
    pub connections: u64,
    /// Those that are open now.
    pub connections_open: u64,
    /// Connections to members, each of which carries many requests.
    pub backend_connections: u64,
    /// Those that are open now.
    pub backend_connections_open: u64,
    /// Requests that no member was to see, by reason.
    pub refused: BTreeMap<String, u64>,
    /// Lines that its access log has lost.
    pub log_lines_dropped: u64,
}

/// Answers by the hundreds of their status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Classes {
    /// Only of answers that were nothing else: 101, the change to a WebSocket.
    #[serde(rename = "1xx")]
    pub _1xx: u64,
    /// Success.
    #[serde(rename = "2xx")]
    pub _2xx: u64,
    /// Elsewhere.
    #[serde(rename = "3xx")]
    pub _3xx: u64,
    /// The client's fault.
    #[serde(rename = "4xx")]
    pub _4xx: u64,
    /// The server's fault.
    #[serde(rename = "5xx")]
    pub _5xx: u64,
    /// Any other number.
    pub other: u64,
}

/// Every listener's counters, and the pools, whose members count for themselves.
#[derive(Default)]
pub struct Metrics {
    /// Each as long as a request or a connection may come to it.
    listeners: Mutex<BTreeMap<ListenerId, Weak<Counters>>>,
    pools: SharedPools,
    problem: Mutex<Option<String>>,
    /// What an earlier daemon counted for whom this one does not yet.
    before: Mutex<Before>,
}

#[derive(Default)]
struct Before {
    /// By load balancer and listener.
    listeners: BTreeMap<(String, String), ListenerRow>,
    /// Requests by pool and member.
    members: BTreeMap<(String, SocketAddr), u64>,
}

impl Metrics {
    /// Of no listeners yet, and the members of these pools.
    pub fn new(pools: SharedPools) -> Self {
        Self { pools, ..Self::default() }
    }

    /// Goes on from what an earlier daemon has counted. To be called before there is anything to count.
    pub fn resume(&self, report: Option<Report>) {
        let Some(Report { listeners, members, .. }) = report else { return };
        let mut before = self.before();
        before
            .listeners
            .extend(listeners.into_iter().map(|row| ((row.load_balancer.clone(), row.name.clone()), row)));
        let members = members.into_iter().map(|row| ((row.pool, row.load.member), row.load.requests));
        before.members.extend(members);
    }

    /// Goes on with what an earlier daemon has counted for this pool's members.
    pub fn resume_members(&self, pool: &Pool) {
        let mut before = self.before();
        if before.members.is_empty() {
            return;
        }
        for member in pool.members() {
            if let Some(requests) = before.members.remove(&(pool.name.clone(), member)) {
                pool.balancer.resume(member, requests);
            }
        }
    }

    /// All counters that there are, which stay as long as this does.
    pub fn hold(&self) -> Vec<Arc<Counters>> {
        let listeners = self.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        listeners.values().filter_map(Weak::upgrade).collect()
    }

    fn before(&self) -> MutexGuard<'_, Before> {
        self.before.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The counters of a listener: those that it has, or new ones under these names.
    pub fn listener(&self, id: ListenerId, load_balancer: &str, name: &str) -> Arc<Counters> {
        let mut listeners = self.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(counters) = listeners.get(&id).and_then(Weak::upgrade) {
            return counters;
        }
        let counters = Arc::<Counters>::default();
        counters.set_names(load_balancer, name);
        if let Some(row) = self.before().listeners.remove(&(load_balancer.into(), name.into())) {
            counters.resume(&row);
        }
        listeners.retain(|_, counters| counters.strong_count() > 0);
        listeners.insert(id, Arc::downgrade(&counters));
        counters
    }

    /// What all have counted so far.
    pub fn report(&self) -> Report {
        let pools = self.pools.load();
        let members = pools.values().flat_map(|pool| {
            pool.balancer.loads().into_iter().map(|load| MemberRow { pool: pool.name.clone(), load })
        });
        let problem = self.problem.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Report { listeners: self.rows(), members: members.collect(), problem }
    }

    /// What keeps the daemon from doing all that it has to.
    pub fn set_problem(&self, problem: Option<&str>) {
        let mut told = self.problem.lock().unwrap_or_else(PoisonError::into_inner);
        if told.as_deref() != problem {
            *told = problem.map(str::to_owned);
        }
    }

    /// What a listener has counted so far.
    pub fn row(&self, id: ListenerId) -> Option<ListenerRow> {
        let listeners = self.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        Some(listeners.get(&id)?.upgrade()?.row(&self.pools.load()))
    }

    /// What listeners have counted so far, by their names.
    pub fn rows(&self) -> Vec<ListenerRow> {
        let pools = self.pools.load();
        let listeners = self.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        let rows = listeners.values().filter_map(|counters| Some(counters.upgrade()?.row(&pools)));
        let mut rows: Vec<ListenerRow> = rows.collect();
        rows.sort_by(|one, other| (&one.load_balancer, &one.name).cmp(&(&other.load_balancer, &other.name)));
        rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(name: &str) -> ListenerId {
        ListenerId::of_names(&["shop", name])
    }

    fn answer(status: u16, ms: u64) -> Answered {
        Answered { status, time: Duration::from_millis(ms), bytes_in: 10, bytes_out: 100 }
    }

    #[test]
    fn every_status_has_its_class_and_the_guides_three_their_own_counters() {
        let metrics = Metrics::default();
        let counters = metrics.listener(id("web"), "shop", "web");
        for status in [101, 200, 204, 301, 404, 403, 499, 500, 502, 0, 600, 999] {
            counters.answered(&answer(status, 1));
        }
        let rows = metrics.rows();
        let row = &rows[0];
        let classes = Classes { _1xx: 1, _2xx: 2, _3xx: 1, _4xx: 3, _5xx: 2, other: 3 };
        assert_eq!((row.requests, row.answers), (12, classes));
        assert_eq!((row.http_404, row.http_499, row.http_502), (1, 1, 1));
        assert_eq!((row.bytes_in, row.bytes_out), (120, 1200));
    }

    #[test]
    fn response_times_sum_up_and_the_longest_stays() {
        let counters = Arc::new(Counters::default());
        [3, 250, 7].into_iter().for_each(|ms| counters.answered(&answer(200, ms)));
        let row = counters.row(&Pools::new());
        assert_eq!((row.response_us_sum, row.response_us_max), (260_000, 250_000));
    }

    #[test]
    fn counters_outlive_a_listeners_change_and_not_its_removal() {
        let metrics = Metrics::default();
        let before = metrics.listener(id("web"), "shop", "web");
        let open = before.connection();
        metrics.listener(id("other"), "shop", "other").connection();
        let again = metrics.listener(id("web"), "shop", "web");
        drop(before);
        assert_eq!(metrics.rows().len(), 1);
        assert_eq!((metrics.rows()[0].connections, metrics.rows()[0].connections_open), (1, 1));
        drop(open);
        assert_eq!(again.row(&Pools::new()).connections_open, 0);
    }
}
