//! L7 policies become policies of the model.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use model::{
    id::Id,
    object::{self, ListenerId, PolicyId},
    policy::{Action, Redirect, RedirectStatus, RedirectTo},
    value::{RejectStatus, Url, UrlPrefix},
};

use super::common::{meta, serves};
use crate::api::{
    conditions::condition,
    error::{Fault, invalid},
    kinds::{
        l7_policy::{L7Action, L7Policy},
        l7_rule::L7Rule,
        listener::Listener,
    },
    record::Record,
    records::{Key, Records},
};

/// The policies of a listener that act, in their order: those that are on, have a rule that is, and lead to something that
/// is served. Those that were not touched stay what they were.
pub(super) fn policies(
    records: &Records,
    listener: &Listener,
    touched: &BTreeSet<Key>,
    before: Option<&object::Listener>,
) -> Result<Vec<Arc<object::Policy>>, Fault> {
    let mut all: Vec<&L7Policy> = records.children::<L7Policy>(listener.head.id).collect();
    all.sort_by_key(|policy| policy.position);
    let before = before.and_then(object::Listener::http).map_or(&[][..], |http| &http.policies);
    let before: HashMap<PolicyId, &Arc<object::Policy>> =
        before.iter().map(|policy| (policy.id, policy)).collect();
    let mut made = Vec::with_capacity(all.len());
    for policy in all {
        let is_touched = touched.contains(&(L7Policy::KIND, policy.head.id));
        match before.get(&Id::from_uuid(policy.head.id)) {
            Some(there) if !is_touched && policy.action.listener().is_none() => made.push(Arc::clone(there)),
            _ => made.extend(self::policy(records, policy)?.map(Arc::new)),
        }
    }
    Ok(made)
}

fn policy(records: &Records, record: &L7Policy) -> Result<Option<object::Policy>, Fault> {
    let rules = || records.children::<L7Rule>(record.head.id).filter(|rule| rule.head.is_enabled);
    let target = record.action.listener().and_then(|id| records.get::<Listener>(id));
    let leads_nowhere = target.is_some_and(|target| !serves(records, target));
    if !record.head.is_enabled || rules().next().is_none() || leads_nowhere {
        return Ok(None);
    }
    Ok(Some(object::Policy {
        id: Id::from_uuid(record.head.id),
        meta: meta(&record.head)?,
        condition: Arc::new(condition(rules())?),
        action: action(&record.action)?,
    }))
}

/// What happens to a request.
///
/// # Errors
/// A URL is none, or a status is none of a redirection.
pub(in crate::api) fn action(action: &L7Action) -> Result<Action<ListenerId>, Fault> {
    let redirect = |to, status: u16| {
        let status = RedirectStatus::new(status).map_err(invalid("redirect_http_code"))?;
        Ok(Action::Redirect(Redirect { status, to }))
    };
    match action {
        L7Action::Reject => Ok(Action::Reject(RejectStatus::literal(403))),
        L7Action::RedirectToPool(id) => Ok(Action::Pool(Id::from_uuid(*id))),
        L7Action::RedirectToUrl(url, status) => {
            redirect(RedirectTo::Url(Url::new(url).map_err(invalid("redirect_url"))?), *status)
        }
        L7Action::RedirectPrefix(prefix, status) => {
            // The path that is put behind it begins with a slash.
            let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
            let prefix = UrlPrefix::new(prefix).map_err(invalid("redirect_prefix"))?;
            redirect(RedirectTo::Prefix(prefix), *status)
        }
        L7Action::RedirectToListener(id, status) => {
            redirect(RedirectTo::Listener(Id::from_uuid(*id)), *status)
        }
    }
}
