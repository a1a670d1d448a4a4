//! `stemedb-api`: the server and the tools around a data directory.
//!
//! A thin caller: everything that can be embedded is in the library. See [`cli`] for the commands.
#![deny(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod allocator;
mod cli;

fn main() -> std::process::ExitCode {
    cli::run()
}
