//! Lists: filters by any attribute and by tags, the order, pages, and which attributes are wanted.

use std::{cmp::Ordering, net::IpAddr};

use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde_json::{Map, Value, json};

use super::error::Fault;

/// An object as it is shown.
pub type Object = Map<String, Value>;

/// What a request asks a list for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query(Vec<(String, String)>);

/// What is no attribute.
const WORDS: [&str; 11] = [
    "fields",
    "limit",
    "marker",
    "page_reverse",
    "sort",
    "sort_key",
    "sort_dir",
    "tags",
    "tags-any",
    "not-tags",
    "not-tags-any",
];

impl Query {
    /// What stands behind the question mark.
    pub fn new(text: &str) -> Self {
        let decoded =
            |text: &str| percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned();
        let pairs = text.split('&').filter(|pair| !pair.is_empty());
        Self(
            pairs
                .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
                .map(|(k, v)| (decoded(k), decoded(v)))
                .collect(),
        )
    }

    /// The last value under a name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().rev().find(|(key, _)| key == name).map(|(_, value)| &**value)
    }

    /// Every value under a name.
    fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(key, _)| key == name).map(|(_, value)| &**value)
    }

    /// Takes a value out that is no attribute of the objects.
    pub fn take(&mut self, name: &str) -> Option<String> {
        let found = self.get(name).map(ToOwned::to_owned);
        self.0.retain(|(key, _)| key != name);
        found
    }

    /// Refuses what nobody has taken.
    ///
    /// # Errors
    /// There is something left.
    pub fn end(&self) -> Result<(), Fault> {
        match self.0.first() {
            Some((name, _)) => Err(unknown(name)),
            None => Ok(()),
        }
    }

    /// Whether a word means yes; every other one means no.
    pub fn is_true(&self, name: &str) -> bool {
        self.get(name).is_some_and(|word| {
            matches!(&*word.to_ascii_lowercase(), "true" | "1" | "yes" | "on" | "t" | "y")
        })
    }

    /// The attributes that are wanted of an object; all if none is named.
    pub fn only(&self, mut object: Object) -> Object {
        if self.get("fields").is_some() {
            object.retain(|name, _| self.all("fields").any(|field| field == name));
        }
        object
    }

    /// The objects that are wanted, in their order, one page of them, with links to the next pages. `many` is their name,
    /// `path` where the list is, `known` an object with every attribute.
    ///
    /// # Errors
    /// An attribute is not known, the marker is nobody's, or the limit is no number.
    pub fn page(
        &self,
        mut objects: Vec<Object>,
        known: &Object,
        many: &'static str,
        path: &str,
    ) -> Result<Value, Fault> {
        let mut filters = Vec::new();
        for (name, value) in self.0.iter().filter(|(name, _)| !WORDS.contains(&&**name)) {
            filters.push((attribute(name, known)?, value));
        }
        objects.retain(|object| {
            filters.iter().all(|(name, value)| is(object, name, value)) && self.has_tags(object)
        });
        let order = self.order(known)?;
        objects.sort_by(|one, other| {
            let by = |(name, descending): &(String, bool)| {
                let order = compare(&one[name], &other[name]);
                if *descending { order.reverse() } else { order }
            };
            order.iter().map(by).find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
        });
        let (objects, has_more, has_before) = self.cut(objects)?;
        let id = |object: Option<&Object>| {
            object.and_then(|object| object["id"].as_str()).unwrap_or_default().to_owned()
        };
        let mut links = Vec::new();
        if has_more {
            let href = self.href(path, &id(objects.last()), false);
            links.push(json!({ "rel": "next", "href": href }));
        }
        if has_before {
            let href = self.href(path, &id(objects.first()), true);
            links.push(json!({ "rel": "previous", "href": href }));
        }
        let objects: Vec<Object> = objects.into_iter().map(|object| self.only(object)).collect();
        let mut body = Map::new();
        body.insert(many.into(), json!(objects));
        body.insert(format!("{many}_links"), json!(links));
        Ok(Value::Object(body))
    }

    /// One page, whether there is more behind it, and whether there is more before it.
    fn cut(&self, mut objects: Vec<Object>) -> Result<(Vec<Object>, bool, bool), Fault> {
        let limit = match self.get("limit") {
            None | Some("infinite") => None,
            Some(text) => {
                let number: i64 =
                    text.parse().map_err(|_| Fault::value("limit", text, "It must be a whole number."))?;
                usize::try_from(number).ok().filter(|number| *number > 0)
            }
        };
        let is_reverse = self.is_true("page_reverse");
        let mut before = 0;
        let mut behind = 0;
        if let Some(marker) = self.get("marker") {
            let at = objects.iter().position(|object| object["id"] == marker);
            let at =
                at.ok_or_else(|| Fault::value("marker", marker, "No object of this list has this id."))?;
            if is_reverse {
                behind = objects.len() - at;
                objects.truncate(at);
            } else {
                before = at + 1;
                objects.drain(..=at);
            }
        }
        let Some(limit) = limit else { return Ok((objects, behind > 0, before > 0)) };
        if is_reverse {
            let surplus = objects.len().saturating_sub(limit);
            objects.drain(..surplus);
            before += surplus;
        } else {
            behind += objects.len().saturating_sub(limit);
            objects.truncate(limit);
        }
        let is_empty = objects.is_empty();
        Ok((objects, behind > 0 && !is_empty, before > 0 && !is_empty))
    }

    /// By which attributes the list is ordered, and of each whether descending.
    fn order(&self, known: &Object) -> Result<Vec<(String, bool)>, Fault> {
        let descending = |word: &str| match word {
            "asc" | "" => Ok(false),
            "desc" => Ok(true),
            other => Err(Fault::value("sort", other, "An order is asc or desc.")),
        };
        let mut order = Vec::new();
        for part in self.all("sort").flat_map(|text| text.split(',')).filter(|part| !part.is_empty()) {
            let (name, word) = part.split_once(':').unwrap_or((part, ""));
            order.push((name.to_owned(), descending(word)?));
        }
        let mut words = self.all("sort_dir");
        for name in self.all("sort_key") {
            order.push((name.to_owned(), descending(words.next().unwrap_or_default())?));
        }
        if let Some((name, _)) = order.iter().find(|(name, _)| !known.contains_key(name)) {
            return Err(Fault::value("sort", name, "It is no attribute of these objects."));
        }
        order.push(("created_at".into(), false));
        order.push(("id".into(), false));
        order.retain(|(name, _)| known.contains_key(name));
        Ok(order)
    }

    fn has_tags(&self, object: &Object) -> bool {
        let tags: Vec<&str> = object
            .get("tags")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        let wanted = |name| self.get(name).map(|text| text.split(',').collect::<Vec<_>>());
        let has = |tag: &&str| tags.contains(tag);
        wanted("tags").is_none_or(|all| all.iter().all(has))
            && wanted("tags-any").is_none_or(|any| any.iter().any(has))
            && wanted("not-tags").is_none_or(|all| !all.iter().all(has))
            && wanted("not-tags-any").is_none_or(|any| !any.iter().any(has))
    }

    /// The link to another page of the same list.
    fn href(&self, path: &str, marker: &str, is_reverse: bool) -> String {
        let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let kept = self.0.iter().filter(|(name, _)| name != "marker" && name != "page_reverse");
        let mut parts: Vec<String> =
            kept.map(|(name, value)| format!("{}={}", encoded(name), encoded(value))).collect();
        parts.push(format!("marker={marker}"));
        if is_reverse {
            parts.push("page_reverse=True".into());
        }
        format!("{path}?{}", parts.join("&"))
    }
}

