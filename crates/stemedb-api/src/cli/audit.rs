//! `audit verify`: whether a log of who did what is as it was written.

use std::{io::Write, path::PathBuf};

use clap::Subcommand;
use stemedb_api::http::verify_audit;
use stemedb_env::Env;

use super::failure::Failure;

/// The audit log
#[derive(Debug, clap::Args)]
pub struct AuditArgs {
    #[command(subcommand)]
    command: AuditCommand,
}

#[derive(Debug, Subcommand)]
enum AuditCommand {
    /// Check that no line was changed, left out, moved or put in; names the first that does not fit
    Verify(VerifyArgs),
}

#[derive(Debug, clap::Args)]
struct VerifyArgs {
    /// The files of one log, in any order
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

/// Runs it.
pub fn run(args: &AuditArgs) -> Result<(), Failure> {
    let AuditCommand::Verify(VerifyArgs { files }) = &args.command;
    let report = verify_audit(&Env::real(), files).map_err(|broken| {
        Failure::new(broken)
            .context("the chain is broken")
            .hint("what stands before that line is as it was written")
    })?;
    writeln!(anstream::stdout(), "whole: {report}")?;
    Ok(())
}
