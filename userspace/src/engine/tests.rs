//! The engine over layers that fail where a test wants them to.
