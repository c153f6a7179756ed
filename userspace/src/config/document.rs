//! The file as tables and values that know where they stand: the only place that sees the TOML parser's types.
//!
//! Not serde, because that stops at the first problem.

use std::{fmt::Display, ops::RangeInclusive};

use model::{invalid::Invalid, value::Number};
use toml::{
    Spanned,
    de::{DeArray, DeTable, DeValue},
};

use super::{hints, problem::Report};

/// What a kind of table is called and what may stand in it.
pub(super) struct Shape {
    /// Its name with those of the tables around it; empty for the file itself.
    pub(super) path: &'static str,
    pub(super) keys: &'static [&'static str],
}

impl Shape {
    fn key(&self, key: &str) -> String {
        if self.path.is_empty() { key.into() } else { format!("{}.{key}", self.path) }
    }
}

/// One table of the file.
#[derive(Clone, Copy)]
pub(super) struct Table<'a> {
    shape: &'static Shape,
    entries: &'a DeTable<'a>,
    offset: usize,
    report: &'a Report,
}

impl<'a> Table<'a> {
    /// Reports the keys that do not belong there.
    pub(super) fn new(
        shape: &'static Shape,
        entries: &'a DeTable<'a>,
        offset: usize,
        report: &'a Report,
    ) -> Self {
        for key in entries.keys() {
            let name: &str = key.get_ref();
            if !shape.keys.contains(&name) {
                let bare = name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
                let shown = if bare { shape.key(name) } else { shape.key(&format!("{name:?}")) };
                let reason = match hints::key(name, shape.keys) {
                    Some(meant) => format!("unknown key; did you mean {meant:?}?"),
                    None => format!("unknown key; this version knows {}", shape.keys.join(", ")),
                };
                report.add(key.span().start, shown, reason);
            }
        }
        Self { shape, entries, offset, report }
    }

    /// The value of a key, if it is there.
    pub(super) fn get(&self, key: &'static str) -> Option<Value<'a>> {
        debug_assert!(self.shape.keys.contains(&key), "{key} is not in the shape of {}", self.shape.path);
        let value = self.entries.get(key)?;
        Some(Value { shape: self.shape, key, value, report: self.report })
    }

    /// The value of a key that must be there.
    pub(super) fn require(&self, key: &'static str) -> Option<Value<'a>> {
        let value = self.get(key);
        if value.is_none() {
            self.refuse_key(key, "missing; it has no default");
        }
        value
    }

    /// The value of one of these keys, all that the table has of them; else reported.
    pub(super) fn one_of(&self, keys: &[&'static str]) -> Option<Value<'a>> {
        let mut there = keys.iter().filter_map(|&key| self.get(key));
        let first = there.next();
        if first.is_none() {
            self.refuse(format!("needs exactly one of {}", keys.join(", ")));
        }
        if let (Some(first), Some(second)) = (&first, there.next()) {
            second.refuse(format!("{} is given already; give one of {}", first.key, keys.join(", ")));
            return None;
        }
        first
    }

    /// The value at a path of keys, such as `redirect.listener`, if it is there.
    pub(super) fn find(&self, path: &'static str) -> Option<Value<'a>> {
        let mut keys = path.split('.');
        let first = self.entries.get(keys.next()?)?;
        let value = keys.try_fold(first, |value, key| value.get_ref().as_table()?.get(key))?;
        Some(Value { shape: self.shape, key: path, value, report: self.report })
    }

    /// Reports a problem with the table as a whole.
    pub(super) fn refuse(&self, reason: impl Display) {
        self.report.add(self.offset, self.shape.path.into(), reason);
    }

    /// Reports a problem with a key that is not there.
    pub(super) fn refuse_key(&self, key: &str, reason: impl Display) {
        self.report.add(self.offset, self.shape.key(key), reason);
    }

    /// Reports each of these keys that is there.
    pub(super) fn refuse_each(&self, keys: &[&'static str], reason: &str) {
        for value in keys.iter().filter_map(|&key| self.get(key)) {
            value.refuse(reason);
        }
    }

    /// Where it begins, in bytes; no two tables begin at the same place.
    pub(super) fn offset(&self) -> usize {
        self.offset
    }

    /// The line of its header.
    pub(super) fn line(&self) -> usize {
        self.report.line(self.offset)
    }

    /// The tables of this kind, written `[[key]]` or `key = [{ … }, …]`; none is fine. A single table, `[key]` or
    /// `key = { … }`, is a list of one.
    pub(super) fn tables(&self, key: &'static str, shape: &'static Shape) -> Vec<Table<'a>> {
        let Some(value) = self.get(key) else { return Vec::new() };
        let wanted = || format!("tables, each with the header [[{}]] or in braces", shape.path);
        match value.array() {
            Some(array) => {
                value.elements(array).filter_map(|element| element.as_table(shape, wanted())).collect()
            }
            None => value.as_table(shape, wanted()).into_iter().collect(),
        }
    }

    /// The one table of this kind, written `[key]` or `key = { … }`, if it is there.
    pub(super) fn table(&self, key: &'static str, shape: &'static Shape) -> Option<Table<'a>> {
        self.get(key)?.as_table(shape, format!("a table with the header [{}]", shape.path))
    }
}

/// One value of the file, or one element of a list.
#[derive(Clone, Copy)]
pub(super) struct Value<'a> {
    shape: &'static Shape,
    key: &'static str,
    value: &'a Spanned<DeValue<'a>>,
    report: &'a Report,
}

impl<'a> Value<'a> {
    /// Reports a problem with it.
    pub(super) fn refuse(&self, reason: impl Display) {
        self.report.add(self.value.span().start, self.shape.key(self.key), reason);
    }

    /// Tells of something that is odd and taken all the same.
    pub(super) fn warn(&self, what: impl Display) {
        let line = self.report.line(self.value.span().start);
        tracing::warn!("line {line}: {}: {what}", self.shape.key(self.key));
    }

    /// Its key.
    pub(super) fn key(&self) -> &'static str {
        self.key
    }

    /// The line on which it begins.
    pub(super) fn line(&self) -> usize {
        self.report.line(self.value.span().start)
    }

    /// A string; else reported.
    pub(super) fn string(&self) -> Option<&'a str> {
        self.quoted("a string in quotes")
    }

    /// A string that is to be read as something, which `wanted` names with an example; else reported.
    pub(super) fn quoted(&self, wanted: &str) -> Option<&'a str> {
        let string = self.value.get_ref().as_str();
        if string.is_none() {
            self.refuse_type(wanted);
        }
        string
    }

