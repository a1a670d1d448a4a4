//! The figures that the full compilation of claims must reach, measured through the real program.
//!
//! ```sh
//! cargo build --release -p stemedb-api
//! cargo run --release -p stemedb-examples --example acceptance -- claims.jsonl.zst sources.json
//! ```
//!
//! Imports the file into a folder (twice), compacts, imports it through a server, compares a sample of questions through all
//! lenses with the oracle, and kills a server again and again during an import. Prints a table at the end; exits with 1
//! when a figure is missed. Options: `--program FILE`, `--dir DIR` (scratch space, a gigabyte), `--questions N`, `--kills N`.
// Processes, sockets, files and times of the operating system are what is measured here.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a measurement ends where something unexpected happens"
)]

mod corpus;
mod figures;
#[path = "../../crates/stemedb-api/tests/cli_processes/http.rs"]
mod http;
mod imports;
mod kills;
mod oracle;
mod program;

use std::{path::PathBuf, process::ExitCode};

use corpus::Corpus;
use figures::Figures;
use program::Program;

/// What was asked for.
struct Arguments {
    claims: PathBuf,
    sources: PathBuf,
    program: PathBuf,
    dir: PathBuf,
    questions: usize,
    kills: usize,
}

impl Arguments {
    fn parse() -> Result<Arguments, String> {
        let beside = std::env::current_exe().map_err(|error| error.to_string())?;
        let mut parsed = Arguments {
            claims: PathBuf::new(),
            sources: PathBuf::new(),
            program: beside.with_file_name("..").join("stemedb-api"),
            dir: std::env::temp_dir().join(format!("stemedb-acceptance-{}", std::process::id())),
            questions: 5000,
            kills: 20,
        };
        let mut files = Vec::new();
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or(format!("{word} needs a value"));
            let number = |text: String| text.parse::<usize>().map_err(|error| format!("{text}: {error}"));
            match word.as_str() {
                "--program" => parsed.program = value()?.into(),
                "--dir" => parsed.dir = value()?.into(),
                "--questions" => parsed.questions = number(value()?)?,
                "--kills" => parsed.kills = number(value()?)?,
                _ => files.push(PathBuf::from(word)),
            }
        }
        let [claims, sources] = <[PathBuf; 2]>::try_from(files)
            .map_err(|_| "give the file of claims and the file of sources".to_owned())?;
        Ok(Arguments { claims, sources, ..parsed })
    }
}

fn main() -> ExitCode {
    let arguments = match Arguments::parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::from(2);
        }
    };
    std::fs::create_dir_all(&arguments.dir).unwrap();
    let program = Program { path: arguments.program.clone() };
    let corpus = Corpus::read(&arguments.claims, &arguments.sources);
    let mut figures = Figures::default();
    imports::measure(&program, &arguments, &corpus, &mut figures);
    oracle::measure(&program, &arguments, &corpus, &mut figures);
    kills::measure(&program, &arguments, &corpus, &mut figures);
    std::fs::remove_dir_all(&arguments.dir).unwrap();
    figures.print();
    if figures.all_reached() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
