//! What is written down about each request to change something (OTC guide, section 9).

use jiff::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

use super::error::Fault;
use crate::store::Trace;

/// Now, as records have it: UTC without a zone.
pub fn now() -> String {
    Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S%.6f").to_string()
}

/// Now, in milliseconds since 1970.
pub fn milliseconds() -> u64 {
    Timestamp::now().as_millisecond().try_into().unwrap_or_default()
}

/// Who asks for what.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The trace's name (table 9-1).
    pub name: &'static str,
    /// The kind of object.
    pub resource_type: &'static str,
    /// The object, if the request names one.
    pub resource_id: Option<Uuid>,
    /// Who asks.
    pub user: String,
    /// Whose objects they may see.
    pub project: String,
    /// From where: an address, or `local`.
    pub source: String,
    /// When the request came, in milliseconds since 1970.
    pub time: u64,
}

/// What came of it.
pub struct Came<'a> {
    /// The status of the answer.
    pub code: u16,
    /// The object and its name.
    pub resource: Option<(Uuid, &'a str)>,
    /// The object before and after, as clients are shown it.
    pub before: Option<&'a Value>,
    /// The same after.
    pub after: Option<&'a Value>,
    /// What was said, if it was refused.
    pub refusal: Option<&'a Fault>,
}

impl Asked {
    /// The trace of it, as figure 9-2 has it, with the object before and after beside.
    pub fn trace(&self, came: &Came<'_>) -> Trace {
        let id = Uuid::new_v4();
        let rating = match came.code {
            ..400 => "normal",
            400..500 => "warning",
            _ => "incident",
        };
        let (resource_id, resource_name) = came.resource.unzip();
        let (resource_id, resource_name) =
            (resource_id.or(self.resource_id), resource_name.unwrap_or_default());
        let response = match came.refusal {
            Some(fault) => json!({ "faultstring": fault.text }),
            None => json!({ self.resource_type: came.after }),
        };
        let user = json!({ "name": self.user, "domain": { "name": self.project, "id": self.project } });
        let body = json!({
            "code": came.code.to_string(),
            "source_ip": self.source,
            "trace_type": "ApiCall",
            "event_type": "system",
            "project_id": self.project,
            "trace_id": id,
            "trace_name": self.name,
            "resource_type": self.resource_type,
            "trace_rating": rating,
            "api_version": "v2.0",
            "service_type": "ELB",
            "response": response.to_string(),
            "resource_id": resource_id,
            "tracker_name": "system",
            "time": self.time.to_string(),
            "resource_name": resource_name,
            "record_time": milliseconds().to_string(),
            "user": user,
            "before": came.before,
            "after": came.after,
        });
        Trace {
            id,
            time: self.time,
            name: self.name.into(),
            resource_type: self.resource_type.into(),
            resource_id,
            resource_name: resource_name.into(),
            project: self.project.clone(),
            user: self.user.clone(),
            rating: rating.into(),
            body: body.to_string(),
        }
    }
}
