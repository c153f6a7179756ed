//! One value each. A constructor says why a value cannot be; one that could be made is right everywhere.

pub mod address;
pub mod domain;
pub mod number;
pub mod pattern;
pub mod text;
pub mod time;
pub mod url;

pub use self::{
    address::{HostAddress, Network},
    domain::{DnsName, HostName},
    number::{
        ConnectionRate, CookieMinutes, EjectionShare, Failures, HalfOpen, HeadBytes, HeaderCount, HeadsBytes,
        MaxConnections, Megabits, Number, PathMtu, Port, RejectStatus, Remembered, ResetRate, Retries,
        Sessions, StickyMinutes, Streams, Weight,
    },
    pattern::Pattern,
    text::{Description, LogPath, Name, Tag, Token},
    time::{CheckTime, Seconds},
    url::{Url, UrlPrefix},
};
