//! The journals that are damaged: each is built once.

use std::{ops::Range, path::Path, sync::OnceLock, time::Duration};

use stemedb_env::{
    Clock, Env, Lsn,
    frame::{DatabaseId, FileIdentity, LogKind, decode},
};
use stemedb_wal::{Journal, JournalIdentity, JournalOptions, Retention, SegmentedJournal};

use super::super::packed;
use super::Files;

pub const DIR: &str = "/db/wal";
pub const IDENTITY: JournalIdentity = JournalIdentity { database: DatabaseId([7; 16]), timeline: 1 };
/// Bytes of `HEAD`, and of each of its slots.
const HEAD: (usize, usize) = (8192, 4096);

/// How a journal was left: closed; killed after an idle moment; killed right after an acknowledgement.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Left {
    Closed,
    Idle,
    Busy,
}

/// What became of the segments that were released.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Released {
    Plain,
    Zstd,
    Gzip,
    Recycled,
}

/// Content is a function of the position.
pub fn entry(lsn: u64) -> Vec<u8> {
    let fill = if lsn.is_multiple_of(6) { 4500 } else { lsn.wrapping_mul(53) % 500 };
    format!("entry {lsn} {}", "y".repeat(fill as usize)).into_bytes()
}

/// A frame of the newest segment, and what its presence proves.
struct Proof {
    place: Range<usize>,
    /// Bytes of the file that were durable.
    durable_bytes: usize,
    /// Last entry at its end.
    last_lsn: u64,
}

/// An undamaged journal.
pub struct Base {
    pub files: Files,
    /// Its last entry.
    pub last: u64,
    /// What the views have flushed.
    pub flushed: Lsn,
    /// Old segments were used again.
    pub recycles: bool,
    newest: String,
    proofs: Vec<Proof>,
    /// The last entry that each slot of `HEAD` knows.
    head: [u64; 2],
}

const LEFT: [Left; 3] = [Left::Closed, Left::Idle, Left::Busy];
const RELEASED: [Released; 4] = [Released::Plain, Released::Zstd, Released::Gzip, Released::Recycled];
/// How many there are.
const BASES: usize = LEFT.len() * RELEASED.len() * 2;

