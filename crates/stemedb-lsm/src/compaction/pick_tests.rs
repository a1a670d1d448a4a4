//! The picker on trees that are made up: no file is read.

use std::{collections::BTreeSet, sync::Arc};

use stemedb_env::{Lsn, frame::DatabaseId, fs::SimFs};

use super::{
    column::columns,
    pick::{Facts, debt_bytes, pick_column, pick_crowded, pick_l0},
    task::{Kind, Task},
};
use crate::{
    LsmOptions,
    memory::Memory,
    stats::Counters,
    store::{DamageList, DenseTables, Graveyard},
    table::{Healer, Table, TableContext, TableMeta},
    version::{LAST_LEVEL, Version},
};

const MIB: u64 = 1 << 20;

struct Tree {
    context: Arc<TableContext>,
    tables: Vec<(usize, Arc<Table>)>,
    options: LsmOptions,
    damaged: BTreeSet<u64>,
    busy: BTreeSet<u64>,
    busy_ranges: Vec<(Vec<u8>, Vec<u8>)>,
    horizon: Lsn,
    reported: BTreeSet<u64>,
}

impl Tree {
    fn new() -> Tree {
        let context = TableContext {
            fs: Arc::new(SimFs::new()),
            dir: "/kv".into(),
            database: DatabaseId([1; 16]),
            memory: Memory::unlimited(1 << 20),
            counters: Counters::default(),
            damage: DamageList::default(),
            graveyard: Graveyard::default(),
            dense: DenseTables::default(),
            healer: Healer::default(),
            prefix_extractor: None,
        };
        Tree {
            context: Arc::new(context),
            tables: Vec::new(),
            options: LsmOptions { memtable_bytes: 32 << 20, ..LsmOptions::default() },
            damaged: BTreeSet::new(),
            busy: BTreeSet::new(),
            busy_ranges: Vec::new(),
            horizon: Lsn::MAX,
            reported: BTreeSet::new(),
        }
    }

    /// Adds a table and returns its number. Later ones are newer.
    fn add(&mut self, level: usize, keys: [&str; 2], mib: u64) -> u64 {
        self.add_with(level, keys, mib, |_| {})
    }

    fn add_with(&mut self, level: usize, keys: [&str; 2], mib: u64, change: impl Fn(&mut TableMeta)) -> u64 {
        let file = self.tables.len() as u64 + 1;
        let mut meta = TableMeta {
            file,
            bytes: mib * MIB,
            data_bytes: mib * MIB,
            smallest: keys[0].into(),
            largest: keys[1].into(),
            min_lsn: Lsn(file),
            max_lsn: Lsn(file),
            rows: 1000,
            keys: 1000,
            ..TableMeta::default()
        };
        change(&mut meta);
        self.tables.push((level, Arc::new(Table::new(meta, Arc::clone(&self.context)))));
        file
    }

