//! Why a request is refused before anything is done for it.

/// A reason; the discriminants are indexes of counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The head was not there in time.
    Late,
    /// The head is larger than allowed, or its target than Pingora takes.
    TooLarge,
    /// It has more header lines than allowed.
    TooMany,
    /// It is not HTTP: a space in the path, a space before a colon, a folded line, a control character, …
    Malformed,
    /// HTTP/1.1 without Host.
    NoHost,
    /// More than one Host.
    SeveralHosts,
    /// A Host that is no host with an optional port, or is longer than a name can be.
    BadHost,
    /// A Content-Length that is no number, or more than one.
    BadLength,
    /// A Transfer-Encoding other than one `chunked`, or one in HTTP/1.0.
    BadEncoding,
    /// Content-Length and Transfer-Encoding.
    LengthAndEncoding,
    /// A body in chunks that is none (RFC 9112, section 7.1): nobody can tell where it ends.
    BadChunks,
    /// CONNECT: this is no forward proxy.
    Connect,
    /// The heads under way on its connection of HTTP/2 take as much as they may: it may be asked for again.
    Crowded,
    /// HTTP/2 itself refuses it, and nothing is known of it: fields that it forbids, a head of more than twice the limit, too many
    /// requests at a time. Counted when no other is under way on its connection, or at its end.
    Protocol,
    /// What the checks here let through and Pingora does not, such as a Host that contradicts the request line.
    Other,
}

impl Refusal {
    /// Every one, in the order of the discriminants.
    pub const ALL: [Self; 15] = [
        Self::Late,
        Self::TooLarge,
        Self::TooMany,
        Self::Malformed,
        Self::NoHost,
        Self::SeveralHosts,
        Self::BadHost,
        Self::BadLength,
        Self::BadEncoding,
        Self::LengthAndEncoding,
        Self::BadChunks,
        Self::Connect,
        Self::Crowded,
        Self::Protocol,
        Self::Other,
    ];

    /// Its name among the counters.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Late => "late",
            Self::TooLarge => "too_large",
            Self::TooMany => "too_many_headers",
            Self::Malformed => "malformed",
            Self::NoHost => "no_host",
            Self::SeveralHosts => "several_hosts",
            Self::BadHost => "bad_host",
            Self::BadLength => "bad_length",
            Self::BadEncoding => "bad_encoding",
            Self::LengthAndEncoding => "length_and_encoding",
            Self::BadChunks => "bad_chunks",
            Self::Connect => "connect",
            Self::Crowded => "crowded",
            Self::Protocol => "protocol",
            Self::Other => "other",
        }
    }

    /// The status that the client gets.
    pub const fn status(self) -> u16 {
        match self {
            Self::Late => 408,
            Self::TooLarge | Self::TooMany => 431,
            Self::Connect => 405,
            _ => 400,
        }
    }

    /// What the client is told; one line.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Late => "the request's head took too long",
            Self::TooLarge => "the request's head is too large",
            Self::TooMany => "the request has too many headers",
            Self::Malformed => "this is not HTTP",
            Self::NoHost => "no Host",
            Self::SeveralHosts => "more than one Host",
            Self::BadHost => "Host is not a host",
            Self::BadLength => "Content-Length is not one number",
            Self::BadEncoding => "Transfer-Encoding is not just chunked",
            Self::LengthAndEncoding => "Content-Length with Transfer-Encoding",
            Self::BadChunks => "the body is not in chunks as it should be",
            Self::Connect => "CONNECT is not for this server",
            Self::Crowded => "the connection has too much under way",
            Self::Protocol => "this is not HTTP/2",
            Self::Other => "the request contradicts itself",
        }
    }

    /// The answer of an HTTP/1 connection, which ends with it.
    pub fn response(self) -> Vec<u8> {
        let phrase = match self.status() {
            408 => "Request Timeout",
            431 => "Request Header Fields Too Large",
            405 => "Method Not Allowed\r\nAllow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS",
            _ => "Bad Request",
        };
        let reason = self.reason();
        format!(
            "HTTP/1.1 {} {phrase}\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n{reason}\n",
            self.status(),
            reason.len() + 1
        )
        .into_bytes()
    }
}