impl Base {
    /// Journal `index`, counted round and round.
    pub fn get(index: u8) -> &'static Base {
        static BUILT: [OnceLock<Base>; BASES] = [const { OnceLock::new() }; BASES];
        let index = usize::from(index) % BASES;
        BUILT[index].get_or_init(|| {
            let left = LEFT[index % LEFT.len()];
            let released = RELEASED[index / LEFT.len() % RELEASED.len()];
            Base::build(left, released, index / (LEFT.len() * RELEASED.len()) == 1)
        })
    }

    /// Segments of every birth: created, rotated, released, begun by an open, begun with adopted entries.
    fn build(left: Left, released: Released, compress: bool) -> Base {
        let options = JournalOptions {
            segment_bytes: 4 << 10,
            compress,
            pack_level: (released == Released::Zstd).then_some(3),
            retention: if released == Released::Recycled { Retention::Recycle } else { Retention::Keep },
            ..JournalOptions::tiny()
        };
        let (env, handles) = Env::sim(1);
        handles.fs.install_dir(Path::new("/db")).unwrap();
        let mut journal = SegmentedJournal::create(&env, Path::new(DIR), IDENTITY, options.clone()).unwrap();
        let mut last = 0;
        let mut append = |journal: &SegmentedJournal, groups: u64| {
            for group in 0..groups {
                let entries: Vec<Vec<u8>> = (0..=group % 2).map(|at| entry(last + 1 + at)).collect();
                let borrowed: Vec<&[u8]> = entries.iter().map(Vec::as_slice).collect();
                assert_eq!(journal.append_group(&borrowed).unwrap(), Lsn(last + 1));
                last += borrowed.len() as u64;
            }
        };
        let idle = || {
            for _ in 0..3 {
                handles.tasks.settle(20);
                handles.clock.sleep(Duration::from_millis(6));
            }
        };
        append(&journal, 10);
        let flushed = journal.segments().unwrap()[1].last_lsn.unwrap();
        journal.release(flushed).unwrap();
        if left != Left::Busy || released == Released::Recycled {
            idle();
        }
        append(&journal, 1);
        // Killed: the last group is adopted.
        drop(journal);
        let reopen =
            || SegmentedJournal::open(&env, Path::new(DIR), IDENTITY, flushed, options.clone()).unwrap().0;
        journal = reopen();
        idle();
        append(&journal, 2);
        journal.close().unwrap();
        drop(journal);
        journal = reopen();
        append(&journal, 3);
        match left {
            Left::Closed => journal.close().unwrap(),
            Left::Idle => idle(),
            Left::Busy => {}
        }
        drop(journal);
        handles.fs.settle();
        let mut files = Files::new();
        for path in handles.fs.paths().into_iter().filter(|path| path.starts_with(DIR)) {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let bytes = handles.fs.read_all(&path).unwrap();
            if released == Released::Gzip && name.starts_with("segment.") {
                files.insert(format!("{name}.gz"), packed::gzip(&bytes));
            } else {
                files.insert(name, bytes);
            }
        }
        let recycles = released == Released::Recycled;
        Base::with(files, last, flushed, recycles)
    }

    fn with(files: Files, last: u64, flushed: Lsn, recycles: bool) -> Base {
        let newest = files.keys().rfind(|name| name.starts_with("live.")).unwrap().clone();
        let number = newest.split('.').nth(1).unwrap().parse().unwrap();
        let proofs = proofs(&files[&newest], number);
        assert_eq!(proofs.last().unwrap().last_lsn, last);
        let slot = |at: u64| {
            let identity = identity(0);
            let slot = decode(&files["HEAD"][at as usize..], &identity, at).unwrap();
            number_at(slot.payload, 24)
        };
        let head = [slot(0), slot(HEAD.1 as u64)];
        Base { last, flushed, recycles, newest, proofs, head, files }
    }

    /// The last entry that something in the damaged files proves to have been durable: a frame of the newest segment
    /// that is where it was, or a slot of `HEAD`. A lower bound, computed from the bytes that are the same.
    pub fn provable(&self, files: &Files) -> u64 {
        let same = |name: &str, place: &Range<usize>| {
            let now = files.get(name).and_then(|bytes| bytes.get(place.clone()));
            now.is_some() && now == self.files[name].get(place.clone())
        };
        let proven = self.proofs.iter().filter(|proof| same(&self.newest, &proof.place));
        let durable_bytes = proven.map(|proof| proof.durable_bytes).max().unwrap_or(0);
        let before = self.proofs.iter().take_while(|proof| proof.place.end <= durable_bytes);
        let by_frames = before.map(|proof| proof.last_lsn).max().unwrap_or(0);
        // A longer file is not taken for `HEAD`.
        let is_head = files.get("HEAD").is_some_and(|bytes| bytes.len() <= HEAD.0);
        let slots = [0..HEAD.1, HEAD.1..HEAD.0].into_iter().zip(self.head);
        let by_head = slots.filter(|(place, _)| is_head && same("HEAD", place)).map(|(_, last)| last).max();
        by_frames.max(by_head.unwrap_or(0))
    }
}

fn identity(file: u64) -> FileIdentity {
    let JournalIdentity { database, timeline } = IDENTITY;
    FileIdentity { database, timeline, log: LogKind::Journal, file }
}

fn number_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
}

/// What each frame of a segment proves.
fn proofs(bytes: &[u8], number: u64) -> Vec<Proof> {
    let mut proofs = Vec::new();
    let (mut at, mut last_lsn) = (0, 0);
    while let Ok(frame) = decode(&bytes[at..], &identity(number), at as u64) {
        let end = at + frame.frame_bytes;
        let durable_bytes = if at == 0 {
            // The header: last LSN of the predecessor, and the length that was built before the file had its name.
            last_lsn = number_at(frame.payload, 32);
            number_at(frame.payload, 56)
        } else {
            last_lsn += u64::from(frame.header.count);
            frame.header.watermark
        };
        proofs.push(Proof { place: at..end, durable_bytes: durable_bytes as usize, last_lsn });
        at = end;
    }
    proofs
}
