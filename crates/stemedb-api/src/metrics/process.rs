//! What the system says about this process, under the names that every Prometheus client library uses.

use procfs::{WithCurrentSystemInfo, process::Process};

use super::{exposition::Exposition, table::*};

/// Writes what the system tells: read from `/proc`, so nothing where there is none.
pub(super) fn write(out: &mut Exposition) {
    let Ok(process) = Process::myself() else { return };
    if let Ok(stat) = process.stat() {
        let ticks = procfs::ticks_per_second() as f64;
        out.counter_f64(PROCESS_CPU, (stat.utime + stat.stime) as f64 / ticks);
        out.gauge(PROCESS_RESIDENT, stat.rss_bytes().get() as f64);
        out.gauge(PROCESS_VIRTUAL, stat.vsize as f64);
        out.gauge(PROCESS_THREADS, stat.num_threads as f64);
        if let Ok(booted) = procfs::boot_time_secs() {
            out.gauge(PROCESS_START, booted as f64 + stat.starttime as f64 / ticks);
        }
    }
    if let Ok(files) = process.fd_count() {
        out.gauge(PROCESS_FILES, files as f64);
    }
    if let Ok(limits) = process.limits()
        && let procfs::process::LimitValue::Value(files) = limits.max_open_files.soft_limit
    {
        out.gauge(PROCESS_FILES_MAX, files as f64);
    }
}
