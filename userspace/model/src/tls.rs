//! TLS: certificates and keys, versions and ciphers, and what a pool asks of its members.
//!
//! `pki` makes certificates from PEM and checks them before one of these is made.

use std::{collections::BTreeSet, fmt, sync::Arc, time::SystemTime};

use crate::{invalid::Invalid, value::DnsName};

/// A server's certificate with its key.
#[derive(Clone, PartialEq, Eq)]
pub struct ServerCertificate {
    /// DER. The server's own comes first, and each is issued by the next.
    pub chain: Vec<Vec<u8>>,
    /// Of the first in the chain.
    pub key: PrivateKey,
    /// The DNS names that it is for, in lower case; `*.` in front stands for one label. Empty if it has none.
    pub domains: BTreeSet<String>,
    /// What its issuer says of it, for clients that ask.
    pub staple: Option<Staple>,
}

/// An OCSP response by which a certificate is not revoked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Staple {
    /// DER.
    pub response: Vec<u8>,
    /// When there will be a newer one: from then on clients are not given it. If there is no such time, it is always
    /// good.
    pub until: Option<SystemTime>,
}

impl Staple {
    /// Whether clients may be given it.
    pub fn is_current(&self, now: SystemTime) -> bool {
        self.until.is_none_or(|until| now < until)
    }
}

impl fmt::Debug for ServerCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerCertificate").field("domains", &self.domains).finish_non_exhaustive()
    }
}

/// A private key, PKCS#8 in DER. Not shown by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct PrivateKey(Vec<u8>);

impl PrivateKey {
    /// From PKCS#8 in DER.
    pub fn from_pkcs8(der: Vec<u8>) -> Self {
        Self(der)
    }

    /// PKCS#8 in DER: the secret.
    pub fn pkcs8(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKey")
    }
}

/// Certificates of authorities whose certificates are trusted.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Authorities {
    /// DER; never empty.
    pub certificates: Vec<Vec<u8>>,
}

impl fmt::Debug for Authorities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authorities").field("certificates", &self.certificates.len()).finish()
    }
}

/// Which versions of TLS and which ciphers clients may use; `l7/tls/policy` has the lists.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TlsPolicy {
    /// Mozilla's "intermediate": 1.2 and 1.3, forward secrecy and AEAD only.
    #[default]
    Intermediate,
    /// Mozilla's "modern": 1.3 only.
    Modern,
    /// 1.0 to 1.2.
    Tls10,
    /// 1.1 and 1.2.
    Tls11,
    /// 1.2.
    Tls12,
    /// 1.2 without SHA-1.
    Tls12Strict,
    /// 1.2 with forward secrecy only.
    Tls12ForwardSecrecy,
    /// 1.2 with forward secrecy only, and 1.3.
    Tls12ForwardSecrecyWith13,
    /// 1.0 to 1.3.
    Tls10With13,
}

impl TlsPolicy {
    /// Every one.
    pub const ALL: [Self; 9] = [
        Self::Intermediate,
        Self::Modern,
        Self::Tls10,
        Self::Tls11,
        Self::Tls12,
        Self::Tls12Strict,
        Self::Tls12ForwardSecrecy,
        Self::Tls12ForwardSecrecyWith13,
        Self::Tls10With13,
    ];

    /// Its name in files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Intermediate => "intermediate",
            Self::Modern => "modern",
            Self::Tls10 => "tls-1-0",
            Self::Tls11 => "tls-1-1",
            Self::Tls12 => "tls-1-2",
            Self::Tls12Strict => "tls-1-2-strict",
            Self::Tls12ForwardSecrecy => "tls-1-2-fs",
            Self::Tls12ForwardSecrecyWith13 => "tls-1-2-fs-with-1-3",
            Self::Tls10With13 => "tls-1-0-with-1-3",
        }
    }
}

/// The ciphers that clients may use, the first that a client knows first, by OpenSSL's names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ciphers {
    /// Of 1.2 and before.
    older: Vec<&'static str>,
    /// Of 1.3.
    newer: Vec<&'static str>,
}

impl Ciphers {
    /// Of 1.2 and before, all that can be chosen.
    pub const OLDER: [&str; 20] = [
        "ECDHE-ECDSA-AES128-GCM-SHA256",
        "ECDHE-RSA-AES128-GCM-SHA256",
        "ECDHE-ECDSA-AES256-GCM-SHA384",
        "ECDHE-RSA-AES256-GCM-SHA384",
        "ECDHE-ECDSA-CHACHA20-POLY1305",
        "ECDHE-RSA-CHACHA20-POLY1305",
        "ECDHE-ECDSA-AES128-SHA256",
        "ECDHE-RSA-AES128-SHA256",
        "ECDHE-ECDSA-AES256-SHA384",
        "ECDHE-RSA-AES256-SHA384",
        "ECDHE-ECDSA-AES128-SHA",
        "ECDHE-RSA-AES128-SHA",
        "ECDHE-ECDSA-AES256-SHA",
        "ECDHE-RSA-AES256-SHA",
        "AES128-GCM-SHA256",
        "AES256-GCM-SHA384",
        "AES128-SHA256",
        "AES256-SHA256",
        "AES128-SHA",
        "AES256-SHA",
    ];
    /// Of 1.3, likewise; all of them, unless some are named.
    pub const NEWER: [&str; 3] =
        ["TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256", "TLS_AES_128_GCM_SHA256"];

