//! What is common to all that records become.

use std::collections::BTreeSet;

use model::{
    object::{Meta, Project, Source},
    value::{Description, Name},
};

use crate::api::{
    error::{Fault, invalid},
    kinds::{listener::Listener, load_balancer::LoadBalancer},
    record::Head,
    records::Records,
};

/// What every object has.
///
/// # Errors
/// A name or description cannot be one.
pub(in crate::api) fn meta(head: &Head) -> Result<Meta, Fault> {
    Ok(Meta {
        name: Name::new(&head.name).map_err(invalid("name"))?,
        description: Description::new(&head.description).map_err(invalid("description"))?,
        tags: BTreeSet::new(),
        project: Project(Name::new(&head.project).map_err(invalid("project_id"))?),
        source: Source::Api,
    })
}

/// Whether a listener is served. At Layer 4 there has to be a pool that its packets can go to.
pub(super) fn serves(records: &Records, record: &Listener) -> bool {
    let load_balancer = records.get::<LoadBalancer>(record.load_balancer);
    let is_on = record.head.is_enabled && load_balancer.is_some_and(|it| it.head.is_enabled);
    is_on && (record.default_pool.is_some() || record.protocol.is_http())
}
