//! The formats, byte for byte: what is written today is what the golden files hold, they are read as what was written, and
//! every field is where its page says.
//!
//! `STEMEDB_BLESS=1 cargo test -p stemedb-lsm --test golden` writes them anew: after `docs/formats/sst.md` or
//! `docs/formats/manifest.md` has been changed, or when LZ4 or Zstandard packs differently.
// Helpers outside the test functions unwrap too; golden files are real ones.
#![allow(clippy::disallowed_methods, clippy::unwrap_used)]

#[path = "../fuzz/src/page.rs"]
#[allow(dead_code, missing_docs)]
mod page;
mod support;

use std::path::{Path, PathBuf};

use page::{Properties, Table, Version};
use stemedb_env::{Env, Lsn, frame::DatabaseId};
use stemedb_lsm::{
    Compression, Direction, KeyRange, KvStore, LsmOptions, RangeRemoval, Row, WriteBatch,
    fuzzing::{AloneTable, Shape},
};
use support::{declared_prefix, dir, rows};

const DATABASE: [u8; 16] = *b"golden database!";

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

/// Compares with the golden file, or makes it.
fn compare(name: &str, bytes: &[u8]) {
    if std::env::var_os("STEMEDB_BLESS").is_some() {
        std::fs::create_dir_all(golden("")).unwrap();
        std::fs::write(golden(name), bytes).unwrap();
    }
    let expected = std::fs::read(golden(name)).unwrap();
    let differs = bytes.iter().zip(&expected).position(|(one, other)| one != other);
    assert_eq!(differs, None, "{name} differs at this offset");
    assert_eq!(bytes.len(), expected.len(), "{name}");
}

fn row(key: impl AsRef<[u8]>, lsn: u64, value: Option<&[u8]>) -> Row {
    Row { key: key.as_ref().to_vec(), lsn: Lsn(lsn), value: value.map(<[u8]>::to_vec) }
}

const SHAPE: Shape = Shape {
    block_bytes: 256,
    bits_per_key: 16,
    compression: Compression::None,
    prefix_extractor: Some(declared_prefix),
    derivation_version: 7,
    horizon: Lsn(40),
    drops_tombstones: true,
};

/// Plain blocks: several versions of a key across blocks, removals, keys and values of many lengths.
fn plain() -> (Shape, Vec<Row>) {
    let mut rows = Vec::new();
    for subject in ["earth", "mars", "venus"] {
        for n in 0..6u64 {
            let key = format!("claim/{subject}/{}{n}", "p".repeat(n as usize));
            let versions = if (subject, n) == ("mars", 3) { 20 } else { 1 + n % 3 };
            for version in 0..versions {
                let removed = (n + version) % 5 == 4;
                let value = format!("{subject} {n} {version}").repeat(1 + (n % 4) as usize);
                rows.push(row(&key, 70_000 - 100 * n - version, (!removed).then_some(value.as_bytes())));
            }
        }
    }
    (SHAPE, rows)
}

/// Compressed blocks, a row far larger than a block, and one that does not shrink.
fn packed() -> (Shape, Vec<Row>) {
    let mut rows: Vec<Row> = (0..30)
        .map(|n| row(format!("claim/sky/{n:04}"), 9 + n % 2, Some("the sky is blue, ".repeat(4).as_bytes())))
        .collect();
    rows.push(row("claim/sky/large", 1 << 40, Some(&b"again and again; ".repeat(4_200))));
    rows.push(row("claim/sky/large-too", 3, Some(b"short")));
    let noise: Vec<u8> = (0..300u64).map(|n| ((n * n * 2_654_435_761) >> 11) as u8).collect();
    rows.push(row("claim/sky/noise", 4, Some(&noise)));
    rows.push(row("noprefix", 5, None));
    (Shape { block_bytes: 512, bits_per_key: 10, compression: Compression::Lz4, ..SHAPE }, rows)
}

/// The same rows, packed otherwise.
fn zstd() -> (Shape, Vec<Row>) {
    let (shape, rows) = packed();
    (Shape { compression: Compression::Zstd(3), ..shape }, rows)
}

/// Columns that are left out: equal keys, values and LSNs; no declared prefixes, one probe, one block.
fn bare() -> (Shape, Vec<Row>) {
    let rows = (0..9).map(|n| row([b'k', n], 12, Some(&[n; 3]))).collect();
    let shape = Shape {
        block_bytes: 4096,
        bits_per_key: 1,
        prefix_extractor: None,
        derivation_version: 0,
        horizon: Lsn(0),
        drops_tombstones: false,
        ..SHAPE
    };
    (shape, rows)
}

