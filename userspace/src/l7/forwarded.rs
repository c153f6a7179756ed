//! Headers that tell a member about the client: X-Forwarded-For, -Proto, -Port and -Host.
//!
//! Set on the request to the member after Pingora has removed what the client's `Connection` header names, so that a
//! client cannot have them removed.

use std::net::IpAddr;

use http::header::HeaderValue;
use model::edge::ForwardedFor;
use pingora::{Result, http::RequestHeader, proxy::Session};

use super::{edge::Edge, exchange, target};

const FOR: &str = "X-Forwarded-For";
const PROTO: &str = "X-Forwarded-Proto";
const PORT: &str = "X-Forwarded-Port";
const FORWARDED_HOST: &str = "X-Forwarded-Host";
/// By which a client can say where it comes from, or how; in lower case.
const CLAIMS: [&str; 10] = [
    "forwarded",
    "true-client-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-proto",
    "x-forwarded-ssl",
    "x-real-ip",
];

impl Edge {
    /// Sets the headers on a request that goes to a member for `session`'s client. To be called from
    /// `upstream_request_filter`, which is when Pingora is done with the client's headers.
    ///
    /// # Errors
    /// None that is known: all values are good ones.
    pub fn forward(&self, request: &mut RequestHeader, session: &Session) -> Result<()> {
        let socket = session.digest().and_then(|digest| digest.socket_digest.as_deref());
        match exchange::client(socket) {
            Some(client) => self.tell(request, client.ip().to_canonical()),
            None => Ok(()),
        }
    }

    fn tell(&self, request: &mut RequestHeader, client: IpAddr) -> Result<()> {
        let settings = self.forwarded;
        // Before claims go.
        let host = target::authority(request).and_then(|host| HeaderValue::from_bytes(host).ok());
        // To a member that is a CGI or WSGI program, X_Forwarded_For is the same header.
        remove(request, |name| name.contains('_') && CLAIMS.contains(&name.replace('_', "-").as_str()));
        match settings.address {
            ForwardedFor::Keep => {}
            ForwardedFor::Append => append(request, client)?,
            ForwardedFor::Replace => {
                remove(request, |name| CLAIMS.contains(&name));
                request.insert_header(FOR, client.to_string())?;
            }
        }
        if settings.proto {
            request.insert_header(PROTO, if self.https { "https" } else { "http" })?;
        }
        if settings.port {
            request.insert_header(PORT, self.vip.port().to_string())?;
        }
        if let Some(host) = host.filter(|_| settings.host) {
            request.insert_header(FORWARDED_HOST, host)?;
        }
        Ok(())
    }
}

/// The client after whomever the header names already, as one header: some servers read only the first.
fn append(request: &mut RequestHeader, client: IpAddr) -> Result<()> {
    let mut bytes = Vec::new();
    for value in request.headers.get_all(FOR) {
        if !value.as_bytes().trim_ascii().is_empty() {
            bytes.extend_from_slice(value.as_bytes());
            bytes.extend_from_slice(b", ");
        }
    }
    bytes.extend_from_slice(client.to_string().as_bytes());
    request.insert_header(FOR, bytes)
}

fn remove(request: &mut RequestHeader, is: impl Fn(&str) -> bool) {
    let names: Vec<_> = request.headers.keys().filter(|name| is(name.as_str())).cloned().collect();
    for name in names {
        request.remove_header(&name);
    }
}

#[cfg(test)]
mod tests {
    use model::edge::{Forwarded, ForwardedFor};

    use crate::l7::fixture::{EdgeSettings, Front, Settings};

    const ALL: Forwarded = Forwarded { address: ForwardedFor::Append, proto: true, port: true, host: true };
    const FORGED: &str = "X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Port: 1\r\n\
                          X-Forwarded-Host: evil\r\nX-Real-IP: 192.0.2.2\r\nForwarded: for=192.0.2.3\r\n\
                          X_Forwarded_For: 192.0.2.4\r\nX-Forwarded-Ssl: on\r\nX-Client-IP: 192.0.2.5\r\n\
                          X-Cluster-Client-IP: 192.0.2.6\r\nTrue-Client-IP: 192.0.2.7\r\n\
                          X_Client_IP: 192.0.2.8\r\n";

