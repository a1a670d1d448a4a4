//! Keys, values, batches and options that follow from the dice.

use stemedb_lsm::{Compression, Direction, KeyRange, LsmOptions};

use super::model::Write;
use crate::Dice;

/// A key's declared prefix ends behind its second slash.
pub(super) fn declared_prefix(key: &[u8]) -> usize {
    let mut slashes = key.iter().enumerate().filter(|(_, byte)| **byte == b'/');
    slashes.nth(1).map_or(0, |(at, _)| at + 1)
}

/// Key number `n`: long shared prefixes, and neighbours that differ late.
pub(super) fn key(n: u64) -> Vec<u8> {
    format!("claim/subject-{:03}/predicate/{n:05}", n % 53).into_bytes()
}

/// A key that is never written, between those that are.
pub(super) fn absent_key(n: u64) -> Vec<u8> {
    [key(n), b"?".to_vec()].concat()
}

fn value(dice: &mut Dice) -> Vec<u8> {
    let longest = match dice.below(100) {
        0 => 900,
        1 => 4_000,
        _ => 40,
    };
    let byte = b'a' + dice.below(20) as u8;
    let mut value = vec![byte; dice.size(longest)];
    // Not all of it shrinks.
    for at in (0..value.len()).step_by(3) {
        if let Some(byte) = value.get_mut(at) {
            *byte = dice.below(256) as u8;
        }
    }
    value
}

pub(super) fn writes(dice: &mut Dice, keys: u64) -> Vec<Write> {
    let size = if dice.one_in(100) { 120 } else { dice.below(8) };
    (0..size)
        .map(|_| {
            if dice.one_in(40) {
                return removed_range(dice, keys);
            }
            let key = key(dice.below(keys));
            let removal = dice.one_in(5);
            Write::Row(key, (!removal).then(|| value(dice)))
        })
        .collect()
}

/// A key, a subject, a part of one, a few subjects, or nearly everything; also none at all.
fn removed_range(dice: &mut Dice, keys: u64) -> Write {
    let start = key(dice.below(keys));
    match dice.below(8) {
        0 | 1 => {
            let end = [start.as_slice(), &[0]].concat();
            Write::Range(start, end)
        }
        2 | 3 => {
            let range = KeyRange::prefix(format!("claim/subject-{:03}/", dice.below(53)));
            Write::Range(range.start, range.end.unwrap_or_default())
        }
        // A key that was never written, and a bound that nobody has.
        4 => Write::Range(absent_key(dice.below(keys)), [start.as_slice(), b"~"].concat()),
        5 => Write::Range(start, b"claim/subject-9".to_vec()),
        6 if dice.one_in(6) => Write::Range(Vec::new(), vec![0xFF]),
        _ => Write::Range(start, key(dice.below(keys))),
    }
}

/// Some keys, a few of them never written.
pub(super) fn several_keys(dice: &mut Dice, keys: u64, most: u64) -> Vec<Vec<u8>> {
    (0..dice.below(most + 1))
        .map(|_| {
            let n = dice.below(keys);
            if dice.one_in(5) { absent_key(n) } else { key(n) }
        })
        .collect()
}

pub(super) fn direction(dice: &mut Dice) -> Direction {
    if dice.one_in(2) { Direction::Forward } else { Direction::Backward }
}

pub(super) fn range(dice: &mut Dice, keys: u64) -> KeyRange {
    let mut ends = [key(dice.below(keys)), key(dice.below(keys))];
    match dice.below(8) {
        0 => KeyRange::all(),
        1 => KeyRange { start: key(dice.below(keys)), end: None, prefix_bytes: 0 },
        2..=4 => KeyRange::prefix(format!("claim/subject-{:03}/", dice.below(60))),
        5 => KeyRange::prefix(format!("claim/subject-{:03}/predicate/00", dice.below(53))),
        6 => {
            // May be empty, or the wrong way round.
            let [start, end] = ends;
            KeyRange::between(start, end)
        }
        _ => {
            ends.sort();
            let [start, end] = ends;
            KeyRange::between(start, end)
        }
    }
}

/// Options as somebody might choose them, small enough that a few hundred batches reach every level.
pub(super) fn options(dice: &mut Dice) -> LsmOptions {
    LsmOptions {
        memtable_bytes: dice.pick(&[1 << 10, 2 << 10, 8 << 10, 64 << 10]),
        max_sealed_memtables: dice.pick(&[1, 2, 3]),
        block_bytes: dice.pick(&[256, 1 << 10, 4 << 10, 16 << 10]),
        block_cache_bytes: dice.pick(&[0, 3 << 10, 32 << 10, 4 << 20]),
        target_table_bytes: dice.pick(&[2 << 10, 4 << 10, 16 << 10, 64 << 10]),
        l0_trigger: dice.pick(&[2, 3, 4, 8]),
        upper_runs: dice.pick(&[1, 2, 3, 4]),
        last_run_ratio: dice.pick(&[1, 2, 4, 8]),
        bloom_bits_per_key: dice.pick(&[0, 1, 10, 16]),
        compression: dice.pick(&[
            Compression::None,
            Compression::Lz4,
            Compression::Zstd(-1),
            Compression::Zstd(1),
        ]),
        prefix_extractor: (!dice.one_in(3)).then_some(declared_prefix),
        enable_auto_compaction: !dice.one_in(8),
        ..LsmOptions::default()
    }
}
