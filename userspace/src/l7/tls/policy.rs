//! The versions and ciphers behind a policy's name.
//!
//! "intermediate" and "modern" are Mozilla's (<https://wiki.mozilla.org/Security/Server_Side_TLS>), without the
//! ciphers that need finite-field Diffie-Hellman: they cost the server most and every client of 1.2 knows elliptic
//! curves. Those that begin with "tls-" are the ones that the users of elastic load balancers know.

use model::tls::TlsPolicy;
use openssl::ssl::SslVersion;

use crate::pki::security_level;

/// What a policy allows. The ciphers of 1.3 are the same in all.
pub(super) struct Allowed {
    pub(super) oldest: SslVersion,
    pub(super) newest: SslVersion,
    /// Of 1.2 and before, in OpenSSL's words; the first that the client knows is used.
    pub(super) ciphers: String,
    /// OpenSSL's security level.
    pub(super) level: u32,
}

const FORWARD_SECRET_AEAD: &str = "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:\
    ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:\
    ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305";
const FORWARD_SECRET: &str = "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-RSA-AES128-GCM-SHA256:\
    ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-AES128-GCM-SHA256:\
    ECDHE-ECDSA-AES128-SHA256:ECDHE-RSA-AES128-SHA256:ECDHE-ECDSA-AES256-SHA384:ECDHE-RSA-AES256-SHA384";
const RSA_EXCHANGE: &str = "AES128-GCM-SHA256:AES256-GCM-SHA384:AES128-SHA256:AES256-SHA256";
const SHA1: &str = "ECDHE-ECDSA-AES128-SHA:ECDHE-RSA-AES128-SHA:ECDHE-RSA-AES256-SHA:ECDHE-ECDSA-AES256-SHA:\
    AES128-SHA:AES256-SHA";

/// What a policy allows.
pub(super) fn allowed(policy: TlsPolicy) -> Allowed {
    use TlsPolicy::*;
    let (oldest, newest) = match policy {
        Intermediate | Tls12ForwardSecrecyWith13 => (SslVersion::TLS1_2, SslVersion::TLS1_3),
        Modern => (SslVersion::TLS1_3, SslVersion::TLS1_3),
        Tls10 => (SslVersion::TLS1, SslVersion::TLS1_2),
        Tls11 => (SslVersion::TLS1_1, SslVersion::TLS1_2),
        Tls12 | Tls12Strict | Tls12ForwardSecrecy => (SslVersion::TLS1_2, SslVersion::TLS1_2),
        Tls10With13 => (SslVersion::TLS1, SslVersion::TLS1_3),
    };
    let ciphers = match policy {
        Intermediate | Modern => vec![FORWARD_SECRET_AEAD],
        Tls12ForwardSecrecy | Tls12ForwardSecrecyWith13 => vec![FORWARD_SECRET],
        Tls12Strict => vec![FORWARD_SECRET, RSA_EXCHANGE],
        Tls10 | Tls11 | Tls12 | Tls10With13 => vec![FORWARD_SECRET, RSA_EXCHANGE, SHA1],
    };
    Allowed { oldest, newest, ciphers: ciphers.join(":"), level: security_level(policy) }
}
