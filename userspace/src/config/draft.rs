//! What of the file has been read so far.

use std::collections::{HashMap, HashSet};

use model::id::kind;
use model::object::{CertificateId, Objects};
use uuid::Uuid;

use super::{
    document::Table,
    names::{Names, unknown},
    places::Places,
};

/// Objects, where they stand, and the names by which others refer to them.
pub(super) struct Draft<'a> {
    pub(super) objects: Objects,
    pub(super) places: Places<'a>,
    pub(super) certificates: Names<kind::Certificate>,
    pub(super) server_groups: Names<kind::ServerGroup>,
    pub(super) pools: Names<kind::Pool>,
    /// Why handshakes on a security level cannot present a certificate, if that was asked and they cannot.
    pub(super) too_weak: HashMap<(CertificateId, u32), Option<String>>,
    /// Whether some of the local addresses could not be read.
    pub(super) lacks_local_addresses: bool,
}

impl<'a> Draft<'a> {
    /// Nothing of this file.
    pub(super) fn new(file: Table<'a>) -> Self {
        Self {
            objects: Objects::default(),
            places: Places::new(file),
            certificates: Names::default(),
            server_groups: Names::default(),
            pools: Names::default(),
            too_weak: HashMap::new(),
            lacks_local_addresses: false,
        }
    }

    /// Ids of what is in the file and could not be read, or not all that it needs, as [`model::check::Surroundings`] wants them.
    pub(super) fn unread(&self) -> HashSet<Uuid> {
        let Objects { load_balancers, listeners, pools, server_groups, certificates, .. } = &self.objects;
        // One without VIPs was refused for that.
        let with_vips = load_balancers.iter().filter(|(_, load_balancer)| !load_balancer.vips.is_empty());
        let read: HashSet<Uuid> = (with_vips.map(|(id, _)| id.uuid()))
            .chain(listeners.keys().map(|id| id.uuid()))
            .chain(pools.keys().map(|id| id.uuid()))
            .chain(server_groups.keys().map(|id| id.uuid()))
            .chain(certificates.keys().map(|id| id.uuid()))
            .collect();
        let unknown = [
            unknown::<kind::Certificate>().uuid(),
            unknown::<kind::ServerGroup>().uuid(),
            unknown::<kind::Pool>().uuid(),
        ];
        let host = self.lacks_local_addresses.then_some(Uuid::nil());
        // Policies, members and monitors are among them, too; nothing refers to those.
        self.places.ids().filter(|id| !id.is_nil() && !read.contains(id)).chain(unknown).chain(host).collect()
    }
}
