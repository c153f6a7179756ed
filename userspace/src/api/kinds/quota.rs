//! How many objects of each kind a project may have.

use std::collections::BTreeMap;

use model::id::of_text;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::api::record::{Head, Record, record};

/// What was set for a project.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Quota {
    /// Its project is whose it is.
    pub(in crate::api) head: Head,
    /// By kind; none is no limit. What is not here is as for everybody.
    pub(in crate::api) limits: BTreeMap<String, Option<u32>>,
}

/// A kind of objects whose number is limited.
pub struct Limited {
    /// The kind.
    pub kind: &'static str,
    /// Its names in bodies; the first is ours.
    pub names: &'static [&'static str],
    /// How many a project may have, unless somebody says otherwise; none is no limit.
    pub usual: Option<u32>,
}

/// All of them.
pub const LIMITED: [Limited; 7] = [
    Limited { kind: "loadbalancer", names: &["loadbalancer", "load_balancer"], usual: Some(50) },
    Limited { kind: "listener", names: &["listener"], usual: Some(100) },
    Limited { kind: "pool", names: &["pool"], usual: None },
    Limited { kind: "member", names: &["member"], usual: None },
    Limited { kind: "healthmonitor", names: &["healthmonitor", "health_monitor"], usual: None },
    Limited { kind: "l7policy", names: &["l7policy"], usual: None },
    Limited { kind: "rule", names: &["l7rule"], usual: None },
];

impl Quota {
    /// The id of a project's.
    pub fn id(project: &str) -> Uuid {
        of_text(&format!("quota\0{project}"))
    }

    /// How many objects of a kind a project may have; `own` is what was set for it.
    pub fn limit(own: Option<&Self>, kind: &str) -> Option<u32> {
        let usual = LIMITED.iter().find(|limited| limited.kind == kind).and_then(|limited| limited.usual);
        own.and_then(|own| own.limits.get(kind).copied()).unwrap_or(usual)
    }
}

record!(Quota, "quota", "Quota", |_| None);
