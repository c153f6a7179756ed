//! One record: what every kind of object has in common.

use std::{any::Any, sync::Arc};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use uuid::Uuid;

use crate::store::Row;

/// What every object has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Head {
    /// Its id.
    pub id: Uuid,
    /// Whose it is.
    pub project: String,
    /// Its name; may be empty.
    pub name: String,
    /// What is said of it; members and monitors have none.
    pub description: String,
    /// Its tags, in the order in which they were given.
    pub tags: Vec<String>,
    /// Whether it serves.
    pub is_enabled: bool,
    /// Whether it cannot be deleted.
    pub is_protected: bool,
    /// When it was created, such as `2026-11-20T09:25:01.326013`, in UTC; of the file's, nobody knows.
    pub created: Option<String>,
    /// When it was last changed, if it was.
    pub updated: Option<String>,
    /// Whether it is the file's, and can be changed only there.
    #[serde(skip)]
    pub is_of_file: bool,
}

/// A record of one kind.
pub trait Record: Clone + PartialEq + Serialize + DeserializeOwned + Send + Sync + 'static {
    /// Its kind in the store and in traces, and its name in bodies.
    const KIND: &'static str;
    /// Its name in errors.
    const NAME: &'static str;

    /// What every object has.
    fn head(&self) -> &Head;

    /// The same, to change it.
    fn head_mut(&mut self) -> &mut Head;

    /// What it belongs to and goes with.
    fn parent(&self) -> Option<Uuid>;

    /// What of it nobody else may read; it is not in its JSON.
    fn secret(&self) -> Option<&[u8]> {
        None
    }

    /// Gives it back what nobody else may read.
    fn set_secret(&mut self, _secret: &[u8]) {}
}

/// Makes records of a type with a field `head`: their kind, their name in errors, what one belongs to, and what else is not
/// as of others.
macro_rules! record {
    ($type:ident, $kind:literal, $name:literal, |$record:pat_param| $parent:expr $(, { $($other:item)* })?) => {
        impl Record for $type {
            const KIND: &'static str = $kind;
            const NAME: &'static str = $name;

            fn head(&self) -> &Head {
                &self.head
            }

            fn head_mut(&mut self) -> &mut Head {
                &mut self.head
            }

            fn parent(&self) -> Option<Uuid> {
                let $record = self;
                $parent
            }

            $($($other)*)?
        }
    };
}

pub(super) use record;

/// A record of any kind.
pub trait Stored: Any + Send + Sync {
    /// Its kind.
    fn kind(&self) -> &'static str;

    /// What every object has.
    fn head(&self) -> &Head;

    /// What it belongs to and goes with.
    fn parent(&self) -> Option<Uuid>;

    /// As a store has it.
    ///
    /// # Errors
    /// It cannot be written, which is not known of any.
    fn row(&self) -> serde_json::Result<Row>;

    /// To be looked at as one of its kind.
    fn as_any(&self) -> &dyn Any;
}

impl<T: Record> Stored for T {
    fn kind(&self) -> &'static str {
        T::KIND
    }

    fn head(&self) -> &Head {
        Record::head(self)
    }

    fn parent(&self) -> Option<Uuid> {
        Record::parent(self)
    }

    fn row(&self) -> serde_json::Result<Row> {
        let body = serde_json::to_string(self)?;
        Ok(Row {
            kind: T::KIND.into(),
            id: Record::head(self).id,
            body,
            secret: self.secret().map(Into::into),
        })
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// How records of a kind are read.
#[derive(Clone, Copy)]
pub struct Kind {
    /// Its name.
    pub name: &'static str,
    /// From a store's row.
    pub read: fn(&Row) -> serde_json::Result<Arc<dyn Stored>>,
}

/// How records of this kind are read.
pub const fn kind<T: Record>() -> Kind {
    Kind {
        name: T::KIND,
        read: |row| {
            let mut record: T = serde_json::from_str(&row.body)?;
            if let Some(secret) = &row.secret {
                record.set_secret(secret);
            }
            Ok(Arc::new(record))
        },
    }
}
