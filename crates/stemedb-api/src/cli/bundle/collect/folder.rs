//! The files of a database: read, never written, and without its lock, so that a server may have it open.

use std::path::Path;

use serde_json::{Value, json};
use stemedb_api::core::Micros;
use stemedb_env::{Env, Lsn};
use stemedb_hybrid::{Identity, Layout};
use stemedb_index::claims::Entry;
use stemedb_lsm::describe_manifest;
use stemedb_wal::inspect::{Finding, inspect};

use crate::cli::bundle::{
    check::claims::Sample,
    redact::{Redactor, words},
};

/// A journal up to this size is read whole without being asked.
pub const JOURNAL_MAX_BYTES: u64 = 1 << 30;
/// Files that are listed of one folder; the others are counted.
const LISTED_MAX: usize = 2_000;
/// A server may replace a manifest between two reads.
const LOOKS: usize = 3;

/// Names, lengths and times of all files.
pub fn files(env: &Env, layout: &Layout, redactor: &Redactor) -> Value {
    let folders = [
        ("", layout.dir().to_path_buf()),
        ("wal", layout.wal()),
        ("kv", layout.kv()),
        ("kv.next", layout.kv_next()),
        ("sidecar", layout.sidecars()),
        ("fallback", layout.fallback()),
        ("quarantine", layout.quarantine()),
    ];
    let mut all = serde_json::Map::new();
    for (name, dir) in folders {
        let shown = if name.is_empty() { "." } else { name };
        match list(env, &dir, redactor) {
            Ok(list) => {
                all.insert(shown.to_owned(), list);
            }
            Err(error) if error.is_not_found() => {}
            Err(error) => {
                all.insert(shown.to_owned(), json!({ "problem": redactor.text(&error.to_string()) }));
            }
        }
    }
    let room = env.fs.space(layout.dir()).ok();
    json!({
        "folders": all,
        "available_bytes": room.map(|room| room.available_bytes),
        "total_bytes": room.map(|room| room.total_bytes),
    })
}

fn list(env: &Env, dir: &Path, redactor: &Redactor) -> stemedb_env::Result<Value> {
    let entries = env.fs.list(dir)?;
    let bytes: u64 = entries.iter().map(|entry| entry.metadata.len).sum();
    let (mut shown, mut others) = (Vec::new(), 0_u64);
    for entry in &entries {
        let may_be_shown = !redactor.is_on() || words::is_engine_file(&entry.name);
        if !may_be_shown || shown.len() >= LISTED_MAX {
            others += 1;
            continue;
        }
        shown.push(json!({
            "name": entry.name,
            "bytes": entry.metadata.len,
            "modified": Micros(entry.metadata.modified.0).to_string(),
            "is_folder": entry.metadata.is_dir,
        }));
    }
    Ok(json!({ "count": entries.len(), "bytes": bytes, "files": shown, "others": others }))
}

/// The journal, segment by segment, and a choice of the texts in it. A journal that is longer than `max_bytes` is not read.
pub fn journal(
    env: &Env,
    layout: &Layout,
    max_bytes: u64,
    sample: &mut Sample,
    redactor: &Redactor,
) -> Value {
    let bytes: u64 =
        env.fs.list(&layout.wal()).unwrap_or_default().iter().map(|entry| entry.metadata.len).sum();
    if bytes > max_bytes {
        return json!({ "bytes": bytes, "problem": "longer than what is read without --full" });
    }
    let mut segments: Vec<Value> = Vec::new();
    let mut gaps: Vec<Value> = Vec::new();
    let mut damages: Vec<String> = Vec::new();
    let sums = inspect(env, &layout.wal(), &[], &mut |finding| match finding {
        Finding::Segment(found) => segments.push(json!({
            "segment": found.id,
            "state": if found.released { "released" } else { "live" },
            "compressed": found.compressed,
            "file_bytes": found.file_bytes,
            "first_lsn": found.first_lsn.0,
            "accepted_bytes": found.accepted_bytes,
            "frames": 0,
            "entries": 0,
        })),
        Finding::Frame(frame) => {
            if let Some(segment) = segments.last_mut() {
                count(segment, "frames", 1);
                count(segment, "entries", u64::from(frame.count));
            }
            for (lsn, entry) in (frame.first_lsn.0..).zip(&frame.entries) {
                if let Ok(entry) = Entry::parse(Lsn(lsn), entry)
                    && let Ok(commands) = entry.commands()
                {
                    commands.iter().for_each(|command| sample.offer(command));
                }
            }
        }
        Finding::Rest { offset, bytes, .. } => {
            if let Some(segment) = segments.last_mut() {
                segment["rest_at"] = (*offset).into();
                segment["rest_bytes"] = (*bytes).into();
            }
        }
        Finding::Gap { first_segment, last_segment, first_lsn, last_lsn, recycled } => gaps.push(json!({
            "first_segment": first_segment,
            "last_segment": last_segment,
            "first_lsn": first_lsn.0,
            "last_lsn": last_lsn.map(|lsn| lsn.0),
            "recycled": recycled,
        })),
        Finding::Damage(error) => damages.push(redactor.text(&error.to_string())),
    });
    let mut document = json!({ "bytes": bytes, "segments": segments, "gaps": gaps, "damages": damages });
    match sums {
        Ok(sums) => {
            document["first_lsn"] = sums.first_lsn.0.into();
            document["last_lsn"] = sums.last_lsn.0.into();
            document["entries"] = sums.entries.into();
            document["entry_bytes"] = sums.entry_bytes.into();
        }
        Err(error) => document["problem"] = redactor.text(&error.to_string()).into(),
    }
    document
}

