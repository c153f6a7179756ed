//! Headers that are for one connection only (RFC 9110 section 7.6.1). Pingora keeps those of a request to itself; those of
//! a member's answer it hands on, and what that says of its length as it came.

use http::header::{
    CONNECTION, CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue, TRANSFER_ENCODING, UPGRADE,
};
use pingora::{
    Result,
    http::{ResponseHeader, StatusCode},
};

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

/// Has an answer say at most once how long it is, and not at all if it has no body (RFC 9110, section 8.6; RFC 9112, section
/// 6.1). What it says was checked.
///
/// # Errors
/// None that is known: a number can stand in a header.
pub fn settle_length(response: &mut ResponseHeader) -> Result<()> {
    let has_none = response.status.is_informational() || response.status == StatusCode::NO_CONTENT;
    if has_none || response.status == StatusCode::NOT_MODIFIED {
        response.remove_header(&TRANSFER_ENCODING);
    }
    if has_none {
        response.remove_header(&CONTENT_LENGTH);
        return Ok(());
    }
    let mut lengths = response.headers.get_all(CONTENT_LENGTH).iter();
    let Some(first) = lengths.next() else { return Ok(()) };
    let mut parts = first.as_bytes().split(|&byte| byte == b',');
    let number = parts.next().unwrap_or_default().trim_ascii();
    if parts.next().is_some() || lengths.next().is_some() {
        let number = number.to_vec();
        response.insert_header(CONTENT_LENGTH, number)?;
    }
    Ok(())
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

    #[test]
    fn an_answer_says_once_how_long_it_is() {
        for (status, lengths, expected) in [
            (200, &[][..], None),
            (200, &["5"], Some("5")),
            (200, &["5", "5"], Some("5")),
            (200, &["5 , 5"], Some("5")),
            (304, &["5", "5"], Some("5")),
            (204, &["5"], None),
            (103, &["5"], None),
        ] {
            let mut response = ResponseHeader::build(status, None).unwrap();
            for length in lengths {
                response.append_header("Content-Length", *length).unwrap();
            }
            if status != 200 {
                response.insert_header("Transfer-Encoding", "chunked").unwrap();
            }
            settle_length(&mut response).unwrap();
            let left: Vec<_> = response.headers.get_all(CONTENT_LENGTH).iter().collect();
            assert_eq!(left, expected.into_iter().collect::<Vec<_>>(), "{status} {lengths:?}");
            assert!(!response.headers.contains_key(TRANSFER_ENCODING), "{status}");
        }
    }
}
