//! Which sets of tables are accepted.
use stemedb_env::Lsn;

use super::{
    AsideReason, RecoveryBasis,
    decide::{Decision, decide},
    evidence::Evidence,
};
use crate::{
    manifest::{Edit, Placing, Record, TreeState},
    table::{Described, TableMeta},
};

fn meta(file: u64, keys: (&str, &str), lsns: (u64, u64)) -> TableMeta {
    TableMeta {
        file,
        bytes: 500,
        smallest: keys.0.into(),
        largest: keys.1.into(),
        min_lsn: Lsn(lsns.0),
        max_lsn: Lsn(lsns.1),
        rows: 3,
        digest: u128::from(file),
        ..TableMeta::default()
    }
}

fn state(sequence: u64, flushed: u64, tables: &[(u32, &TableMeta)]) -> TreeState {
    let added = tables.iter().map(|(level, meta)| (*level, (*meta).clone())).collect();
    let mut state = TreeState::default();
    state.apply(&Edit { sequence, next_file: 90, flushed: Lsn(flushed), added, ..Edit::default() });
    state
}

fn merge(removed: &[u64], siblings: &[(u32, &TableMeta)]) -> Edit {
    let added = siblings.iter().map(|(level, meta)| (*level, (*meta).clone())).collect();
    Edit { removed: removed.to_vec(), added, horizon: Lsn(9), ..Edit::default() }
}

fn flush(flushed: u64) -> Edit {
    Edit { flushed: Lsn(flushed), ..Edit::default() }
}

fn told(placing: Placing, level: u32, state: &TreeState, edit: Edit) -> Option<Record> {
    Some(Record { placing, level, state: state.clone(), edit })
}

fn evidence(tables: &[(&TableMeta, Option<Record>)]) -> Evidence {
    let described = |(meta, record): &(&TableMeta, Option<Record>)| {
        (meta.file, Some(Described { meta: (*meta).clone(), record: record.clone() }))
    };
    Evidence { tables: tables.iter().map(described).collect(), ..Evidence::default() }
}

fn accepted(evidence: &Evidence) -> (Vec<(u64, u32)>, Decision) {
    let decision = decide(evidence, &mut |_| Ok(true)).unwrap();
    let tables = decision.state.tables.iter().map(|(file, (level, _))| (*file, *level)).collect();
    (tables, decision)
}

#[test]
fn a_merge_counts_only_when_what_it_replaced_is_gone_and_then_wholly() {
    let (old, new, out) =
        (meta(1, ("a", "f"), (1, 4)), meta(2, ("c", "h"), (5, 9)), meta(3, ("a", "h"), (1, 9)));
    let before = state(2, 9, &[(6, &old), (0, &new)]);
    let record = || told(Placing::AsTold, 6, &before, merge(&[1, 2], &[]));
    // All there: the state that the merge was made for.
    let (tables, decision) = accepted(&evidence(&[(&old, None), (&new, None), (&out, record())]));
    assert_eq!((tables, decision.state.flushed), (vec![(1, 6), (2, 0)], Lsn(9)));
    assert_eq!(decision.basis, RecoveryBasis::Table(3));
    assert_eq!(decision.aside(&evidence(&[(&out, None)])), [(3, AsideReason::Unproven)]);
    // One of them gone: its output alone, never beside the other one.
    for left in [&old, &new] {
        let evidence = evidence(&[(left, None), (&out, record())]);
        let (tables, decision) = accepted(&evidence);
        assert_eq!((tables, decision.completed.clone()), (vec![(3, 6)], vec![3]));
        assert_eq!(decision.aside(&evidence), [(left.file, AsideReason::Replaced)]);
        assert_eq!(decision.unattested(&evidence).collect::<Vec<_>>(), [3]);
    }
    // A part of the outputs: as much is missing with it as without it.
    let other = meta(4, ("i", "k"), (1, 9));
    let half = told(Placing::AsTold, 6, &before, merge(&[1, 2], &[(6, &other)]));
    let evidence = evidence(&[(&new, None), (&out, half)]);
    let (tables, decision) = accepted(&evidence);
    assert_eq!((tables, evidence.missing(&decision.state).collect()), (vec![(1, 6), (2, 0)], vec![1]));
}

#[test]
fn a_merge_does_not_count_when_something_has_come_between() {
    let (old, new, out) =
        (meta(1, ("a", "f"), (1, 4)), meta(2, ("c", "h"), (5, 9)), meta(3, ("a", "h"), (1, 9)));
    let before = state(2, 9, &[(6, &old), (0, &new)]);
    let given_up = || told(Placing::AsTold, 6, &before, merge(&[1, 2], &[]));
    // Rows of an ingest between the inputs, and a later table that knows of them.
    let between = meta(4, ("b", "d"), (10, 12));
    let later = meta(5, ("x", "z"), (13, 13));
    let after = state(3, 12, &[(6, &old), (0, &new), (5, &between)]);
    let known = || told(Placing::AsTold, 0, &after, flush(13));
    let (tables, _) =
        accepted(&evidence(&[(&old, None), (&out, given_up()), (&between, None), (&later, known())]));
    assert_eq!(
        tables,
        [(1, 6), (2, 0), (4, 5), (5, 0)],
        "with table 2 missing, and not its rows above newer ones"
    );
    // Newer rows on top are no hindrance, nor are other keys.
    for (level, meta) in [(0, meta(4, ("b", "d"), (10, 12))), (5, meta(4, ("r", "s"), (10, 12)))] {
        let after = state(3, 12, &[(6, &old), (0, &new), (level, &meta)]);
        let known = told(Placing::AsTold, 0, &after, flush(13));
        let (tables, _) =
            accepted(&evidence(&[(&old, None), (&out, given_up()), (&meta, None), (&later, known)]));
        assert_eq!(tables, [(3, 6), (4, level), (5, 0)]);
    }
    // An input that has moved is another state.
    let moved = state(3, 12, &[(5, &old), (0, &new)]);
    let known = told(Placing::AsTold, 0, &moved, flush(13));
    let (tables, _) = accepted(&evidence(&[(&new, None), (&out, given_up()), (&later, known)]));
    assert_eq!(tables, [(1, 5), (2, 0), (5, 0)]);
}