fn count(segment: &mut Value, name: &str, more: u64) {
    let before = segment[name].as_u64().unwrap_or(0);
    segment[name] = (before + more).into();
}

/// What the view's manifest says, table by table; keys of tables are left out, with redaction and without it.
pub fn view(env: &Env, layout: &Layout, redactor: &Redactor) -> Value {
    let identity = match Identity::peek(&*env.fs, layout) {
        Ok(identity) => identity,
        Err(error) => return json!({ "problem": redactor.text(&error.to_string()) }),
    };
    let mut last = None;
    for _ in 0..LOOKS {
        match describe_manifest(env, &layout.kv(), identity.database) {
            Ok(Some(manifest)) => {
                let tables: Vec<Value> = manifest
                    .tables
                    .iter()
                    .map(|table| {
                        json!({
                            "file": format!("{:06}.sst", table.file),
                            "level": table.level,
                            "bytes": table.bytes,
                            "data_bytes": table.data_bytes,
                            "rows": table.rows,
                            "keys": table.keys,
                            "tombstones": table.tombstones,
                            "range_removals": table.range_removals,
                            "min_lsn": table.min_lsn.0,
                            "max_lsn": table.max_lsn.0,
                            "derivation_version": table.derivation_version,
                        })
                    })
                    .collect();
                return json!({
                    "timeline": identity.timeline,
                    "created_at": Micros(identity.created_at.0).to_string(),
                    "manifest": manifest.number,
                    "changes": manifest.sequence,
                    "flushed_lsn": manifest.flushed.0,
                    "horizon_lsn": manifest.horizon.0,
                    "obsolete_files": manifest.obsolete,
                    "torn": manifest.torn,
                    "tables": tables,
                });
            }
            Ok(None) => {
                last =
                    Some("there is no manifest: the next start derives the view from the journal".to_owned())
            }
            Err(error) => last = Some(redactor.text(&error.to_string())),
        }
    }
    json!({ "timeline": identity.timeline, "problem": last })
}

#[cfg(test)]
mod tests {
    use stemedb_api::core::{Assertion, Object};
    use stemedb_api::{Database, DatabaseOptions};

    use super::*;

    #[test]
    #[allow(clippy::disallowed_methods)] // what an operator leaves there
    fn a_database_is_described_without_its_lock_and_without_what_it_says() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("db");
        let database = Database::create(&data, DatabaseOptions::default()).unwrap();
        let claim = |n: u64| {
            Assertion::new(format!("zyxo:{n}"), "boils at", Object::Text("purple".to_owned()), "zyxo source")
        };
        for n in 0..10 {
            database.assert(claim(n)).unwrap();
        }
        database.flush().unwrap();
        // It is open meanwhile.
        let env = Env::real();
        let layout = Layout::of(&data);
        let redactor = Redactor::new(&env, true);
        let mut sample = Sample::default();
        let journal = journal(&env, &layout, u64::MAX, &mut sample, &redactor);
        assert_eq!((&journal["entries"], sample.records), (&json!(10), 10), "{journal}");
        assert!(sample.texts().any(|text| text == "purple") && sample.texts().any(|text| text == "zyxo:9"));
        let view = view(&env, &layout, &redactor);
        assert_eq!(view["tables"].as_array().map(Vec::len), Some(1), "{view}");
        std::fs::write(data.join("zyxo notes"), "").unwrap();
        let files = files(&env, &layout, &redactor);
        let text = format!("{journal}{view}{files}");
        assert!(!text.contains("zyxo") && !text.contains("purple"), "{text}");
        assert_eq!(files["folders"]["."]["others"], 1, "{files}");
        database.close().unwrap();
        assert!(super::journal(&env, &layout, 1, &mut sample, &redactor)["problem"].is_string());
    }
}
