//! Stores that do not what they are asked, and what can be read of an archive without the library's own readers.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use parking_lot::Mutex;
use stemedb_api::{
    Database,
    backup::{BackupTarget, Content, Error, Hex, MemoryTarget, Object, Result},
};
use stemedb_env::{
    Lsn,
    frame::{Chain, DatabaseId},
};
use stemedb_wal::{Journal, JournalIdentity, JournalMark, JournalReader, read_frames};

/// Entries by their LSNs.
pub type Entries = BTreeMap<Lsn, Vec<u8>>;

pub fn id_of(database: &Database) -> Hex<16> {
    Hex(database.engine().identity().database.0)
}

/// The folder of the ranges of a past.
pub fn frames_folder(database: &Database, timeline: u32) -> String {
    format!("wal-archive/{}/{timeline:06}/frames/", id_of(database))
}

/// The entries of a range, if the object is whole and what it says; read by what the page of the format says.
fn entries_of(object: &[u8], database: &Database, timeline: u32) -> Option<Entries> {
    let (head, packed) = object.split_at_checked(1024)?;
    let head: serde_json::Value = serde_json::from_slice(head).ok()?;
    let body = &head["body"];
    let number = |name: &str| body[name].as_u64().unwrap();
    let chain = |name: &str| Chain(Hex::parse(body[name].as_str().unwrap()).unwrap().0);
    if body["blake3"] != blake3::hash(packed).to_hex().as_str() {
        return None;
    }
    let plain = zstd::bulk::decompress(packed, (number("to") - number("from")) as usize).ok()?;
    let from = JournalMark {
        next_lsn: Lsn(number("first_lsn")),
        segment: number("segment"),
        offset: number("from"),
        chain: chain("chain_before"),
    };
    let identity = JournalIdentity { database: DatabaseId(id_of(database).0), timeline };
    let mut entries = Entries::new();
    let mut visit = |lsn, bytes: bytes::Bytes| {
        entries.insert(lsn, bytes.to_vec());
    };
    let to = read_frames(identity, &from, &plain, &mut visit).ok()?;
    let ends =
        (to.offset, to.chain, to.next_lsn) == (number("to"), chain("chain"), Lsn(number("last_lsn") + 1));
    ends.then_some(entries)
}

/// Every entry in whole ranges, and the names of those that are damaged. Two that have one LSN must have one entry.
pub fn archived_entries(target: &MemoryTarget, database: &Database, timeline: u32) -> (Entries, Vec<String>) {
    let (mut all, mut damaged) = (Entries::new(), Vec::new());
    for object in target.list(&frames_folder(database, timeline)).unwrap() {
        let raw = target.get(&object.name, u64::MAX).unwrap().unwrap();
        let Some(entries) = entries_of(&raw, database, timeline) else {
            damaged.push(object.name);
            continue;
        };
        for (lsn, bytes) in entries {
            let known = all.entry(lsn).or_insert_with(|| bytes.clone());
            assert_eq!(*known, bytes, "entry {lsn} is there twice, and not the same");
        }
    }
    (all, damaged)
}

/// Every entry of a database's journal.
pub fn own_entries(database: &Database) -> Entries {
    let mut reader = database.engine().journal().read_from(Lsn(1)).unwrap();
    std::iter::from_fn(|| reader.next_entry().unwrap())
        .map(|entry| (entry.lsn, entry.bytes.to_vec()))
        .collect()
}

/// How a store misbehaves, once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lie {
    /// Stores nothing, and says that it has.
    Forgets,
    /// Stores half of it, and says that it is stored.
    Tears,
    /// Stores something else of the same length, and says that it is stored.
    Garbles,
    /// Stores it, and says that it could not.
    HidesSuccess,
    /// Stores it, and says that something had been there.
    SaysThere,
}

pub const LIES: [Lie; 5] = [Lie::Forgets, Lie::Tears, Lie::Garbles, Lie::HidesSuccess, Lie::SaysThere];

type Hook = Box<dyn FnOnce() + Send>;

