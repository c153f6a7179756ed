//! One change of the records while it is made: nobody else sees it before it is whole.

use std::{collections::BTreeSet, net::IpAddr};

use model::control::Control;
use uuid::Uuid;

use super::{
    error::Fault,
    kinds::quota::Quota,
    record::Record,
    records::{Key, Records},
};

/// A change that is being made.
pub struct Draft<'a> {
    /// The records as they will be.
    pub records: Records,
    /// What has been put in or taken out.
    pub touched: BTreeSet<Key>,
    /// What the operator says of the API.
    pub control: &'a Control,
    /// The host's own addresses: no VIP can be one of them.
    pub is_own_address: &'a dyn Fn(IpAddr) -> bool,
    /// Whose objects are made.
    pub project: String,
    /// Now, as records have it.
    pub now: String,
}

impl Draft<'_> {
    /// The one with this id, to be changed.
    ///
    /// # Errors
    /// There is none, or it is the file's.
    pub fn edit<T: Record>(&self, id: Uuid) -> Result<T, Fault> {
        let record = self.records.find::<T>(id)?;
        own(record)?;
        Ok(T::clone(record))
    }

    /// The object that another is made in or takes as its own.
    ///
    /// # Errors
    /// There is none, or it is the file's.
    pub fn parent<T: Record>(&self, attribute: &str, id: Uuid) -> Result<&T, Fault> {
        let record = self.records.find::<T>(id)?;
        own(record).map_err(|fault| fault.about(attribute))?;
        Ok(record)
    }

    /// Puts a record in that is new.
    ///
    /// # Errors
    /// The project has as many of its kind as it may have.
    pub fn create<T: Record>(&mut self, mut record: T) -> Result<Uuid, Fault> {
        self.has_room::<T>(&record.head().project)?;
        let head = record.head_mut();
        head.id = Uuid::new_v4();
        head.created = Some(self.now.clone());
        let id = head.id;
        self.put(record);
        Ok(id)
    }

    /// Looks whether a project may have one more of a kind. The file's objects do not count.
    fn has_room<T: Record>(&self, project: &str) -> Result<(), Fault> {
        let own = self.records.get::<Quota>(Quota::id(project));
        let Some(limit) = Quota::limit(own, T::KIND) else { return Ok(()) };
        let all = self.records.all::<T>().map(Record::head);
        let count = all.filter(|head| !head.is_of_file && head.project == project).count();
        if count < usize::try_from(limit).unwrap_or(usize::MAX) {
            return Ok(());
        }
        Err(Fault::forbidden(format!(
            "Quota has been met for resources: {}. Project {project:?} may have {limit}; PUT quotas/PROJECT changes that.",
            T::NAME
        )))
    }

    /// Puts a record back that was changed. One that is as it was stays as old as it is.
    pub fn update<T: Record>(&mut self, mut record: T) {
        if self.records.get::<T>(record.head().id).is_some_and(|there| *there == record) {
            return;
        }
        record.head_mut().updated = Some(self.now.clone());
        self.put(record);
    }

    /// Takes a record out; what belongs to it must be out already.
    pub fn remove<T: Record>(&mut self, id: Uuid) {
        self.records.take((T::KIND, id));
        self.touched.insert((T::KIND, id));
    }

    /// Has a record derived and stored again, though it stays as it is: something that belongs to it changes.
    pub fn touch<T: Record>(&mut self, id: Uuid) {
        self.touched.insert((T::KIND, id));
    }

    /// Puts a record in; how old it is stays.
    pub fn put<T: Record>(&mut self, record: T) {
        self.touched.insert((T::KIND, record.head().id));
        self.records.put(record);
    }
}

/// Refuses what is the file's.
fn own<T: Record>(record: &T) -> Result<(), Fault> {
    let head = record.head();
    if head.is_of_file {
        return Err(Fault::forbidden(format!(
            "{} {} is in the configuration file and is changed there.",
            T::NAME,
            head.id
        )));
    }
    Ok(())
}
