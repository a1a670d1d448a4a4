//! The clients for Rust and Python, against the real program.
// Processes, files, sockets and threads of the operating system are what is tested here.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, clippy::unwrap_used)]

mod coverage;
// Not everything that tests of the command line need is needed here.
#[allow(dead_code)]
#[path = "../cli_processes/program.rs"]
mod program;
mod python;
mod readme;
mod security;
#[allow(dead_code)]
#[path = "../cli_processes/server.rs"]
mod server;
mod sessions;
mod snippets;
mod tour;
