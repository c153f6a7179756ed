//! The balancer's own cookie: which member a client has, and until when, for nobody but us to read or make.
//!
//! Its value is URL-safe base64 of 28 bytes: 8 that stand for the member (a keyed hash of its address, so the address
//! cannot be read from it), 4 for the time it ends (seconds since 1970, big-endian), and 16 of an HMAC-SHA256 of both. The
//! key comes from the secret and the pool's name, so a cookie of another pool or another installation counts for nothing.

use std::{collections::HashMap, net::SocketAddr, time::Duration};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD as BASE64};
use http::HeaderValue;
use model::sticky::SameSite;
use openssl::memcmp;

use super::{
    request::{Now, Request},
    secret::Secret,
};
use crate::l7::cookies;

type Token = [u8; 8];
const TOKEN: usize = size_of::<Token>();
const BODY: usize = TOKEN + size_of::<u32>();
const CODE: usize = 16;

/// Makes and reads the cookies of one pool.
#[derive(Debug)]
pub(super) struct Issuer {
    secret: Secret,
    name: String,
    same_site: SameSite,
    time: Duration,
    tokens: HashMap<SocketAddr, Token>,
    members: HashMap<Token, SocketAddr>,
}

/// What a cookie of ours says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) member: SocketAddr,
    /// Whether a new one would end at another time, so that a client's time counts from its last answer.
    pub(super) is_old: bool,
}

impl Issuer {
    pub(super) fn new<'a>(
        pool: &str,
        name: Option<&str>,
        same_site: SameSite,
        time: Duration,
        secret: &Secret,
        members: impl Iterator<Item = &'a SocketAddr>,
    ) -> Self {
        let secret = secret.derive(&format!("cookies of pool {pool}"));
        let name = name.map_or_else(|| default_name(&secret), Into::into);
        let tokens: HashMap<_, _> =
            members.filter_map(|&member| Some((member, token(&secret, member)?))).collect();
        let members = tokens.iter().map(|(&member, &token)| (token, member)).collect();
        Self { secret, name, same_site, time, tokens, members }
    }

    /// What the request's cookie says, the first that is ours and not over.
    pub(super) fn read(&self, request: &Request<'_>, now: Now) -> Option<Said> {
        cookies::sent(request.headers, &self.name).find_map(|value| self.open(value, now))
    }

    fn open(&self, value: &str, now: Now) -> Option<Said> {
        let bytes = BASE64.decode(value).ok()?;
        let (body, code) = bytes.split_at_checked(BODY)?;
        let expected = self.code(body)?;
        if code.len() != CODE || !memcmp::eq(code, &expected) {
            return None;
        }
        let (token, end) = body.split_first_chunk::<TOKEN>()?;
        let left = u64::from(u32::from_be_bytes(end.try_into().ok()?)).checked_sub(now.unix)?;
        let member = *self.members.get(token)?;
        (left > 0).then_some(Said { member, is_old: left != self.time.as_secs() })
    }

    /// A `Set-Cookie` header that keeps a client with a member.
    pub(super) fn issue(&self, member: SocketAddr, request: &Request<'_>, now: Now) -> Option<HeaderValue> {
        let seconds = self.time.as_secs();
        let end = u32::try_from(now.unix + seconds).ok()?;
        let mut bytes = self.tokens.get(&member)?.to_vec();
        bytes.extend(end.to_be_bytes());
        bytes.extend(self.code(&bytes)?);
        let (name, value) = (&self.name, BASE64.encode(bytes));
        let mut text = format!("{name}={value}; Path=/; Max-Age={seconds}; HttpOnly");
        text.push_str(match self.same_site {
            SameSite::Strict => "; SameSite=Strict",
            SameSite::Lax => "; SameSite=Lax",
            // Browsers refuse it without `Secure`.
            SameSite::None if request.is_https => "; SameSite=None",
            SameSite::None => "",
        });
        if request.is_https {
            text.push_str("; Secure");
        }
        HeaderValue::from_str(&text).ok()
    }

    fn code(&self, body: &[u8]) -> Option<[u8; CODE]> {
        let message = [b"cookie ", body].concat();
        self.secret.sign(&message)?.first_chunk().copied()
    }
}

fn token(secret: &Secret, member: SocketAddr) -> Option<Token> {
    secret.sign(format!("member {member}").as_bytes())?.first_chunk().copied()
}

/// Of its own for each pool: a site whose policies lead to two pools needs a cookie for each.
fn default_name(secret: &Secret) -> String {
    let code = secret.sign(b"name").unwrap_or_default();
    let digits: String = code.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    format!("ek_{digits}")
}
