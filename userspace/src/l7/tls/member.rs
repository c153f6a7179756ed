//! TLS towards a pool's members.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

use model::tls::{MemberTls as Settings, MemberTrust};
use openssl::x509::X509;
use pingora::upstreams::peer::HttpPeer;

use crate::pki::{self, PkiError};

/// A pool's settings, ready for connections.
#[derive(Debug)]
pub struct MemberTls {
    server_name: String,
    verify: bool,
    authorities: Option<Arc<Box<[X509]>>>,
    group: u64,
}

impl MemberTls {
    /// # Errors
    /// None of the authorities is a root.
    pub fn new(settings: &Settings) -> Result<Self, PkiError> {
        let mut group = DefaultHasher::new();
        let authorities = match settings.verify() {
            MemberTrust::Authorities(authorities) => {
                authorities.certificates.hash(&mut group);
                Some(Arc::new(pki::roots(authorities)?))
            }
            MemberTrust::System => Some(pki::system::authorities()),
            MemberTrust::Anyone => None,
        };
        Ok(Self {
            server_name: settings.server_name().map_or_else(String::new, ToString::to_string),
            verify: *settings.verify() != MemberTrust::Anyone,
            authorities,
            group: group.finish(),
        })
    }

    /// Asks this of the connection to `peer`, which must have been made with TLS. Connections that were verified
    /// otherwise are not used again for it.
    pub fn apply(&self, peer: &mut HttpPeer) {
        peer.sni.clone_from(&self.server_name);
        peer.options.verify_cert = self.verify;
        peer.options.verify_hostname = self.verify;
        peer.options.ca.clone_from(&self.authorities);
        peer.group_key ^= self.group;
    }
}
