//! A damaged manifest; any bytes as an edit, as the record of a change, and as the properties of a table.
//!
//! ```text
//! 0  1  odd: the rest is an edit
//! 0  1  even: bit 1: frames are made to verify again; then damages of 5 bytes: kind, offset (2), value, length
//! ```
//!
//! Without forging: the state is the one that was written, or an error says that the manifest is damaged; only where the last
//! mark was hit too, the state may be that of an earlier edit.

use std::{
    path::Path,
    sync::{Arc, OnceLock},
};

use stemedb_env::{
    Env, Lsn,
    clock::{Micros, SimClock},
    frame::DatabaseId,
    fs::SimFs,
};
use stemedb_lsm::{
    Error, KvStore, LsmOptions, LsmStore, WriteBatch,
    fuzzing::{Replayed, edit_again, is_record, properties_again, replay_manifest},
};

use super::{input::Input, page};

const DATABASE: DatabaseId = DatabaseId([9; 16]);
const DIR: &str = "/db/kv";
const NAME: &str = "MANIFEST-000001";
const SECTOR_BYTES: usize = 512;

struct Base {
    bytes: Vec<u8>,
    whole: Replayed,
    /// The state behind each frame.
    prefixes: Vec<Replayed>,
}

fn machine(bytes: &[u8]) -> Env {
    let fs = SimFs::new();
    fs.install(&Path::new(DIR).join(NAME), bytes).unwrap();
    Env::over(fs, Arc::new(SimClock::new(Micros(0))), 1).0
}

fn replayed(bytes: &[u8]) -> stemedb_lsm::Result<Replayed> {
    replay_manifest(&machine(bytes), Path::new(DIR), DATABASE, 1)
}

fn base() -> &'static Base {
    static BASE: OnceLock<Base> = OnceLock::new();
    BASE.get_or_init(|| {
        let (env, handles) = Env::sim(1);
        handles.fs.install_dir(Path::new("/db")).unwrap();
        let store = LsmStore::create(env, Path::new(DIR), DATABASE, LsmOptions::tiny()).unwrap();
        for lsn in 1..=4u64 {
            let mut batch = WriteBatch::new();
            (0..4).for_each(|n| batch.put(&[b'k', n], &lsn.to_be_bytes()));
            store.apply(&batch, Lsn(lsn)).unwrap();
            store.publish(Lsn(lsn));
            store.flush().unwrap();
        }
        store.close();
        let bytes = handles.fs.read_all(&Path::new(DIR).join(NAME)).unwrap();
        let frames = page::manifest(&bytes, DATABASE.0, 1).unwrap();
        let prefixes =
            frames.iter().map(|frame| replayed(&bytes[..frame.offset + frame.bytes]).unwrap()).collect();
        Base { whole: replayed(&bytes).unwrap(), prefixes, bytes }
    })
}

/// One input.
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let flags = input.byte();
    if flags & 1 == 1 {
        let bytes = input.rest();
        for again in [edit_again(bytes), properties_again(bytes)].into_iter().flatten() {
            assert_eq!(again, bytes, "there is one encoding");
        }
        assert_eq!(
            is_record(bytes),
            page::record(bytes).is_ok_and(|record| { sane(&record.state) && sane(&record.edit) })
        );
        assert_eq!(edit_again(bytes).is_some(), page::edit(bytes).is_ok_and(|edit| sane(&edit)));
        return;
    }
    let base = base();
    let mut bytes = base.bytes.clone();
    let mut hit = bytes.len();
    for _ in 0..3 {
        if input.rest().is_empty() {
            break;
        }
        let [kind, low, high, value, length] = input.take();
        let at = usize::from(u16::from_le_bytes([low, high])) % base.bytes.len();
        let end = (at + usize::from(length)).min(bytes.len());
        match kind % 4 {
            0 => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= value.max(1)),
            1 => bytes.get_mut(at..end).into_iter().flatten().for_each(|byte| *byte = value),
            2 => bytes.truncate(at),
            // A sector takes the place of another.
            _ => {
                let (from, to) = (at / SECTOR_BYTES, usize::from(value) % (base.bytes.len() / SECTOR_BYTES));
                let sector = base.bytes[from * SECTOR_BYTES..(from + 1) * SECTOR_BYTES].to_vec();
                let place = bytes.get_mut(to * SECTOR_BYTES..(to + 1) * SECTOR_BYTES);
                place.into_iter().for_each(|place| place.copy_from_slice(&sector));
            }
        }
        hit = hit.min(bytes.iter().zip(&base.bytes).take_while(|(one, other)| one == other).count());
    }
    let forged = flags & 2 != 0;
    if forged {
        forge(&mut bytes, hit);
    }
    let mark = base.bytes.len() - SECTOR_BYTES;
    let mark_is_whole = bytes.len() == base.bytes.len() && bytes[mark..] == base.bytes[mark..];
    match replayed(&bytes) {
        Err(Error::Corruption { .. }) => assert!(forged || bytes != base.bytes, "it is whole"),
        Err(other) => panic!("not an error about damage: {other}"),
        Ok(_) if forged => {}
        Ok(found) if mark_is_whole => assert_eq!(found, base.whole, "less than everything, without a word"),
        Ok(found) => {
            let known = |state: &Replayed| Replayed { torn: found.torn, ..state.clone() } == found;
            assert!(base.prefixes.iter().any(known), "a state that never was: {found:?}");
        }
    }
}

/// What the reader also asks of an edit: keys and LSNs in order, rows, levels.
fn sane(edit: &page::Edit) -> bool {
    edit.added.iter().all(|(level, table)| {
        *level <= 6
            && table.smallest <= table.greatest
            && table.lsns.0 <= table.lsns.1
            && (table.rows > 0 || table.ranges > 0)
            && table.drops <= 1
    })
}

/// Gives the frame at `at` the checksum that it should have.
fn forge(bytes: &mut [u8], at: usize) {
    let start = at.min(bytes.len()) / SECTOR_BYTES * SECTOR_BYTES;
    let Some(frame) = bytes.get_mut(start..) else { return };
    let Some(length) = frame.get(52..56).map(|field| page::little(field) as usize) else { return };
    let Some(covered) = length.checked_sub(4).filter(|_| length <= frame.len()) else { return };
    let crc = crc32fast::hash(&frame[..covered]);
    frame[covered..length].copy_from_slice(&crc.to_le_bytes());
}
