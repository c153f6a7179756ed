//! What is true now.

use std::{collections::BTreeSet, sync::Arc};

use model::{control::Control, host::LocalAddresses, object::Objects};
use uuid::Uuid;

use super::{derive::derive, error::Fault, from_file, kinds, records::Records};
use crate::store::{Change, Store};

/// What is true now: all that is read of objects is read from here.
#[derive(Clone)]
pub struct State {
    /// The API's records and the file's.
    pub(super) records: Arc<Records>,
    /// The settings.
    pub(super) control: Arc<Control>,
    /// The host's own addresses.
    pub(super) local_addresses: Arc<LocalAddresses>,
}

impl State {
    /// What a store has beside the file's objects.
    ///
    /// # Errors
    /// The store cannot be read, or has what this version does not know; one line.
    pub fn of_store(
        store: &dyn Store,
        file: &Objects,
        control: Control,
        local_addresses: LocalAddresses,
    ) -> Result<Self, String> {
        let records = Records::of_rows(&store.list().map_err(|error| error.to_string())?, &kinds::ALL)?;
        let empty = Self {
            records: Arc::new(records),
            control: Arc::new(control),
            local_addresses: Arc::new(local_addresses),
        };
        let control = Control::clone(&empty.control);
        Ok(empty.with_file(file, control))
    }

    /// The same with other objects of the file, and other settings.
    pub fn with_file(&self, file: &Objects, control: Control) -> Self {
        let of_file = from_file::records(file, &control);
        Self {
            records: Arc::new(self.records.with_file(&of_file)),
            control: Arc::new(control),
            ..self.clone()
        }
    }

    /// The file's objects and those of the API together.
    ///
    /// # Errors
    /// What of a record cannot be served.
    pub fn merged(&self, file: &Objects) -> Result<Objects, Fault> {
        let mut objects = file.clone();
        derive(&self.records, &self.records.keys(), &mut objects)?;
        Ok(objects)
    }

    /// The same with other records.
    pub(super) fn with_records(&self, records: Records) -> Self {
        Self { records: Arc::new(records), ..self.clone() }
    }

    /// What brings a store back to these records after this change; none if they cannot be written.
    pub fn undo(&self, change: &Change) -> Option<Change> {
        let put = change.put.iter().map(|row| (row.kind.as_str(), row.id));
        let removed = change.remove.iter().map(|(kind, id)| (kind.as_str(), *id));
        let touched: BTreeSet<(&str, Uuid)> = put.chain(removed).collect();
        let name = |kind: &str| kinds::ALL.iter().find(|known| known.name == kind).map(|known| known.name);
        let keys = touched.into_iter().filter_map(|(kind, id)| Some((name(kind)?, id)));
        self.records.change(&keys.collect()).ok()
    }

    /// The settings.
    pub fn control(&self) -> &Control {
        &self.control
    }
}
