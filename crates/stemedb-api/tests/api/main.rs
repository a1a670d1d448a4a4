//! The database and its router, as their users meet them: over real files and real sockets.
//!
//! Tests start threads, sockets and folders of their own, which the product does only through `stemedb-env`.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, clippy::unwrap_used, clippy::expect_used)]

mod admin;
mod backups;
mod caching;
#[path = "../otlp/collector.rs"]
mod collector;
mod concurrency;
mod conflicts;
mod console;
mod differences;
mod documents;
mod exchange;
mod facade;
mod feed;
mod full;
mod import;
mod lens_parameters;
mod listings;
mod metrics;
mod min_lsn;
mod openapi;
mod oracle;
mod otlp;
mod receipts;
mod records;
mod refusals;
mod routes;
mod security;
mod storage;
mod support;
mod time_travel;
mod traces;
mod watches;
