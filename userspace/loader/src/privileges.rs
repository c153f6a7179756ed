//! What a process that loads BPF programs must be allowed.

use caps::{CapSet, Capability, errors::CapsError};
use thiserror::Error;

/// Why this process may not load BPF programs.
#[derive(Debug, Error)]
pub enum PrivilegeError {
    /// The kernel does not say what the process may.
    #[error("cannot read this process's capabilities")]
    Unreadable(#[source] CapsError),
    /// The process may too little.
    #[error("this needs root, or the capabilities that are missing: {}", list(.0))]
    Missing(Vec<Capability>),
}

fn list(capabilities: &[Capability]) -> String {
    capabilities.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// Looks whether this process has these capabilities.
///
/// # Errors
/// With those that are missing.
pub fn require(capabilities: impl IntoIterator<Item = Capability>) -> Result<(), PrivilegeError> {
    let effective = caps::read(None, CapSet::Effective).map_err(PrivilegeError::Unreadable)?;
    let missing: Vec<_> =
        capabilities.into_iter().filter(|capability| !effective.contains(capability)).collect();
    if missing.is_empty() { Ok(()) } else { Err(PrivilegeError::Missing(missing)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named() {
        let missing = PrivilegeError::Missing(vec![Capability::CAP_BPF, Capability::CAP_NET_ADMIN]);
        assert_eq!(
            missing.to_string(),
            "this needs root, or the capabilities that are missing: CAP_BPF, CAP_NET_ADMIN"
        );
        assert!(require([]).is_ok());
    }
}
