//! Lazy leveling by runs within columns: the engine's picker.
//!
//! A column is a range of keys whose borders no table below level 0 crosses. Level 0 is merged as a whole and cut on
//! those borders; below, each column is a stack of runs of its own.

use std::rc::Rc;

use crate::table::{Cost, Policy, Run, Table, merge, target_rows};

const L0_TRIGGER: usize = 4;
const LAST: usize = 6;
const MOST_TABLES: usize = 96;

pub struct Columns {
    /// Runs of a column above its last one.
    runs: usize,
    /// A column is merged into its last run when the runs above have this part of its size.
    ratio: u64,
    /// A tree has at most about so many columns.
    most: u64,
    age: u64,
    l0: Run,
    levels: Vec<Run>,
}

/// Key range and tables by level.
struct Column {
    largest: u64,
    tables: Vec<(usize, Rc<Table>)>,
}

impl Column {
    fn rows(&self, levels: std::ops::RangeInclusive<usize>) -> u64 {
        self.tables.iter().filter(|(level, _)| levels.contains(level)).map(|(_, table)| table.len()).sum()
    }

    /// Size of each run above the last, newest first, with its level.
    fn above(&self) -> Vec<(usize, u64)> {
        (1..LAST).map(|level| (level, self.rows(level..=level))).filter(|(_, rows)| *rows > 0).collect()
    }

    fn top(&self) -> usize {
        self.tables.iter().map(|(level, _)| *level).min().unwrap_or(LAST + 1)
    }
}

impl Columns {
    pub fn new(runs: usize, ratio: u64, most: u64) -> Columns {
        Columns { runs, ratio, most, age: 0, l0: Vec::new(), levels: vec![Vec::new(); LAST + 1] }
    }

    fn columns(&self) -> Vec<Column> {
        let mut tables: Vec<(usize, Rc<Table>)> = (1..=LAST)
            .flat_map(|level| self.levels[level].iter().map(move |table| (level, Rc::clone(table))))
            .collect();
        tables.sort_by_key(|(_, table)| table.smallest());
        let total: u64 = tables.iter().map(|(_, table)| table.len()).sum();
        let least = (total / self.most).max((crate::MEMTABLE_ROWS * L0_TRIGGER * 4) as u64);
        let mut columns: Vec<Column> = Vec::new();
        let mut rows = 0;
        for (level, table) in tables {
            match columns.last_mut() {
                Some(column) if rows < least || table.smallest() <= column.largest => {
                    column.largest = column.largest.max(table.largest());
                    rows += table.len();
                    column.tables.push((level, table));
                }
                _ => {
                    rows = table.len();
                    columns.push(Column { largest: table.largest(), tables: vec![(level, table)] });
                }
            }
        }
        columns
    }

    fn remove(&mut self, tables: &[(usize, Rc<Table>)]) {
        for (level, gone) in tables {
            self.levels[*level].retain(|table| !Rc::ptr_eq(table, gone));
        }
    }

    fn add(&mut self, level: usize, run: Run) {
        self.levels[level].extend(run);
        self.levels[level].sort_by_key(|table| table.smallest());
    }

    fn total(&self) -> u64 {
        self.tables().iter().map(|table| table.len()).sum()
    }

    /// Merges whole adjacent runs of a column into one.
    fn merge_column(&mut self, inputs: Vec<(usize, Rc<Table>)>, output: usize, cost: &mut Cost) {
        self.remove(&inputs);
        let all: Run = inputs.into_iter().map(|(_, table)| table).collect();
        let target = target_rows(self.total() + all.iter().map(|table| table.len()).sum::<u64>());
        // Tables that overlap nothing move, unless they are small; they are borders for the others.
        let alone = |table: &Rc<Table>| {
            table.len() * 2 >= target
                && all.iter().all(|other| Rc::ptr_eq(other, table) || !other.overlaps(table))
        };
        let (mut kept, merged): (Run, Run) = all.iter().cloned().partition(alone);
        kept.sort_by_key(|table| table.smallest());
        let mut groups: Vec<Run> = vec![Vec::new(); kept.len() + 1];
        for table in merged {
            groups[kept.partition_point(|border| border.largest() < table.smallest())].push(table);
        }
        let mut out = kept;
        for group in groups.iter().filter(|group| !group.is_empty()) {
            out.extend(merge(group, &[], target, &mut self.age, cost));
        }
        self.add(output, out);
    }

