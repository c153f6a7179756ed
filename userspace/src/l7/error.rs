//! Why Layer 7 cannot serve what it is asked to.

use std::{error::Error as StdError, io};

use model::served::{Listener, ListenerKey};
use thiserror::Error;

use crate::engine::layers::{Class, Reason};

type Source = Box<dyn StdError + Send + Sync>;

/// Why Layer 7 cannot serve what it is asked to; with its sources in one line for people.
#[derive(Debug, Error)]
pub enum Error {
    /// An access log cannot be opened; the error names it.
    #[error(transparent)]
    Log(io::Error),
    /// The key that cookies are signed with cannot be read or made.
    #[error("{0}")]
    Secret(String),
    /// A listener's certificates, TLS policy or forwarding policies cannot be used.
    #[error("listener {name:?} of load balancer {load_balancer:?}")]
    Listener {
        /// Its name.
        name: String,
        /// Its load balancer's name.
        load_balancer: String,
        /// Why.
        source: Source,
    },
    /// A pool's TLS settings cannot be used.
    #[error("pool {name:?}")]
    Pool {
        /// Its name.
        name: String,
        /// Why.
        source: Source,
    },
    /// There is no socket for a listener.
    #[error("no socket for {} {}", key.vip, key.port)]
    Socket {
        /// Which listener.
        key: ListenerKey,
        /// Why.
        source: io::Error,
    },
    /// Connections cannot be brought to a listener's socket.
    #[error("no connections reach {} {}", key.vip, key.port)]
    Steering {
        /// Which listener.
        key: ListenerKey,
        /// Why.
        source: Source,
    },
    /// TLS or a thread cannot be set up.
    #[error("cannot start Layer 7")]
    Start(Source),
}

impl Error {
    /// Something of this listener's cannot be used.
    pub fn listener(listener: &Listener, source: impl Into<Source>) -> Self {
        Self::Listener {
            name: listener.name.as_str().into(),
            load_balancer: listener.load_balancer_name.as_str().into(),
            source: source.into(),
        }
    }

    /// Something of this pool's cannot be used.
    pub fn pool(name: &str, source: impl Into<Source>) -> Self {
        Self::Pool { name: name.into(), source: source.into() }
    }
}

impl Reason for Error {
    fn class(&self) -> Class {
        match self {
            Self::Listener { .. } | Self::Pool { .. } => Class::Invalid,
            Self::Log(_) | Self::Secret(_) => Class::Conflict,
            Self::Socket { .. } | Self::Steering { .. } | Self::Start(_) => Class::Unavailable,
        }
    }
}
