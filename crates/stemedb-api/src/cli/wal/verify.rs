//! `wal verify`: every frame of every segment read back, compressed ones included.

use std::io::Write;

use stemedb_env::Env;
use stemedb_wal::inspect::{Finding, inspect};

use super::JournalPlace;
use crate::cli::{failure::Failure, paint};

/// Read every segment of a journal back and check it; gaps are told, damage fails
#[derive(Debug, clap::Args)]
pub struct VerifyArgs {
    #[command(flatten)]
    place: JournalPlace,
    /// Fail for missing segments too
    #[arg(long)]
    no_gaps: bool,
}

/// Verifies; the first damaged place is the failure, all of them are printed.
pub fn run(args: &VerifyArgs) -> Result<(), Failure> {
    let env = Env::real();
    let start = env.clock.monotonic();
    let folder = args.place.folder()?;
    let mut out = anstream::stdout().lock();
    let mut first_damage = None;
    let sums = inspect(&env, &folder, &args.place.archive, &mut |finding| match finding {
        Finding::Damage(error) => {
            let _ = writeln!(out, "DAMAGED: {error}");
            first_damage.get_or_insert_with(|| error.to_string());
        }
        Finding::Gap { first_lsn, last_lsn: Some(last), recycled: false, .. } if last >= first_lsn => {
            let _ = writeln!(out, "gap: LSN {first_lsn} to {last} are in segments that are not here");
        }
        _ => {}
    })
    .map_err(|error| Failure::new(error).context(format!("the journal in {}", folder.display())))?;
    if let Some(damage) = first_damage {
        let more = sums.damages.saturating_sub(1);
        let more = if more > 0 { format!(" (and {more} more)") } else { String::new() };
        return Err(Failure::new(format!("{damage}{more}"))
            .hint("keep the file; `wal dump --frames` shows what is readable"));
    }
    if args.no_gaps && sums.gaps > 0 {
        return Err(Failure::new(paint::count(sums.gaps, "gap", "gaps"))
            .hint("name the folder the segments were moved to with --archive"));
    }
    let seconds = env.clock.monotonic().saturating_sub(start).as_secs_f64();
    writeln!(
        out,
        "no damage: {} in {}, LSN {} to {}, checked in {seconds:.1} s",
        paint::count(sums.entries, "entry", "entries"),
        paint::count(sums.segments, "segment", "segments"),
        sums.first_lsn,
        sums.last_lsn,
    )?;
    Ok(())
}
