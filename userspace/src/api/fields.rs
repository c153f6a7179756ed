//! The attributes of a request's object: each is taken once, and what nobody has taken is refused.
//!
//! As in Octavia, absent keeps, null resets, numbers may come as text ("81") and booleans as words.

use std::{fmt::Display, net::SocketAddr, ops::RangeInclusive};

use serde_json::{Map, Value};
use uuid::Uuid;

use super::error::Fault;

/// What stands under a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Given<T> {
    /// Nothing: what was there stays.
    Absent,
    /// Null: what is usual comes back.
    Null,
    /// This.
    Value(T),
}

impl<T> Given<T> {
    /// Takes the place of what is at `place`; null brings `usual` there.
    pub fn set(self, place: &mut T, usual: T) {
        match self {
            Self::Absent => {}
            Self::Null => *place = usual,
            Self::Value(value) => *place = value,
        }
    }

    /// The same where nothing is usual: null is as good as a `name` that is missing.
    ///
    /// # Errors
    /// It is null.
    pub fn set_required(self, place: &mut T, name: &str) -> Result<(), Fault> {
        match self {
            Self::Absent => {}
            Self::Null => return Err(missing(name)),
            Self::Value(value) => *place = value,
        }
        Ok(())
    }

    /// The same where nothing may stand.
    pub fn set_option(self, place: &mut Option<T>) {
        match self {
            Self::Absent => {}
            Self::Null => *place = None,
            Self::Value(value) => *place = Some(value),
        }
    }

    /// The value, if there is one.
    pub fn value(self) -> Option<T> {
        match self {
            Self::Absent | Self::Null => None,
            Self::Value(value) => Some(value),
        }
    }

    fn read<U>(self, read: impl FnOnce(T) -> Result<U, Fault>) -> Result<Given<U>, Fault> {
        Ok(match self {
            Self::Absent => Given::Absent,
            Self::Null => Given::Null,
            Self::Value(value) => Given::Value(read(value)?),
        })
    }
}

/// The attributes of one object.
#[derive(Clone, Debug)]
pub struct Fields(Map<String, Value>);

impl Fields {
    /// Those of the object under `name` in a request's body.
    ///
    /// # Errors
    /// There is no object.
    pub fn of_body(body: Value, name: &str) -> Result<Self, Fault> {
        let Value::Object(mut body) = body else { return Err(missing(name)) };
        let Some(Value::Object(fields)) = body.remove(name) else { return Err(missing(name)) };
        if let Some(other) = body.keys().next() {
            return Err(unknown(other));
        }
        Ok(Self(fields))
    }

    /// Those of a body that is the object.
    ///
    /// # Errors
    /// It is none.
    pub fn of_bare_body(body: Value, name: &str) -> Result<Self, Fault> {
        match body {
            Value::Object(fields) => Ok(Self(fields)),
            _ => Err(missing(name)),
        }
    }

    /// Those of a value inside of another object.
    ///
    /// # Errors
    /// It is no object.
    pub fn of_value(value: Value, name: &str) -> Result<Self, Fault> {
        match value {
            Value::Object(fields) => Ok(Self(fields)),
            other => Err(Fault::value(name, shown(&other), "It must be an object.")),
        }
    }

    /// Says what only we know; a client that says it is overruled.
    pub fn insert(&mut self, name: &str, value: impl Into<Value>) {
        self.0.insert(name.into(), value.into());
    }

