//! Tests in a network of namespaces, with real clients and servers. They need root.

mod plumbing;
