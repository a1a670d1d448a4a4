//! Lazy leveling by runs: merges take whole adjacent runs, so that each run covers a contiguous range of LSNs.

use std::rc::Rc;

use crate::table::{Cost, Policy, Run, Table, merge, target_rows};

pub struct Lazy {
    /// Runs of a class above the last run that are merged into one of the next class.
    runs: usize,
    /// Everything goes into the last run when it has reached this part of it.
    ratio: u64,
    age: u64,
    /// Runs by class, newest class first; within a class oldest first.
    classes: Vec<Vec<Run>>,
    last: Run,
}

fn rows(run: &Run) -> u64 {
    run.iter().map(|table| table.len()).sum()
}

impl Lazy {
    pub fn new(runs: usize, ratio: u64) -> Lazy {
        Lazy { runs, ratio, age: 0, classes: vec![Vec::new()], last: Vec::new() }
    }

    /// Whole runs into one. Tables that overlap nothing are taken over as they are: a table is still all rows of its
    /// key range in the longer LSN range.
    fn merge_runs(&mut self, runs: Vec<Run>, total: u64, cost: &mut Cost) -> Run {
        let all: Run = runs.into_iter().flatten().collect();
        let alone =
            |table: &Rc<Table>| all.iter().all(|other| Rc::ptr_eq(other, table) || !other.overlaps(table));
        let (kept, merged): (Run, Run) = all.iter().cloned().partition(alone);
        // Tables taken over are borders: no output may reach over them.
        let mut out = kept.clone();
        let mut kept = kept;
        kept.sort_by_key(|table| table.smallest());
        let mut groups: Vec<Run> = vec![Vec::new(); kept.len() + 1];
        for table in merged {
            groups[kept.partition_point(|border| border.largest() < table.smallest())].push(table);
        }
        for group in groups.iter().filter(|group| !group.is_empty()) {
            out.extend(merge(group, &[], target_rows(total), &mut self.age, cost));
        }
        out.sort_by_key(|table| table.smallest());
        out
    }
}

impl Policy for Lazy {
    fn flush(&mut self, mut table: Table) {
        self.age += 1;
        table.age = self.age;
        self.classes[0].push(vec![Rc::new(table)]);
    }

    fn settle(&mut self, cost: &mut Cost) {
        let mut class = 0;
        while class < self.classes.len() {
            if self.classes[class].len() < self.runs {
                class += 1;
                continue;
            }
            let total: u64 = self.tables().iter().map(|table| table.len()).sum();
            let above: u64 = self.classes.iter().flatten().map(rows).sum();
            if above * self.ratio >= rows(&self.last) {
                let mut runs: Vec<Run> = self.classes.iter_mut().rev().flat_map(std::mem::take).collect();
                runs.push(std::mem::take(&mut self.last));
                self.last = self.merge_runs(runs, total, cost);
                return;
            }
            let runs = std::mem::take(&mut self.classes[class]);
            let merged = self.merge_runs(runs, total, cost);
            class += 1;
            if class == self.classes.len() {
                self.classes.push(Vec::new());
            }
            self.classes[class].push(merged);
        }
    }

    fn runs(&self) -> usize {
        self.classes.iter().map(Vec::len).sum::<usize>() + usize::from(!self.last.is_empty())
    }

    fn tables(&self) -> Run {
        self.classes.iter().flatten().flatten().chain(&self.last).cloned().collect()
    }
}
