//! The real program, as real processes: what an operator types, what comes back, and what survives.
// Processes, files, sockets and threads of the operating system are what is tested here.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, clippy::unwrap_used)]

mod about;
mod backups;
mod bundles;
#[path = "../otlp/collector.rs"]
mod collector;
mod configuration;
mod connections;
mod contract_names;
mod corpus;
mod demo;
mod doctors;
mod drills;
mod exports;
mod failovers;
mod folders;
mod http;
mod http_kills;
mod imports;
mod journal;
mod keys;
mod kills;
mod listings;
mod lost_views;
mod otlp;
mod pilot;
mod program;
mod proxies;
mod queries;
mod rebuilds;
mod receipts;
mod runbook;
mod salvages;
mod server;
mod services;
mod sizings;
mod slow_clients;
mod sockets;
mod stops;
mod storage_logs;
mod verifies;
mod watches;
