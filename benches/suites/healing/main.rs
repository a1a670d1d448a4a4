//! What damage costs while it is there, and how long it stays.
//!
//! ```text
//! cargo xtask bench healing [--gb F,F] [--cases NAME,NAME] [--dir DIR] [--out DIR]
//! ```
//!
//! Databases of claims of several sizes (bytes of tables), with tables of 64 MiB. Each case breaks something in a copy of the
//! files, opens the engine or breaks it under the running one, and touches nothing else. One thread keeps reading keys of the
//! broken place, whose values are known; meanwhile nobody helps. Measured: the first answer, the longest answer, how long
//! until nothing is damaged any more. Every value read is compared, and in the end the root of the whole view.
//!
//! | case | what is broken |
//! |---|---|
//! | `bit` | one bit in the middle of a table |
//! | `hole` | 1 MiB of zeros in the middle of a table |
//! | `index` | one bit in a table's index |
//! | `table` | a table's file is gone |
//! | `manifest` | one bit in the manifest |
//! | `view` | the folder of the view is gone when the engine opens |
//! | `view-live` | the folder of the view is removed under the running engine |
//! | `rebuild` | the view is derived again, offline |
//! | `cost` | nothing: the same work with everything on that watches and heals, and with it off |
#![allow(missing_docs)]
// It measures real time on real files and threads.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

mod cases;
mod cost;
mod ground;
mod report;

use std::{path::PathBuf, process::ExitCode};

use crate::{cases::Case, cost::Cost, ground::Ground, report::Row};

pub use stemedb_benches::Failure;
use stemedb_benches::judged;

const USAGE: &str = "\
cargo xtask bench healing [--gb F,F] [--cases NAME,NAME] [--dir DIR] [--out DIR]

  --gb F,F      sizes of the databases in GB of tables (default: 0.5,2)
  --cases ...   bit, hole, index, table, manifest, view, view-live, rebuild, cost (default: all)
  --dir DIR     where the databases are made (default: the folder of the build)
  --out DIR     where healing.md, healing.svg and healing.json go (default: the folder of the build)
";

/// Not damage: what health costs.
const COST: &str = "cost";

struct Arguments {
    sizes: Vec<f64>,
    cases: Vec<Case>,
    cost: bool,
    dir: PathBuf,
    out: PathBuf,
}

fn arguments() -> Result<Option<Arguments>, Failure> {
    let target = stemedb_benches::target();
    let mut found = Arguments {
        sizes: vec![0.5, 2.0],
        cases: Case::ALL.to_vec(),
        cost: true,
        dir: target.clone(),
        out: target,
    };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("{word} needs a value\n\n{USAGE}"));
        match word.as_str() {
            "--gb" => {
                found.sizes = value()?.split(',').map(str::parse).collect::<Result<_, _>>()?;
            }
            "--cases" => {
                let names = value()?;
                let named = |name: &str| {
                    Case::ALL.into_iter().find(|case| case.name() == name).ok_or(format!("no case {name}"))
                };
                found.cost = names.split(',').any(|name| name == COST);
                found.cases =
                    names.split(',').filter(|name| *name != COST).map(named).collect::<Result<_, _>>()?;
            }
            "--dir" => found.dir = value()?.into(),
            "--out" => found.out = value()?.into(),
            // Cargo says so to every benchmark.
            "--bench" => {}
            "--help" => return Ok(None),
            other => return Err(format!("unknown option {other}\n\n{USAGE}").into()),
        }
    }
    Ok(Some(found))
}

fn run(arguments: &Arguments) -> Result<bool, Failure> {
    let mut rows: Vec<Row> = Vec::new();
    let costs = if arguments.cost { cost::measure(&arguments.dir)? } else { Vec::new() };
    print!("{}", report::of_costs(&costs));
    let sizes = if arguments.cases.is_empty() { &[][..] } else { &arguments.sizes };
    for gb in sizes {
        let folder = tempfile::Builder::new().prefix("stemedb-healing-").tempdir_in(&arguments.dir)?;
        let ground = Ground::make(folder.path(), *gb)?;
        eprintln!("{}", ground.described());
        for case in &arguments.cases {
            let row = case.run(&ground)?;
            eprintln!("{}", row.line());
            rows.push(row);
            // A case that fails must not take with it what the others have shown.
            report::write(&arguments.out, &rows, &costs)?;
        }
    }
    report::write(&arguments.out, &rows, &costs)?;
    print!("{}", report::markdown(&rows, &costs));
    Ok(rows.iter().all(Row::is_good) && costs.iter().all(Cost::is_good))
}

fn main() -> ExitCode {
    judged(USAGE, arguments().and_then(|arguments| arguments.as_ref().map(run).transpose()))
}
