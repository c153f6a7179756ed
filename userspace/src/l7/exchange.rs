//! A request and its answer, from its first byte until it is logged and counted. The proxy keeps an [`Exchange`] for
//! each request and tells it what happens; the guard has [`Refused`] for requests that get no further than it.

use std::{
    borrow::Cow,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use http::{
    StatusCode,
    header::{HeaderMap, REFERER, USER_AGENT},
};
use jiff::Zoned;
use pingora::{
    Error, ErrorSource,
    http::{RequestHeader, ResponseHeader},
    protocols::{SocketDigest, l4::socket::SocketAddr as PingoraAddr, tls::SslDigest},
    proxy::Session,
};

use super::{
    edge::Edge,
    failure,
    guard::{arrival::Arrival, refusal::Refusal},
    log::{Attempt, Record, TlsRecord},
    metrics::Answered,
    target,
    tls::ServerName,
};

/// A request on its way through the proxy.
#[derive(Debug)]
pub struct Exchange {
    began: Instant,
    arrival: Option<Box<Arrival>>,
    pool: Option<String>,
    attempts: Vec<Attempt>,
    /// When the attempt began that is last in `attempts`.
    attempt_began: Instant,
}

impl Default for Exchange {
    fn default() -> Self {
        let now = Instant::now();
        Self { began: now, arrival: None, pool: None, attempts: Vec::new(), attempt_began: now }
    }
}

impl Exchange {
    /// Takes what the guard tells of a request: the user context that Pingora gives `on_connection_reuse`.
    pub fn arrived(&mut self, context: Box<dyn std::any::Any + Send + Sync>) {
        if let Ok(arrival) = context.downcast::<Arrival>() {
            arrival.reached();
            self.began = arrival.began;
            self.arrival = Some(arrival);
        }
    }

    /// Whether nobody can tell where the request's body ends.
    pub fn is_lost(&self) -> bool {
        self.arrival.as_ref().is_some_and(|arrival| arrival.traffic.is_lost())
    }

    /// How it came, if its connection is one of HTTP/1.
    pub fn arrival(&self) -> Option<&Arrival> {
        self.arrival.as_deref()
    }

    /// It becomes a tunnel.
    pub fn switched(&self) {
        self.arrival.iter().for_each(|arrival| arrival.traffic.switch());
    }

    /// The request is for this pool.
    pub fn for_pool(&mut self, pool: &str) {
        self.pool = Some(pool.into());
    }

    /// A member is tried, perhaps after others.
    pub fn trying(&mut self, member: SocketAddr) {
        self.attempt_began = Instant::now();
        self.attempts.push(Attempt { member, status: None, connect: None, header: None, response: None });
    }

    /// There is a connection to the member; `reused` if there was one before.
    pub fn connected(&mut self, reused: bool) {
        let time = if reused { Duration::ZERO } else { self.attempt_began.elapsed() };
        if let Some(attempt) = self.attempts.last_mut() {
            attempt.connect = Some(time);
        }
    }

    /// The member's answer begins.
    pub fn answered(&mut self, status: u16) {
        let time = self.attempt_began.elapsed();
        if let Some(attempt) = self.attempts.last_mut() {
            attempt.status = Some(status);
            attempt.header = Some(time);
        }
    }

    /// The attempt has failed; there may be another one.
    pub fn failed(&mut self, error: &Error) {
        let time = self.attempt_began.elapsed();
        if let Some(attempt) = self.attempts.last_mut()
            && attempt.response.is_none()
        {
            attempt.response = Some(time);
            if *error.esource() != ErrorSource::Downstream {
                attempt.status.get_or_insert(failure::status(error));
            }
        }
    }

    /// The request is over: logs and counts it.
    pub fn finish(&mut self, session: &Session, error: Option<&Error>, edge: &Edge) {
        if let Some(attempt) = self.attempts.last_mut() {
            attempt.response.get_or_insert(self.attempt_began.elapsed());
        }
        let answered = answer(session).map(|response| response.status.as_u16());
        let status = answered.or(error.map(failure::status)).unwrap_or(0);
        let (request_length, bytes_sent) = self.bytes(session);
        let time = self.began.elapsed();
        edge.counters.answered(&Answered { status, time, bytes_in: request_length, bytes_out: bytes_sent });
        for attempt in &self.attempts {
            match (attempt.header, attempt.status) {
                (Some(_), Some(status)) => edge.counters.member_answered(status),
                (None, Some(_)) => edge.counters.member_failed(),
                // The client gave it up.
                (_, None) => {}
            }
        }
        let Some(log) = &edge.log else { return };
        let request = session.req_header();
        let digest = session.digest();
        let socket = digest.and_then(|digest| digest.socket_digest.as_deref());
        let tls = digest.and_then(|digest| digest.ssl_digest.as_deref());
        log.write(&Record {
            status,
            method: request.method.as_str().as_bytes(),
            host: &host(request),
            target: &target::path(request),
            version: version(request.version),
            request_length,
            bytes_sent,
            body_bytes_sent: session.body_bytes_sent() as u64,
            request_time: time,
            attempts: &self.attempts,
            user_agent: request.headers.get(USER_AGENT).map(|value| value.as_bytes()),
            referer: request.headers.get(REFERER).map(|value| value.as_bytes()),
            forwarded_for: joined(&request.headers, "x-forwarded-for"),
            pool: self.pool.as_deref(),
            ..blank(edge, &Zoned::now(), socket, tls)
        });
    }

    /// Bytes from and to the client. Of HTTP/2 heads count as they would in HTTP/1, without their compression.
    fn bytes(&self, session: &Session) -> (u64, u64) {
        if let Some(Arrival { traffic, before, .. }) = self.arrival.as_deref() {
            return (traffic.read() - before.0, traffic.written() - before.1);
        }
        let request = session.req_header();
        let line = request.method.as_str().len() + target::path(request).len() + " HTTP/2.0 \r\n".len();
        let received = line + length(&request.headers) + session.body_bytes_read();
        let sent = answer(session).map_or(0, |response| {
            "HTTP/2.0 200 \r\n".len() + length(&response.headers) + session.body_bytes_sent()
        });
        (received as u64, sent as u64)
    }
}

/// A request that was refused before it was anybody's.
pub(super) struct Refused<'a> {
    /// Why.
    pub(super) refusal: Refusal,
    /// Method, target and version as far as they could be told.
    pub(super) line: [&'a [u8]; 3],
    /// Where it came from.
    pub(super) socket: Option<Arc<SocketDigest>>,
    /// Its TLS.
    pub(super) tls: Option<Arc<SslDigest>>,
    /// When its first byte came.
    pub(super) began: Instant,
    /// Bytes from and to the client.
    pub(super) bytes: (u64, u64),
}

impl Refused<'_> {
    /// Logs and counts it.
    pub(super) fn finish(&self, edge: &Edge) {
        let Self { refusal, line: [method, target, version], began, bytes, .. } = *self;
        let socket = self.socket.as_deref();
        let (status, time) = (refusal.status(), began.elapsed());
        edge.counters.refused(refusal);
        edge.counters.answered(&Answered { status, time, bytes_in: bytes.0, bytes_out: bytes.1 });
        let Some(log) = &edge.log else { return };
        log.write(&Record {
            status,
            method,
            target,
            version,
            request_length: bytes.0,
            bytes_sent: bytes.1,
            request_time: time,
            ..blank(edge, &Zoned::now(), socket, self.tls.as_deref())
        });
    }
}

