//! Which certificate a client gets for the name that it asks for (SNI).

use std::collections::HashMap;

/// Values, one or more to a name, by DNS names and wildcards.
pub(super) struct Names<T> {
    exact: HashMap<String, Vec<T>>,
    /// By what follows `*.`.
    wildcard: HashMap<String, Vec<T>>,
    other: Vec<T>,
}

impl<T> Names<T> {
    /// With what all names get for which nothing is added.
    pub(super) fn new(other: Vec<T>) -> Self {
        Self { exact: HashMap::new(), wildcard: HashMap::new(), other }
    }

    /// The place for a domain, in lower case; `*.` in front makes it a wildcard.
    pub(super) fn place(&mut self, domain: &str) -> &mut Vec<T> {
        match domain.strip_prefix("*.") {
            Some(parent) => self.wildcard.entry(parent.into()).or_default(),
            None => self.exact.entry(domain.into()).or_default(),
        }
    }

    /// What there is for a name: by the name itself, else by a wildcard for its first label, else what others get.
    pub(super) fn choose(&self, name: Option<&str>) -> &[T] {
        let Some(name) = name else { return &self.other };
        let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        let wildcard = || match name.split_once('.') {
            Some((label, parent)) if !label.is_empty() => self.wildcard.get(parent),
            _ => None,
        };
        self.exact.get(&name).or_else(wildcard).unwrap_or(&self.other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_itself_then_one_label_then_the_rest() {
        let mut names = Names::new(vec!["other"]);
        for domain in ["shop.example", "*.shop.example", "www.shop.example", "*.example"] {
            names.place(domain).push(domain);
        }
        for (asked, got) in [
            (Some("shop.example"), "shop.example"),
            (Some("SHOP.Example."), "shop.example"),
            (Some("www.shop.example"), "www.shop.example"),
            (Some("img.shop.example"), "*.shop.example"),
            (Some("a.img.shop.example"), "other"),
            (Some(".shop.example"), "other"),
            (Some("bank.example"), "*.example"),
            (Some("example"), "other"),
            (Some("*.shop.example"), "*.shop.example"),
            (Some(""), "other"),
            (None, "other"),
        ] {
            assert_eq!(names.choose(asked), [got], "{asked:?}");
        }
    }
}