/// References that may be named by the id of one of them, and other names of attributes.
const REFERENCES: [(&str, &str); 5] = [
    ("loadbalancer_id", "loadbalancers"),
    ("load_balancer_id", "loadbalancers"),
    ("pool_id", "pools"),
    ("default_pool", "default_pool_id"),
    ("project", "project_id"),
];

/// The attribute that a filter is about.
fn attribute(name: &str, known: &Object) -> Result<String, Fault> {
    if known.contains_key(name) {
        return Ok(name.into());
    }
    let reference = REFERENCES.iter().find(|(other, at)| *other == name && known.contains_key(*at));
    let (_, at) = reference.ok_or_else(|| unknown(name))?;
    Ok((*at).into())
}

fn unknown(name: &str) -> Fault {
    let name: String = name.chars().take(80).collect();
    Fault::invalid(format!("Unknown filter: {name} is no attribute of these objects."))
}

/// Whether an attribute is what a filter says.
fn is(object: &Object, name: &str, value: &str) -> bool {
    match &object[name] {
        Value::Null => value.is_empty() || value == "None" || value == "null",
        Value::Bool(truth) => {
            let wanted = matches!(&*value.to_ascii_lowercase(), "true" | "1" | "yes" | "on" | "t" | "y");
            *truth == wanted
        }
        Value::String(text) => {
            text == value || text.parse::<IpAddr>().is_ok_and(|one| value.parse::<IpAddr>() == Ok(one))
        }
        Value::Array(list) => list.iter().any(|one| one["id"] == value || *one == value),
        Value::Number(number) => number.to_string() == *value,
        Value::Object(_) => false,
    }
}

/// By value; what is nothing comes first.
fn compare(one: &Value, other: &Value) -> Ordering {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => {
            one.as_f64().partial_cmp(&other.as_f64()).unwrap_or(Ordering::Equal)
        }
        (Value::String(one), Value::String(other)) => one.cmp(other),
        (Value::Bool(one), Value::Bool(other)) => one.cmp(other),
        (Value::Null, Value::Null) => Ordering::Equal,
        (Value::Null, _) => Ordering::Less,
        (_, Value::Null) => Ordering::Greater,
        (one, other) => one.to_string().cmp(&other.to_string()),
    }
}
