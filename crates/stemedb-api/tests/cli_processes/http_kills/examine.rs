//! What a database holds, read without its server.

use std::path::Path;

use stemedb_api::{Database, DatabaseOptions, hybrid::StateRoot};
use stemedb_env::Lsn;
use stemedb_index::{Claims, Derive as _, claims::Entry as Commands};
use stemedb_lsm::{Op, WriteBatch};
use stemedb_wal::{Journal as _, JournalReader as _};

use super::history::Entry;

fn open(data: &Path) -> Database {
    Database::open(data, DatabaseOptions::default()).unwrap()
}

/// Calls `visit` with every entry, from the first on.
fn each(database: &Database, mut visit: impl FnMut(Lsn, &[u8])) {
    let mut reader = database.engine().journal().read_from(Lsn(1)).unwrap();
    for lsn in 1..=database.published_lsn().0 {
        let entry = reader.next_entry().unwrap().unwrap();
        assert_eq!(entry.lsn, Lsn(lsn));
        visit(entry.lsn, &entry.bytes);
    }
}

/// The journal, entry by entry.
pub fn journal(data: &Path) -> Vec<Entry> {
    let database = open(data);
    let mut entries = Vec::new();
    each(&database, |lsn, bytes| {
        let entry = Commands::parse(lsn, bytes).unwrap();
        let mut commands = entry.commands().unwrap();
        assert_eq!(commands.len(), 1, "a request is an entry");
        let command = commands.remove(0);
        entries.push(Entry { lsn: lsn.0, recorded_at_us: entry.recorded_at.0, command });
    });
    database.close().unwrap();
    entries
}

/// Every row that follows from the journal is in the view, and no other.
pub fn the_view_is_what_the_journal_says(data: &Path) {
    let database = open(data);
    let mut root = StateRoot::empty();
    each(&database, |lsn, bytes| {
        let mut rows = WriteBatch::new();
        Claims.derive(lsn, bytes, &mut rows).unwrap();
        for row in rows.iter() {
            match row {
                Op::Put { key, value } => root.add(key, value),
                _ => panic!("entry {lsn} removes rows"),
            }
        }
    });
    assert_eq!(database.engine().state_root().unwrap(), root);
    database.verify().unwrap();
    database.close().unwrap();
}
