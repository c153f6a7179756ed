//! For tests of this module: a listener with its proxy on the loopback interface, and a member that remembers what it
//! was sent.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    slice,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread,
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use model::{
    access::Access,
    edge::{self, AccessLog, Forwarded, ProxyVersion, TrustedProxies},
    http::MemberHttp,
    object::{ListenerId, LoadBalancerId, PoolId},
    served::{
        HttpListener, HttpPool, Limits, Listener, ListenerKey, Member, OnDown, Policy, Pool, Protocol,
        Served, WhenDown,
    },
    sticky::Ejection,
    value::{Name, Port, Seconds, Weight},
};

use super::{
    edge::{self as ready, Edge, Edges},
    listen::Listening,
    metrics::ListenerRow,
    pick::secret::Secret,
    pools::{self, Pools, SharedPools},
    snapshot::Snapshot,
    threads::Threads,
};
use crate::{engine::front::Admission, health::judge::Verdict};

/// Long enough for anything that happens at all.
pub(super) const DEADLINE: Duration = Duration::from_secs(20);

/// What a PROXY protocol header of version 2 begins with.
const PROXY_V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// What a test may want different. Limits and times are as short as it likes.
pub(super) struct Settings {
    pub(super) edge: EdgeSettings,
    pub(super) head: Duration,
    pub(super) idle: Duration,
    /// How long a member may take.
    pub(super) read: Duration,
    pub(super) to_members: Option<ProxyVersion>,
    /// The pool's members, which speak HTTP/2; none for the one that remembers.
    pub(super) http2_members: Option<Vec<SocketAddr>>,
    /// The same of members that speak HTTP/1.
    pub(super) http1_members: Option<Vec<SocketAddr>>,
    pub(super) policies: Vec<Policy>,
    /// What becomes of requests at a member that goes down.
    pub(super) on_down: OnDown,
    /// Connections; 0 for any number.
    pub(super) most: usize,
}

/// The same of what the listener does towards its clients.
#[derive(Default)]
pub(super) struct EdgeSettings {
    pub(super) log: Option<AccessLog>,
    pub(super) limits: ready::RequestBounds,
    pub(super) forwarded: Forwarded,
    pub(super) trusted: TrustedProxies,
    pub(super) cleartext_http2: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            edge: EdgeSettings::default(),
            head: DEADLINE,
            idle: DEADLINE,
            read: DEADLINE,
            to_members: None,
            http2_members: None,
            http1_members: None,
            policies: Vec::new(),
            on_down: OnDown::default(),
            most: 0,
        }
    }
}

/// A listener that runs.
pub(super) struct Front {
    pub(super) address: SocketAddr,
    pub(super) member: SocketAddr,
    /// Everything that the member was sent, by connection.
    sent: Arc<Mutex<Vec<Vec<u8>>>>,
    /// Connections that the member has.
    open: Arc<AtomicUsize>,
    edges: Edges,
    pools: SharedPools,
    pub(super) listening: Listening,
    _threads: Threads,
}

impl Front {
    pub(super) fn start(settings: Settings) -> Self {
        let open = Arc::<AtomicUsize>::default();
        let (member, sent) = member(open.clone());
        let served = served(member, &settings);
        let pools: SharedPools = Arc::new(ArcSwap::from_pointee(pools(&served)));
        let edges = Edges::new(pools.clone()).unwrap();
        let snapshot = snapshot(&served, &settings, &pools, &edges);
        let threads = Threads::start().unwrap();
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        socket.set_nonblocking(true).unwrap();
        let address = socket.local_addr().unwrap();
        let mut listening = Listening::start(threads.runtimes(), vec![socket], snapshot).unwrap();
        let places = Places { most: settings.most, taken: AtomicUsize::new(0) };
        listening.admit(|| Some(Arc::new(places)));
        Self { address, member, sent, open, edges, pools, listening, _threads: threads }
    }