    fn ask<T>(&self, question: impl Fn(&Facts<'_>) -> T) -> T {
        let version = Version::new(self.tables.iter().cloned());
        question(&Facts {
            version: &version,
            options: &self.options,
            damaged: &|file| self.damaged.contains(&file),
            busy: &self.busy,
            busy_ranges: &self.busy_ranges,
            horizon: self.horizon,
            reported: &self.reported,
        })
    }

    /// Level 0 with this many tables over all keys.
    fn flushed(&mut self, count: usize) -> Vec<u64> {
        (0..count).map(|_| self.add(0, ["a", "z"], 32)).collect()
    }
}

fn inputs(task: &Task) -> Vec<u64> {
    let mut files: Vec<u64> = task.inputs.iter().map(|(_, table)| table.meta.file).collect();
    files.sort_unstable();
    files
}

fn moves(task: &Task) -> Vec<(u64, usize)> {
    task.moves.iter().map(|(_, table, to)| (table.meta.file, *to)).collect()
}

fn levels(task: &Task) -> Vec<(Option<&str>, usize, bool)> {
    let end = |upto| std::str::from_utf8(upto).unwrap();
    task.places.iter().map(|place| (place.upto.as_deref().map(end), place.level, place.is_bottom)).collect()
}

#[test]
fn level_0_is_left_alone_until_it_is_due() {
    let mut tree = Tree::new();
    tree.flushed(3);
    assert!(tree.ask(pick_l0).is_none() && tree.ask(debt_bytes) == 0);
    let all = [tree.flushed(1), vec![1, 2, 3]].concat();
    let task = tree.ask(pick_l0).unwrap();
    assert_eq!((task.kind, inputs(&task).len()), (Kind::Level0, all.len()));
    assert_eq!(levels(&task), [(None, LAST_LEVEL, true)]);
    assert_eq!(tree.ask(debt_bytes), 4 * 32 * MIB);
}

/// A column of a gigabyte with a run above its last one, and two of half a gigabyte without.
fn three_columns() -> Tree {
    let mut tree = Tree::new();
    for keys in
        [["a", "c"], ["d", "f"], ["g", "i"], ["j", "l"], ["p", "r"], ["s", "u"], ["v", "x"], ["y", "z"]]
    {
        tree.add(LAST_LEVEL, keys, 256);
    }
    tree.add(5, ["b", "k"], 64);
    tree
}

#[test]
fn level_0_becomes_a_run_on_top_of_each_column() {
    let mut tree = three_columns();
    assert_eq!(tree.ask(|facts| columns(facts.version, facts.options).len()), 3);
    let newest = tree.flushed(4);
    let task = tree.ask(pick_l0).unwrap();
    assert_eq!(inputs(&task), newest);
    assert_eq!(levels(&task), [(Some("l"), 4, false), (Some("u"), 5, false), (None, 5, false)]);
}

#[test]
fn in_a_tree_of_one_column_level_0_goes_all_the_way_when_a_merge_would_be_due_next() {
    let mut tree = Tree::new();
    let last = tree.add(LAST_LEVEL, ["a", "z"], 200);
    let newest = tree.flushed(4);
    let task = tree.ask(pick_l0).unwrap();
    assert_eq!(inputs(&task), [vec![last], newest].concat());
    assert_eq!(levels(&task), [(None, LAST_LEVEL, true)]);
    assert_eq!(tree.ask(debt_bytes), (200 + 128) * MIB);
}

#[test]
fn newer_rows_do_not_sink_below_a_damaged_table_of_level_0() {
    let mut tree = Tree::new();
    let newest = tree.flushed(5);
    tree.damaged.insert(newest[2]);
    assert_eq!(inputs(&tree.ask(pick_l0).unwrap()), newest[..2]);
    tree.damaged.insert(newest[0]);
    assert!(tree.ask(pick_l0).is_none());
}

#[test]
fn a_column_without_room_is_merged_first_and_if_it_is_busy_level_0_gets_shorter_in_itself() {
    let mut tree = Tree::new();
    tree.options.upper_runs = 4;
    tree.add(LAST_LEVEL, ["a", "z"], 4000);
    for level in (1..LAST_LEVEL).rev() {
        tree.add(level, ["a", "z"], 100 * level as u64);
    }
    let newest = tree.flushed(8);
    // Runs of 100, 200, 300 … MiB, newest first: two are taken, the third is not larger than both, and so on.
    let task = tree.ask(pick_l0).unwrap();
    assert_eq!((task.kind, inputs(&task)), (Kind::Level0, vec![2, 3, 4, 5, 6]));
    assert_eq!(levels(&task), [(None, 5, false)]);
    assert_eq!(task.borders, [b"z".to_vec()]);
    // The column is being merged: eight tables of level 0 become one.
    tree.busy.extend([1, 2, 3, 4, 5, 6]);
    let task = tree.ask(pick_l0).unwrap();
    assert_eq!((inputs(&task), levels(&task)), (newest.clone(), vec![(None, 0, false)]));
    // Seven are not enough to pay for it.
    tree.tables.pop();
    assert!(tree.ask(pick_l0).is_none());
}

#[test]
fn runs_that_lie_high_above_the_next_one_sink_without_being_written() {
    let mut tree = Tree::new();
    let last = tree.add(LAST_LEVEL, ["a", "z"], 1000);
    let old = tree.add(3, ["a", "m"], 50);
    let new = tree.add(1, ["c", "z"], 40);
    tree.flushed(4);
    let task = tree.ask(pick_l0).unwrap();
    assert!(!task.rewrites());
    assert_eq!(moves(&task), [(old, 5), (new, 4)]);
    // What is being merged stays where it is, and so what is above it sinks less far.
    tree.busy.extend([last, old]);
    assert_eq!(moves(&tree.ask(pick_l0).unwrap()), [(new, 2)]);
}

#[test]
fn a_run_between_the_inputs_and_the_output_of_a_merge_stays_where_it_is() {
    let mut tree = Tree::new();
    tree.add(LAST_LEVEL, ["a", "z"], 1000);
    let inputs: Vec<u64> = (1..=3).rev().map(|level| tree.add(level, ["a", "z"], 40)).collect();
    // As an ingest leaves it: the merge of those three will write to level 5.
    let ingested = tree.add(4, ["m", "n"], 1);
    tree.flushed(4);
    tree.busy.extend(inputs);
    let task = tree.ask(pick_l0);
    assert!(task.is_some_and(|task| moves(&task) == [(ingested, 5)]), "without a merge it would sink");
    tree.busy_ranges.push((b"a".to_vec(), b"z".to_vec()));
    let task = tree.ask(pick_l0);
    assert!(task.is_none_or(|task| moves(&task).iter().all(|(table, _)| *table != ingested)));
}

#[test]
fn rows_in_order_go_to_the_last_level_unless_a_running_merge_writes_there() {
    let mut tree = Tree::new();
    tree.add(LAST_LEVEL, ["a", "c"], 32);
    for keys in [["d", "e"], ["f", "g"], ["h", "i"], ["h", "k"]] {
        tree.add(0, keys, 32);
    }
    let task = tree.ask(pick_l0).unwrap();
    assert!(!task.rewrites());
    assert_eq!(moves(&task), [(2, LAST_LEVEL), (3, LAST_LEVEL)]);
    tree.busy.insert(1);
    tree.busy_ranges.push((b"a".to_vec(), b"f".to_vec()));
    assert_eq!(moves(&tree.ask(pick_l0).unwrap()).len(), 0, "or a table would lie across another");
}

#[test]
fn a_column_is_merged_when_half_of_it_lies_above_its_last_run() {
    let mut tree = three_columns();
    assert!(tree.ask(pick_column).is_none() && tree.ask(debt_bytes) == 0);
    tree.add(4, ["b", "k"], 447);
    assert!(tree.ask(pick_column).is_none());
    tree.add(3, ["b", "c"], 1);
    let task = tree.ask(pick_column).unwrap();
    // The first gigabyte of the last run and what is above it.
    assert_eq!((task.kind, inputs(&task)), (Kind::Column, vec![1, 2, 3, 4, 9, 10, 11]));
    assert_eq!(levels(&task), [(None, LAST_LEVEL, true)]);
    assert_eq!(tree.ask(debt_bytes), (1024 + 512) * MIB);
    tree.damaged.insert(1);
    let task = tree.ask(pick_column).unwrap();
    assert_eq!(
        (inputs(&task), levels(&task)),
        (vec![9, 10, 11], vec![(None, 5, false)]),
        "as deep as is sound"
    );
}

#[test]
fn too_many_runs_become_fewer_and_large_ones_are_spared() {
    let mut tree = Tree::new();
    tree.add(LAST_LEVEL, ["a", "z"], 4000);
    let sizes = [(5, 900), (4, 40), (3, 30), (2, 25)];
    for (level, mib) in sizes {
        tree.add(level, ["a", "z"], mib);
    }
    let task = tree.ask(pick_column).unwrap();
    assert_eq!((inputs(&task), levels(&task)), (vec![3, 4, 5], vec![(None, 4, false)]));
    assert_eq!(tree.ask(debt_bytes), 95 * MIB);
}

#[test]
fn tables_that_overlap_nothing_stay_and_are_borders_for_the_others() {
    let mut tree = Tree::new();
    tree.add(LAST_LEVEL, ["a", "c"], 64);
    tree.add(LAST_LEVEL, ["d", "f"], 64);
    tree.add(LAST_LEVEL, ["g", "k"], 64);
    let high = tree.add(5, ["m", "p"], 64);
    tree.add(5, ["a", "b"], 10);
    tree.add(5, ["h", "i"], 30);
    let task = tree.ask(pick_column).unwrap();
    assert_eq!(inputs(&task), [1, 3, 5, 6]);
    assert_eq!(moves(&task), [(high, LAST_LEVEL)]);
    let ends: Vec<_> = levels(&task).into_iter().map(|(end, ..)| end).collect();
    assert_eq!(ends, [Some("f"), Some("p"), None]);
}

#[test]
fn removals_are_merged_away_as_soon_as_nobody_needs_them() {
    let mut tree = three_columns();
    tree.add_with(4, ["b", "k"], 8, |meta| meta.tombstones = 900);
    // 1,800 of 6,000 rows are dead.
    tree.horizon = Lsn(9);
    assert!(tree.ask(pick_column).is_none(), "a snapshot still needs them");
    tree.horizon = Lsn(10);
    assert_eq!(inputs(&tree.ask(pick_column).unwrap()), [1, 2, 3, 4, 9, 10]);
    // A few are not worth it, unless a scan has suffered.
    tree.tables.pop();
    let few = tree.add_with(4, ["b", "k"], 8, |meta| meta.tombstones = 90);
    assert!(tree.ask(pick_column).is_none());
    tree.reported.insert(few);
    assert_eq!(inputs(&tree.ask(pick_column).unwrap()).len(), 6);
}

#[test]
fn a_reported_table_of_level_0_is_merged_before_level_0_is_due() {
    let mut tree = Tree::new();
    let newest = tree.flushed(2);
    assert!(tree.ask(pick_l0).is_none());
    tree.reported.insert(newest[1]);
    assert_eq!(inputs(&tree.ask(pick_l0).unwrap()), newest);
}

#[test]
fn too_many_small_neighbours_become_larger_tables() {
    let mut tree = Tree::new();
    let keys: Vec<String> = (0..98).map(|n| format!("{n:03}")).collect();
    for key in &keys[..96] {
        tree.add(LAST_LEVEL, [key, key], 10);
    }
    assert!(tree.ask(pick_crowded).is_none());
    tree.add(LAST_LEVEL, [&keys[96], &keys[96]], 10);
    let task = tree.ask(pick_crowded).unwrap();
    // Up to one target (64 MiB) and a little more.
    assert_eq!(inputs(&task), [1, 2, 3, 4, 5, 6, 7]);
    tree.busy.extend([1, 2, 3, 4]);
    assert_eq!(inputs(&tree.ask(pick_crowded).unwrap()), [5, 6, 7, 8, 9, 10, 11]);
}

#[test]
fn only_scans_that_suffer_report_a_table() {
    let tree = Tree::new();
    assert!(!tree.context.note_dead_rows(7, 1000));
    assert!(tree.context.note_dead_rows(7, 1001));
    assert!(!tree.context.note_dead_rows(7, 5000), "known already");
    assert_eq!(tree.context.dense.files(), BTreeSet::from([7]));
    tree.context.dense.forget(&[7]);
    assert!(tree.context.dense.files().is_empty());
}
