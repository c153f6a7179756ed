//! What is known of a rule of an L7 policy.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::api::record::{Head, Record, record};

/// What is known of a rule of an L7 policy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct L7Rule {
    pub(in crate::api) head: Head,
    pub(in crate::api) policy: Uuid,
    pub(in crate::api) kind: RuleKind,
    pub(in crate::api) compare: Compare,
    /// The name of a header or cookie.
    pub(in crate::api) key: Option<String>,
    pub(in crate::api) value: String,
    pub(in crate::api) invert: bool,
}

/// What of a request is compared, by Octavia's names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum RuleKind {
    /// The host that it is for, in any case and without the port.
    HostName,
    /// What it asks for, without the query.
    #[default]
    Path,
    /// What is behind the last dot of the path's last segment.
    FileType,
    /// A header.
    Header,
    /// A cookie.
    Cookie,
}

/// How it is compared, by Octavia's names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Compare {
    /// It is the value.
    #[default]
    EqualTo,
    /// It begins with it.
    StartsWith,
    /// It ends with it.
    EndsWith,
    /// It has it somewhere.
    Contains,
    /// The value is a regular expression that some part of it matches.
    Regex,
}

/// What may be compared, by name.
pub const KINDS: [(&str, RuleKind); 5] = [
    ("HOST_NAME", RuleKind::HostName),
    ("PATH", RuleKind::Path),
    ("FILE_TYPE", RuleKind::FileType),
    ("HEADER", RuleKind::Header),
    ("COOKIE", RuleKind::Cookie),
];
/// How it may be compared, by name.
pub const COMPARES: [(&str, Compare); 5] = [
    ("EQUAL_TO", Compare::EqualTo),
    ("STARTS_WITH", Compare::StartsWith),
    ("ENDS_WITH", Compare::EndsWith),
    ("CONTAINS", Compare::Contains),
    ("REGEX", Compare::Regex),
];

impl RuleKind {
    /// Its name.
    pub fn name(self) -> &'static str {
        KINDS.iter().find(|(_, kind)| *kind == self).map_or("", |(name, _)| name)
    }

    /// Whether there are several, told apart by a key.
    pub const fn has_key(self) -> bool {
        matches!(self, Self::Header | Self::Cookie)
    }

    /// Whether it can be compared like this.
    pub const fn goes_with(self, compare: Compare) -> bool {
        match self {
            Self::FileType => matches!(compare, Compare::EqualTo | Compare::Regex),
            Self::HostName | Self::Path | Self::Header | Self::Cookie => true,
        }
    }
}

impl Compare {
    /// Its name.
    pub fn name(self) -> &'static str {
        COMPARES.iter().find(|(_, compare)| *compare == self).map_or("", |(name, _)| name)
    }
}

record!(L7Rule, "rule", "L7Rule", |it| Some(it.policy));
