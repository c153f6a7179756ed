//! What the rules of an L7 policy say, in the model's words.
//!
//! A policy is looked up by a domain and a path where its rules have some, since that takes as long with many policies as
//! with few; what else they say is tried on the policies that were found.

use model::{
    invalid::Invalid,
    policy::{Condition, Domain, PathMatch, Rule, Subject, Test, TestValue},
    value::{Pattern, Token},
};
use regex_syntax::escape;

use super::{
    error::{Fault, invalid},
    kinds::l7_rule::{Compare, L7Rule, RuleKind},
};

/// What one rule says.
pub struct Said {
    /// As a rule.
    rule: Rule,
    /// The same as something that policies are looked up by, if it can be.
    key: Option<Key>,
}

/// What policies are looked up by.
enum Key {
    Domain(Domain),
    Path(PathMatch),
}

/// What a rule says.
///
/// # Errors
/// It can say nothing, or nothing that is ever true.
pub fn said(record: &L7Rule) -> Result<Said, Fault> {
    let (compare, value) = (record.compare, record.value.as_str());
    let (subject, test, key) = match record.kind {
        RuleKind::HostName => {
            let value = &value.to_ascii_lowercase();
            if compare == Compare::EqualTo && value.starts_with("*.") {
                let remedy = format!("EQUAL_TO knows no wildcards; use ENDS_WITH {}", &value[1..]);
                return Err(Fault::value("value", value, remedy));
            }
            let test = test(compare, value, |text| {
                // Alone first, since errors show it.
                Pattern::within(text)?;
                Pattern::within(&format!("(?i:{text})"))
            })?;
            let domain = match (compare, value.strip_prefix('.')) {
                (Compare::EqualTo, _) => Domain::new(value).ok(),
                (Compare::EndsWith, Some(above)) => Domain::new(&format!("*.{above}")).ok(),
                _ => None,
            };
            (Subject::Host, test, domain.map(Key::Domain))
        }
        RuleKind::Path => {
            let path = match compare {
                Compare::EqualTo => Some(PathMatch::exact(value).map_err(invalid("value"))?),
                Compare::StartsWith => Some(PathMatch::prefix(value).map_err(invalid("value"))?),
                Compare::EndsWith => regex(&format!(r"{}\z", escape(value))),
                Compare::Contains => regex(&escape(value)),
                Compare::Regex => regex(value),
            };
            (Subject::Path, test(compare, value, Pattern::within)?, path.map(Key::Path))
        }
        RuleKind::FileType => {
            if compare == Compare::EqualTo && value.contains(['.', '/']) {
                let remedy = "It is what is behind the last dot of a path, such as jpg.";
                return Err(Fault::value("value", value, remedy));
            }
            let path = match compare {
                Compare::EqualTo => regex(&format!(r"\.{}\z", escape(value))),
                _ => None,
            };
            (Subject::FileType, test(compare, value, Pattern::within)?, path.map(Key::Path))
        }
        RuleKind::Header => {
            (Subject::Header(token(record)?.to_lower_case()), test(compare, value, Pattern::within)?, None)
        }
        RuleKind::Cookie => (Subject::Cookie(token(record)?), test(compare, value, Pattern::within)?, None),
    };
    let rule = Rule { subject, test, invert: record.invert };
    Ok(Said { rule, key: key.filter(|_| !record.invert) })
}

/// What the rules of a policy say together: all of them must hold.
///
/// # Errors
/// As [`said`].
pub fn condition<'a>(rules: impl Iterator<Item = &'a L7Rule>) -> Result<Condition, Fault> {
    let mut all = rules.map(said).collect::<Result<Vec<_>, _>>()?;
    // Of several, what says most is looked up by.
    all.sort_by_key(|said| match &said.key {
        Some(Key::Domain(Domain::Exact(_)) | Key::Path(PathMatch::Exact(_))) => 0,
        Some(Key::Domain(Domain::Below(_)) | Key::Path(PathMatch::Prefix(_))) => 1,
        Some(Key::Path(PathMatch::Regex(_))) => 2,
        None => 3,
    });
    let mut condition = Condition::default();
    for Said { rule, key } in all {
        match key {
            Some(Key::Domain(domain)) if condition.domain.is_none() => condition.domain = Some(domain),
            Some(Key::Path(path)) if condition.path.is_none() => condition.path = Some(path),
            _ => _ = condition.rules.insert(rule),
        }
    }
    Ok(condition)
}

fn test(
    compare: Compare,
    value: &str,
    pattern: impl Fn(&str) -> Result<Pattern, Invalid>,
) -> Result<Test, Fault> {
    let wanted = || TestValue::new(value, 1);
    let test = match compare {
        Compare::EqualTo => wanted().map(Test::Equals),
        Compare::StartsWith => wanted().map(Test::StartsWith),
        Compare::EndsWith => wanted().map(Test::EndsWith),
        Compare::Contains => wanted().map(Test::Contains),
        Compare::Regex => pattern(value).map(Test::Regex),
    };
    test.map_err(invalid("value"))
}

/// Paths that match an expression; what cannot be one is tried as a rule.
fn regex(text: &str) -> Option<PathMatch> {
    Pattern::within(text).ok().map(PathMatch::Regex)
}

fn token(record: &L7Rule) -> Result<Token, Fault> {
    Token::new(record.key.as_deref().unwrap_or_default()).map_err(invalid("key"))
}
