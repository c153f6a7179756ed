//! Names, descriptions, tags, tokens and paths of files.

use std::{fmt, path::Path};

use crate::invalid::Invalid;

macro_rules! texts {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    )*};
}

texts! {
    /// An object's name: at most 255 bytes (Octavia's limit), no control characters, which would spoil tables and
    /// terminals. It may be empty, and two objects may have the same.
    Name;
    /// What an operator says of an object: at most 255 bytes, no control characters.
    Description;
}

/// The most bytes of a name and of a description.
const MOST: usize = 255;

impl Name {
    /// Checks one.
    ///
    /// # Errors
    /// It is too long or has control characters.
    pub fn new(text: &str) -> Result<Self, Invalid> {
        printable(text, "a name").map(Self)
    }
}

impl Description {
    /// Checks one.
    ///
    /// # Errors
    /// It is too long or has control characters.
    pub fn new(text: &str) -> Result<Self, Invalid> {
        printable(text, "a description").map(Self)
    }
}

fn printable(text: &str, what: &str) -> Result<String, Invalid> {
    if text.len() > MOST || text.contains(char::is_control) {
        return Err(Invalid::new(
            format!("{text:?} has {} bytes and is not {what}", text.len()),
            format!("use at most {MOST} bytes, no control characters"),
        ));
    }
    Ok(text.into())
}

/// A tag: a key of 1 to 36 characters and a value of at most 43, in neither one of `* < > \ = , | /` (OTC guide,
/// section 2.3, table 2-2).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag {
    key: String,
    value: String,
}

impl Tag {
    const KEY: usize = 36;
    const VALUE: usize = 43;
    const FORBIDDEN: [char; 8] = ['*', '<', '>', '\\', '=', ',', '|', '/'];

    /// Checks one.
    ///
    /// # Errors
    /// The key is empty, one of the two is too long, or has a character that it must not have.
    pub fn new(key: &str, value: &str) -> Result<Self, Invalid> {
        let fits = |text: &str, most| {
            text.chars().count() <= most
                && !text.contains(Self::FORBIDDEN)
                && !text.contains(char::is_control)
        };
        if key.is_empty() || !fits(key, Self::KEY) || !fits(value, Self::VALUE) {
            return Err(Invalid::new(
                format!("{:?} is not a tag", format!("{key}={value}")),
                format!(
                    "use a key of 1 to {} characters and a value of at most {}, without * < > \\ = , | /",
                    Self::KEY,
                    Self::VALUE
                ),
            ));
        }
        Ok(Self { key: key.into(), value: value.into() })
    }

    /// Its key.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Its value; empty if it has none.
    pub fn value(&self) -> &str {
        &self.value
    }
}

/// The name of a header or of a cookie: 1 to 64 characters of HTTP's tokens (RFC 9110, section 5.6.2).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(String);

impl Token {
    /// Checks one.
    ///
    /// # Errors
    /// It is empty, too long, or has another character.
    pub fn new(text: &str) -> Result<Self, Invalid> {
        let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if !(1..=64).contains(&text.len()) || !text.bytes().all(is_token) {
            return Err(Invalid::new(
                format!("{text:?} cannot be a header's or a cookie's name"),
                "use 1 to 64 letters, digits, \"-\" and \"_\"",
            ));
        }
        Ok(Self(text.into()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// In lower case, in which headers are compared.
    pub fn to_lower_case(&self) -> Self {
        Self(self.0.to_ascii_lowercase())
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The absolute path of a file that is written to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogPath(String);

impl LogPath {
    /// Checks one.
    ///
    /// # Errors
    /// It is relative, a directory's, or no path.
    pub fn new(text: &str) -> Result<Self, Invalid> {
        if !text.starts_with('/') || text.ends_with('/') || text.contains('\0') {
            return Err(Invalid::new(
                format!("{text:?} is not the absolute path of a file"),
                "use one such as \"/var/log/evenkeel/shop.log\"",
            ));
        }
        Ok(Self(text.into()))
    }

    /// The path.
    pub fn as_path(&self) -> &Path {
        Path::new(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn names_are_short_and_printable(text in "\\PC{0,300}|[a-z\\x00-\\x1f]{0,20}") {
            let good = text.len() <= 255 && !text.chars().any(char::is_control);
            prop_assert_eq!(Name::new(&text).is_ok(), good);
            prop_assert_eq!(Description::new(&text).is_ok(), good);
        }

        #[test]
        fn tags_keep_the_guides_limits(key in "[a-zé*<=/ ]{0,40}", value in "[a-zé\\\\,|> ]{0,46}") {
            let plain = |text: &str| text.chars().all(|c| !"*<>\\=,|/".contains(c));
            let good = (1..=36).contains(&key.chars().count())
                && value.chars().count() <= 43
                && plain(&key)
                && plain(&value);
            prop_assert_eq!(Tag::new(&key, &value).is_ok(), good);
        }

        #[test]
        fn tokens_are_what_http_parses_as_one(text in "[ -~]{0,70}") {
            // RFC 9110, 5.6.2: VCHAR except delimiters.
            let delimiters = "\"(),/:;<=>?@[\\]{} ";
            let good = (1..=64).contains(&text.len()) && !text.chars().any(|c| delimiters.contains(c));
            prop_assert_eq!(Token::new(&text).is_ok(), good);
        }
    }

    #[test]
    fn a_log_is_an_absolute_file() {
        for (text, good) in [
            ("/var/log/x", true),
            ("x", false),
            ("/var/", false),
            ("", false),
            ("/a\0b", false),
            ("/", false),
        ] {
            assert_eq!(LogPath::new(text).is_ok(), good, "{text:?}");
        }
    }
}
