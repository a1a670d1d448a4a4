//! `sizing`: how large a machine has to be, from figures that were measured.
//!
//! ```text
//! docs/benchmarks ─▶ measured.json (compiled in, held to the pages by a test) ┐
//! --measure ─▶ this machine's own figures in their place                      ├─▶ model ─▶ table, or JSON
//! flags: claims, assertions a day, questions a second, days, retention        ┘
//! ```

mod figures;
mod measure;
mod model;
mod show;

use std::{io::Write, path::PathBuf};

use serde_json::json;
use stemedb_env::Env;

use self::{
    figures::Figures,
    measure::Measured,
    model::{Asked, sizes},
};
use super::failure::Failure;

/// Say which disk, memory, processors and S3 so many claims need, and how long recovery takes, from what was measured
#[derive(Debug, clap::Args)]
pub struct SizingArgs {
    /// Claims that are there at the beginning
    #[arg(long, value_name = "N")]
    claims: u64,
    /// Claims that are added on a day
    #[arg(long, value_name = "N", default_value_t = 0)]
    asserts_per_day: u64,
    /// Questions in the busiest second
    #[arg(long, value_name = "N", default_value_t = 0)]
    questions_per_second: u64,
    /// How many days it must last
    #[arg(long, value_name = "DAYS", default_value_t = 365)]
    days: u64,
    /// Days of journal that stay on the disk once they are archived [default: all of it stays]
    #[arg(long, value_name = "DAYS")]
    retention: Option<u64>,
    /// How many times as many assertions as on average come in the busiest second
    #[arg(long, value_name = "TIMES", default_value_t = 10.0, value_parser = times)]
    peak: f64,
    /// Part of the tables that is asked for again and again, in percent
    #[arg(long, value_name = "PERCENT", default_value_t = 10, value_parser = clap::value_parser!(u64).range(0..=100))]
    hot: u64,
    /// Connections at once
    #[arg(long, value_name = "N", default_value_t = 256)]
    connections: u64,
    /// Backups that are kept, one a day (0: none are made)
    #[arg(long, value_name = "N", default_value_t = 7)]
    backups: u64,
    /// What the way to the backups carries in a second
    #[arg(long, value_name = "MIB", default_value_t = 100)]
    network: u64,
    /// Measure on this machine first, for a minute or so, and take its figures in the place of those of the pages
    #[arg(long)]
    measure: bool,
    /// With --measure: the folder, absent or empty, on the disk that is meant [default: one among the temporary files]
    #[arg(long, value_name = "DIR", requires = "measure")]
    data_dir: Option<PathBuf>,
    /// With --measure: how many claims it is measured with
    #[arg(long, value_name = "N", default_value_t = 200_000, requires = "measure", value_parser = clap::value_parser!(u64).range(1_000..=100_000_000))]
    measure_claims: u64,
    /// With --measure: also write sizing.json and sizing.md into this folder
    #[arg(long, value_name = "DIR", requires = "measure")]
    save: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Connections that are measured.
const CONNECTIONS: u64 = 500;

fn times(text: &str) -> Result<f64, &'static str> {
    text.parse().ok().filter(|times| (1.0..=100_000.0).contains(times)).ok_or("a number from 1 to 100000")
}

/// Computes and prints.
pub fn run(args: &SizingArgs) -> Result<(), Failure> {
    let mut figures = Figures::built_in()?;
    if args.measure {
        let env = Env::real();
        writeln!(anstream::stderr(), "measuring with {} claims", args.measure_claims)?;
        let measured = measure::measure(&env, args.data_dir.as_deref(), args.measure_claims, CONNECTIONS)?;
        if let Some(dir) = &args.save {
            save(&env, dir, args.measure_claims, &measured)?;
        }
        take(&mut figures, &measured)?;
    }
    let asked = Asked {
        claims: args.claims,
        asserts_per_day: args.asserts_per_day,
        questions_per_second: args.questions_per_second,
        days: args.days,
        retention_days: args.retention,
        peak: args.peak,
        hot_percent: args.hot,
        connections: args.connections,
        backups_kept: args.backups,
        network_mib_s: args.network,
    };
    let sizes = sizes(&asked, &figures);
    let mut out = anstream::stdout().lock();
    if args.json {
        let from: serde_json::Map<String, serde_json::Value> = figures
            .iter()
            .map(|figure| {
                let page = if figure.page == figures::HERE {
                    figure.page.clone()
                } else {
                    format!("docs/benchmarks/{}.md", figure.page)
                };
                (figure.name.clone(), json!({ "value": figure.value, "unit": figure.unit, "measured": page }))
            })
            .collect();
        let document = json!({ "asked": asked, "sizes": sizes, "figures": from });
        writeln!(out, "{document}")?;
        return Ok(());
    }
    show::print(&mut out, &asked, &sizes, &figures)?;
    Ok(())
}

/// This machine's figures in the place of those of the pages. Bytes of a claim are those of its own claims then.
fn take(figures: &mut Figures, measured: &Measured) -> Result<(), Failure> {
    let own = serde_json::to_value(measured).map_err(Failure::new)?;
    for (name, value) in own.as_object().into_iter().flatten() {
        figures.replace(name, value.as_f64().unwrap_or(0.0));
    }
    Ok(())
}

/// Writes what was measured as a page of `docs/benchmarks`.
fn save(env: &Env, dir: &std::path::Path, claims: u64, measured: &Measured) -> Result<(), Failure> {
    let command = format!("stemedb-api sizing --claims 0 --measure --measure-claims {claims} --save DIR");
    let mut figures = serde_json::to_value(measured).map_err(Failure::new)?;
    if let Some(figures) = figures.as_object_mut() {
        // How fast this machine is stands on other pages, which compare.
        figures.retain(|name, _| !name.ends_with("_per_second"));
    }
    let document = json!({ "command": command, "claims": claims, "figures": figures });
    let text = serde_json::to_string_pretty(&document).map_err(Failure::new)?;
    stemedb_env::fs::write_file_atomic(&*env.fs, &dir.join("sizing.json"), format!("{text}\n").as_bytes())?;
    let mut page = format!(
        "# What a claim and a connection take\n\nMade by `{command}`; do not edit.\n\n{claims} generated claims, eight about each question, in batches of 1,000, then 2,000 one by one; merged and closed. 500 questions \
         of a database that was just opened, nothing in a cache. 500 connections that have asked once and wait.\n\n| figure | |\n|---|---:|\n"
    );
    for (name, value) in figures.as_object().into_iter().flatten() {
        page.push_str(&format!("| {} | {:.1} |\n", name.replace('_', " "), value.as_f64().unwrap_or(0.0)));
    }
    stemedb_env::fs::write_file_atomic(&*env.fs, &dir.join("sizing.md"), page.as_bytes())?;
    Ok(())
}