    pub(super) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream
    }

    /// The answer to these bytes, until the connection is closed; empty if there is none.
    pub(super) fn ask(&self, bytes: &[u8]) -> String {
        let mut stream = self.connect();
        stream.write_all(bytes).unwrap();
        let mut answer = Vec::new();
        // A connection that is reset has had its say.
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// What the member was sent so far.
    pub(super) fn sent(&self) -> String {
        let sent = self.sent.lock().unwrap();
        sent.iter().map(|bytes| String::from_utf8_lossy(bytes).into_owned()).collect()
    }

    /// The same by connection.
    pub(super) fn connections(&self) -> Vec<Vec<u8>> {
        self.sent.lock().unwrap().clone()
    }

    /// What is known of a member's health.
    pub(super) fn note(&self, member: SocketAddr, verdict: Verdict) {
        self.pools.load().values().for_each(|pool| pool.note(member, Some(verdict)));
    }

    /// How many connections the member has.
    pub(super) fn open(&self) -> usize {
        self.open.load(SeqCst)
    }

    pub(super) fn row(&self) -> ListenerRow {
        self.edges.metrics.rows().remove(0)
    }

    /// Waits until the counters are so: they follow the answer.
    pub(super) fn wait_for(&self, what: &str, condition: impl Fn(&ListenerRow) -> bool) -> ListenerRow {
        let end = Instant::now() + DEADLINE;
        loop {
            let row = self.row();
            if condition(&row) {
                return row;
            }
            assert!(Instant::now() < end, "not in time: {what}; {row:?}");
            thread::sleep(Duration::from_millis(2));
        }
    }
}

/// So many connections at the same time; 0 for any number.
struct Places {
    most: usize,
    taken: AtomicUsize,
}

impl Admission for Places {
    fn acquire(&self) -> bool {
        let one_more = |taken| (self.most == 0 || taken < self.most).then_some(taken + 1);
        self.taken.fetch_update(SeqCst, SeqCst, one_more).is_ok()
    }

    fn release(&self) {
        self.taken.fetch_sub(1, SeqCst);
    }
}

fn key() -> ListenerKey {
    ListenerKey {
        vip: Ipv4Addr::new(203, 0, 113, 10).into(),
        port: Port::literal(80),
        protocol: Protocol::Tcp,
    }
}

/// One listener and one pool with this member.
pub(super) fn served(only: SocketAddr, settings: &Settings) -> Served {
    let key = key();
    let web = PoolId::of_names(&["web"]);
    let name = |text| Name::new(text).unwrap();
    let http = HttpListener {
        log: settings.edge.log.clone(),
        edge: edge::Edge {
            forwarded: settings.edge.forwarded,
            trusted: settings.edge.trusted.clone(),
            cleartext_http2: settings.edge.cleartext_http2,
            ..edge::Edge::default()
        },
        policies: settings.policies.clone(),
        ..HttpListener::default()
    };
    let listener = Listener {
        id: ListenerId::of_names(&["shop", "web"]),
        name: name("web"),
        load_balancer: LoadBalancerId::of_names(&["shop"]),
        load_balancer_name: name("shop"),
        pool: Some(web),
        idle_timeout: Seconds::literal(60),
        access: Access::default(),
        limits: Limits::default(),
        when_down: WhenDown::default(),
        drains: false,
        http: Some(Arc::new(http)),
    };
    let member = |&address: &SocketAddr| {
        (address, Member { weight: Weight::literal(1), backup: false, checked_at: address })
    };
    let http2 = settings.http2_members.is_some();
    let members = settings.http2_members.as_deref().or(settings.http1_members.as_deref());
    let members = members.unwrap_or(slice::from_ref(&only));
    let pool = Pool {
        name: name("web"),
        members: members.iter().map(member).collect(),
        on_down: settings.on_down,
        http: Some(HttpPool {
            member: MemberHttp { proxy_protocol: settings.to_members, http2, ..MemberHttp::default() },
            ejection: Some(Ejection::default()),
            ..HttpPool::default()
        }),
        ..Pool::default()
    };
    Served {
        vips: [key.vip].into(),
        listeners: [(key, Arc::new(listener))].into(),
        pools: [(web, Arc::new(pool))].into(),
    }
}

fn pools(served: &Served) -> Pools {
    let secret = Secret::from_bytes(b"a secret for tests, 32 bytes or more").unwrap();
    let pool = |(&id, settings): (&PoolId, &Arc<Pool>)| {
        let http = settings.http.as_ref().unwrap();
        (id, Arc::new(pools::Pool::new(id, settings, http, &secret, None).unwrap()))
    };
    served.pools.iter().map(pool).collect()
}

/// The listener's, with limits and times that no operator could have set.
fn snapshot(served: &Served, settings: &Settings, pools: &SharedPools, edges: &Edges) -> Snapshot {
    let listener = &served.listeners[&key()];
    let http = listener.http.as_ref().unwrap();
    let mut snapshot = Snapshot::new(key(), listener, http, pools, edges).unwrap();
    snapshot.edge = Arc::new(Edge {
        limits: settings.edge.limits,
        timeouts: ready::Timeouts { head: settings.head, read: settings.read, ..ready::Timeouts::default() },
        idle: settings.idle,
        ..(*snapshot.edge).clone()
    });
    snapshot
}