/// A record of a request of which only its connection is known.
fn blank<'a>(
    edge: &'a Edge,
    at: &'a Zoned,
    socket: Option<&SocketDigest>,
    tls: Option<&'a SslDigest>,
) -> Record<'a> {
    Record {
        at,
        client: client(socket),
        status: 0,
        method: b"",
        https: edge.https,
        host: b"",
        target: b"",
        version: b"",
        request_length: 0,
        bytes_sent: 0,
        body_bytes_sent: 0,
        request_time: Duration::ZERO,
        attempts: &[],
        user_agent: None,
        referer: None,
        forwarded_for: None,
        load_balancer: &edge.load_balancer,
        listener: &edge.listener,
        pool: None,
        vip: edge.vip,
        tls: tls.map(tls_record),
        rtt_us: rtt_us(socket),
    }
}

/// The client's address, of the PROXY protocol if that told one.
pub(super) fn client(socket: Option<&SocketDigest>) -> Option<SocketAddr> {
    socket?.peer_addr().and_then(PingoraAddr::as_inet).copied()
}

/// What the log wants to know of a handshake.
fn tls_record(tls: &SslDigest) -> TlsRecord<'_> {
    let sni = tls.extension.get::<ServerName>().map(|name| name.0.as_str());
    TlsRecord { protocol: &tls.version, cipher: &tls.cipher, sni }
}

