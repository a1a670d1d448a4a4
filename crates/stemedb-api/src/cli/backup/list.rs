//! `backup list`.

use std::io::Write;

use stemedb_api::{
    backup::{Catalog, CatalogEntry},
    core::Micros,
};
use stemedb_env::Env;

use super::{failed, open};
use crate::cli::{Failure, paint};

/// Show the backups of a target, oldest first
#[derive(Debug, clap::Args)]
pub struct ListArgs {
    /// Where the backups are: a folder, or s3://bucket/prefix
    #[arg(long, value_name = "TARGET")]
    from: String,
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// Lists.
pub fn run(args: &ListArgs) -> Result<(), Failure> {
    let target = open(&Env::real(), &args.from)?;
    let catalog = Catalog::load(&*target).map_err(failed)?;
    let mut out = anstream::stdout().lock();
    if args.json {
        let backups: Vec<serde_json::Value> = catalog.backups.iter().map(json).collect();
        let all = serde_json::json!({ "latest": catalog.latest, "backups": backups });
        writeln!(out, "{all:#}")?;
        return Ok(());
    }
    for entry in &catalog.backups {
        let metadata = match &entry.metadata {
            Ok(metadata) => metadata,
            Err(problem) => {
                writeln!(out, "{}  cannot be used: {problem}", entry.name)?;
                continue;
            }
        };
        let verified = if entry.verified { "verified" } else { "not verified" };
        let latest = if catalog.latest.as_ref() == Some(&entry.name) { ", latest" } else { "" };
        let recorded =
            metadata.recorded_at.map_or_else(|| "no entries".to_owned(), |at| Micros(at).to_string());
        writeln!(
            out,
            "{}  timeline {}  LSN {}  {recorded}  {}  {verified}{latest}",
            entry.name,
            metadata.timeline,
            metadata.lsn,
            paint::bytes(metadata.total_bytes()),
        )?;
    }
    writeln!(out, "{}", paint::count(catalog.backups.len() as u64, "backup", "backups"))?;
    Ok(())
}

fn json(entry: &CatalogEntry) -> serde_json::Value {
    match &entry.metadata {
        Ok(metadata) => serde_json::json!({
            "name": entry.name,
            "verified": entry.verified,
            "database": metadata.database,
            "timeline": metadata.timeline,
            "lsn": metadata.lsn,
            "first_lsn": metadata.first_lsn,
            "recorded_at": metadata.recorded_at.map(|at| Micros(at).to_string()),
            "created_at": Micros(metadata.created_at).to_string(),
            "entries": metadata.entries,
            "rows": metadata.rows,
            "state_root": metadata.state_root,
            "files": metadata.files.len(),
            "bytes": metadata.total_bytes(),
        }),
        Err(problem) => serde_json::json!({ "name": entry.name, "verified": false, "problem": problem }),
    }
}
