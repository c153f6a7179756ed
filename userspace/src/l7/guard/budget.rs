//! What the heads under way on one connection of HTTP/2 take together: a client can have us hold far more than it sends,
//! since HPACK makes a byte a field.

use std::{
    mem,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use http::{HeaderMap, HeaderValue, header::COOKIE};
use pingora::http::RequestHeader;

/// What a field takes beside its text: its entries in the client's head and in the one for the member (104 bytes each,
/// and up to a third more of free ones), and the text's own allocations.
const FIELD: usize = 400;
/// What a request takes beside its fields' text: line, client's address, the list itself.
const REQUEST: usize = 1024;
/// What a byte of a trailer's block may take: it may stand for a whole field, of which nobody asks for any.
const TRAILER: usize = 128;

/// A connection's budget, in bytes.
#[derive(Debug)]
pub(super) struct Budget {
    most: usize,
    held: AtomicUsize,
}

/// A part of a budget in use, as long as it lives.
#[derive(Debug)]
pub(super) struct Held {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Budget {
    pub(super) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, held: AtomicUsize::new(0) })
    }

    /// Takes what this head takes; `None` if that is more than is left.
    pub(super) fn hold(self: &Arc<Self>, request: &RequestHeader) -> Option<Held> {
        let text: usize = request.headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
        self.take(REQUEST + request.raw_path().len() + text + FIELD * request.headers.len())
    }

    /// Takes what a trailer may take whose block has so many bytes.
    pub(super) fn hold_trailer(self: &Arc<Self>, block: usize) -> Option<Held> {
        self.take(block.saturating_mul(TRAILER))
    }

    fn take(self: &Arc<Self>, bytes: usize) -> Option<Held> {
        let fits = |held: usize| held.checked_add(bytes).filter(|&held| held <= self.most);
        self.held.fetch_update(Relaxed, Relaxed, fits).ok()?;
        Some(Held { budget: self.clone(), bytes })
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.budget.held.fetch_sub(self.bytes, Relaxed);
    }
}

/// What a request's head is counted as (RFC 9113, section 6.5.2): each field with 32 bytes beside its text, those that
/// begin with a colon too.
pub(super) fn size(request: &RequestHeader) -> usize {
    const BESIDE: usize = 32;
    let uri = &request.uri;
    let authority = uri.authority().map(|authority| ":authority".len() + authority.as_str().len() + BESIDE);
    let method = ":method".len() + request.method.as_str().len() + BESIDE;
    let scheme = ":scheme".len() + uri.scheme_str().unwrap_or("https").len() + BESIDE;
    let path = ":path".len() + request.raw_path().len() + BESIDE;
    let fields = request.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + BESIDE);
    method + scheme + path + authority.unwrap_or(0) + fields.sum::<usize>()
}

/// How many fields a head has. A client may send each cookie in a field of its own (RFC 9113, section 8.2.3): they are
/// one, and [`size`] counts each.
pub(super) fn fields(headers: &HeaderMap) -> usize {
    headers.len() - headers.get_all(COOKIE).iter().count().saturating_sub(1)
}

/// Makes all cookies one field, and gives back the room that they had: a list keeps that of fields that are gone.
pub(super) fn join_cookies(request: &mut RequestHeader) {
    let cookies: Vec<_> = request.headers.get_all(COOKIE).into_iter().map(HeaderValue::as_bytes).collect();
    if cookies.len() < 2 {
        return;
    }
    // What stands in fields can stand in one.
    let Ok(joined) = HeaderValue::from_maybe_shared(bytes::Bytes::from(cookies.join(&b"; "[..]))) else {
        return;
    };
    let Ok(empty) = RequestHeader::build("GET", b"/", Some(0)) else { return };
    let mut parts = http::request::Parts::from(mem::replace(request, empty));
    let mut headers = HeaderMap::with_capacity(parts.headers.keys_len());
    let mut name = None;
    for (next, value) in mem::take(&mut parts.headers) {
        name = next.or(name);
        if let Some(name) = name.clone().filter(|name| name != COOKIE) {
            headers.append(name, value);
        }
    }
    headers.insert(COOKIE, joined);
    parts.headers = headers;
    *request = RequestHeader::from(parts);
}

#[cfg(test)]
mod tests {
    use http::HeaderName;
    use proptest::prelude::*;

    use super::*;

    fn request(fields: &[(&str, &str)]) -> RequestHeader {
        let mut request = RequestHeader::build("GET", b"/", None).unwrap();
        request.set_uri("https://a/".parse().unwrap());
        for (name, value) in fields {
            request.append_header(HeaderName::from_bytes(name.as_bytes()).unwrap(), *value).unwrap();
        }
        request
    }

    /// RFC 9113, section 6.5.2, by hand.
    #[test]
    fn a_head_is_counted_with_32_bytes_for_each_field() {
        let pseudo = (7 + 3 + 32) + (7 + 5 + 32) + (10 + 1 + 32) + (5 + 1 + 32);
        assert_eq!(size(&request(&[])), pseudo);
        assert_eq!(size(&request(&[("x", "")])), pseudo + 33);
        assert_eq!(size(&request(&[("cookie", "a"), ("cookie", "b"), ("x-y", "abc")])), pseudo + 2 * 39 + 38);
    }

    #[test]
    fn a_budget_is_free_again_when_what_took_it_is_gone() {
        let head = request(&[("x", "y")]);
        let budget = Budget::new(3 * (REQUEST + FIELD + 3));
        let mut held: Vec<_> = (0..3).map(|_| budget.hold(&head).unwrap()).collect();
        assert!(budget.hold(&head).is_none() && budget.hold_trailer(1).is_none());
        held.pop();
        assert!(budget.hold(&head).is_some());
        assert!(budget.hold_trailer(usize::MAX).is_none());
        drop(held);
        assert_eq!(budget.held.load(Relaxed), 0);
    }

    proptest! {
        #[test]
        fn cookies_become_one_field_and_nothing_else_changes(
            fields in prop::collection::vec(("cookie|x-a|x-b", "[a-z=]{0,5}"), 0..12),
        ) {
            let fields: Vec<_> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            let mut head = request(&fields);
            let count = super::fields(&head.headers);
            join_cookies(&mut head);
            prop_assert_eq!(head.headers.len(), count);
            prop_assert_eq!(&head.uri, "https://a/");
            for name in ["x-a", "x-b"] {
                let expected: Vec<_> = fields.iter().filter(|field| field.0 == name).map(|field| field.1).collect();
                prop_assert_eq!(head.headers.get_all(name).into_iter().collect::<Vec<_>>(), expected);
            }
            let cookies: Vec<_> = fields.iter().filter(|field| field.0 == "cookie").map(|field| field.1).collect();
            let expected = (!cookies.is_empty()).then(|| cookies.join("; "));
            prop_assert_eq!(head.headers.get(COOKIE).map(|value| value.to_str().unwrap().to_owned()), expected);
        }
    }
}