/// The kernel's estimate of the round-trip time to the peer, µs.
fn rtt_us(socket: Option<&SocketDigest>) -> Option<u32> {
    Some(socket?.tcp_info()?.tcpi_rtt)
}

/// What the client was answered; none if it has heard only that its answer is to come.
pub(super) fn answer(session: &Session) -> Option<&ResponseHeader> {
    let is_last =
        |status: StatusCode| !status.is_informational() || status == StatusCode::SWITCHING_PROTOCOLS;
    session.response_written().filter(|response| is_last(response.status))
}

/// The host that was asked for, in lower case and without port.
fn host(request: &RequestHeader) -> Vec<u8> {
    let authority = String::from_utf8_lossy(target::authority(request).unwrap_or_default());
    target::host(&authority).to_ascii_lowercase().into_bytes()
}

fn version(version: http::Version) -> &'static [u8] {
    match version {
        http::Version::HTTP_10 => b"HTTP/1.0",
        http::Version::HTTP_11 => b"HTTP/1.1",
        http::Version::HTTP_2 => b"HTTP/2.0",
        _ => b"",
    }
}

/// All values of a header, with commas between them.
fn joined<'a>(headers: &'a HeaderMap, name: &str) -> Option<Cow<'a, [u8]>> {
    let mut values = headers.get_all(name).iter().map(|value| value.as_bytes());
    let first = values.next()?;
    Some(values.fold(Cow::Borrowed(first), |mut joined, value| {
        joined.to_mut().extend_from_slice(b", ");
        joined.to_mut().extend_from_slice(value);
        joined
    }))
}

