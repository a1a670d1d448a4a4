//! Backups, archives and standbys over a real S3-compatible server on a loopback port, by HTTP.
#![allow(clippy::unwrap_used, clippy::expect_used)]
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

mod backups;
mod bucket;
mod conditions;
mod service;
mod standbys;
