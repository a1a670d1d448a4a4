//! The machine that this program runs on.

use procfs::{Current, Meminfo};

use super::{Finding, Report, Runbook, paint};

/// Less available than this part of the memory is what `MemoryExhaustion` alerts of.
const LEAST_SHARE: f64 = 0.1;

/// Looks at how much memory is left. Says nothing where the system does not tell.
pub(super) fn look(report: &mut Report) {
    let Ok(memory) = Meminfo::current() else { return };
    let Some(available) = memory.mem_available else { return };
    report.looked_at("this machine's memory");
    if let Some(text) = judge(available, memory.mem_total) {
        report.push(Finding::critical("machine_memory", text, Runbook::MemoryExhaustion));
    }
}

fn judge(available: u64, total: u64) -> Option<String> {
    let is_short = (available as f64) < total as f64 * LEAST_SHARE;
    is_short.then(|| {
        format!(
            "{} of {} of this machine's memory are available",
            paint::bytes(available),
            paint::bytes(total)
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn less_than_a_tenth_is_too_little() {
        assert!(judge(99, 1000).is_some());
        assert_eq!(judge(100, 1000), None);
    }
}