    /// What `read` makes of a string; else reported.
    pub(super) fn parse<T>(&self, wanted: &str, read: impl FnOnce(&str) -> Result<T, Invalid>) -> Option<T> {
        read(self.quoted(wanted)?).map_err(|invalid| self.refuse(invalid)).ok()
    }

    /// A whole number of this kind; else reported.
    pub(super) fn number<N: Number>(&self) -> Option<N> {
        N::new(self.integer(N::WHAT, N::RANGE)?).ok()
    }

    /// A whole number in `range`, which `what` has to be in; else reported.
    pub(super) fn integer(&self, what: &str, range: RangeInclusive<u32>) -> Option<u32> {
        let (low, high) = (range.start(), range.end());
        let DeValue::Integer(integer) = self.value.get_ref() else {
            self.refuse_type(&format!("a whole number, {low} to {high}"));
            return None;
        };
        let number =
            u32::from_str_radix(integer.as_str(), integer.radix()).ok().filter(|n| range.contains(n));
        if number.is_none() {
            self.refuse(format!("{integer} is not {what}; use {low} to {high}"));
        }
        number
    }

    /// True or false; else reported.
    pub(super) fn boolean(&self) -> Option<bool> {
        let boolean = self.value.get_ref().as_bool();
        if boolean.is_none() {
            self.refuse_type("true or false");
        }
        boolean
    }

    /// The elements of a list that is not empty; else reported.
    pub(super) fn list(&self) -> Vec<Value<'a>> {
        if self.array().is_some_and(|array| array.is_empty()) {
            self.refuse("the list is empty; put at least one into it");
        }
        self.list_or_empty()
    }

    /// The elements of a list, which may have none; anything else is reported.
    pub(super) fn list_or_empty(&self) -> Vec<Value<'a>> {
        match self.array() {
            Some(array) => self.elements(array).collect(),
            None => {
                self.refuse_type("a list in brackets");
                Vec::new()
            }
        }
    }

    /// As [`Value::list`]; a single string is a list of one.
    pub(super) fn string_or_list(&self) -> Vec<Value<'a>> {
        if self.value.get_ref().is_str() { vec![*self] } else { self.list() }
    }

    /// The keys and values of a table that may have any; anything else is reported.
    pub(super) fn pairs(&self, wanted: &str) -> Vec<(&'a str, Value<'a>)> {
        let Some(entries) = self.value.get_ref().as_table() else {
            self.refuse_type(wanted);
            return Vec::new();
        };
        entries.iter().map(|(key, value)| (&**key.get_ref(), Value { value, ..*self })).collect()
    }

    fn array(&self) -> Option<&'a DeArray<'a>> {
        self.value.get_ref().as_array()
    }

    fn elements(self, array: &'a DeArray<'a>) -> impl Iterator<Item = Value<'a>> {
        array.iter().map(move |value| Value { value, ..self })
    }

    fn as_table(&self, shape: &'static Shape, wanted: String) -> Option<Table<'a>> {
        let Some(entries) = self.value.get_ref().as_table() else {
            self.refuse_type(&wanted);
            return None;
        };
        Some(Table::new(shape, entries, self.value.span().start, self.report))
    }

    fn refuse_type(&self, wanted: &str) {
        let found = match self.value.get_ref() {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) => "a whole number",
            DeValue::Float(_) => "a fraction",
            DeValue::Boolean(_) => "true or false",
            DeValue::Datetime(_) => "a date or time",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        self.refuse(format!("{found} does not belong here; use {wanted}"));
    }
}
