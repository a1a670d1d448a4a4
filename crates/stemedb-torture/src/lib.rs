//! Suites that try to make the journal lie.
#![deny(missing_docs)]