/// What headers and the line after them take.
fn length(headers: &HeaderMap) -> usize {
    2 + headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use std::{fs, io::Write, path::PathBuf, time::Instant};

    use model::{
        edge::{AccessLog, LogFormat},
        value::LogPath,
    };

    use crate::l7::fixture::{DEADLINE, EdgeSettings, Front, Settings};

    /// A front with a log, and where that is.
    fn logged(name: &str, format: LogFormat) -> (Front, PathBuf) {
        let path = std::env::temp_dir().join(format!("evenkeel-exchange-{}-{name}", std::process::id()));
        let log = AccessLog { path: LogPath::new(path.to_str().unwrap()).unwrap(), format };
        let edge = EdgeSettings { log: Some(log), ..EdgeSettings::default() };
        (Front::start(Settings { edge, ..Settings::default() }), path)
    }

    /// The log's last line once it has so many.
    fn line(path: &PathBuf, count: usize) -> String {
        let end = Instant::now() + DEADLINE;
        loop {
            let text = fs::read_to_string(path).unwrap();
            if text.lines().count() == count {
                return text.lines().last().unwrap().to_owned();
            }
            assert!(Instant::now() < end, "not in time: {text}");
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
    }

    #[test]
    fn a_line_tells_what_happened() {
        let (front, path) = logged("line", LogFormat::Line);
        let request = "POST /a\"b/status/404 HTTP/1.1\r\nHost: Shop.Example:81\r\nUser-Agent: te\"st\r\nReferer: r\r\n\
                       X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-For: 192.0.2.2\r\nContent-Length: 5\r\n\r\nhello";
        let mut client = front.connect();
        client.write_all(request.as_bytes()).unwrap();
        let line = line(&path, 1);
        fs::remove_file(&path).unwrap();
        let words: Vec<_> = line.split(' ').collect();
        let client = client.local_addr().unwrap().to_string();
        assert_eq!(words[3..6], ["elb_01", &client, "404"], "{line}");
        assert_eq!(words[6..9], ["\"POST", "http://shop.example/a\\x22b/status/404", "HTTP/1.1\""]);
        assert_eq!(words[9], request.len().to_string());
        assert_eq!(words[11], "3");
        assert!(words[10].parse::<u32>().unwrap() > 3 + "HTTP/1.1 404 ".len() as u32);
        // One attempt, so one value in each.
        assert_eq!(words[13], "\"404\"");
        assert_eq!(words[17], format!("\"{}\"", front.member));
        assert_eq!(words[18..22], ["\"te\\x22st\"", "\"r\"", "\"192.0.2.1,", "192.0.2.2\""]);
        assert_eq!(words[22..26], ["loadbalancer_shop", "listener_web", "web", "pool_web"]);
        assert_eq!(words[28], "203.0.113.10:80");
        assert_eq!(words[30..34], ["-", "-", "-", "-"]);
        assert!(words[34].parse::<u32>().is_ok(), "the round-trip time");
    }

    #[test]
    fn a_line_tells_the_url_once_however_it_was_asked_for() {
        let (front, path) = logged("url", LogFormat::Line);
        front.ask(b"GET HTTP://Shop.Example:81?a=b HTTP/1.0\r\n\r\n");
        let line = line(&path, 1);
        fs::remove_file(&path).unwrap();
        assert!(line.contains(r#" "GET http://shop.example/?a=b HTTP/1.0" "#), "{line}");
    }

    #[test]
    fn refused_requests_have_their_lines_too() {
        let (front, path) = logged("refused", LogFormat::Line);
        let requests = [
            ("GET /a b\x07\"c HTTP/1.1\r\nHost: a\r\n\r\n", r#"400 "GET http://-/a\x20b\x07\x22c HTTP/1.1""#),
            ("CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", r#"405 "CONNECT http://-a:443 HTTP/1.1""#),
            ("GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n", r#"400 "GET http://-http://b/ HTTP/1.1""#),
            ("\x16\x03\x01\n\n", r#"400 "\x16\x03\x01 http://-- -""#),
        ];
        for (number, (request, expected)) in requests.into_iter().enumerate() {
            front.ask(request.as_bytes());
            let line = line(&path, number + 1);
            assert!(line.contains(expected), "{line}");
        }
        fs::remove_file(path).unwrap();
    }

    /// A member that hangs up: the request may be made once only, and there is no other member.
    #[test]
    fn a_failed_attempt_has_hyphens_for_what_it_did_not_come_to() {
        let (front, path) = logged("failed", LogFormat::Json);
        front.ask(b"POST /hang HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        let object: serde_json::Value = serde_json::from_str(&line(&path, 1)).unwrap();
        fs::remove_file(path).unwrap();
        assert_eq!((&object["status"], &object["pool_name"]), (&502.into(), &"web".into()), "{object}");
        let attempts = object["upstream"].as_array().unwrap();
        assert_eq!((attempts.len(), &attempts[0]["status"]), (1, &502.into()), "{object}");
        assert!(attempts[0]["connect_time"].is_number() && attempts[0]["header_time"].is_null(), "{object}");
        assert!(attempts[0]["response_time"].is_number(), "{object}");
    }
}
