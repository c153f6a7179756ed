//! What objects are known by.

use std::{
    cmp::Ordering,
    fmt,
    hash::{Hash, Hasher},
    marker::PhantomData,
};

use uuid::Uuid;

/// The namespace of the ids that are derived from names (UUID version 5, RFC 9562, section 5.5).
const NAMESPACE: Uuid = Uuid::from_u128(0x4556_454e_4b45_454c_8000_6669_6c65_0001);

/// The id of what is known by this text alone: the same whenever and wherever it is asked for.
pub fn of_text(text: &str) -> Uuid {
    Uuid::new_v5(&NAMESPACE, text.as_bytes())
}

/// A kind of object.
pub trait Kind {
    /// Its name as operators know it: "load balancer", "pool".
    const NAME: &'static str;
}

/// What objects of one kind are.
pub trait Object {
    /// The kind.
    type Kind: Kind + fmt::Debug;
}

/// Declares kinds and the names of their ids.
macro_rules! kinds {
    ($($kind:ident $id:ident $name:literal;)*) => {
        /// The kinds of objects; there is no value of one.
        pub mod kind {
            $(
                #[doc = concat!("A ", $name, ".")]
                #[derive(Debug)]
                pub enum $kind {}

                impl super::Kind for $kind {
                    const NAME: &'static str = $name;
                }
            )*
        }

        $(
            #[doc = concat!("Of a ", $name, ".")]
            pub type $id = Id<kind::$kind>;
        )*
    };
}

kinds! {
    LoadBalancer LoadBalancerId "load balancer";
    Listener ListenerId "listener";
    Policy PolicyId "policy";
    Pool PoolId "pool";
    ServerGroup ServerGroupId "server group";
    Member MemberId "member";
    HealthMonitor HealthMonitorId "health monitor";
    Certificate CertificateId "certificate";
    AccessList AccessListId "access list";
    AccessLog AccessLogId "access log";
}

/// The id of an object of the kind `T`: a UUID.
pub struct Id<T> {
    uuid: Uuid,
    kind: PhantomData<fn() -> T>,
}

impl<T> Id<T> {
    /// The one with this UUID.
    pub const fn from_uuid(uuid: Uuid) -> Self {
        Self { uuid, kind: PhantomData }
    }

    /// From its 16 bytes, most significant first.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self::from_uuid(Uuid::from_bytes(bytes))
    }

    /// Its 16 bytes, most significant first.
    pub const fn into_bytes(self) -> [u8; 16] {
        self.uuid.into_bytes()
    }

    /// The UUID.
    pub const fn uuid(self) -> Uuid {
        self.uuid
    }
}

impl<T: Kind> Id<T> {
    /// The id of an object of a file: the same for the same names whenever and wherever the file is read. `names` are
    /// its own and, before that, those of the objects around it.
    pub fn of_names(names: &[&str]) -> Self {
        // No name has a control character, so no two lists of names read alike.
        let text = [T::NAME].iter().chain(names).copied().collect::<Vec<_>>().join("\0");
        Self::from_uuid(of_text(&text))
    }
}

// By hand, because derived ones would ask the same of `T`.
impl<T> Clone for Id<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Id<T> {}

impl<T> PartialEq for Id<T> {
    fn eq(&self, other: &Self) -> bool {
        self.uuid == other.uuid
    }
}

impl<T> Eq for Id<T> {}

impl<T> PartialOrd for Id<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Id<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.uuid.cmp(&other.uuid)
    }
}

impl<T> Hash for Id<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.uuid.hash(state);
    }
}

impl<T> fmt::Debug for Id<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.uuid, f)
    }
}

impl<T> fmt::Display for Id<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.uuid, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Cat;
    struct Dog;

    impl Kind for Cat {
        const NAME: &'static str = "cat";
    }

    impl Kind for Dog {
        const NAME: &'static str = "dog";
    }

    #[test]
    fn an_id_follows_from_kind_and_names() {
        let tom = Id::<Cat>::of_names(&["tom"]);
        assert_eq!(tom, Id::of_names(&["tom"]));
        assert_ne!(tom.uuid(), Id::<Dog>::of_names(&["tom"]).uuid());
        assert_ne!(Id::<Cat>::of_names(&["a", "b"]), Id::of_names(&["ab"]));
        assert_eq!(tom.uuid().get_version_num(), 5);
        // Fixed for ever: maps and stores outlive a release.
        assert_eq!(Id::<Cat>::from_bytes(tom.into_bytes()), tom);
    }
}
