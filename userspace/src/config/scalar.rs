//! One value each: a time, a port, an address, a word. Each function returns `None` after it has reported what is wrong;
//! what is right is said by the model's constructors.

use model::{
    host,
    invalid::Invalid,
    value::{HostAddress, Name, Network, Pattern, Seconds, Token},
};

use super::{
    document::{Table, Value},
    hints,
};

/// The most bytes of a name in a file. Objects of other sources may have longer ones, or none.
const NAME: usize = 64;

/// A name: 1 to 64 bytes, no control characters.
pub(super) fn name(value: Value<'_>) -> Option<Name> {
    text(value, |text| {
        if text.is_empty() || text.len() > NAME || text.contains(char::is_control) {
            return Err(Invalid::new(
                format!("{text:?} has {} bytes and is not a name", text.len()),
                format!("use 1 to {NAME} bytes, no control characters"),
            ));
        }
        Name::new(text)
    })
}

/// What `read` makes of a string.
pub(super) fn text<T>(value: Value<'_>, read: impl FnOnce(&str) -> Result<T, Invalid>) -> Option<T> {
    value.parse("a string in quotes", read)
}

/// Whole seconds, one second to one day.
pub(super) fn seconds(value: Value<'_>) -> Option<Seconds> {
    time(value, Seconds::parse)
}

/// What `read` makes of a time.
pub(super) fn time<T>(value: Value<'_>, read: impl FnOnce(&str) -> Result<T, Invalid>) -> Option<T> {
    value.parse("a time in quotes, such as \"300s\", \"5m\" or \"1h\"", read)
}

/// Takes the place of `time` what stands under `key`, if it is there and right.
pub(super) fn set(table: &Table<'_>, key: &'static str, time: &mut Seconds) {
    if let Some(given) = table.get(key).and_then(seconds) {
        *time = given;
    }
}

/// The address of one host; `role` says of what.
pub(super) fn address(value: Value<'_>, role: &str) -> Option<HostAddress> {
    let wanted = "an address in quotes, such as \"192.0.2.11\" or \"2001:db8::11\"";
    value.parse(wanted, |text| HostAddress::parse(text, role))
}

/// Local addresses: a single one, or all of an aligned prefix.
pub(super) fn local_range(value: Value<'_>) -> Option<Network> {
    value.parse("an address or prefix in quotes, such as \"100.64.0.0/28\"", host::local_range)
}

/// A network of clients, or a single one.
pub(super) fn network(value: Value<'_>) -> Option<Network> {
    value.parse("an address or network in quotes, such as \"198.51.100.0/24\"", str::parse)
}

/// A regular expression.
pub(super) fn pattern(value: Value<'_>) -> Option<Pattern> {
    text(value, Pattern::new)
}

/// The name of a header or of a cookie.
pub(super) fn token(value: Value<'_>) -> Option<Token> {
    text(value, Token::new)
}

/// What one of these words means; `refusal` is what any other is, such as "is no algorithm".
pub(super) fn word<T: Copy>(value: Value<'_>, refusal: &str, words: &[(&str, T)]) -> Option<T> {
    word_or(value, refusal, words, "")
}

/// As [`word`], of what this version could have and has not.
pub(super) fn supported<T: Copy>(value: Value<'_>, words: &[(&str, T)]) -> Option<T> {
    word(value, "is not supported by this version", words)
}

/// As [`word`]; `or` is what else would be right.
pub(super) fn word_or<T: Copy>(value: Value<'_>, refusal: &str, words: &[(&str, T)], or: &str) -> Option<T> {
    text(value, |text| {
        let found = words.iter().find(|(word, _)| *word == text).map(|&(_, meaning)| meaning);
        found.ok_or_else(|| {
            let known = words.iter().map(|(word, _)| *word);
            let remedy = match hints::word(text, known.clone()) {
                Some(meant) => format!("did you mean {meant:?}?"),
                None => format!("use {}{or}", listed(known)),
            };
            Invalid::new(format!("{text:?} {refusal}"), remedy)
        })
    })
}

/// `"a", "b" or "c"`.
fn listed<'a>(words: impl Iterator<Item = &'a str>) -> String {
    let quoted: Vec<String> = words.map(|word| format!("{word:?}")).collect();
    match quoted.as_slice() {
        [others @ .., last] if !others.is_empty() => format!("{} or {last}", others.join(", ")),
        _ => quoted.concat(),
    }
}