/// Answers every request with 200, or with what its path says: `/status/404`, nothing at all for `/hang`, nothing but 100
/// for `/continue`, `/wait` a little later, `/chunked` without a length, and `/hop` with headers that are for one
/// connection.
fn member(open: Arc<AtomicUsize>) -> (SocketAddr, Arc<Mutex<Vec<Vec<u8>>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, sent) = (listener.local_addr().unwrap(), Arc::<Mutex<Vec<Vec<u8>>>>::default());
    let all = sent.clone();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (all, open) = (all.clone(), open.clone());
            open.fetch_add(1, SeqCst);
            let number = {
                let mut all = all.lock().unwrap();
                all.push(Vec::new());
                all.len() - 1
            };
            // A proxy that goes ends the thread.
            thread::spawn(move || {
                serve(&mut stream.unwrap(), |bytes| all.lock().unwrap()[number].extend(bytes));
                open.fetch_sub(1, SeqCst);
            });
        }
    });
    (address, sent)
}

fn serve(stream: &mut TcpStream, mut note: impl FnMut(&[u8])) -> Option<()> {
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    let mut more = |stream: &mut TcpStream, bytes: &mut Vec<u8>| {
        let length = stream.read(&mut chunk).ok().filter(|&length| length > 0)?;
        note(&chunk[..length]);
        bytes.extend(&chunk[..length]);
        Some(())
    };
    // A PROXY protocol header of version 2 has an empty line in it.
    while bytes.len() < 16 && PROXY_V2.starts_with(&bytes[..bytes.len().min(PROXY_V2.len())]) {
        more(stream, &mut bytes)?;
    }
    if bytes.starts_with(PROXY_V2) {
        let length = 16 + usize::from(u16::from_be_bytes([bytes[14], bytes[15]]));
        while bytes.len() < length {
            more(stream, &mut bytes)?;
        }
        bytes.drain(..length);
    }
    loop {
        let end = |bytes: &[u8], end: &[u8]| bytes.windows(end.len()).position(|part| part == end);
        while end(&bytes, b"\r\n\r\n").is_none() {
            more(stream, &mut bytes)?;
        }
        let rest = bytes.split_off(end(&bytes, b"\r\n\r\n")? + 4);
        let head = String::from_utf8_lossy(&bytes).into_owned();
        bytes = rest;
        if head.contains(" /hang ") {
            return None;
        }
        if head.contains(" /continue ") {
            stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").ok()?;
            while more(stream, &mut bytes).is_some() {}
        }
        if head.contains(" /wait ") {
            thread::sleep(Duration::from_millis(200));
        }
        if head.to_lowercase().contains("\r\ntransfer-encoding: chunked\r\n") {
            while end(&bytes, b"0\r\n\r\n").is_none() {
                more(stream, &mut bytes)?;
            }
            bytes.clear();
        }
        while bytes.len() < length(&head) {
            more(stream, &mut bytes)?;
        }
        bytes.drain(..length(&head));
        let status = head.split("/status/").nth(1).and_then(|rest| rest.split(' ').next()).unwrap_or("200");
        let body = match head.contains(" /chunked ") {
            true => "Transfer-Encoding: chunked\r\n\r\n3\r\nok\n\r\n0\r\n\r\n",
            false => "Content-Length: 3\r\n\r\nok\n",
        };
        let hop = match head.contains(" /hop ") {
            true => {
                "Connection: close, X-Mine\r\nX-Mine: 1\r\nKeep-Alive: timeout=300\r\nUpgrade: h2,h2c\r\n\
                 Proxy-Connection: close\r\n"
            }
            false => "",
        };
        let answer = format!("HTTP/1.1 {status} Fine\r\n{hop}{body}");
        stream.write_all(answer.as_bytes()).ok()?;
    }
}

/// What a head says of its body's length.
pub(super) fn length(head: &str) -> usize {
    let head = head.to_lowercase();
    let length = head.split("\r\ncontent-length: ").nth(1).and_then(|rest| rest.split('\r').next());
    length.map_or(0, |length| length.parse().unwrap())
}

/// Ends a client's side, so that the other side sees the end.
pub(super) fn close(stream: &TcpStream) {
    let _ = stream.shutdown(Shutdown::Both);
}
