//! `init`: a new database.

use std::{io::Write, path::PathBuf};

use super::{failure::Failure, folder};

/// Create a database in a folder that is absent or empty
#[derive(Debug, clap::Args)]
pub struct InitArgs {
    /// The folder
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,
}

/// Creates and closes it.
pub fn run(args: &InitArgs) -> Result<(), Failure> {
    let dir = &args.data_dir;
    folder::create(dir)?.close()?;
    writeln!(anstream::stdout(), "created a database in {}", dir.display())?;
    Ok(())
}
