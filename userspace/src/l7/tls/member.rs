//! TLS towards a pool's members.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

use anyhow::{Result, bail};
use openssl::x509::{X509, X509VerifyResult};
use pingora::upstreams::peer::HttpPeer;

use crate::{
    authorities,
    model::tls::{Authorities, MemberTls as Settings, MemberTrust},
};

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
    pub fn new(settings: &Settings) -> Result<Self> {
        let mut group = DefaultHasher::new();
        let authorities = match &settings.verify {
            MemberTrust::Authorities(authorities) => {
                authorities.certificates.hash(&mut group);
                Some(Arc::new(roots(authorities)?))
            }
            MemberTrust::System => Some(authorities::of_host()),
            MemberTrust::Anyone => None,
        };
        Ok(Self {
            server_name: settings.server_name.clone(),
            verify: settings.verify != MemberTrust::Anyone,
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

/// Pingora trusts a chain that ends in a root only, unlike listeners.
fn roots(authorities: &Authorities) -> Result<Box<[X509]>> {
    let certificates = authorities.certificates.iter().map(|der| X509::from_der(der));
    let certificates: Box<[X509]> = certificates.collect::<Result<_, _>>()?;
    if !certificates.iter().any(|one| one.issued(one) == X509VerifyResult::OK) {
        bail!(
            "certificate {:?} has no root, which is a CA's certificate that it issued itself; add it to the file",
            authorities.name
        );
    }
    Ok(certificates)
}
