//! What is known of the TLS of a listener that ends it.

use model::tls::TlsPolicy;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// What is known of the TLS of a listener that ends it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ListenerTls {
    /// For clients that ask for a name of which there is no certificate, or for none.
    pub(in crate::api) default: Option<ContainerRef>,
    /// Those for the names that they are for.
    pub(in crate::api) sni: Vec<ContainerRef>,
    /// Whose certificates are clients'.
    pub(in crate::api) client_ca: Option<ContainerRef>,
    /// Whether clients need one.
    pub(in crate::api) is_mandatory: bool,
    /// The name of its versions and ciphers.
    pub(in crate::api) policy: String,
    /// Other ciphers than the policy's, as the client named them.
    pub(in crate::api) ciphers: Option<String>,
    /// What is offered of HTTP.
    pub(in crate::api) alpn: Vec<String>,
}

/// A certificate as the client named it: by its id, or by a URL that ends in that.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerRef {
    /// As it was named.
    pub text: String,
    /// Which one it is.
    pub id: Uuid,
}

/// What may be offered of HTTP; the first two are, unless somebody says otherwise.
pub const ALPN: [&str; 3] = ["h2", "http/1.1", "http/1.0"];

impl Default for ListenerTls {
    fn default() -> Self {
        Self {
            default: None,
            sni: Vec::new(),
            client_ca: None,
            is_mandatory: false,
            policy: TlsPolicy::default().name().into(),
            ciphers: None,
            alpn: ALPN[..2].iter().map(|&name| name.to_owned()).collect(),
        }
    }
}

impl ListenerTls {
    /// Every certificate that it needs, the default first.
    pub fn servers(&self) -> impl Iterator<Item = Uuid> {
        self.default.iter().chain(&self.sni).map(|it| it.id)
    }

    /// Whether it needs a certificate.
    pub fn needs(&self, id: Uuid) -> bool {
        self.servers().chain(self.client_ca.as_ref().map(|it| it.id)).any(|one| one == id)
    }

    /// Its versions and ciphers.
    pub fn policy(&self) -> TlsPolicy {
        TlsPolicy::ALL.into_iter().find(|policy| policy.name() == self.policy).unwrap_or_default()
    }
}

const V1: &str = "TLSv1";
const V11: &str = "TLSv1.1";
const V12: &str = "TLSv1.2";
const V13: &str = "TLSv1.3";
/// The versions, by Octavia's names.
pub const VERSIONS: [&str; 4] = [V1, V11, V12, V13];

/// The versions that a policy allows.
pub const fn versions(policy: TlsPolicy) -> &'static [&'static str] {
    match policy {
        TlsPolicy::Intermediate | TlsPolicy::Tls12ForwardSecrecyWith13 => &[V12, V13],
        TlsPolicy::Modern => &[V13],
        TlsPolicy::Tls10 => &[V1, V11, V12],
        TlsPolicy::Tls11 => &[V11, V12],
        TlsPolicy::Tls12 | TlsPolicy::Tls12Strict | TlsPolicy::Tls12ForwardSecrecy => &[V12],
        TlsPolicy::Tls10With13 => &[V1, V11, V12, V13],
    }
}

/// The policies that a choice of versions alone means, the strictest of each.
pub const CHOSEN: [TlsPolicy; 6] = [
    TlsPolicy::Intermediate,
    TlsPolicy::Modern,
    TlsPolicy::Tls12ForwardSecrecy,
    TlsPolicy::Tls11,
    TlsPolicy::Tls10,
    TlsPolicy::Tls10With13,
];
