//! `stats`: what takes how much room.

use std::{
    collections::BTreeMap,
    io::{self, Write},
    path::PathBuf,
};

use serde::Serialize;
use stemedb_api::{Database, json::KnowledgeJson};
use stemedb_env::{Env, Fs};
use stemedb_index::keys::Family;
use stemedb_lsm::{Direction, KeyRange, KvIter, KvSnapshot};

use super::{
    conflicts::{KnowledgeView, print_knowledge},
    failure::Failure,
    folder, paint,
    paint::{FAINT, STRONG, bytes, right, thousands},
};

/// Show what each family of keys, the journal and each level of the view take
#[derive(Debug, clap::Args)]
pub struct StatsArgs {
    /// The database's folder
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,
    /// Also resolve every question, and show how they stand together
    #[arg(long)]
    knowledge: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Sizes {
    /// Last entry of the journal.
    lsn: u64,
    journal_bytes: u64,
    journal_segments: usize,
    kv_bytes: u64,
    sst_file_count: usize,
    levels: Vec<Level>,
    families: Vec<FamilySize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    knowledge: Option<KnowledgeJson>,
}

#[derive(Debug, Serialize)]
struct Level {
    level: usize,
    files: usize,
    bytes: u64,
}

/// The rows of one family, before prefix compression and block compression.
#[derive(Clone, Debug, Default, Serialize)]
struct FamilySize {
    family: &'static str,
    rows: u64,
    key_bytes: u64,
    value_bytes: u64,
    /// Part of all key and value bytes.
    share: f64,
}

/// Scans and prints.
pub fn run(args: &StatsArgs) -> Result<(), Failure> {
    let env = Env::real();
    let database = folder::open(&args.data_dir)?;
    let mut sizes = measure(&env, &database)?;
    if args.knowledge {
        sizes.knowledge = Some(KnowledgeJson::new(&database.knowledge(None)?.0));
    }
    database.close()?;
    let mut out = anstream::stdout().lock();
    if args.json {
        serde_json::to_writer_pretty(&mut out, &sizes).map_err(io::Error::from)?;
        writeln!(out)?;
    } else {
        print(&mut out, &sizes)?;
    }
    Ok(())
}

fn measure(env: &Env, database: &Database) -> Result<Sizes, Failure> {
    let families = families(database)?;
    let layout = database.engine().layout();
    let lsm = database.stats().lsm;
    let levels = lsm.levels.iter().enumerate().filter(|(_, level)| level.files > 0);
    let segments = |fs: &dyn Fs| -> Result<usize, Failure> {
        Ok(fs.list(&layout.wal())?.iter().filter(|entry| entry.name.ends_with(".wal")).count())
    };
    Ok(Sizes {
        lsn: database.published_lsn().0,
        journal_bytes: folder::bytes_in(env, &layout.wal())?,
        journal_segments: segments(env.fs.as_ref())?,
        kv_bytes: folder::bytes_in(env, &layout.kv())?,
        sst_file_count: lsm.sst_file_count,
        levels: levels.map(|(level, of)| Level { level, files: of.files, bytes: of.bytes }).collect(),
        families,
        knowledge: None,
    })
}

fn families(database: &Database) -> Result<Vec<FamilySize>, Failure> {
    let mut by_name: BTreeMap<u8, FamilySize> = BTreeMap::new();
    let reader = database.reader(None)?;
    let mut rows = reader.snapshot().scan(&KeyRange::all(), Direction::Forward);
    let read = |error: stemedb_lsm::Error| {
        Failure::from(stemedb_api::Error::from(stemedb_api::hybrid::Error::from(error)))
    };
    while rows.advance().map_err(read)? {
        let tag = rows.key().first().copied().unwrap_or(0);
        let family = by_name.entry(tag).or_insert_with(|| FamilySize {
            family: Family::of(rows.key()).map_or("unknown", Family::name),
            ..FamilySize::default()
        });
        family.rows += 1;
        family.key_bytes += rows.key().len() as u64;
        family.value_bytes += rows.value().len() as u64;
    }
    let mut families: Vec<FamilySize> = by_name.into_values().collect();
    let total: u64 = families.iter().map(|family| family.key_bytes + family.value_bytes).sum();
    for family in &mut families {
        family.share = (family.key_bytes + family.value_bytes) as f64 / total.max(1) as f64;
    }
    Ok(families)
}

fn print(out: &mut impl Write, sizes: &Sizes) -> io::Result<()> {
    let head = format!(
        "{:<14}{:>12}{:>14}{:>14}{:>9}{:>9}",
        "family", "rows", "key bytes", "value bytes", "a row", "share"
    );
    writeln!(out, "{}", paint::paint(FAINT, &head))?;
    let line = |out: &mut dyn Write, family: &FamilySize| {
        let FamilySize { family: name, rows, key_bytes, value_bytes, share } = family;
        let a_row = (key_bytes + value_bytes) as f64 / (*rows).max(1) as f64;
        writeln!(
            out,
            "{name:<14}{}{}{}{a_row:>9.1}{:>7.1} %",
            right(&thousands(*rows), 12),
            right(&thousands(*key_bytes), 14),
            right(&thousands(*value_bytes), 14),
            share * 100.0
        )
    };
    let mut all = FamilySize { family: "all", share: 1.0, ..FamilySize::default() };
    for family in &sizes.families {
        line(out, family)?;
        all.rows += family.rows;
        all.key_bytes += family.key_bytes;
        all.value_bytes += family.value_bytes;
    }
    line(out, &all)?;
    writeln!(out)?;
    let Sizes { journal_bytes, journal_segments, kv_bytes, sst_file_count, .. } = sizes;
    let on_disk = |name: &str, n: u64, what: String| format!("{name:<14}{}  {what}", right(&bytes(n), 12));
    let segments = paint::count(*journal_segments as u64, "segment", "segments");
    writeln!(out, "{}", on_disk("journal", *journal_bytes, format!("{segments}, LSN {}", sizes.lsn)))?;
    let tables = paint::count(*sst_file_count as u64, "table", "tables");
    writeln!(out, "{}", on_disk("view", *kv_bytes, tables))?;
    for Level { level, files, bytes: size } in &sizes.levels {
        let files = paint::count(*files as u64, "table", "tables");
        writeln!(out, "{}", on_disk(&format!("  level {level}"), *size, files))?;
    }
    let total = on_disk("on disk", journal_bytes + kv_bytes, String::new());
    writeln!(out, "{}", paint::paint(STRONG, total.trim_end()))?;
    if let Some(knowledge) = &sizes.knowledge {
        writeln!(out)?;
        print_knowledge(out, &knowledge_view(knowledge)?, sizes.lsn)?;
    }
    Ok(())
}

fn knowledge_view(knowledge: &KnowledgeJson) -> io::Result<KnowledgeView> {
    let json = serde_json::to_value(knowledge).map_err(io::Error::from)?;
    serde_json::from_value(json).map_err(io::Error::from)
}
