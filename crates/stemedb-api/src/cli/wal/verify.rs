//! `wal verify`: every frame of every segment read back, compressed ones included.

use std::io::Write;

use stemedb_env::Env;
use stemedb_wal::{
    Error,
    inspect::{Finding, inspect},
};

use super::{JournalPlace, damage_text, gap_text, short_path};
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
    let mut printed = Ok(());
    let sums = inspect(&env, &folder, &args.place.archive, &mut |finding| {
        let line = match finding {
            Finding::Damage(error) => {
                first_damage.get_or_insert_with(|| match error {
                    Error::Corruption { file, offset, .. } => {
                        format!("{} is damaged at offset {offset}", short_path(&folder, file))
                    }
                    other => other.to_string(),
                });
                Some(damage_text(&folder, error))
            }
            Finding::Gap { recycled: false, first_lsn, last_lsn, .. }
                if last_lsn.is_none_or(|last| last >= *first_lsn) =>
            {
                gap_text(finding)
            }
            _ => None,
        };
        if let Some(line) = line.filter(|_| printed.is_ok()) {
            printed = writeln!(out, "{line}");
        }
    })
    .map_err(|error| super::failed(&folder, &error))?;
    printed?;
    if let Some(damage) = first_damage {
        let more = match sums.damages.saturating_sub(1) {
            0 => String::new(),
            more => format!(", and {}", paint::count(more, "more place", "more places")),
        };
        return Err(Failure::new(format!("{damage}{more}"))
            .hint("keep the file as it is; `wal dump --frames` shows what is readable"));
    }
    if args.no_gaps && sums.gaps > 0 {
        return Err(Failure::new(paint::count(sums.gaps, "gap", "gaps"))
            .hint("name the folder that the segments were moved to with --archive"));
    }
    let seconds = env.clock.monotonic().saturating_sub(start).as_secs_f64();
    let lsns = match (sums.entries, sums.first_lsn, sums.last_lsn) {
        (0, ..) => String::new(),
        (_, first, last) if first == last => format!(" (LSN {first})"),
        (_, first, last) => format!(" (LSN {first} to {last})"),
    };
    let gaps = match sums.gaps {
        0 => String::new(),
        gaps => format!(", {}", paint::count(gaps, "gap", "gaps")),
    };
    writeln!(
        out,
        "no damage{gaps}: {}{lsns} in {} checked in {seconds:.1} s",
        paint::count(sums.entries, "entry", "entries"),
        paint::count(sums.segments, "segment", "segments"),
    )?;
    Ok(())
}