/// Removed ranges that overlap, touch and reach beyond the rows.
fn removed_ranges() -> (Shape, Vec<Row>, Vec<RangeRemoval>) {
    let range = |start: &str, end: &str, lsn| RangeRemoval {
        start: start.as_bytes().to_vec(),
        end: end.as_bytes().to_vec(),
        lsn: Lsn(lsn),
    };
    let rows = (0..12).map(|n| row(format!("claim/mars/{n:02}"), 50 + n, Some(b"red"))).collect();
    let ranges = vec![
        range("claim/mars/03", "claim/mars/07", 44),
        range("claim/mars/05", "claim/mars/09", 61),
        range("claim/mars/09", "claim/mars/10", 61),
        range("claim/earth/", "claim/earth0", 70),
        range("claim/venus/", "claim/venus/x\0", 43),
    ];
    (Shape { bits_per_key: 10, ..SHAPE }, rows, ranges)
}

/// No row at all.
fn ranges_alone() -> (Shape, Vec<Row>, Vec<RangeRemoval>) {
    let (shape, _, ranges) = removed_ranges();
    (shape, Vec::new(), ranges.into_iter().take(2).collect())
}

type RangeCase = (&'static str, u64, fn() -> (Shape, Vec<Row>, Vec<RangeRemoval>));
const RANGE_CASES: [RangeCase; 2] =
    [("ranges.sst", 7, removed_ranges), ("ranges-alone.sst", 8, ranges_alone)];

#[test]
fn removed_ranges_are_where_the_page_says() {
    for (name, file, case) in RANGE_CASES {
        let (shape, rows, ranges) = case();
        let (env, handles) = Env::sim(1);
        handles.fs.install_dir(&dir()).unwrap();
        let database = DatabaseId(DATABASE);
        let table =
            AloneTable::write_with_ranges(&env, &dir(), database, file, shape, &rows, &ranges).unwrap();
        compare(name, &handles.fs.read_all(&dir().join(format!("{file:06}.sst"))).unwrap());
        assert_eq!(table.verify().unwrap(), rows.len() as u64);
        let page = page_of(name, file);
        // Of every key and LSN the page says what the ranges say.
        let keys = (0..16).map(|n| format!("claim/mars/{n:02}")).chain(["claim/earth/x".to_owned()]);
        let more =
            ["claim/earth0", "claim/venus/", "claim/venus/x", "claim/venus/x\0", ""].map(str::to_owned);
        for key in keys.chain(more) {
            let key = key.as_bytes();
            let mut wanted: Vec<u64> = ranges
                .iter()
                .filter(|range| range.start.as_slice() <= key && key < range.end.as_slice())
                .map(|range| range.lsn.0)
                .collect();
            wanted.sort();
            let mut found: Vec<u64> = page
                .pieces()
                .filter(|(start, end, _)| *start <= key && key < *end)
                .map(|(.., lsn)| lsn)
                .collect();
            found.sort();
            assert_eq!(found, wanted, "{name}: {key:?}");
            for lsn in 40..75 {
                let removed = wanted.iter().copied().filter(|removed| *removed <= lsn).max();
                let row = rows.iter().find(|row| row.key == key && row.lsn.0 <= lsn);
                let shown = match (row, removed) {
                    (Some(row), removed) if removed.is_none_or(|removed| row.lsn.0 >= removed) => {
                        Some(row.value.clone())
                    }
                    (_, removed) => removed.map(|_| None),
                };
                assert_eq!(table.get(key, Lsn(lsn)).unwrap(), shown, "{name}: {key:?} at {lsn}");
            }
        }
        assert!(page.ranges.len() >= 2 && page.pieces().count() > page.ranges.len(), "{name}");
    }
}

#[test]
fn a_page_with_removed_ranges_is_strict() {
    let whole = std::fs::read(golden("ranges.sst")).unwrap();
    for at in 0..whole.len() {
        let mut rotten = whole.clone();
        rotten[at] ^= 1 << (at % 8);
        assert!(page::table(&rotten, DATABASE, 7).is_err(), "byte {at}");
    }
}

/// Folded blocks: keys of many lengths that share much with the one before, several versions, removals.
fn folded() -> (Shape, Vec<Row>) {
    let mut rows = Vec::new();
    for n in 0..120u64 {
        let key = format!("claim/{}/boiling_point/{}", 1000 + n / 7, "source:".repeat(1 + (n % 5) as usize));
        for version in 0..1 + n % 3 {
            let removed = (n + version) % 11 == 4;
            let value = format!("{n} K, measured at sea level");
            rows.push(row(format!("{key}{n:03}"), 900 + n - version, (!removed).then_some(value.as_bytes())));
        }
    }
    rows.sort_by(|a, b| (&a.key, b.lsn).cmp(&(&b.key, a.lsn)));
    (Shape { block_bytes: 1024, compression: Compression::Zstd(1), ..SHAPE }, rows)
}

type Case = (&'static str, u64, fn() -> (Shape, Vec<Row>));
const CASES: [Case; 5] = [
    ("plain.sst", 3, plain),
    ("packed.sst", 1_000_004, packed),
    ("zstd.sst", 6, zstd),
    ("bare.sst", 5, bare),
    ("folded.sst", 8, folded),
];

fn write(file: u64, shape: Shape, rows: &[Row]) -> (AloneTable, Vec<u8>) {
    let (env, handles) = Env::sim(1);
    handles.fs.install_dir(&dir()).unwrap();
    let table = AloneTable::write(&env, &dir(), DatabaseId(DATABASE), file, shape, rows).unwrap();
    let bytes = handles.fs.read_all(&dir().join(format!("{file:06}.sst"))).unwrap();
    (table, bytes)
}

fn version(row: &Row) -> Version {
    (row.key.clone(), row.lsn.0, row.value.clone())
}

#[test]
fn tables_written_today_are_the_golden_ones() {
    for (name, file, case) in CASES {
        let (shape, rows) = case();
        compare(name, &write(file, shape, &rows).1);
    }
}

#[test]
fn golden_tables_are_read_as_what_was_written() {
    for (name, file, case) in CASES {
        let (shape, rows) = case();
        let (written, _) = write(file, shape, &rows);
        let (env, handles) = Env::sim(2);
        let path = dir().join(format!("{file:06}.sst"));
        handles.fs.install(&path, &std::fs::read(golden(name)).unwrap()).unwrap();
        for extractor in [shape.prefix_extractor, None] {
            let table = written.elsewhere(&env, &dir(), DatabaseId(DATABASE), extractor);
            assert_eq!(table.verify().unwrap(), rows.len() as u64, "{name}");
            let all = table.scan(&KeyRange::all(), Direction::Forward, extractor).unwrap();
            assert_eq!(all, rows, "{name}");
            let mut back = table.scan(&KeyRange::all(), Direction::Backward, extractor).unwrap();
            back.reverse();
            assert_eq!(back, rows, "{name} backward");
            for (at, row) in rows.iter().enumerate() {
                let exact = table.get(&row.key, row.lsn).unwrap();
                assert_eq!(exact, Some(row.value.clone()), "{name}, row {at}");
                // What is visible right below this version: the next older one of the same key.
                let older = rows.get(at + 1).filter(|next| next.key == row.key);
                let below = table.get(&row.key, row.lsn.prev()).unwrap();
                assert_eq!(below, older.map(|row| row.value.clone()), "{name}, below row {at}");
                let range = KeyRange::prefix(row.key.clone());
                let inside: Vec<Row> =
                    rows.iter().filter(|other| other.key.starts_with(&row.key)).cloned().collect();
                assert_eq!(table.scan(&range, Direction::Forward, extractor).unwrap(), inside, "{name}");
            }
        }
    }
}

fn page_of(name: &str, file: u64) -> Table {
    page::table(&std::fs::read(golden(name)).unwrap(), DATABASE, file)
        .unwrap_or_else(|what| panic!("{name}: {what}"))
}

#[test]
fn every_field_of_a_golden_table_is_where_the_page_says() {
    for (name, file, case) in CASES {
        let (shape, rows) = case();
        // Checksums, order, separators, filters, hash indexes and sums are checked by the page's parser itself.
        let table = page_of(name, file);
        assert!(table.rows().eq(&rows.iter().map(version).collect::<Vec<_>>()), "{name}");
        let Properties { horizon, derivation, drops, .. } = table.properties;
        assert_eq!(
            (horizon, derivation, drops),
            (shape.horizon.0, u64::from(shape.derivation_version), u64::from(shape.drops_tombstones))
        );
        // Filters have the promised size, know every declared prefix, and rule something out.
        let keys = table.properties.keys;
        let lines = (keys * u64::from(shape.bits_per_key)).div_ceil(512).max(1);
        assert_eq!(table.key_filter.len() as u64, 4 + lines * 64, "{name}");
        for Row { key, .. } in &rows {
            assert!(
                page::filter_says_maybe(&table.prefix_filter, &key[..declared_prefix(key)])
                    || declared_prefix(key) == 0
                    // It is in the key filter.
                    || declared_prefix(key) == key.len()
            );
        }
        assert_eq!(table.prefix_filter.is_empty(), shape.prefix_extractor.is_none());
        let absent =
            (0..1000).filter(|n| page::filter_says_maybe(&table.key_filter, format!("no {n}").as_bytes()));
        assert!(absent.count() < if shape.bits_per_key < 10 { 700 } else { 40 }, "{name}");
        // Every byte belongs to a part with a checksum.
        let mut parts = table.parts.clone();
        parts.sort();
        let end = parts.iter().fold(0, |at, (offset, n)| {
            assert_eq!(at, *offset, "{name}: a gap");
            offset + n
        });
        assert_eq!(end, std::fs::read(golden(name)).unwrap().len());
    }
}

/// A golden file that lost its special case would still be compared and prove less.
#[test]
fn the_golden_tables_have_every_case_of_the_format() {
    let plain = page_of("plain.sst", 3);
    assert!(plain.seen.compressed == 0 && plain.seen.removals > 3 && plain.seen.hash_indexes > 2);
    assert!(plain.seen.conflicts > 0 && plain.blocks.len() > 5);
    let across = |pair: &[Vec<Version>]| pair[0].last().unwrap().0 == pair[1].first().unwrap().0;
    assert!(plain.blocks.windows(2).filter(|pair| across(pair)).count() >= 2, "a key across three blocks");
    let packed = page_of("packed.sst", 1_000_004);
    assert!(packed.seen.compressed >= 3 && packed.seen.wide_starts == 1, "{:?}", packed.seen);
    assert!(
        (packed.seen.compressed as usize) < packed.blocks.len(),
        "a block that does not shrink stays as it is"
    );
    let zstd = page_of("zstd.sst", 6);
    assert!(zstd.seen.zstd >= 3 && zstd.seen.zstd == zstd.seen.compressed, "{:?}", zstd.seen);
    assert_eq!(packed.seen.zstd, 0);
    let folded = page_of("folded.sst", 8);
    assert!(folded.seen.folded > 5 && folded.seen.removals > 5, "{:?}", folded.seen);
    assert_eq!((plain.seen.folded, zstd.seen.folded), (0, packed.seen.folded));
    let bare = page_of("bare.sst", 5);
    assert_eq!((bare.seen.equal_keys, bare.seen.equal_values, bare.seen.equal_lsns), (1, 1, 1));
    assert_eq!(bare.blocks.len(), 1);
}

#[test]
fn the_page_is_strict() {
    let whole = std::fs::read(golden("plain.sst")).unwrap();
    for at in 0..whole.len() {
        let mut rotten = whole.clone();
        rotten[at] ^= 1 << (at % 8);
        assert!(page::table(&rotten, DATABASE, 3).is_err(), "byte {at}");
    }
    assert!(page::table(&whole, DATABASE, 4).is_err());
}

/// A snapshot, edits that add, replace and move, and their marks; and the table of the last flush.
fn manifest() -> (Vec<u8>, Vec<u8>, Vec<u8>) {
    let (env, handles) = Env::sim(1);
    let options = LsmOptions { compression: Compression::None, ..support::options() };
    let store = stemedb_lsm::LsmStore::create(env, &dir(), DatabaseId(DATABASE), options).unwrap();
    for lsn in 1..=3u64 {
        let mut batch = WriteBatch::new();
        batch.put(b"claim/mars/colour", format!("red {lsn}").as_bytes());
        batch.put(format!("claim/mars/{lsn}").as_bytes(), b"value");
        batch.delete(b"claim/mars/gone");
        store.apply(&batch, Lsn(lsn)).unwrap();
        store.publish(Lsn(lsn));
        store.flush().unwrap();
        if lsn == 2 {
            store.compact().unwrap();
        }
    }
    assert_eq!(rows(&store.snapshot(), &KeyRange::all(), Direction::Forward).unwrap().len(), 4);
    store.close();
    let read = |name: &str| handles.fs.read_all(&dir().join(name)).unwrap();
    (read("CURRENT"), read("MANIFEST-000001"), read(&format!("{CLOSING:06}.sst")))
}

/// The number of the last table of that tree.
const CLOSING: u64 = 4;

#[test]
fn a_manifest_written_today_is_the_golden_one() {
    let (current, manifest, closing) = manifest();
    compare("CURRENT", &current);
    compare("MANIFEST-000001", &manifest);
    compare("closing.sst", &closing);
}

#[test]
fn the_record_of_a_change_is_where_the_page_says() {
    let table = page_of("closing.sst", CLOSING);
    let record = table.record.unwrap();
    let frames = page::manifest(&std::fs::read(golden("MANIFEST-000001")).unwrap(), DATABASE, 1).unwrap();
    let edits: Vec<page::Edit> = frames
        .iter()
        .filter(|frame| frame.kind != 3)
        .map(|frame| page::edit(&frame.payload).unwrap())
        .collect();
    assert_eq!(
        edits.iter().map(|edit| edit.sequence).collect::<Vec<_>>(),
        (0..edits.len() as u64).collect::<Vec<_>>()
    );
    // The last edit of the manifest is the change, and the state is what the others add up to.
    let (last, before) = edits.split_last().unwrap();
    assert_eq!((record.placing, record.level, record.edit.added.len()), (0, 0, 0));
    assert_eq!((record.edit.flushed, record.edit.horizon), (last.flushed, last.horizon));
    assert_eq!((record.edit.next_file, record.edit.removed), (last.next_file, vec![]));
    let mut live = std::collections::BTreeMap::new();
    for edit in before {
        edit.removed.iter().for_each(|file| drop(live.remove(file)));
        live.extend(edit.added.iter().map(|(level, table)| (table.file, (*level, table.clone()))));
    }
    assert_eq!(record.state.sequence, before.len() as u64 - 1);
    assert_eq!(record.state.added, live.into_values().collect::<Vec<_>>());
    assert_eq!(record.state.flushed, 2);
    let [(0, added)] = &last.added[..] else { panic!("{last:?}") };
    assert_eq!(table.properties, Properties { bytes: 0, ..added.clone() });
    assert!(page_of("plain.sst", 3).record.is_none());
}

#[test]
fn every_field_of_the_golden_manifest_is_where_the_page_says() {
    let mut covered = DATABASE.to_vec();
    covered.extend_from_slice(b"MANIFEST-000001");
    let line = format!("MANIFEST-000001 {:016x}\n", xxhash_rust::xxh3::xxh3_64(&covered));
    assert_eq!(std::fs::read_to_string(golden("CURRENT")).unwrap(), line);
    let bytes = std::fs::read(golden("MANIFEST-000001")).unwrap();
    let frames = page::manifest(&bytes, DATABASE, 1).unwrap();
    assert_eq!((frames[0].kind, frames[0].watermark), (1, 0));
    let mut live = std::collections::BTreeMap::new();
    let mut edits = 0;
    for (at, frame) in frames.iter().enumerate() {
        match frame.kind {
            1 => assert_eq!(at, 0),
            2 => {
                // Everything before it had been synced; the mark behind it says the same of the edit itself.
                let mark = &frames[at + 1];
                assert_eq!((mark.kind, mark.payload.len()), (3, 0));
                assert_eq!(mark.watermark, mark.offset as u64);
                assert!(frame.watermark <= frame.offset as u64);
            }
            _ => continue,
        }
        let edit = page::edit(&frame.payload).unwrap();
        edits += 1;
        for file in &edit.removed {
            assert!(live.remove(file).is_some(), "table {file} was not live");
        }
        for (level, properties) in edit.added {
            assert!(properties.file < edit.next_file && properties.bytes > 152 && properties.rows > 0);
            assert!(properties.lsns.1 <= 3);
            live.insert(properties.file, level);
        }
        if at + 2 >= frames.len() {
            assert_eq!((edit.flushed, edit.horizon), (3, 3));
        }
    }
    assert!(edits >= 5, "{edits}");
    assert!(live.values().any(|level| *level == 6) && live.values().any(|level| *level == 0), "{live:?}");
}