    /// Where a member is, if that is said as it should be. Nothing is taken.
    pub fn socket(&self) -> Option<SocketAddr> {
        let mut fields = self.clone();
        let address = fields.text("address", 64).ok()?.value()?.parse().ok()?;
        let port = fields.integer("protocol_port", 1..=u16::MAX).ok()?.value()?;
        Some(SocketAddr::new(address, port))
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What stands under a name.
    pub fn take(&mut self, name: &str) -> Given<Value> {
        match self.0.remove(name) {
            None => Given::Absent,
            Some(Value::Null) => Given::Null,
            Some(value) => Given::Value(value),
        }
    }

    /// Text of at most `most` characters.
    ///
    /// # Errors
    /// It is longer, or no text.
    pub fn text(&mut self, name: &str, most: usize) -> Result<Given<String>, Fault> {
        self.take(name).read(|value| text(name, value, most))
    }

    /// Text of at most `most` bytes that no error shows.
    ///
    /// # Errors
    /// It is longer, or no text.
    pub fn secret(&mut self, name: &str, most: usize) -> Result<Given<String>, Fault> {
        self.take(name).read(|value| match value {
            Value::String(text) if text.len() <= most => Ok(text),
            _ => Err(Fault::invalid(format!(
                "Invalid input for field/attribute {name}. It must be text of at most {most} bytes."
            ))),
        })
    }

    /// An object.
    ///
    /// # Errors
    /// It is none.
    pub fn object(&mut self, name: &str) -> Result<Given<Fields>, Fault> {
        self.take(name).read(|value| Self::of_value(value, name))
    }

    /// One of these words.
    ///
    /// # Errors
    /// It is none of them.
    pub fn word(&mut self, name: &str, words: &[&str]) -> Result<Given<String>, Fault> {
        self.take(name).read(|value| match value {
            Value::String(word) if words.contains(&&*word) => Ok(word),
            other => Err(Fault::value(
                name,
                shown(&other),
                format!("Value should be one of: {}", words.join(", ")),
            )),
        })
    }

    /// A whole number.
    ///
    /// # Errors
    /// It is none, or not in the range.
    pub fn integer<T: Copy + Display + PartialOrd + TryFrom<i64>>(
        &mut self,
        name: &str,
        range: RangeInclusive<T>,
    ) -> Result<Given<T>, Fault> {
        self.take(name).read(|value| {
            let number: Option<i64> = match &value {
                Value::Number(number) => {
                    number.as_i64().or_else(|| number.as_f64().map(|number| number as i64))
                }
                Value::String(text) => text.trim().parse().ok(),
                Value::Bool(truth) => Some((*truth).into()),
                _ => None,
            };
            let (low, high) = (range.start(), range.end());
            let number = number.and_then(|number| T::try_from(number).ok());
            number.filter(|number| range.contains(number)).ok_or_else(|| {
                Fault::value(
                    name,
                    shown(&value),
                    format!("Value should be a whole number from {low} to {high}."),
                )
            })
        })
    }

    /// True or false.
    ///
    /// # Errors
    /// It is neither.
    pub fn boolean(&mut self, name: &str) -> Result<Given<bool>, Fault> {
        self.take(name).read(|value| {
            let truth = match &value {
                Value::Bool(truth) => Some(*truth),
                Value::Number(number) if number.as_u64() == Some(0) => Some(false),
                Value::Number(number) if number.as_u64() == Some(1) => Some(true),
                Value::String(word) => match &*word.to_ascii_lowercase() {
                    "true" | "t" | "yes" | "y" | "on" | "1" => Some(true),
                    "false" | "f" | "no" | "n" | "off" | "0" => Some(false),
                    _ => None,
                },
                _ => None,
            };
            truth.ok_or_else(|| Fault::value(name, shown(&value), "Value should be true or false."))
        })
    }

    /// An id.
    ///
    /// # Errors
    /// It is none.
    pub fn id(&mut self, name: &str) -> Result<Given<Uuid>, Fault> {
        self.take(name).read(|value| {
            let id = value.as_str().and_then(|text| text.parse().ok());
            id.ok_or_else(|| Fault::value(name, shown(&value), "Value should be UUID format."))
        })
    }

    /// A list.
    ///
    /// # Errors
    /// It is none.
    pub fn list(&mut self, name: &str) -> Result<Given<Vec<Value>>, Fault> {
        self.take(name).read(|value| match value {
            Value::Array(list) => Ok(list),
            other => Err(Fault::value(name, shown(&other), "It must be a list.")),
        })
    }

    /// A list of texts, each of at most `most` characters and none twice.
    ///
    /// # Errors
    /// It is none.
    pub fn texts(&mut self, name: &str, most: usize) -> Result<Given<Vec<String>>, Fault> {
        self.list(name)?.read(|list| {
            let mut texts = Vec::with_capacity(list.len());
            for value in list {
                let text = text(name, value, most)?;
                if !texts.contains(&text) {
                    texts.push(text);
                }
            }
            Ok(texts)
        })
    }

    /// Refuses an attribute that is there and is not one of `fine`, which are as good as nothing.
    ///
    /// # Errors
    /// It is.
    pub fn unsupported(&mut self, name: &str, fine: &[Value], reason: &str) -> Result<(), Fault> {
        match self.take(name) {
            Given::Value(value) if !fine.contains(&value) => {
                Err(Fault::value(name, shown(&value), format!("Not supported here: {reason}.")))
            }
            _ => Ok(()),
        }
    }

    /// Refuses what can be given only when the object is created.
    ///
    /// # Errors
    /// One is there.
    pub fn only_at_creation(&mut self, names: &[&str]) -> Result<(), Fault> {
        match names.iter().find(|name| self.0.contains_key(**name)) {
            Some(name) => Err(Fault::invalid(format!(
                "Unknown attribute for argument: {name}. It is given at creation and cannot be changed."
            ))),
            None => Ok(()),
        }
    }

    /// Refuses what nobody has taken.
    ///
    /// # Errors
    /// There is something left.
    pub fn end(self) -> Result<(), Fault> {
        match self.0.keys().next() {
            Some(name) => Err(unknown(name)),
            None => Ok(()),
        }
    }
}

fn text(name: &str, value: Value, most: usize) -> Result<String, Fault> {
    match value {
        Value::String(text) if text.chars().count() > most => {
            let reason = format!("Value should have a maximum character requirement of {most}");
            Err(Fault::value(name, cut(&text), reason))
        }
        Value::String(text) => Ok(text),
        other => Err(Fault::value(name, shown(&other), "Value should be text.")),
    }
}

fn unknown(name: &str) -> Fault {
    Fault::invalid(format!("Unknown attribute for argument: {}", cut(name)))
}

/// That an attribute must be given.
pub fn missing(name: impl Display) -> Fault {
    Fault::invalid(format!(
        "Invalid input for field/attribute {name}. Value: 'None'. Mandatory field missing."
    ))
}

/// A value as it is shown in an error.
pub fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => cut(text),
        other => cut(&other.to_string()),
    }
}

fn cut(text: &str) -> String {
    text.chars().take(80).map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}
