//! Networks of namespaces.
