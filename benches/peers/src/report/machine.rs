//! On what it ran. Without names and paths: results are published.

use std::{
    fmt,
    fs::{self, File},
    path::Path,
    thread,
};

/// `f_type` of a file system in memory, from `linux/magic.h`.
const TMPFS_MAGIC: u64 = 0x0102_1994;

/// What a reader of figures wants to know of the machine.
#[derive(Clone, Debug, Default, serde::Serialize)]
pub struct Machine {
    /// Model of the processor, where the system tells it.
    pub processor: Option<String>,
    /// Processors that this process may use.
    pub processors: usize,
    /// Version of the kernel, without what its builder added.
    pub kernel: Option<String>,
    /// Runnable threads in the minute before the run: far from 0, other work disturbed it.
    pub load_before: Option<f64>,
    /// The databases were in memory: syncs cost nothing, and the figures mean nothing.
    pub in_memory: bool,
}

impl Machine {
    /// This machine, and the file system of `dir`.
    pub fn of(dir: &Path) -> Machine {
        Machine {
            processor: processor(),
            processors: thread::available_parallelism().map_or(0, usize::from),
            kernel: line("/proc/sys/kernel/osrelease")
                .and_then(|release| release.split('-').next().map(str::to_owned)),
            load_before: line("/proc/loadavg")
                .and_then(|line| line.split_whitespace().next().and_then(|load| load.parse().ok())),
            in_memory: File::open(dir)
                .and_then(|dir| Ok(rustix::fs::fstatfs(dir)?))
                .is_ok_and(|stat| stat.f_type as u64 == TMPFS_MAGIC),
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} processors", self.processors)?;
        if let Some(processor) = &self.processor {
            write!(f, " ({processor})")?;
        }
        if let Some(kernel) = &self.kernel {
            write!(f, ", Linux {kernel}")?;
        }
        if let Some(load) = self.load_before {
            write!(f, ", load before the run {load}")?;
        }
        if self.in_memory {
            write!(f, ". IN MEMORY: nothing here is durable, the figures mean nothing")?;
        }
        Ok(())
    }
}

fn line(path: &str) -> Option<String> {
    fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}

fn processor() -> Option<String> {
    let info = fs::read_to_string("/proc/cpuinfo").ok()?;
    let model = info.lines().find(|line| line.starts_with("model name"))?;
    model.split_once(':').map(|(_, name)| name.trim().to_owned())
}