    /// From names between colons.
    ///
    /// # Errors
    /// One is not known, or there is none of 1.2 and before.
    pub fn new(text: &str) -> Result<Self, Invalid> {
        let (mut older, mut newer) = (Vec::new(), Vec::new());
        for name in text.split(':').map(str::trim).filter(|name| !name.is_empty()) {
            let known = |all: &[&'static str]| all.iter().copied().find(|known| *known == name);
            match (known(&Self::OLDER), known(&Self::NEWER)) {
                (Some(name), _) => older.push(name),
                (None, Some(name)) => newer.push(name),
                (None, None) => {
                    return Err(Invalid::new(
                        format!("{name:?} cannot be chosen"),
                        format!("use {}", [&Self::OLDER[..], &Self::NEWER].concat().join(", ")),
                    ));
                }
            }
        }
        if older.is_empty() {
            return Err(Invalid::new(
                "has no cipher of TLS 1.2",
                "name one; for TLS 1.3 alone choose that version and no ciphers",
            ));
        }
        if newer.is_empty() {
            newer = Self::NEWER.to_vec();
        }
        Ok(Self { older, newer })
    }

    /// Those of 1.2 and before, between colons.
    pub fn older(&self) -> String {
        self.older.join(":")
    }

    /// Those of 1.3, between colons.
    pub fn newer(&self) -> String {
        self.newer.join(":")
    }
}

/// TLS towards the members. `A` is what their authorities are: a certificate's id in objects, themselves in what is served.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MemberTls<A = Arc<Authorities>> {
    server_name: Option<DnsName>,
    verify: MemberTrust<A>,
}

impl<A> MemberTls<A> {
    /// From the name that members are asked for (SNI) and which of their certificates are good.
    ///
    /// # Errors
    /// Certificates are to be good for a name, and there is none.
    pub fn new(server_name: Option<DnsName>, verify: MemberTrust<A>) -> Result<Self, Invalid> {
        if server_name.is_none() && !matches!(verify, MemberTrust::Anyone) {
            return Err(Invalid::new(
                "missing",
                "give the name that the members' certificates are for, or verify = false to trust any certificate",
            ));
        }
        Ok(Self { server_name, verify })
    }

    /// None is checked; members are asked for this name.
    pub const fn unverified(server_name: Option<DnsName>) -> Self {
        Self { server_name, verify: MemberTrust::Anyone }
    }

    /// The name that members are asked for (SNI). There is one unless everyone is trusted.
    pub const fn server_name(&self) -> Option<&DnsName> {
        self.server_name.as_ref()
    }

    /// Which members' certificates are good.
    pub const fn verify(&self) -> &MemberTrust<A> {
        &self.verify
    }

    /// The authorities that are named, if any are.
    pub const fn authorities(&self) -> Option<&A> {
        match &self.verify {
            MemberTrust::Authorities(authorities) => Some(authorities),
            MemberTrust::System | MemberTrust::Anyone => None,
        }
    }

    /// The same with other authorities for those that are named. None if there are none.
    pub fn map<B>(&self, find: impl FnOnce(&A) -> Option<B>) -> Option<MemberTls<B>> {
        let verify = match &self.verify {
            MemberTrust::Authorities(authorities) => MemberTrust::Authorities(find(authorities)?),
            MemberTrust::System => MemberTrust::System,
            MemberTrust::Anyone => MemberTrust::Anyone,
        };
        Some(MemberTls { server_name: self.server_name.clone(), verify })
    }
}

/// Which members' certificates are good.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum MemberTrust<A = Arc<Authorities>> {
    /// Those for the server name, issued by one of these.
    Authorities(A),
    /// Those for the server name, issued by an authority that this host trusts.
    System,
    /// Every one: whatever can answer in a member's place can read and change everything.
    Anyone,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_can_be_good_for_a_name_only() {
        let name = DnsName::new("backend.example").unwrap();
        assert!(<MemberTls>::new(None, MemberTrust::System).is_err());
        assert!(<MemberTls>::new(None, MemberTrust::Anyone).is_ok());
        let tls = <MemberTls>::new(Some(name.clone()), MemberTrust::System).unwrap();
        assert_eq!((tls.server_name(), tls.verify()), (Some(&name), &MemberTrust::System));
    }
}
