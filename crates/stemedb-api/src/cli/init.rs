//! `init`: a new database.

use std::{io::Write, path::PathBuf};

use stemedb_api::{Database, DatabaseOptions, Error, hybrid};

use super::failure::Failure;

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
    let created = Database::create(dir, DatabaseOptions::default());
    let already = |found: &str| found.starts_with("IDENTITY");
    match created {
        Ok(database) => database.close()?,
        Err(Error::Engine(hybrid::Error::AlreadyExists { found, .. })) if already(&found) => {
            let what = format!("{} holds a database already", dir.display());
            return Err(Failure::new(what).hint("nothing was changed"));
        }
        Err(error) => return Err(error.into()),
    }
    writeln!(anstream::stdout(), "created a database in {}", dir.display())?;
    Ok(())
}
