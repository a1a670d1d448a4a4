//! `compact`: tables merged, journal segments let go.

use std::{io::Write, path::PathBuf};

use stemedb_env::Env;

use super::{failure::Failure, folder, paint};

/// Merge the tables of the view, so that it takes the least room
#[derive(Debug, clap::Args)]
pub struct CompactArgs {
    /// The database's folder
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,
}

/// Flushes, compacts, closes; prints the sizes before and after.
pub fn run(args: &CompactArgs) -> Result<(), Failure> {
    let env = Env::real();
    let start = env.clock.monotonic();
    let database = folder::open(&args.data_dir)?;
    let layout = database.engine().layout().clone();
    let before = folder::bytes_in(&env, &layout.kv())?;
    database.flush()?;
    // Returns when the replaced tables are gone, too.
    database.compact()?;
    let stats = database.stats().lsm;
    database.close()?;
    let after = folder::bytes_in(&env, &layout.kv())?;
    let seconds = (env.clock.monotonic() - start).as_secs_f64();
    let (before, after) = (paint::bytes(before), paint::bytes(after));
    let tables = paint::count(stats.sst_file_count as u64, "table", "tables");
    writeln!(anstream::stdout(), "compacted in {seconds:.1} s: view {before} -> {after} in {tables}")?;
    Ok(())
}
