//! The file's policies, in the words of L7 policies and rules.

use model::{
    id::Id,
    object::ListenerId,
    policy::{Action, Condition, Domain, PathMatch, RedirectTo, Rule, Subject, Test},
    value::Pattern,
};

use crate::api::kinds::{
    l7_policy::L7Action,
    l7_rule::{Compare, L7Rule, RuleKind},
};

/// What happens to a request. With which status it is rejected is not shown.
pub(super) fn action(action: &Action<ListenerId>) -> L7Action {
    match action {
        Action::Pool(id) => L7Action::RedirectToPool(id.uuid()),
        Action::Reject(_) => L7Action::Reject,
        Action::Redirect(redirect) => {
            let status = redirect.status.get();
            match &redirect.to {
                RedirectTo::Url(url) => L7Action::RedirectToUrl(url.as_str().into(), status),
                RedirectTo::Prefix(prefix) => L7Action::RedirectPrefix(prefix.as_str().into(), status),
                RedirectTo::Listener(id) => L7Action::RedirectToListener(Id::uuid(*id), status),
            }
        }
    }
}

/// What must hold.
pub(super) fn rules(condition: &Condition) -> Vec<L7Rule> {
    let rule =
        |kind, (compare, value): (Compare, String)| L7Rule { kind, compare, value, ..L7Rule::default() };
    let domain = condition.domain.as_ref().map(|domain| match domain {
        Domain::Exact(name) => (Compare::EqualTo, name.clone()),
        Domain::Below(name) => (Compare::EndsWith, format!(".{name}")),
    });
    let path = condition.path.as_ref().map(|path| match path {
        PathMatch::Exact(path) => (Compare::EqualTo, path.clone()),
        PathMatch::Prefix(path) => (Compare::StartsWith, path.clone()),
        PathMatch::Regex(pattern) => regex(pattern),
    });
    let domain = domain.map(|said| rule(RuleKind::HostName, said));
    let path = path.map(|said| rule(RuleKind::Path, said));
    domain.into_iter().chain(path).chain(condition.rules.iter().map(of_rule)).collect()
}

fn of_rule(rule: &Rule) -> L7Rule {
    let (kind, key) = match &rule.subject {
        Subject::Header(name) => (RuleKind::Header, Some(name.to_string())),
        Subject::Cookie(name) => (RuleKind::Cookie, Some(name.to_string())),
        Subject::Host => (RuleKind::HostName, None),
        Subject::Path => (RuleKind::Path, None),
        Subject::FileType => (RuleKind::FileType, None),
    };
    let (compare, value) = match &rule.test {
        Test::Present => (Compare::Regex, ".*".into()),
        Test::Equals(value) => (Compare::EqualTo, value.as_str().into()),
        Test::StartsWith(value) => (Compare::StartsWith, value.as_str().into()),
        Test::EndsWith(value) => (Compare::EndsWith, value.as_str().into()),
        Test::Contains(value) => (Compare::Contains, value.as_str().into()),
        Test::Regex(pattern) => regex(pattern),
    };
    L7Rule { kind, key, compare, value, invert: rule.invert, ..L7Rule::default() }
}

/// The file's expressions have to match the whole.
fn regex(pattern: &Pattern) -> (Compare, String) {
    (Compare::Regex, format!("^(?:{})$", pattern.text()))
}
