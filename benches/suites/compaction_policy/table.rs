//! Tables of the model, and what is counted.

use std::rc::Rc;

/// Sorted rows: key and LSN.
pub struct Table {
    pub rows: Vec<(u64, u64)>,
    pub lsns: (u64, u64),
    /// Number of the table: smaller is older.
    pub age: u64,
}

pub type Run = Vec<Rc<Table>>;

impl Table {
    pub fn new(rows: Vec<(u64, u64)>) -> Table {
        let lsns = rows.iter().map(|row| row.1);
        let lsns = (lsns.clone().min().unwrap_or(0), lsns.max().unwrap_or(0));
        Table { rows, lsns, age: 0 }
    }

    pub fn len(&self) -> u64 {
        self.rows.len() as u64
    }

    pub fn smallest(&self) -> u64 {
        self.rows.first().map_or(0, |row| row.0)
    }

    pub fn largest(&self) -> u64 {
        self.rows.last().map_or(0, |row| row.0)
    }

    pub fn overlaps(&self, other: &Table) -> bool {
        self.smallest() <= other.largest() && other.smallest() <= self.largest()
    }
}

#[derive(Default)]
pub struct Cost {
    pub applied: u64,
    /// Rows written by flushes and merges.
    pub written: u64,
    /// Rows written by the largest merge: the room that must be free, and how long it cannot be interrupted for good.
    pub largest: u64,
    pub runs_sum: u64,
    pub samples: u64,
    pub most_runs: usize,
    pub tables: usize,
    pub provable: usize,
}

pub trait Policy {
    fn flush(&mut self, table: Table);
    /// Compacts until there is nothing to do.
    fn settle(&mut self, cost: &mut Cost);
    /// Sorted runs that a reader without filters looks into.
    fn runs(&self) -> usize;
    fn tables(&self) -> Vec<Rc<Table>>;
}

/// Target rows of a table: a memtable's, doubled until a tree has fewer than 64 files.
pub fn target_rows(total: u64) -> u64 {
    let mut target = crate::MEMTABLE_ROWS as u64;
    while total / target >= 64 {
        target *= 2;
    }
    target
}

/// Merges tables into new ones; cut at the target, or behind half of it on a border of `below`.
pub fn merge(inputs: &[Rc<Table>], below: &[Rc<Table>], target: u64, age: &mut u64, cost: &mut Cost) -> Run {
    let mut rows: Vec<(u64, u64)> = inputs.iter().flat_map(|table| table.rows.iter().copied()).collect();
    rows.sort_unstable();
    cost.written += rows.len() as u64;
    cost.largest = cost.largest.max(rows.len() as u64);
    let mut out: Run = Vec::new();
    let mut part: Vec<(u64, u64)> = Vec::new();
    let mut border = 0;
    for row in rows {
        let mut crossed = false;
        while below.get(border).is_some_and(|table| table.largest() < row.0) {
            border += 1;
            crossed = true;
        }
        let size = part.len() as u64;
        if size >= target || (crossed && size * 2 >= target) {
            *age += 1;
            out.push(Rc::new(Table { age: *age, ..Table::new(std::mem::take(&mut part)) }));
        }
        part.push(row);
    }
    if !part.is_empty() {
        *age += 1;
        out.push(Rc::new(Table { age: *age, ..Table::new(part) }));
    }
    out
}

/// Tables that equal "all rows of their key range in their LSN range": no row elsewhere lies in both.
pub fn provable(tables: &[Rc<Table>]) -> usize {
    let alone = |table: &&Rc<Table>| {
        tables.iter().filter(|other| !Rc::ptr_eq(other, table) && other.overlaps(table)).all(|other| {
            let from = other.rows.partition_point(|row| row.0 < table.smallest());
            let upto = other.rows.partition_point(|row| row.0 <= table.largest());
            other.rows[from..upto].iter().all(|row| row.1 < table.lsns.0 || row.1 > table.lsns.1)
        })
    };
    tables.iter().filter(alone).count()
}
