//! Leveled with a moving base: the engine's picker.

use std::rc::Rc;

use crate::table::{Cost, Policy, Run, Table, merge, target_rows};

const L0_TRIGGER: usize = 4;
const LAST: usize = 6;

pub struct Leveled {
    fanout: u64,
    /// Outputs are cut on the borders of the level below theirs.
    cut: bool,
    age: u64,
    l0: Run,
    levels: Vec<Run>,
}

impl Leveled {
    pub fn new(fanout: u64, cut: bool) -> Leveled {
        Leveled { fanout, cut, age: 0, l0: Vec::new(), levels: vec![Vec::new(); LAST + 1] }
    }

    fn rows(&self, level: usize) -> u64 {
        self.levels[level].iter().map(|table| table.len()).sum()
    }

    fn targets(&self) -> (usize, Vec<u64>) {
        let base_rows = (crate::MEMTABLE_ROWS * L0_TRIGGER) as u64;
        let mut target = (1..=LAST).map(|level| self.rows(level)).max().unwrap_or(0).max(base_rows);
        let mut targets = vec![0; LAST + 1];
        let mut base = LAST;
        for level in (1..=LAST).rev() {
            targets[level] = target;
            base = level;
            if target <= base_rows {
                break;
            }
            target /= self.fanout;
        }
        (base, targets)
    }

    fn overlapping(&self, level: usize, tables: &[Rc<Table>]) -> Run {
        let hit = |table: &&Rc<Table>| tables.iter().any(|other| other.overlaps(table));
        self.levels.get(level).map_or(Vec::new(), |run| run.iter().filter(hit).cloned().collect())
    }

    /// Merges tables with what they overlap in `level`, or moves them there.
    fn push_down(&mut self, tables: Run, level: usize, cost: &mut Cost) {
        let below = self.overlapping(level, &tables);
        let disjoint = tables.iter().enumerate().all(|(at, a)| tables[..at].iter().all(|b| !a.overlaps(b)));
        let moves = below.is_empty() && disjoint;
        let total: u64 = self.tables().iter().map(|table| table.len()).sum();
        let added = if moves {
            tables
        } else {
            let inputs: Run = tables.iter().chain(&below).cloned().collect();
            let grandparents = if self.cut { self.overlapping(level + 1, &inputs) } else { Vec::new() };
            merge(&inputs, &grandparents, target_rows(total), &mut self.age, cost)
        };
        let run = &mut self.levels[level];
        run.retain(|table| !below.iter().any(|gone| Rc::ptr_eq(gone, table)));
        run.extend(added);
        run.sort_by_key(|table| table.smallest());
    }
}

impl Policy for Leveled {
    fn flush(&mut self, mut table: Table) {
        self.age += 1;
        table.age = self.age;
        self.l0.push(Rc::new(table));
    }

    fn settle(&mut self, cost: &mut Cost) {
        loop {
            let (base, targets) = self.targets();
            if self.l0.len() >= L0_TRIGGER {
                let output = (1..base).find(|level| !self.levels[*level].is_empty()).unwrap_or(base);
                let tables = std::mem::take(&mut self.l0);
                self.push_down(tables, output, cost);
                continue;
            }
            let score = |level: usize| self.rows(level) as f64 / targets[level].max(1) as f64;
            let over = (1..LAST).filter(|level| self.rows(*level) > targets[*level]);
            let Some(level) = over.max_by(|a, b| score(*a).total_cmp(&score(*b))) else { return };
            let ratio = |table: &Rc<Table>| {
                let below: u64 =
                    self.overlapping(level + 1, std::slice::from_ref(table)).iter().map(|t| t.len()).sum();
                (below * 1000 / table.len().max(1), table.age)
            };
            let Some(at) = (0..self.levels[level].len()).min_by_key(|at| ratio(&self.levels[level][*at]))
            else {
                return;
            };
            let table = self.levels[level].remove(at);
            self.push_down(vec![table], level + 1, cost);
        }
    }

    fn runs(&self) -> usize {
        self.l0.len() + self.levels.iter().filter(|run| !run.is_empty()).count()
    }

    fn tables(&self) -> Run {
        self.l0.iter().chain(self.levels.iter().flatten()).cloned().collect()
    }
}
