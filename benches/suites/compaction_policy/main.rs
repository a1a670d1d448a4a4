//! Compaction policies compared by what they write, how many runs a reader meets and how much room they take.
//!
//! A model, not the engine: rows are `(key, LSN)` pairs of one size, a flush hands over one memtable, compaction then
//! runs until the policy has nothing to do. Nothing depends on time or on the machine; the same command prints the same
//! table everywhere:
//!
//! ```text
//! cargo bench -p stemedb-benches --bench compaction_policy
//! ```
#![allow(missing_docs)]

mod columns;
mod keys;
mod lazy;
mod leveled;
mod table;

use keys::Shape;
use table::{Cost, Policy, Table};

/// Rows of one memtable. Ratios do not depend on it once tables have some hundreds of rows.
const MEMTABLE_ROWS: usize = 2_000;
const SIZES: [usize; 4] = [1, 10, 100, 400];

fn policies() -> Vec<(String, Box<dyn Policy>)> {
    let leveled = |name: &str, fanout: u64, cut: bool| {
        (name.to_owned(), Box::new(leveled::Leveled::new(fanout, cut)) as Box<dyn Policy>)
    };
    let lazy = |runs: usize, ratio: u64| {
        let name = format!("lazy, {runs} runs, last / {ratio}");
        (name, Box::new(lazy::Lazy::new(runs, ratio)) as Box<dyn Policy>)
    };
    let columns = |runs: usize, ratio: u64, most: u64| {
        let name = format!("columns {most}, {runs} runs, last / {ratio}");
        (name, Box::new(columns::Columns::new(runs, ratio, most)) as Box<dyn Policy>)
    };
    vec![
        leveled("leveled 8, plain cut", 8, false),
        leveled("leveled 8, cut on borders", 8, true),
        leveled("leveled 10, cut on borders", 10, true),
        lazy(4, 2),
        lazy(4, 4),
        columns(3, 2, 8),
        columns(4, 2, 8),
        columns(3, 4, 8),
    ]
}

fn run(policy: &mut dyn Policy, shape: Shape, memtables: usize) -> Cost {
    let mut rows = keys::rows(shape);
    let mut cost = Cost::default();
    for _ in 0..memtables {
        let mut memtable: Vec<(u64, u64)> = rows.by_ref().take(MEMTABLE_ROWS).collect();
        memtable.sort_unstable();
        cost.applied += memtable.len() as u64;
        cost.written += memtable.len() as u64;
        policy.flush(Table::new(memtable));
        cost.most_runs = cost.most_runs.max(policy.runs());
        policy.settle(&mut cost);
        cost.runs_sum += policy.runs() as u64;
        cost.samples += 1;
    }
    cost.provable = table::provable(&policy.tables());
    cost.tables = policy.tables().len();
    cost
}

fn main() {
    println!(
        "| keys | memtables | policy | write amplification | runs, mean | runs, most | largest merge / data | tables | provable alone |"
    );
    println!("|---|---:|---|---:|---:|---:|---:|---:|---:|");
    for shape in [Shape::Uniform, Shape::Claims] {
        for memtables in SIZES {
            for (name, mut policy) in policies() {
                let cost = run(&mut *policy, shape, memtables);
                println!(
                    "| {} | {memtables} | {name} | {:.2} | {:.1} | {} | {:.0} % | {} | {:.0} % |",
                    shape.name(),
                    cost.written as f64 / cost.applied as f64,
                    cost.runs_sum as f64 / cost.samples as f64,
                    cost.most_runs,
                    100.0 * cost.largest as f64 / cost.applied as f64,
                    cost.tables,
                    100.0 * cost.provable as f64 / cost.tables.max(1) as f64,
                );
            }
        }
    }
}
