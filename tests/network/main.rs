//! Tests in a network of namespaces, with real clients and servers. They need root.
#![allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]

mod plumbing;
