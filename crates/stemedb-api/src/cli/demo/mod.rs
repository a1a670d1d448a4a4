//! `demo`: real claims that disagree, and what the six lenses make of them.
//!
//! The claims are some of `examples/data/chemistry-sample.jsonl` (its provenance stands beside it), dated by the year that
//! their source names. Added for the demonstration are the two agents with their votes, and the correction of a value
//! that lost a factor of a thousand.

use std::{
    io::Write,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use serde_json::value::RawValue;
use stemedb_api::{
    Database, OnError, Query, ReadOptions,
    core::{Command, Lens},
    json,
};
use stemedb_env::Env;

use super::{
    failure::Failure,
    folder,
    import::{Input, Tally, import_into, parse_source_list, register},
    paint::{FAINT, STRONG, paint},
    progress::Progress,
    query::{AnswerView, ask, headline, print_table},
};

const SOURCES: &str = include_str!("sources.json");
const CLAIMS: &str = include_str!("claims.jsonl");
/// Votes and a supersession, in the bodies that `POST /v1/vote` and `/v1/supersede` take.
const CHANGES: &str = include_str!("changes.jsonl");

const SUBJECT: &str = "cas:110-62-3";
const PREDICATE: &str = "flash_point_K";

/// Load built-in claims that disagree and ask the same question through all six lenses
#[derive(Debug, clap::Args)]
pub struct DemoArgs {
    /// The folder to create, which must be absent [default: a new one among the temporary files]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

/// Creates, loads, asks, and says what to try next. The folder is kept.
pub fn run(args: &DemoArgs) -> Result<(), Failure> {
    let env = Env::real();
    let dir = args.data_dir.clone().unwrap_or_else(|| temporary(&env));
    if env.fs.metadata(&dir)?.is_some() {
        let what = format!("{} exists already", dir.display());
        return Err(Failure::new(what).hint("give an absent folder with --data-dir, or leave the option out"));
    }
    let database = folder::create(&dir)?;
    let tally = load(&env, &database)?;
    let mut out = anstream::stdout().lock();
    let loaded = format!("{} claims of {} sources, ", tally.created, tally.sources.0);
    writeln!(out, "{loaded}two agents' votes and a correction are in {}", dir.display())?;
    writeln!(out)?;
    writeln!(out, "At what temperature does the vapour of pentanal catch fire from a spark?")?;
    writeln!(out, "Four sources, four answers; one of them would be fatal to believe.")?;
    writeln!(out)?;
    for lens in Lens::ALL {
        let answer = ask(&database, Query::new(SUBJECT, PREDICATE, lens), false)?;
        writeln!(out, "{}", headline(&AnswerView::parse(&answer)?))?;
    }
    writeln!(out)?;
    let answer = ask(&database, Query::new(SUBJECT, PREDICATE, Lens::Consensus), false)?;
    print_table(&mut out, &AnswerView::parse(&answer)?)?;
    database.close()?;
    print_next(&mut out, &dir)?;
    Ok(())
}

fn load(env: &Env, database: &Database) -> Result<Tally, Failure> {
    let mut tally = Tally::default();
    tally.sources = register(database, &parse_source_list(SOURCES)?)?;
    let mut progress = Progress::start(env, "claims");
    import_into(
        database,
        Input::of_text(CLAIMS),
        &ReadOptions::default(),
        OnError::Stop,
        &mut tally,
        &mut progress,
    )?;
    progress.finish();
    database.submit(&changes()?)?;
    Ok(tally)
}

/// Votes and supersessions.
fn changes() -> Result<Vec<Command>, Failure> {
    #[derive(Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Change<'a> {
        #[serde(borrow)]
        Vote(&'a RawValue),
        #[serde(borrow)]
        Supersede(&'a RawValue),
    }
    let one = |line: &str| -> Result<Command, Failure> {
        Ok(match serde_json::from_str(line).map_err(Failure::new)? {
            Change::Vote(body) => Command::Vote(json::vote(body.get().as_bytes()).map_err(Failure::new)?),
            Change::Supersede(body) => {
                Command::Supersede(json::supersession(body.get().as_bytes()).map_err(Failure::new)?)
            }
        })
    };
    CHANGES.lines().map(one).collect()
}

fn temporary(env: &Env) -> PathBuf {
    let mut random = [0; 4];
    env.random.fill(&mut random);
    std::env::temp_dir().join(format!("stemedb-demo-{:08x}", u32::from_le_bytes(random)))
}

fn print_next(out: &mut impl Write, dir: &Path) -> Result<(), Failure> {
    let program = program();
    let quoted = quote(&dir.to_string_lossy());
    let next = [
        (
            "the arithmetic behind an answer",
            format!("query --data-dir {quoted} {SUBJECT} {PREDICATE} --explain"),
        ),
        (
            "a slip of the unit, corrected",
            format!("query --data-dir {quoted} cas:85-01-8 critical_temperature_K --lens authority"),
        ),
        (
            "before the correction",
            format!("query --data-dir {quoted} cas:85-01-8 critical_temperature_K --as-of 2"),
        ),
        (
            "a sign that one handbook lost",
            format!("query --data-dir {quoted} cas:75-71-8 formation_enthalpy_gas_J_mol"),
        ),
        ("a server over the same claims", format!("serve --data-dir {quoted}")),
    ];
    writeln!(out)?;
    writeln!(out, "{}", paint(STRONG, "Try next"))?;
    for (what, command) in next {
        writeln!(out, "{}", paint(FAINT, &format!("  # {what}")))?;
        writeln!(out, "  {program} {command}")?;
    }
    writeln!(out, "{}", paint(FAINT, "  # and when you are done (the demonstration keeps its folder)"))?;
    writeln!(out, "  rm -r {quoted}")?;
    Ok(())
}

/// How this program is called from where the caller stands.
fn program() -> String {
    let path = std::env::current_exe().unwrap_or_else(|_| PathBuf::from("stemedb-api"));
    let here = std::env::current_dir().ok();
    let short = here.as_deref().and_then(|here| path.strip_prefix(here).ok()).unwrap_or(&path);
    quote(&short.to_string_lossy())
}

/// A word that a shell takes as one.
fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@%,=".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_vote_and_supersession_is_about_a_built_in_claim() {
        let ids: Vec<_> = CLAIMS
            .lines()
            .map(|line| match json::import_line(line.as_bytes()).unwrap() {
                Command::Assert(claim) => claim.id(),
                other => panic!("{other:?}"),
            })
            .collect();
        let changes = changes().unwrap();
        assert_eq!(changes.len(), 4);
        for change in changes {
            match change {
                Command::Vote(vote) => assert!(ids.contains(&vote.assertion)),
                Command::Supersede(change) => {
                    assert!(ids.contains(&change.old) && change.new.is_some_and(|new| ids.contains(&new)));
                }
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn folders_with_odd_names_are_quoted_for_the_shell() {
        assert_eq!(quote("/tmp/a-b.c"), "/tmp/a-b.c");
        assert_eq!(quote("it's"), r"'it'\''s'");
    }
}