    /// Lines of the request's head that the member sees and that say where it comes from, in lower case and order.
    fn seen(forwarded: Forwarded, headers: &str) -> Vec<String> {
        let edge = EdgeSettings { forwarded, ..EdgeSettings::default() };
        let front = Front::start(Settings { edge, ..Settings::default() });
        let request = format!("GET / HTTP/1.1\r\nHost: Shop.example:8080\r\n{headers}\r\n");
        let request = request.replace("\r\n\r\n", "\r\nX-End: close\r\n\r\n");
        let mut client = front.connect();
        std::io::Write::write_all(&mut client, request.as_bytes()).unwrap();
        front.wait_for("the answer", |row| row.requests == 1);
        let sent = front.sent().to_lowercase();
        let mut lines: Vec<_> = sent
            .lines()
            .filter(|line| line.contains("forwarded") || line.contains("-ip: ") || line.contains("_ip: "))
            .map(str::to_owned)
            .collect();
        lines.sort();
        lines
    }

    #[test]
    fn the_client_is_added_to_those_that_a_request_names() {
        assert_eq!(seen(Forwarded::default(), ""), ["x-forwarded-for: 127.0.0.1"]);
        let two = "X-Forwarded-For: 192.0.2.1, 192.0.2.2\r\nx-forwarded-for: 192.0.2.3\r\n";
        let appended = ["x-forwarded-for: 192.0.2.1, 192.0.2.2, 192.0.2.3, 127.0.0.1"];
        assert_eq!(seen(Forwarded::default(), two), appended);
        assert_eq!(seen(Forwarded::default(), "X-Forwarded-For:\r\n"), ["x-forwarded-for: 127.0.0.1"]);
    }

    #[test]
    fn what_is_told_besides_is_true_whatever_the_client_says() {
        let told = [
            "forwarded: for=192.0.2.3",
            "true-client-ip: 192.0.2.7",
            "x-client-ip: 192.0.2.5",
            "x-cluster-client-ip: 192.0.2.6",
            "x-forwarded-for: 192.0.2.1, 127.0.0.1",
            "x-forwarded-host: shop.example:8080",
            "x-forwarded-port: 80",
            "x-forwarded-proto: http",
            "x-forwarded-ssl: on",
            "x-real-ip: 192.0.2.2",
        ];
        assert_eq!(seen(ALL, FORGED), told);
    }

    #[test]
    fn with_replace_no_claim_of_the_client_gets_through() {
        let address = ForwardedFor::Replace;
        let told = ["x-forwarded-for: 127.0.0.1"];
        assert_eq!(seen(Forwarded { address, ..Forwarded::default() }, FORGED), told);
        let told = [
            "x-forwarded-for: 127.0.0.1",
            "x-forwarded-host: shop.example:8080",
            "x-forwarded-port: 80",
            "x-forwarded-proto: http",
        ];
        assert_eq!(seen(Forwarded { address, ..ALL }, FORGED), told);
    }

    #[test]
    fn with_keep_the_clients_header_goes_on() {
        let keep = Forwarded { address: ForwardedFor::Keep, ..Forwarded::default() };
        assert_eq!(seen(keep, "X-Forwarded-For: 192.0.2.1\r\n"), ["x-forwarded-for: 192.0.2.1"]);
    }

    /// Hop-by-hop headers are removed on the way to the member, and `Connection` says which are.
    #[test]
    fn a_client_cannot_have_ours_removed() {
        let told = seen(ALL, "Connection: X-Forwarded-Port, X-Real-IP\r\nX-Real-IP: 192.0.2.2\r\n");
        let expected = [
            "x-forwarded-for: 127.0.0.1",
            "x-forwarded-host: shop.example:8080",
            "x-forwarded-port: 80",
            "x-forwarded-proto: http",
        ];
        assert_eq!(told, expected);
        // Those are refused altogether.
        assert_eq!(seen(ALL, "Connection: X-Forwarded-For\r\n"), Vec::<String>::new());
    }
}
