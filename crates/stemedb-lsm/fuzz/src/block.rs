//! Any bytes as a data block, and any rows through one.
//!
//! ```text
//! 0  1  odd: the rest is a block, and with the next bit it is a folded one; even: the rest makes rows (key length, bytes of {0, 1, 2}, LSN, value)
//! ```

use std::collections::BTreeMap;

use stemedb_env::Lsn;
use stemedb_lsm::{
    Row,
    fuzzing::{Finding, ParsedBlock},
};

use super::{input::Input, page};

/// One input.
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let kind = input.byte();
    if kind & 3 == 3 {
        any_folded(input.rest());
    } else if kind & 1 == 1 {
        any_bytes(input.rest());
    } else {
        any_rows(&mut input);
    }
}

fn is_sorted(rows: &[Row]) -> bool {
    rows.windows(2).all(|pair| (&pair[0].key, pair[1].lsn) < (&pair[1].key, pair[0].lsn))
}

fn any_bytes(bytes: &[u8]) {
    let Some(block) = ParsedBlock::parse(bytes) else { return };
    let rows: Vec<Row> = (0..block.rows()).map(|at| block.row(at)).collect();
    let _ = block.row(block.rows());
    let sorted = is_sorted(&rows);
    let probes = rows.iter().take(20).map(|row| (row.key.clone(), row.lsn));
    for (key, lsn) in probes.chain([(b"abc".to_vec(), Lsn(4)), (Vec::new(), Lsn(0))]) {
        let bound = block.lower_bound(&key, lsn);
        assert!(bound <= rows.len());
        if sorted {
            assert_eq!(bound, rows.iter().filter(|row| (&row.key, lsn) < (&key, row.lsn)).count());
        }
        // A hash index that lies may hide a row, and never make one up.
        if let (Finding::Row(at), true) = (block.find(&key, lsn), sorted) {
            assert!(rows[at].key == key && rows[at].lsn <= lsn);
        }
    }
    // What the page accepts, the reader reads the same.
    if let Ok(read) = page::block(bytes, &mut page::Seen::default()) {
        let same = rows.iter().map(|row| (row.key.clone(), row.lsn.0, row.value.clone())).eq(read);
        assert!(same, "the page reads other rows");
    }
}

/// What unfolds is a block like any other, with and without its hash index.
fn any_folded(bytes: &[u8]) {
    let plain = ParsedBlock::unfold(bytes, true);
    if let Ok(expected) = page::unfolded_block(bytes)
        && page::block(&expected, &mut page::Seen::default()).is_ok()
    {
        assert!(plain.as_ref() == Some(&expected), "the page unfolds otherwise");
    }
    for bytes in plain.into_iter().chain(ParsedBlock::unfold(bytes, false)) {
        any_bytes(&bytes);
    }
}

fn any_rows(input: &mut Input<'_>) {
    let mut rows = BTreeMap::new();
    let spread = u64::from(input.byte());
    while !input.rest().is_empty() && rows.len() < 400 {
        let key: Vec<u8> = (0..input.byte() % 9).map(|_| input.byte() % 3).collect();
        let lsn = u64::from(input.byte()) * (spread * spread * spread + 1);
        let kind = input.byte();
        let value =
            (!kind.is_multiple_of(4)).then(|| vec![kind; usize::from(kind) * (spread % 5) as usize * 40]);
        rows.insert((key, std::cmp::Reverse(lsn)), value);
    }
    if rows.is_empty() {
        return;
    }
    let rows: Vec<Row> =
        rows.into_iter().map(|((key, lsn), value)| Row { key, lsn: Lsn(lsn.0), value }).collect();
    let bytes = ParsedBlock::encode(&rows);
    let read =
        page::block(&bytes, &mut page::Seen::default()).unwrap_or_else(|what| panic!("the page: {what}"));
    assert!(rows.iter().map(|row| (row.key.clone(), row.lsn.0, row.value.clone())).eq(read));
    let folded = ParsedBlock::encode_folded(&rows);
    assert_eq!(ParsedBlock::unfold(&folded, true).as_ref(), Some(&bytes));
    assert_eq!(page::unfolded_block(&folded).as_ref(), Ok(&bytes));
    let Some(block) = ParsedBlock::parse(&bytes) else { panic!("a block that was written cannot be read") };
    assert_eq!((0..block.rows()).map(|at| block.row(at)).collect::<Vec<_>>(), rows);
    for row in &rows {
        for (key, lsn) in [
            (row.key.clone(), row.lsn),
            (row.key.clone(), Lsn(row.lsn.0.saturating_sub(1))),
            (row.key.clone(), Lsn::MAX),
            ([&row.key[..], &[1]].concat(), row.lsn),
        ] {
            let before = rows.iter().filter(|row| (&row.key, lsn) < (&key, row.lsn)).count();
            assert_eq!(block.lower_bound(&key, lsn), before);
            let wanted = match rows.get(before) {
                Some(found) if found.key == key => Finding::Row(before),
                None if rows.last().is_some_and(|last| last.key == key) => Finding::Older,
                _ => Finding::Absent,
            };
            assert_eq!(block.find(&key, lsn), wanted, "{key:?} at {lsn}");
        }
    }
}
