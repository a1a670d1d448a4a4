//! Durable commits of one row: the slices of the workload `commits`, over the whole engine.

use std::time::Duration;

use super::{Found, Task};
use crate::{
    commits::{
        entries::Source,
        slice::{self, Length},
    },
    engine::{Engine, Result},
    workloads::process,
};

pub(super) fn run(task: &Task, engine: &dyn Engine) -> Result<Found> {
    let mut found = Found { anonymous_before_bytes: process::anonymous_bytes(), ..Found::default() };
    let store = engine.open(&task.folder, &task.setting())?;
    let measured = Duration::from_secs_f64(task.seconds);
    let length = Length { warm_up: measured.mul_f64(0.2), measured };
    let flushes_before = process::disk_flushes(&task.folder);
    let slice = slice::run(&*store, &Source::default(), task.writers, length)?;
    let name = format!("commit_{}", task.writers);
    found.set(&format!("{name}_per_s"), slice.commits_per_s);
    found.set(&format!("{name}_p50_us"), slice.p50_us);
    found.set(&format!("{name}_p99_us"), slice.p99_us);
    if let (Some(before), Some(after)) = (flushes_before, process::disk_flushes(&task.folder)) {
        let all = slice.commits as f64 * (length.warm_up + length.measured).div_duration_f64(length.measured);
        found.set(&format!("{name}_disk_flushes"), (after - before) as f64 / all.max(1.0));
    }
    if let Some(syncs) = slice.syncs_per_commit {
        found.set(&format!("{name}_syncs"), syncs);
    }
    store.close()?;
    Ok(found)
}