    fn work_in_columns(&mut self, cost: &mut Cost) -> bool {
        for column in self.columns() {
            let above = column.above();
            let sum: u64 = above.iter().map(|(_, rows)| rows).sum();
            if sum > 0 && sum * self.ratio >= column.rows(LAST..=LAST) {
                self.merge_column(column.tables, LAST, cost);
                return true;
            }
            if above.len() > self.runs {
                let mut taken = above[0].1 + above[1].1;
                let mut count = 2;
                while let Some((_, rows)) = above.get(count).filter(|(_, rows)| *rows <= taken) {
                    taken += rows;
                    count += 1;
                }
                let output = above.get(count).map_or(LAST, |(level, _)| *level) - 1;
                let deepest = above[count - 1].0;
                let inputs = column.tables.into_iter().filter(|(level, _)| *level <= deepest).collect();
                self.merge_column(inputs, output, cost);
                return true;
            }
        }
        false
    }

    /// Small neighbours of a last run as larger tables, when there are too many.
    fn work_on_files(&mut self, cost: &mut Cost) -> bool {
        if self.tables().len() <= MOST_TABLES {
            return false;
        }
        let target = target_rows(self.total());
        let mut best: Vec<Rc<Table>> = Vec::new();
        for column in self.columns() {
            let mut group: (u64, Vec<Rc<Table>>) = (0, Vec::new());
            for (_, table) in column.tables.iter().filter(|(level, _)| *level == LAST) {
                let is_small = table.len() * 2 < target;
                if !is_small || group.0 >= target {
                    group = (0, Vec::new());
                }
                if is_small {
                    group.0 += table.len();
                    group.1.push(Rc::clone(table));
                    if group.1.len() > best.len() {
                        best.clone_from(&group.1);
                    }
                }
            }
        }
        if best.len() < 2 {
            return false;
        }
        self.remove(&best.iter().map(|table| (LAST, Rc::clone(table))).collect::<Vec<_>>());
        let run = merge(&best, &[], target, &mut self.age, cost);
        self.add(LAST, run);
        true
    }

    fn work_in_l0(&mut self, cost: &mut Cost) {
        let l0 = std::mem::take(&mut self.l0);
        let columns = self.columns();
        let target = target_rows(self.total() + l0.iter().map(|table| table.len()).sum::<u64>());
        let newest: u64 = l0.iter().map(|table| table.len()).sum();
        if let [column] = &columns[..]
            && (newest + column.rows(1..=LAST - 1)) * self.ratio >= column.rows(LAST..=LAST)
        {
            let below = columns.into_iter().flat_map(|column| column.tables);
            let inputs = l0.into_iter().map(|table| (0, table)).chain(below).collect();
            return self.merge_column(inputs, LAST, cost);
        }
        // One merge, cut where a column ends.
        let mut rows: Vec<(u64, u64)> = l0.iter().flat_map(|table| table.rows.iter().copied()).collect();
        rows.sort_unstable();
        cost.largest = cost.largest.max(rows.len() as u64);
        let mut from = 0;
        for (at, column) in columns.iter().enumerate() {
            let border = columns.get(at + 1).map(|_| column.largest);
            let upto = border.map_or(rows.len(), |border| rows.partition_point(|row| row.0 <= border));
            let part = Table::new(rows[from..upto].to_vec());
            from = upto;
            if part.len() > 0 {
                let run = merge(&[Rc::new(part)], &[], target, &mut self.age, cost);
                self.add(column.top() - 1, run);
            }
        }
        if columns.is_empty() {
            let run = merge(&[Rc::new(Table::new(rows))], &[], target, &mut self.age, cost);
            self.add(LAST, run);
        }
    }
}

impl Policy for Columns {
    fn flush(&mut self, mut table: Table) {
        self.age += 1;
        table.age = self.age;
        self.l0.push(Rc::new(table));
    }

    fn settle(&mut self, cost: &mut Cost) {
        loop {
            if self.work_in_columns(cost) {
                continue;
            }
            if self.l0.len() >= L0_TRIGGER {
                self.work_in_l0(cost);
            } else if !self.work_on_files(cost) {
                return;
            }
        }
    }

    fn runs(&self) -> usize {
        let deepest = |column: &Column| column.above().len() + usize::from(column.rows(LAST..=LAST) > 0);
        self.l0.len() + self.columns().iter().map(deepest).max().unwrap_or(0)
    }

    fn tables(&self) -> Run {
        self.l0.iter().chain(self.levels.iter().flatten()).cloned().collect()
    }
}
