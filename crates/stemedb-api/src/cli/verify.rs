//! `verify`: every byte read back and checked.

use std::{io::Write, path::PathBuf};

use stemedb_env::Env;

use super::{failure::Failure, folder, paint};

/// Read everything back and check it: journal frames, table blocks, the order of rows
#[derive(Debug, clap::Args)]
pub struct VerifyArgs {
    /// The database's folder
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,
}

/// Verifies; damage is a failure that names file and offset.
pub fn run(args: &VerifyArgs) -> Result<(), Failure> {
    let clock = Env::real().clock;
    let start = clock.monotonic();
    let database = folder::open(&args.data_dir)?;
    let verified = database.verify()?;
    database.close()?;
    let seconds = (clock.monotonic() - start).as_secs_f64();
    let entries = paint::count(verified.entries, "journal entry", "journal entries");
    let rows = paint::count(verified.rows, "row", "rows");
    writeln!(anstream::stdout(), "no damage: {entries} and {rows} checked in {seconds:.1} s")?;
    Ok(())
}
