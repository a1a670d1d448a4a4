//! `compact`: tables merged, journal segments let go.

use std::{io::Write, path::PathBuf, time::Duration};

use stemedb_api::hybrid::Layout;
use stemedb_env::Env;

use super::{failure::Failure, folder, paint};

/// Merge the tables of the view, so that it takes the least room
#[derive(Debug, clap::Args)]
pub struct CompactArgs {
    /// The database's folder
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,
}

/// How often it is looked whether replaced tables are gone, and how long apart: ten seconds altogether.
const REMOVAL_LOOKS: u32 = 500;
const REMOVAL_PAUSE: Duration = Duration::from_millis(20);

/// Flushes, compacts, closes; prints the sizes before and after.
pub fn run(args: &CompactArgs) -> Result<(), Failure> {
    let env = Env::real();
    let start = env.clock.monotonic();
    let database = folder::open(&args.data_dir)?;
    let layout = database.engine().layout().clone();
    let before = folder::bytes_in(&env, &layout.kv())?;
    database.flush()?;
    database.compact()?;
    let stats = database.stats().lsm;
    // Tables that were replaced are removed in the background; closing earlier would leave the rest to the next open.
    for _ in 0..REMOVAL_LOOKS {
        if tables_in(&env, &layout)? <= stats.sst_file_count {
            break;
        }
        env.clock.sleep(REMOVAL_PAUSE);
    }
    database.close()?;
    let after = folder::bytes_in(&env, &layout.kv())?;
    let seconds = (env.clock.monotonic() - start).as_secs_f64();
    let (before, after) = (paint::bytes(before), paint::bytes(after));
    let tables = paint::count(stats.sst_file_count as u64, "table", "tables");
    writeln!(anstream::stdout(), "compacted in {seconds:.1} s: view {before} -> {after} in {tables}")?;
    Ok(())
}

fn tables_in(env: &Env, layout: &Layout) -> Result<usize, Failure> {
    Ok(env.fs.list(&layout.kv())?.iter().filter(|entry| entry.name.ends_with(".sst")).count())
}
