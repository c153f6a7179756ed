//! What is known of a certificate.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::api::record::{Head, Record, record};

/// What is known of a certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Certificate {
    pub(in crate::api) head: Head,
    pub(in crate::api) kind: CertificateKind,
    /// The name that a server's is for, if the client said one.
    pub(in crate::api) domain: Option<String>,
    /// PEM: a server's chain, its own first, or authorities. Empty of the file's.
    pub(in crate::api) pem: String,
    /// Until when it is good, as records have times.
    pub(in crate::api) expires: Option<String>,
    /// A server's private key, PEM.
    #[serde(skip)]
    pub(in crate::api) key: Option<Secret>,
}

/// Whose certificate it is, by the guide's names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CertificateKind {
    /// A server's, with its key.
    #[default]
    Server,
    /// Authorities that issue clients' certificates.
    Client,
}

impl CertificateKind {
    /// The names.
    pub const NAMES: [&str; 2] = ["server", "client"];

    /// Its name.
    pub const fn name(self) -> &'static str {
        let [server, client] = Self::NAMES;
        match self {
            Self::Server => server,
            Self::Client => client,
        }
    }
}

/// What nobody may read. Not shown by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Vec<u8>);

impl Secret {
    /// These bytes.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// The bytes: the secret.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

record!(Certificate, "certificate", "Certificate", |_| None, {
    fn secret(&self) -> Option<&[u8]> {
        self.key.as_ref().map(Secret::bytes)
    }

    fn set_secret(&mut self, secret: &[u8]) {
        self.key = Some(Secret::new(secret.into()));
    }
});
