//! Names of hosts in DNS.

use std::{fmt, net::Ipv4Addr};

use crate::invalid::Invalid;

/// Whether every label is one of a DNS name as servers have them: letters, digits, hyphens and underscores.
pub(crate) fn is_name(name: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    name.len() <= 253 && name.split('.').all(is_label)
}

/// A DNS name that a certificate can be for, in lower case; no address, which cannot be asked for in TLS.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DnsName(String);

impl DnsName {
    /// Checks one, in any case.
    ///
    /// # Errors
    /// It is not one.
    pub fn new(text: &str) -> Result<Self, Invalid> {
        if !is_name(text) || text.parse::<Ipv4Addr>().is_ok() {
            return Err(Invalid::new(
                format!("{text:?} is not a DNS name"),
                "use one such as \"backend.example\" that the members' certificates are for",
            ));
        }
        Ok(Self(text.to_ascii_lowercase()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DnsName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The `Host` of a health check: 1 to 100 letters, digits, dots and hyphens, the first a letter or digit (OTC guide,
/// table 5-1).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostName(String);

impl HostName {
    const LONGEST: usize = 100;

    /// Checks one.
    ///
    /// # Errors
    /// It is not one.
    pub fn new(text: &str) -> Result<Self, Invalid> {
        let first = text.starts_with(|c: char| c.is_ascii_alphanumeric());
        let rest = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte));
        if !first || !rest || text.len() > Self::LONGEST {
            return Err(Invalid::new(
                format!("{text:?} is not a host name"),
                format!(
                    "use 1 to {} letters, digits, dots and hyphens, the first a letter or digit",
                    Self::LONGEST
                ),
            ));
        }
        Ok(Self(text.into()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn host_names(text in "[a-zA-Z0-9.-]{0,110}|[ -~]{0,8}") {
            let good = !text.is_empty()
                && text.len() <= 100
                && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '.' || c == '-')
                && !text.starts_with(['.', '-']);
            prop_assert_eq!(HostName::new(&text).is_ok(), good);
        }

        #[test]
        fn dns_names(labels in prop::collection::vec("[a-zA-Z0-9_-]{0,65}", 0..6)) {
            let text = labels.join(".");
            let good = !labels.is_empty()
                && text.len() <= 253
                && labels.iter().all(|label| !label.is_empty() && label.len() <= 63)
                && text.parse::<Ipv4Addr>().is_err();
            prop_assert_eq!(DnsName::new(&text).is_ok(), good);
        }
    }
}
