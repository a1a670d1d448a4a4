//! What there is to read, in the order of a round.

use std::{
    collections::BTreeSet,
    fmt,
    path::{Path, PathBuf},
};

use super::Ground;
use crate::{Result, sidecar::is_sidecar_name};

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum FileClass {
    /// The two copies of the identity.
    Identity,
    /// The journal's `HEAD`.
    Head,
    /// `CURRENT` and the manifest of the primary view.
    Manifest,
    /// A segment of the journal.
    Segment,
    /// A segment that is compressed.
    PackedSegment,
    /// A table of the primary view.
    Table,
    /// A sidecar of the journal.
    Sidecar,
    /// A file of the fallback view.
    Fallback,
    /// Evidence of earlier damage.
    Quarantine,
    /// Anything else in the folder.
    Other,
}

impl FileClass {
    /// Its name in the API and in metrics.
    pub fn name(self) -> &'static str {
        match self {
            FileClass::Identity => "identity",
            FileClass::Head => "head",
            FileClass::Manifest => "manifest",
            FileClass::Segment => "segment",
            FileClass::PackedSegment => "packed_segment",
            FileClass::Table => "table",
            FileClass::Sidecar => "sidecar",
            FileClass::Fallback => "fallback",
            FileClass::Quarantine => "quarantine",
            FileClass::Other => "other",
        }
    }

    /// True if what is read is also checked; of others only that the disk can read them is known.
    pub fn is_checked(self) -> bool {
        !matches!(self, FileClass::Fallback | FileClass::Quarantine | FileClass::Other)
    }
}

impl fmt::Display for FileClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The place of a file in a round: by rank, number and name. Survives restarts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub rank: u8,
    pub number: u64,
    pub name: String,
}

const IDENTITY: u8 = 1;
const HEAD: u8 = 2;
const MANIFEST: u8 = 3;
const SEGMENT: u8 = 4;
const TABLE: u8 = 5;
const REST: u8 = 6;

/// One thing to read.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub key: Key,
    pub class: FileClass,
    pub path: PathBuf,
    /// On disk, as far as it is known.
    pub bytes: u64,
}

/// Folders within folders that are looked into.
const MOST_DEPTH: usize = 16;

/// Everything that is there, in order.
pub(super) fn list(ground: &Ground) -> Result<Vec<Item>> {
    let fs = &*ground.env.fs;
    let len = |path: &Path| -> Result<u64> { Ok(fs.metadata(path)?.map_or(0, |metadata| metadata.len)) };
    let mut known = BTreeSet::new();
    let mut items = Vec::new();
    let single = |rank: u8, name: &str| Key { rank, number: 0, name: name.to_owned() };
    let identities = ground.layout.identities();
    let mut bytes = 0;
    for path in &identities {
        bytes += len(path)?;
        known.insert(path.clone());
    }
    let [path, _] = identities;
    items.push(Item { key: single(IDENTITY, ""), class: FileClass::Identity, path, bytes });
    let path = ground.journal.head_path();
    items.push(Item {
        key: single(HEAD, ""),
        class: FileClass::Head,
        bytes: len(&path)?,
        path: path.clone(),
    });
    known.insert(path);
    let mut bytes = 0;
    let state_files = ground.tree.state_files();
    let has_state = !state_files.is_empty();
    for path in state_files {
        bytes += len(&path)?;
        known.insert(path);
    }
    if has_state {
        let path = ground.layout.kv();
        items.push(Item { key: single(MANIFEST, ""), class: FileClass::Manifest, path, bytes });
    }
    for file in ground.journal.segment_files()? {
        let class = if file.packed { FileClass::PackedSegment } else { FileClass::Segment };
        let key = Key { rank: SEGMENT, number: file.id, name: String::new() };
        items.push(Item { key, class, path: file.path.clone(), bytes: file.bytes });
        known.insert(file.path);
    }
    for (number, bytes) in ground.tree.table_files() {
        let path = ground.layout.kv().join(format!("{number:06}.sst"));
        let key = Key { rank: TABLE, number, name: String::new() };
        items.push(Item { key, class: FileClass::Table, path: path.clone(), bytes });
        known.insert(path);
    }
    known.insert(ground.layout.scrub());
    // Room and nothing else.
    known.insert(ground.layout.reserve());
    rest(ground, &known, &mut items)?;
    far(ground, &mut items);
    items.sort_by(|a, b| a.key.cmp(&b.key));
    Ok(items)
}

/// Whatever else lies in the data directory.
fn rest(ground: &Ground, known: &BTreeSet<PathBuf>, items: &mut Vec<Item>) -> Result<()> {
    let mut folders = vec![(ground.layout.dir().to_path_buf(), 0)];
    while let Some((folder, depth)) = folders.pop() {
        let entries = match ground.env.fs.list(&folder) {
            // Gone since.
            Err(error) if error.is_not_found() => continue,
            entries => entries?,
        };
        for entry in entries {
            let path = folder.join(&entry.name);
            if entry.metadata.is_dir {
                if depth < MOST_DEPTH {
                    folders.push((path, depth + 1));
                }
                continue;
            }
            let Ok(within) = path.strip_prefix(ground.layout.dir()) else { continue };
            if known.contains(&path) || changes_by_itself(within, &entry.name) {
                continue;
            }
            let key = Key { rank: REST, number: 0, name: within.to_string_lossy().into_owned() };
            items.push(Item { key, class: class_of(within, &entry.name), path, bytes: entry.metadata.len });
        }
    }
    Ok(())
}

/// The fallback view where it lies outside of the data directory. Another disk that does not answer must not keep the scrubber
/// from this one.
fn far(ground: &Ground, items: &mut Vec<Item>) {
    let Some(far) = &ground.far else { return };
    let entries = match ground.env.fs.list(&far.dir) {
        Ok(entries) => entries,
        Err(error) => {
            if !error.is_not_found() {
                tracing::warn!(%error, "the folder of the fallback view cannot be listed");
            }
            return;
        }
    };
    for entry in entries.into_iter().filter(|entry| !entry.metadata.is_dir && (far.owns)(&entry.name)) {
        let path = far.dir.join(&entry.name);
        let key = Key { rank: REST, number: 0, name: path.to_string_lossy().into_owned() };
        items.push(Item { key, class: FileClass::Fallback, path, bytes: entry.metadata.len });
    }
}

/// True for files that are being made, or wait for their removal.
fn changes_by_itself(within: &Path, name: &str) -> bool {
    let in_folder = |folder: &str| within.starts_with(folder);
    name.ends_with(".tmp")
        || (in_folder("kv") && (name.ends_with(".sst") || name.ends_with(".spill") || name == "CURRENT" || name.starts_with("MANIFEST-")))
        // Released, packed or renamed since the list of segments was made.
        || (in_folder("wal") && (name.starts_with("live.") || name.starts_with("segment.")))
}

fn class_of(within: &Path, name: &str) -> FileClass {
    match within.iter().next().and_then(|first| first.to_str()) {
        Some("sidecar") if is_sidecar_name(name) => FileClass::Sidecar,
        Some("fallback") => FileClass::Fallback,
        Some("quarantine") => FileClass::Quarantine,
        _ => FileClass::Other,
    }
}
