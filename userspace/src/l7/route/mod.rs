//! Which forwarding policy a request meets, if any.
//!
//! ```text
//! host    the host that it asks for, without case and port
//!   → path   what it asks for, in the forms in which that can be read
//!   → Routes::decide   the policy
//!   → redirect   if that sends the client elsewhere: where to
//! ```
//!
//! With [`PolicyOrder::Position`] the first policy wins that a request meets. With [`PolicyOrder::Specific`] it is the one
//! whose **domain** says more: an exact one, then the longest wildcard,
//! then none. Of several with the same domain it is the one whose **path** says more: exact, then the longest prefix, then
//! the first regular expression in the order of the file, then none. Of several with the same domain and path, the first
//! with **rules**, then the one without. A policy whose rules do not hold leaves the request to the next in that order.
//!
//! Domains and exact paths are hash lookups, prefixes a binary search (`prefix`), regular expressions one walk over the path
//! that says which could match (`regexes`), so the number of policies hardly matters.

mod host;
mod path;
mod prefix;
pub mod redirect;
mod regexes;
mod rule;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

use aho_corasick::BuildError;
use http::HeaderMap;
use model::{
    policy::{Action, Domain, PathMatch, PolicyOrder},
    served::Policy,
    value::Pattern,
};

use self::{path::Readings, prefix::Prefixes, regexes::Regexes, rule::Asked};

/// What policies look at.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    /// The Host header or `:authority`, as it came; the VIP if there is none.
    pub host: &'a str,
    /// Path and query, as they came.
    pub target: &'a str,
    /// The headers.
    pub headers: &'a HeaderMap,
}

/// A listener's policies, ready to be asked.
pub struct Routes {
    policies: Vec<Policy>,
    order: PolicyOrder,
    exact: HashMap<String, Paths>,
    below: HashMap<String, Paths>,
    any: Paths,
}

impl Routes {
    /// Of policies in the order of the file or of their positions.
    ///
    /// # Errors
    /// The regular expressions of one domain are too many together.
    pub fn build(policies: &[Policy], order: PolicyOrder) -> Result<Self, BuildError> {
        let mut domains: HashMap<Option<&Domain>, Gathered<'_>> = HashMap::new();
        for (number, policy) in policies.iter().enumerate() {
            domains.entry(policy.condition.domain.as_ref()).or_default().add(number, policy);
        }
        let mut routes = Self {
            policies: policies.to_vec(),
            order,
            exact: HashMap::new(),
            below: HashMap::new(),
            any: Paths::default(),
        };
        for (domain, gathered) in domains {
            let paths = gathered.build(policies, order)?;
            match domain {
                Some(Domain::Exact(name)) => _ = routes.exact.insert(name.clone(), paths),
                Some(Domain::Below(name)) => _ = routes.below.insert(name.clone(), paths),
                None => routes.any = paths,
            }
        }
        Ok(routes)
    }

    /// The policy that a request meets; with none, it goes to the listener's own pool.
    pub fn decide(&self, head: &Head<'_>) -> Option<&Policy> {
        if self.policies.is_empty() {
            return None;
        }
        let name = host::name(head.host);
        let readings = Readings::new(head.target);
        let rejects = |path| {
            let policy = self.find(Asked { host: &name, path, headers: head.headers })?;
            matches!(policy.action, Action::Reject(_)).then_some(policy)
        };
        let plain = Asked { host: &name, path: readings.plain(), headers: head.headers };
        readings.others().find_map(rejects).or_else(|| self.find(plain))
    }

    fn find(&self, asked: Asked<'_>) -> Option<&Policy> {
        let below = host::parents(asked.host).filter_map(|parent| self.below.get(parent));
        let domains = self.exact.get(asked.host).into_iter().chain(below).chain([&self.any]);
        let candidates = domains.flat_map(|paths| paths.candidates(asked.path));
        let holds = |number: &&usize| {
            let policy = self.policies.get(**number);
            policy.is_some_and(|policy| policy.condition.rules.iter().all(|rule| rule::holds(rule, asked)))
        };
        let found = match self.order {
            PolicyOrder::Specific => candidates.flatten().find(holds).copied(),
            PolicyOrder::Position => candidates.fold(None, |best, numbers| {
                let better = |number: &&usize| best.is_none_or(|best| **number < best);
                numbers.iter().take_while(better).find(holds).copied().or(best)
            }),
        };
        self.policies.get(found?)
    }
}

/// The numbers of policies with the same domain and path. With [`PolicyOrder::Specific`] those with rules come first.
type Numbers = Vec<usize>;

/// The policies of one domain.
#[derive(Default)]
struct Paths {
    exact: HashMap<String, Numbers>,
    prefixes: Option<Prefixes<Numbers>>,
    regexes: Option<Regexes<Numbers>>,
    /// Those without a path.
    rest: Numbers,
}

impl Paths {
    /// All that are for a path, best first. What comes later is only computed if it is asked for.
    fn candidates(&self, path: &str) -> impl Iterator<Item = &Numbers> {
        let exact = self.exact.get(path).into_iter();
        let prefixes = self.prefixes.iter().flat_map(move |prefixes| prefixes.of(path));
        let regexes = self.regexes.iter().flat_map(move |regexes| regexes.of(path));
        exact.chain(prefixes).chain(regexes).chain([&self.rest])
    }
}

/// The policies of one domain while they are gathered.
#[derive(Default)]
struct Gathered<'a> {
    exact: HashMap<String, Numbers>,
    prefixes: HashMap<String, Numbers>,
    regexes: HashMap<&'a Pattern, Numbers>,
    rest: Numbers,
}

impl<'a> Gathered<'a> {
    fn add(&mut self, number: usize, policy: &'a Policy) {
        let numbers = match &policy.condition.path {
            Some(PathMatch::Exact(path)) => self.exact.entry(path.clone()).or_default(),
            Some(PathMatch::Prefix(path)) => self.prefixes.entry(path.clone()).or_default(),
            Some(PathMatch::Regex(pattern)) => self.regexes.entry(pattern).or_default(),
            None => &mut self.rest,
        };
        numbers.push(number);
    }

    fn build(mut self, policies: &[Policy], order: PolicyOrder) -> Result<Paths, BuildError> {
        let has_no_rules =
            |&number: &usize| policies.get(number).is_some_and(|p| p.condition.rules.is_empty());
        let lists =
            self.exact.values_mut().chain(self.prefixes.values_mut()).chain(self.regexes.values_mut());
        if order == PolicyOrder::Specific {
            lists.chain([&mut self.rest]).for_each(|numbers| numbers.sort_by_key(has_no_rules));
        }
        let prefixes = (!self.prefixes.is_empty()).then(|| Prefixes::new(self.prefixes));
        Ok(Paths { exact: self.exact, prefixes, regexes: in_order(self.regexes)?, rest: self.rest })
    }
}

/// Regular expressions in the order in which they first come in the file.
fn in_order(regexes: HashMap<&Pattern, Numbers>) -> Result<Option<Regexes<Numbers>>, BuildError> {
    let mut regexes: Vec<_> = regexes.into_iter().collect();
    if regexes.is_empty() {
        return Ok(None);
    }
    regexes.sort_by_key(|(_, numbers)| numbers.iter().min().copied());
    Regexes::new(regexes.into_iter().map(|(pattern, numbers)| (pattern.clone(), numbers))).map(Some)
}
