//! Absolute URLs to which clients are sent.

use crate::invalid::Invalid;

/// The most bytes of one.
const MOST: usize = 2048;

/// An absolute URL of `http` or `https` in visible ASCII characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Url(String);

impl Url {
    /// Checks one.
    ///
    /// # Errors
    /// It has another scheme, no host, more than 2048 bytes, or characters that need percent-encoding.
    pub fn new(text: &str) -> Result<Self, Invalid> {
        let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
        let has_host =
            rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with(['/', '?', '#', ':', '@']));
        if !has_host || text.len() > MOST || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Invalid::new(
                format!("{text:?} is not a URL to be sent to"),
                format!(
                    "use one such as \"https://www.example.com/new\", at most {MOST} bytes, other characters \
                     percent-encoded"
                ),
            ));
        }
        Ok(Self(text.into()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A URL with the request's path and query put behind it: it ends with no slash and has no query or fragment.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UrlPrefix(Url);

impl UrlPrefix {
    /// Checks one.
    ///
    /// # Errors
    /// It is no URL, or has something at its end that a path cannot follow.
    pub fn new(text: &str) -> Result<Self, Invalid> {
        let url = Url::new(text)?;
        if text.ends_with('/') || text.contains(['?', '#']) {
            return Err(Invalid::new(
                format!("the request's path, which begins with a slash, is put behind {text:?}"),
                "leave out the slash at its end, \"?\" and \"#\"",
            ));
        }
        Ok(Self(url))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}
