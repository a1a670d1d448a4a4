//! Nothing: see `tests/`.
#![deny(missing_docs)]