/// Memory that lies at one of its puts, or calls somebody before or after one.
pub struct Liar {
    pub memory: MemoryTarget,
    puts: AtomicU64,
    lie: Mutex<Option<(u64, Lie)>>,
    before: Mutex<Option<Hook>>,
    after: Mutex<Option<Hook>>,
}

impl std::fmt::Debug for Liar {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Liar").finish_non_exhaustive()
    }
}

impl Liar {
    pub fn over(memory: &MemoryTarget) -> Arc<Liar> {
        Arc::new(Liar {
            memory: memory.clone(),
            puts: AtomicU64::new(0),
            lie: Mutex::default(),
            before: Mutex::default(),
            after: Mutex::default(),
        })
    }

    /// Lies at the `nth` put from now on, counted from 0.
    pub fn lie_at(&self, nth: u64, lie: Lie) {
        *self.lie.lock() = Some((self.puts.load(Ordering::SeqCst) + nth, lie));
    }

    /// True if it has not lied yet.
    pub fn is_honest_so_far(&self) -> bool {
        self.lie.lock().is_some()
    }

    /// Calls this before, or after, the next put of a range.
    pub fn at_next_range(&self, is_before: bool, hook: Hook) {
        *(if is_before { &self.before } else { &self.after }).lock() = Some(hook);
    }

    fn put_with(&self, name: &str, content: Content<'_>, absent: bool) -> Result<bool> {
        let honest = |content: Content<'_>| match absent {
            true => self.memory.put_if_absent(name, content),
            false => self.memory.put(name, content).map(|()| true),
        };
        if name.ends_with(".range")
            && let Some(hook) = self.before.lock().take()
        {
            hook();
        }
        let nth = self.puts.fetch_add(1, Ordering::SeqCst);
        let lie = self.lie.lock().take_if(|(at, _)| *at == nth).map(|(_, lie)| lie);
        let Content::Bytes(bytes) = content else { return honest(content) };
        let failed = || Error::Target {
            op: "write",
            name: name.to_owned(),
            target: "a liar".to_owned(),
            source: "the answer was lost".into(),
        };
        let outcome = match lie {
            None => honest(content),
            Some(Lie::Forgets) => Ok(true),
            Some(Lie::Tears) => honest(Content::Bytes(&bytes[..bytes.len() / 2])),
            Some(Lie::Garbles) => {
                let garbled: Vec<u8> = bytes.iter().map(|byte| byte ^ 0x40).collect();
                honest(Content::Bytes(&garbled))
            }
            Some(Lie::HidesSuccess) => honest(content).and_then(|_| Err(failed())),
            Some(Lie::SaysThere) => honest(content).map(|_| false),
        };
        if name.ends_with(".range")
            && let Some(hook) = self.after.lock().take()
        {
            hook();
        }
        outcome
    }
}

impl BackupTarget for Liar {
    fn describe(&self) -> String {
        self.memory.describe()
    }
    fn put_if_absent(&self, name: &str, content: Content<'_>) -> Result<bool> {
        self.put_with(name, content, true)
    }
    fn put(&self, name: &str, content: Content<'_>) -> Result<()> {
        self.put_with(name, content, false).map(drop)
    }
    fn get(&self, name: &str, limit_bytes: u64) -> Result<Option<Vec<u8>>> {
        self.memory.get(name, limit_bytes)
    }
    fn read_at(&self, name: &str, buffer: &mut [u8], offset: u64) -> Result<()> {
        self.memory.read_at(name, buffer, offset)
    }
    fn size(&self, name: &str) -> Result<Option<u64>> {
        self.memory.size(name)
    }
    fn list(&self, folder: &str) -> Result<Vec<Object>> {
        self.memory.list(folder)
    }
    fn folders(&self) -> Result<Vec<String>> {
        self.memory.folders()
    }
    fn delete(&self, name: &str) -> Result<()> {
        self.memory.delete(name)
    }
    fn settle(&self) -> Result<()> {
        self.memory.settle()
    }
}
