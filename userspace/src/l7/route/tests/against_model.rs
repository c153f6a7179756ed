//! The tables against a model that looks at every policy and sorts those that match.

use std::time::Instant;

use model::path::plain;
use proptest::{collection, prelude::*};

use super::*;

/// By the module's own words: domain, then path, then rules, then order; or order alone.
fn naive<'a>(
    policies: &'a [Policy],
    order: PolicyOrder,
    host: &str,
    path: &str,
    headers: &HeaderMap,
) -> Option<&'a str> {
    let rank = |(number, policy): &(usize, &Policy)| {
        let asked = Asked { host, path, headers };
        let domain = match &policy.condition.domain {
            Some(Domain::Exact(name)) => (name == host).then_some((0, 0))?,
            Some(Domain::Below(name)) => {
                host.ends_with(&format!(".{name}")).then_some((1, usize::MAX - name.len()))?
            }
            None => (2, 0),
        };
        // Of two policies with the same regular expression the first one's place counts for both.
        let first = |text: &str| {
            let same = |other: &Policy| {
                other.condition.domain == policy.condition.domain
                    && matches!(&other.condition.path, Some(PathMatch::Regex(other)) if other.text() == text)
            };
            policies.iter().position(same).unwrap()
        };
        let path = match &policy.condition.path {
            Some(PathMatch::Exact(wanted)) => (path == wanted).then_some((0, 0))?,
            Some(PathMatch::Prefix(wanted)) => {
                path.starts_with(wanted.as_str()).then_some((1, usize::MAX - wanted.len()))?
            }
            Some(PathMatch::Regex(wanted)) => wanted.matches(path).then(|| (2, first(wanted.text())))?,
            None => (3, 0),
        };
        let holds = policy.condition.rules.iter().all(|rule| rule::holds(rule, asked));
        holds.then_some((domain, path, policy.condition.rules.is_empty(), *number))
    };
    let ranked = policies.iter().enumerate().filter_map(|entry| Some((rank(&entry)?, entry.1)));
    let first = match order {
        PolicyOrder::Specific => ranked.min_by_key(|(rank, _)| *rank),
        PolicyOrder::Position => ranked.min_by_key(|((.., number), _)| *number),
    };
    first.map(|(_, policy)| policy.name.as_str())
}

fn domain() -> impl Strategy<Value = Option<Domain>> {
    let name = || "(a|b)(\\.(a|b)){0,2}";
    prop_oneof![
        Just(None),
        name().prop_map(|n| Some(Domain::Exact(n))),
        name().prop_map(|n| Some(Domain::Below(n)))
    ]
}

fn path_match() -> impl Strategy<Value = Option<PathMatch>> {
    let path = || "/[ab/]{0,4}".prop_map(|path| plain(&path));
    let pattern = prop::sample::select(vec!["/.*", "/a+", "/[ab]/.*", ".*b", "/a|/b", "/(a/?)*"]);
    prop_oneof![
        1 => Just(None),
        3 => path().prop_map(|path| Some(PathMatch::Exact(path))),
        4 => path().prop_map(|path| Some(PathMatch::Prefix(path))),
        2 => pattern.prop_map(|text| Some(PathMatch::Regex(Pattern::new(text).unwrap()))),
    ]
}

fn rules() -> impl Strategy<Value = BTreeSet<Rule>> {
    let value = (0..4u8, "[xy]", any::<bool>()).prop_map(|(which, value, invert)| {
        let (subject, test) = match which {
            0 => (Subject::Cookie(token("c")), equals(&value)),
            1 => (Subject::Header(token("h")), equals(&value)),
            2 => (Subject::Host, Test::EndsWith(TestValue::new("b", 1).unwrap())),
            _ => (Subject::Path, Test::Contains(TestValue::new("/a", 1).unwrap())),
        };
        Rule { subject, test, invert }
    });
    prop_oneof![2 => Just(BTreeSet::new()), 1 => collection::btree_set(value, 1..3)]
}

fn policies() -> impl Strategy<Value = Vec<Policy>> {
    let condition =
        (domain(), path_match(), rules()).prop_map(|(domain, path, rules)| Condition { domain, path, rules });
    collection::vec(condition, 0..25).prop_map(|conditions| {
        let mut seen = BTreeSet::new();
        let unique = conditions.into_iter().filter(|condition| seen.insert(condition.clone()));
        let named = |(number, condition)| {
            let named = policy(&format!("p{number}"), None, None);
            Policy { condition: Arc::new(condition), ..named }
        };
        unique.enumerate().map(named).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn the_tables_decide_as_trying_all(
        policies in policies(),
        host in "((a|b)\\.){0,3}(a|b)",
        path in "/[ab/]{0,5}",
        header in "[xyz]",
        cookie in "[xyz]",
    ) {
        let headers = [("h", header), ("cookie", format!("c={cookie}"))]
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(&value).unwrap()))
            .into_iter()
            .collect();
        let path = plain(&path);
        for order in PolicyOrder::ALL {
            let routes = Routes::build(&policies, order).unwrap();
            let found = routes.decide(&Head { host: &host, target: &path, headers: &headers });
            let found = found.map(|policy| policy.name.as_str());
            prop_assert_eq!(found, naive(&policies, order, &host, &path, &headers));
        }
    }
}

/// Prints what a decision takes with few and with many policies; what it decides is asserted.
#[test]
fn ten_thousand_policies() {
    for count in [100, 10_000] {
        let policies: Vec<Policy> = (0..count)
            .map(|n| {
                let path = match n % 3 {
                    0 => exact(&format!("/shop/item{n}/index.html")),
                    1 => prefix(&format!("/static/{n}/")),
                    _ => regex(&format!("/api/v{n}/[a-z]+")),
                };
                policy(&format!("p{n}"), (n % 2 == 0).then_some("www.example.com"), path)
            })
            .collect();
        for order in PolicyOrder::ALL {
            let start = Instant::now();
            let routes = Routes::build(&policies, order).unwrap();
            println!("{count} policies by {order:?} built in {:?}", start.elapsed());
            for n in 0..count {
                let target = match n % 3 {
                    0 => format!("/shop/item{n}/index.html"),
                    1 => format!("/static/{n}/x.css"),
                    _ => format!("/api/v{n}/users"),
                };
                assert_eq!(met(&routes, "www.example.com", &target), Some(format!("p{n}").as_str()));
            }
            for target in ["/shop/item0/index.html", "/static/1/x.css", "/api/v2/users", "/none"] {
                let start = Instant::now();
                for _ in 0..1000 {
                    met(&routes, "www.example.com", target);
                }
                println!("{count} policies, {target}: {:?} each", start.elapsed() / 1000);
            }
        }
    }
}