#[test]
fn new_rows_count_only_where_the_flushed_ones_end_and_if_they_add_up() {
    let old = meta(1, ("a", "f"), (1, 9));
    let before = state(2, 9, &[(6, &old)]);
    let next = meta(2, ("b", "g"), (10, 12));
    let with = |record| evidence(&[(&old, None), (&next, record)]);
    let (tables, decision) = accepted(&with(told(Placing::AsTold, 0, &before, flush(12))));
    assert_eq!((tables, decision.state.flushed), (vec![(1, 6), (2, 0)], Lsn(12)));
    let torn = with(told(Placing::AsTold, 0, &before, flush(12)));
    let mut asked = Vec::new();
    let decision = decide(&torn, &mut |meta| {
        asked.push(meta.file);
        Ok(false)
    });
    let decision = decision.unwrap();
    assert_eq!((decision.state.flushed, asked), (Lsn(9), vec![2]));
    assert_eq!(decision.state.tables.keys().collect::<Vec<_>>(), [&1]);
    // An ingest lies right above what it overlaps, wherever its table says that it does.
    let (tables, _) = accepted(&with(told(Placing::Anew, 0, &before, flush(12))));
    assert_eq!(tables, [(1, 6), (2, 5)]);
    // From another LSN on: an older attempt, while what it has lies elsewhere.
    let other = meta(3, ("b", "g"), (10, 14));
    let after = state(3, 14, &[(6, &old), (0, &other)]);
    let newest = meta(4, ("x", "z"), (15, 15));
    let (tables, decision) = accepted(&evidence(&[
        (&old, None),
        (&next, told(Placing::AsTold, 0, &before, flush(12))),
        (&other, None),
        (&newest, told(Placing::AsTold, 0, &after, flush(15))),
    ]));
    assert_eq!((tables, decision.state.flushed), (vec![(1, 6), (3, 0), (4, 0)], Lsn(15)));
}

#[test]
fn edits_behind_a_damaged_one_lead_on_from_a_table_and_those_that_were_ruled_out_do_not() {
    let (old, new) = (meta(1, ("a", "f"), (1, 4)), meta(2, ("c", "h"), (5, 9)));
    let moved = Edit { sequence: 4, removed: vec![1], added: vec![(6, old.clone())], ..Edit::default() };
    let later = Edit { sequence: 6, ..moved.clone() };
    let known = told(Placing::AsTold, 0, &state(3, 4, &[(5, &old)]), flush(9));
    let mut evidence = evidence(&[(&old, None), (&new, known)]);
    let survey = crate::manifest::Survey {
        number: 7,
        snapshot: Some(state(1, 0, &[])),
        edits: [(4, moved), (6, later)].into(),
        proven: 6,
    };
    evidence.manifests.push(survey);
    let (tables, decision) = accepted(&evidence);
    // Edit 2 or 3 is damaged, the record knows of them; edit 5 is damaged, and 6 would be guessed at.
    assert_eq!((tables, decision.basis), (vec![(1, 6), (2, 0)], RecoveryBasis::Manifest(7)));
    assert!(decision.state.sequence > 6 && decision.state.next_file == 90);
    // Another manifest has followed, and begins before the last edit, which had failed.
    evidence.manifests[0].proven = 3;
    evidence.manifests.push(crate::manifest::Survey {
        number: 8,
        snapshot: Some(state(3, 4, &[(5, &old)])),
        ..crate::manifest::Survey::default()
    });
    let (tables, decision) = accepted(&evidence);
    assert_eq!((tables, decision.basis), (vec![(1, 5), (2, 0)], RecoveryBasis::Manifest(8)));
}

#[test]
fn a_table_with_the_content_of_a_missing_one_takes_its_place() {
    let (old, new) = (meta(1, ("a", "f"), (1, 4)), meta(2, ("c", "h"), (5, 9)));
    let known = || told(Placing::AsTold, 0, &state(3, 4, &[(6, &old)]), flush(9));
    let twin = TableMeta { file: 5, bytes: 480, ..old.clone() };
    let (tables, decision) = accepted(&evidence(&[(&new, known()), (&twin, None)]));
    assert_eq!((tables, decision.twins), (vec![(2, 0), (5, 6)], vec![(1, 5)]));
    let other = TableMeta { digest: 77, ..twin.clone() };
    let (tables, decision) = accepted(&evidence(&[(&new, known()), (&other, None)]));
    assert_eq!((tables, decision.twins), (vec![(1, 6), (2, 0)], vec![]));
    let (tables, _) = accepted(&evidence(&[(&old, None), (&new, known()), (&twin, None)]));
    assert_eq!(tables, [(1, 6), (2, 0)], "nothing is missing");
}
