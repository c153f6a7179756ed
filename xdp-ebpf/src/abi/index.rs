//! Indexes: each is of one map, or of several that go by the same, and none passes for another's.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::capacity::{MAX_BACKENDS, MAX_LISTENERS};

/// Declares types of indexes by the number that each holds.
macro_rules! indexes {
    ($($(#[doc = $doc:literal])+ $name:ident: $word:ty;)+) => {$(
        $(#[doc = $doc])+
        #[derive(
            Clone,
            Copy,
            Debug,
            Default,
            PartialEq,
            Eq,
            Hash,
            PartialOrd,
            Ord,
            FromBytes,
            IntoBytes,
            Immutable,
            KnownLayout,
        )]
        #[repr(transparent)]
        pub struct $name {
            /// The number.
            pub index: $word,
        }

        impl $name {
            /// The index with this number.
            #[inline(always)]
            pub const fn new(index: $word) -> Self {
                Self { index }
            }
        }

        impl From<$name> for u32 {
            #[inline(always)]
            fn from(of: $name) -> u32 {
                of.index.into()
            }
        }

        impl From<$word> for $name {
            #[inline(always)]
            fn from(index: $word) -> Self {
                Self { index }
            }
        }
    )+};
}

indexes! {
    /// Of `ek_pool` and `ek_cursor`.
    PoolIndex: u32;
    /// Of `ek_listener`, `ek_limit` and `ek_listen_stat`.
    ListenerIndex: u32;
    /// A [`ListenerIndex`] as halves hold it.
    ListenerIndex16: u16;
    /// Of `ek_backend`, `ek_load` and `ek_backend_stat`.
    BackendIndex: u32;
    /// A [`BackendIndex`] as halves and slots hold it.
    BackendIndex16: u16;
    /// Of `ek_slot`.
    SlotIndex: u32;
    /// Of `ek_plane`; the ring of the same plane is in `ek_port`.
    PlaneIndex: u32;
}

/// Ties an index to its narrow form. In flight it is 32 bits wide: with 16, a `Result` of it and an event would not
/// travel in two registers.
macro_rules! narrow {
    ($($wide:ident: $narrow:ident, up to $most:ident;)+) => {$(
        const _: () = assert!($most <= u16::MAX as u32 + 1);

        impl $wide {
            /// In two bytes: every index of the map fits.
            #[inline(always)]
            pub const fn narrow(self) -> $narrow {
                $narrow { index: self.index as u16 }
            }
        }

        impl From<$narrow> for $wide {
            #[inline(always)]
            fn from(narrow: $narrow) -> Self {
                Self { index: narrow.index.into() }
            }
        }
    )+};
}

narrow! {
    ListenerIndex: ListenerIndex16, up to MAX_LISTENERS;
    BackendIndex: BackendIndex16, up to MAX_BACKENDS;
}

impl SlotIndex {
    /// The slot so many behind this one.
    #[inline(always)]
    pub const fn plus(self, slots: u32) -> Self {
        Self { index: self.index.wrapping_add(slots) }
    }
}
