//! Which of many prefixes a path begins with, the longest first.
//!
//! The prefixes lie sorted, and each knows the longest other one that it begins with itself. All that a path begins with
//! are then on the way from the last one that does not sort behind it, by those links: one binary search, however many.

/// Values by prefix.
pub(super) struct Prefixes<T> {
    nodes: Vec<Node<T>>,
}

struct Node<T> {
    prefix: String,
    /// The longest other prefix that this one begins with; it is before this one.
    shorter: Option<usize>,
    value: T,
}

impl<T> Prefixes<T> {
    /// Of prefixes that are all different.
    pub(super) fn new(values: impl IntoIterator<Item = (String, T)>) -> Self {
        let mut values: Vec<_> = values.into_iter().collect();
        values.sort_by(|(one, _), (other, _)| one.cmp(other));
        let mut nodes: Vec<Node<T>> = Vec::with_capacity(values.len());
        for (prefix, value) in values {
            let mut shorter = nodes.len().checked_sub(1);
            while let Some(node) = shorter.and_then(|at| nodes.get(at))
                && !prefix.starts_with(&node.prefix)
            {
                shorter = node.shorter;
            }
            nodes.push(Node { prefix, shorter, value });
        }
        Self { nodes }
    }

    /// The values of all prefixes that a path begins with, the longest first.
    pub(super) fn of(&self, path: &str) -> impl Iterator<Item = &T> {
        let last = self.nodes.partition_point(|node| node.prefix.as_str() <= path).checked_sub(1);
        let last = last.and_then(|at| self.nodes.get(at));
        let common = last.map_or(0, |node| common(&node.prefix, path));
        std::iter::successors(last, |node| self.nodes.get(node.shorter?))
            .skip_while(move |node| node.prefix.len() > common)
            .map(|node| &node.value)
    }
}

/// How many bytes two texts have in common at their beginnings.
fn common(one: &str, other: &str) -> usize {
    one.bytes().zip(other.bytes()).take_while(|(one, other)| one == other).count()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::{collection, prelude::*};

    use super::*;

    proptest! {
        #[test]
        fn finds_what_trying_each_one_finds(
            prefixes in collection::btree_set("[ab/é]{0,6}", 0..40),
            path in "[ab/é]{0,9}",
        ) {
            let prefixes: BTreeSet<String> = prefixes;
            let mut expected: Vec<&String> = prefixes.iter().filter(|prefix| path.starts_with(*prefix)).collect();
            expected.sort_by_key(|prefix| usize::MAX - prefix.len());
            let table = Prefixes::new(prefixes.iter().map(|prefix| (prefix.clone(), prefix)));
            prop_assert_eq!(table.of(&path).copied().collect::<Vec<_>>(), expected);
        }
    }
}
