//! Which sessions are asked for.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    str::FromStr,
};

use clap::Args;
use evenkeel::dataplane::{
    expiry::{self, STATES},
    report::Session,
};
use ipnet::IpNet;

#[derive(Args)]
pub struct Filter {
    /// Only of these clients.
    #[arg(long, value_name = "ADDRESS[:PORT] or NETWORK")]
    client: Option<End>,
    /// Only at this VIP.
    #[arg(long, value_name = "ADDRESS[:PORT]")]
    vip: Option<End>,
    /// Only of this listener, or of all of a load balancer's.
    #[arg(long, value_name = "LOAD BALANCER[/LISTENER]")]
    listener: Option<String>,
    /// Only of these members.
    #[arg(long, value_name = "ADDRESS[:PORT] or NETWORK")]
    backend: Option<End>,
    /// Only in this state.
    #[arg(long, value_name = "STATE", ignore_case = true, value_parser = states())]
    state: Option<String>,
}

impl Filter {
    /// Whether this is one of them.
    pub fn admits(&self, session: &Session) -> bool {
        let has = |end: &Option<End>, of| end.as_ref().is_none_or(|end| end.has(of));
        let is_of = |listener: &String| match session.listener.strip_prefix(listener.as_str()) {
            Some(rest) => rest.is_empty() || rest.starts_with('/'),
            None => false,
        };
        has(&self.client, session.client)
            && has(&self.vip, session.vip)
            && has(&self.backend, session.backend)
            && self.listener.as_ref().is_none_or(is_of)
            && self.state.as_ref().is_none_or(|state| state.eq_ignore_ascii_case(session.state))
    }
}

fn states() -> clap::builder::PossibleValuesParser {
    STATES.map(|(protocol, state)| expiry::state_name(protocol, state)).into()
}

/// One end of a session, or several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Socket(SocketAddr),
    Network(IpNet),
}

impl End {
    fn has(&self, end: SocketAddr) -> bool {
        match self {
            Self::Socket(socket) => *socket == end,
            Self::Network(network) => network.contains(&end.ip()),
        }
    }
}

/// Neither of the two.
#[derive(Debug)]
pub struct NoEnd;

impl fmt::Display for NoEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("use an address such as 192.0.2.11 or 2001:db8::11, one with a port such as 192.0.2.11:80 or [2001:db8::11]:80, or a network such as 198.51.100.0/24")
    }
}

impl std::error::Error for NoEnd {}

impl FromStr for End {
    type Err = NoEnd;

    fn from_str(text: &str) -> Result<Self, NoEnd> {
        if let Ok(socket) = text.parse() {
            return Ok(Self::Socket(socket));
        }
        let network = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
        network.map(Self::Network).map_err(|_| NoEnd)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        filter: Filter,
    }

    fn session() -> Session {
        Session {
            client: "198.51.100.2:40000".parse().unwrap(),
            vip: "203.0.113.10:80".parse().unwrap(),
            local: "100.64.0.1:5000".parse().unwrap(),
            backend: "192.0.2.11:8080".parse().unwrap(),
            listener: "shop/web".into(),
            protocol: "tcp",
            state: "ESTABLISHED",
            idle_s: 1.0,
            packets_in: 1,
            packets_out: 2,
        }
    }

    #[test]
    fn every_filter_admits_what_it_names_and_nothing_else() {
        for (words, expected) in [
            ("", true),
            ("--client 198.51.100.0/24", true),
            ("--client 198.51.100.2", true),
            ("--client 198.51.100.2:40001", false),
            ("--client 2001:db8::/32", false),
            ("--vip 203.0.113.10:80", true),
            ("--vip 203.0.113.11", false),
            ("--backend 192.0.2.11", true),
            ("--backend 192.0.2.12", false),
            ("--listener shop", true),
            ("--listener shop/web", true),
            ("--listener shop/we", false),
            ("--listener sho", false),
            ("--state established", true),
            ("--state TIME_WAIT", false),
            ("--client 198.51.100.2 --state answered", false),
        ] {
            let words = ["sessions"].into_iter().chain(words.split_whitespace());
            let line = Line::try_parse_from(words.clone()).unwrap();
            assert_eq!(line.filter.admits(&session()), expected, "{:?}", words.collect::<Vec<_>>());
        }
        for wrong in ["--client 198.51.100", "--vip shop:80", "--state OPEN"] {
            assert!(
                Line::try_parse_from(["sessions"].into_iter().chain(wrong.split(' '))).is_err(),
                "{wrong}"
            );
        }
    }
}
