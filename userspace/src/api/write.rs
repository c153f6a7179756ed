//! Writes: what one request changes, worked out beside what is true now. Pure but for the clock; nobody sees anything of it
//! before the daemon's loop has committed it.

use std::collections::BTreeSet;

use axum::http::StatusCode;
use model::{
    capacity::Capacity,
    check::{Surroundings, check},
    object::Objects,
};
use serde_json::Value;
use tokio::sync::oneshot;
use uuid::Uuid;

use super::{
    derive::derive,
    draft::Draft,
    error::Fault,
    records::Records,
    resources::{Resource, shown},
    state::State,
    trace::{Asked, Came, now},
    view::{Health, View},
};
use crate::store::{Change, Trace};

/// What is told of a write that was made.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// 201, 200, 202 or 204.
    pub status: StatusCode,
    /// The object as it is now, if it is told.
    pub body: Option<Value>,
}

/// What a write makes of a draft.
pub(super) type Make = Box<dyn Fn(&mut Draft<'_>, &Health) -> Result<Made, Fault> + Send>;

/// What came of a draft.
pub(super) struct Made {
    /// What is answered.
    pub(super) answer: Answer,
    /// The object and its name.
    pub(super) resource: Option<(Uuid, String)>,
    /// The object as it was.
    pub(super) before: Option<Value>,
    /// The object as it is.
    pub(super) after: Option<Value>,
}

/// One request to change something.
pub struct Write {
    pub(super) asked: Asked,
    pub(super) make: Make,
    /// What was known of the members when the request came: the answer shows it.
    pub(super) health: Health,
    pub(super) reply: oneshot::Sender<Result<Answer, Fault>>,
}

impl Write {
    /// Tells the client that it cannot be, and returns the trace of that.
    #[must_use = "a refusal is written down"]
    pub fn refuse(self, fault: Fault) -> Trace {
        let came = Came {
            code: fault.status.as_u16(),
            resource: None,
            before: None,
            after: None,
            refusal: Some(&fault),
        };
        let trace = self.asked.trace(&came);
        // Who no longer waits for the answer has gone.
        let _ = self.reply.send(Err(fault));
        trace
    }

    /// Tells the client that it is done.
    pub fn confirm(self, answer: Answer) {
        let _ = self.reply.send(Ok(answer));
    }
}

/// Several writes, made one after another, ready to be committed together.
pub struct Batch {
    /// What will be true.
    pub state: State,
    /// All objects, the file's among them.
    pub objects: Objects,
    /// What the store has to do.
    pub change: Change,
    /// Those that can be made, with what is answered then.
    pub made: Vec<(Write, Answer)>,
    /// Those that cannot.
    pub refused: Vec<(Write, Fault)>,
}

impl Batch {
    /// Makes these writes in their order beside what is true now. What one of them is refused for changes nothing for the
    /// others.
    pub fn new(writes: Vec<Write>, state: &State, objects: &Objects, capacity: &Capacity) -> Self {
        let mut batch = Self {
            state: state.clone(),
            objects: objects.clone(),
            change: Change::default(),
            made: Vec::new(),
            refused: Vec::new(),
        };
        let mut touched = BTreeSet::new();
        for write in writes {
            match batch.make(&write, capacity, &mut touched) {
                Ok(answer) => batch.made.push((write, answer)),
                Err(fault) => batch.refused.push((write, fault)),
            }
        }
        let traces = std::mem::take(&mut batch.change.traces);
        match batch.state.records.change(&touched) {
            Ok(change) => batch.change = Change { traces, ..change },
            Err(fault) => {
                let made = std::mem::take(&mut batch.made);
                batch.refused.extend(made.into_iter().map(|(write, _)| (write, fault.clone())));
            }
        }
        batch
    }

    fn make(
        &mut self,
        write: &Write,
        capacity: &Capacity,
        touched: &mut BTreeSet<super::records::Key>,
    ) -> Result<Answer, Fault> {
        let locals = &self.state.local_addresses;
        let mut draft = Draft {
            records: Records::clone(&self.state.records),
            touched: BTreeSet::new(),
            control: &self.state.control,
            is_own_address: &|address| locals.range_of(address).is_some(),
            project: write.asked.project.clone(),
            now: now(),
        };
        let Made { answer, resource, before, after } = (write.make)(&mut draft, &write.health)?;
        let Draft { records, touched: own, .. } = draft;
        let mut objects = self.objects.clone();
        derive(&records, &own, &mut objects)?;
        let surroundings = Surroundings {
            local_addresses: locals,
            capacity,
            unread: &Default::default(),
            order: &Default::default(),
            before: Some(&self.objects),
        };
        let problems = check(&objects, &surroundings);
        if !problems.is_empty() {
            return Err(Fault::problems(&problems));
        }
        let resource = resource.as_ref().map(|(id, name)| (*id, &**name));
        self.change.traces.push(write.asked.trace(&Came {
            code: answer.status.as_u16(),
            resource,
            before: before.as_ref(),
            after: after.as_ref(),
            refusal: None,
        }));
        self.objects = objects;
        self.state = self.state.with_records(records);
        touched.extend(own);
        Ok(answer)
    }
}

/// An object as the answer to its creation tells it.
pub(super) fn tell<T: Resource>(draft: &Draft<'_>, id: Uuid, health: &Health) -> Option<Value> {
    let view = View { records: &draft.records, health, control: draft.control };
    Some(Value::Object(draft.records.get::<T>(id)?.tell(&view)))
}

/// An object as an answer or a trace shows it.
pub(super) fn show<T: Resource>(draft: &Draft<'_>, id: Uuid, health: &Health) -> Option<Value> {
    let view = View { records: &draft.records, health, control: draft.control };
    Some(Value::Object(shown(draft.records.get::<T>(id)?, &view)))
}
