//! Headers that are for one connection only (RFC 9110 section 7.6.1). Pingora keeps those of a request to itself; those of
//! a member's answer it hands on.

use http::header::{
    CONNECTION, CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue, TRANSFER_ENCODING, UPGRADE,
};
use pingora::http::ResponseHeader;

const KEEP_ALIVE: &str = "keep-alive";
const PROXY_CONNECTION: &str = "proxy-connection";

/// What `Connection` says, option by option.
pub fn options(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    let values = headers.get_all(CONNECTION).iter().map(HeaderValue::as_bytes);
    values.flat_map(|value| value.split(|&byte| byte == b',')).map(<[u8]>::trim_ascii)
}

/// Removes them from an answer, but for what tells the length of its body: that is Pingora's.
pub fn remove(response: &mut ResponseHeader) {
    let named = options(&response.headers)
        .filter_map(|option| HeaderName::from_bytes(option).ok())
        .filter(|name| response.headers.contains_key(name) && !is_framing(name))
        .collect::<Vec<_>>();
    named.iter().for_each(|name| drop(response.remove_header(name)));
    response.remove_header(&CONNECTION);
    response.remove_header(&UPGRADE);
    response.remove_header(KEEP_ALIVE);
    response.remove_header(PROXY_CONNECTION);
}

fn is_framing(name: &HeaderName) -> bool {
    *name == CONTENT_LENGTH || *name == TRANSFER_ENCODING
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_connection_names_goes_and_the_body_keeps_its_length() {
        let mut response = ResponseHeader::build(200, None).unwrap();
        for (name, value) in [
            ("Connection", "X-One,, \"odd\" , Content-Length"),
            ("Connection", " x-two , Transfer-Encoding,"),
            ("X-One", "1"),
            ("X-Two", "2"),
            ("X-Three", "3"),
            ("Content-Length", "2"),
            ("Transfer-Encoding", "chunked"),
            ("Upgrade", "h2"),
            ("Keep-Alive", "timeout=5"),
            ("Proxy-Connection", "close"),
        ] {
            response.append_header(name, value).unwrap();
        }
        remove(&mut response);
        let mut left: Vec<_> = response.headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["content-length", "transfer-encoding", "x-three"]);
    }
}
