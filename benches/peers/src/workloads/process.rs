//! What the system knows of a process and its files, and what it can be told.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader, Write},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use super::phases::{Found, Phase, Task};
use crate::engine::{EngineError, Result};

const SAMPLE_INTERVAL: Duration = Duration::from_millis(20);
/// Longest that a phase may take.
const PATIENCE: Duration = Duration::from_secs(1200);

/// Memory of a process at its peak.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Peak {
    /// All of it, with pages of mapped files.
    pub resident_bytes: u64,
    /// Without those.
    pub anonymous_bytes: u64,
}

/// Runs a phase in a process of its own.
pub fn run(task: &Task) -> Result<(Found, Peak)> {
    let mut child = Command::new(std::env::current_exe()?)
        .args(["phase", &serde_json::to_string(task)?])
        // As `stemedb-api` sets it for itself; the same for every contender. It changes what is kept of freed memory.
        .env("MALLOC_ARENA_MAX", "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let output = child.stdout.take().ok_or("a child without output")?;
    let complaints = child.stderr.take().ok_or("a child without errors")?;
    let ended = AtomicBool::new(false);
    let (line, complaints, peak) = thread::scope(|scope| {
        let complaints =
            scope.spawn(move || BufReader::new(complaints).lines().map_while(|line| line.ok()).collect());
        let (pid, ended) = (child.id(), &ended);
        let watcher = scope.spawn(move || watch(pid, ended));
        let line: Vec<String> = BufReader::new(output).lines().map_while(|line| line.ok()).collect();
        ended.store(true, Ordering::Relaxed);
        let complaints: Vec<String> = complaints.join().unwrap_or_default();
        (line.join("\n"), complaints.join("; "), watcher.join().unwrap_or_default())
    });
    let status = child.wait()?;
    if task.phase == Phase::Crash {
        use std::os::unix::process::ExitStatusExt;
        // SIGABRT is what was asked for.
        return if status.signal() == Some(6) && complaints.is_empty() {
            Ok((Found::default(), peak))
        } else {
            Err(format!("did not crash as it should: {status}: {complaints}").into())
        };
    }
    if !status.success() {
        return Err(EngineError::from(if complaints.is_empty() { status.to_string() } else { complaints }));
    }
    Ok((serde_json::from_str(&line)?, peak))
}

/// Looks at a process until it has ended, and ends it when it takes far too long.
fn watch(pid: u32, ended: &AtomicBool) -> Peak {
    let (mut peak, begin) = (Peak::default(), Instant::now());
    while !ended.load(Ordering::Relaxed) {
        if let Ok(status) = fs::read_to_string(format!("/proc/{pid}/status")) {
            peak.resident_bytes = peak.resident_bytes.max(kilobytes(&status, "VmHWM:"));
            peak.anonymous_bytes = peak.anonymous_bytes.max(kilobytes(&status, "RssAnon:"));
        }
        if begin.elapsed() > PATIENCE
            && let Some(pid) = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw)
        {
            // An error means that it has ended.
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
        thread::sleep(SAMPLE_INTERVAL);
    }
    peak
}

/// A line of `/proc/*/status` or `/proc/*/io` in bytes; 0 without it.
fn kilobytes(status: &str, name: &str) -> u64 {
    number(status, name) * 1024
}

fn number(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// Anonymous memory of this process.
pub fn anonymous_bytes() -> u64 {
    kilobytes(&fs::read_to_string("/proc/self/status").unwrap_or_default(), "RssAnon:")
}

/// Bytes that this process caused to be written to disk so far.
pub fn written_bytes() -> u64 {
    number(&fs::read_to_string("/proc/self/io").unwrap_or_default(), "write_bytes:")
}

/// Bytes that this process caused to be read from disk so far.
pub fn read_bytes() -> u64 {
    number(&fs::read_to_string("/proc/self/io").unwrap_or_default(), "read_bytes:")
}

/// Flushes that the disk under a folder has done since the system started, where the system counts them.
pub fn disk_flushes(folder: &Path) -> Option<u64> {
    let device = fs::metadata(folder).ok()?.dev();
    let (major, minor) = (rustix::fs::major(device).to_string(), rustix::fs::minor(device).to_string());
    let table = fs::read_to_string("/proc/diskstats").ok()?;
    let line = table
        .lines()
        .map(str::split_whitespace)
        .find_map(|mut fields| (fields.next()? == major && fields.next()? == minor).then_some(fields));
    // Documentation/admin-guide/iostats.rst, field 16; the name comes before field 1.
    line?.nth(16)?.parse().ok()
}

/// Space that the files in a folder take, without those in folders of a name.
pub fn disk_bytes(folder: &Path, without: Option<&str>) -> Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        bytes += if !metadata.is_dir() {
            metadata.blocks() * 512
        } else if without.is_some_and(|name| entry.file_name() == name) {
            0
        } else {
            disk_bytes(&entry.path(), without)?
        };
    }
    Ok(bytes)
}

/// Time that the processors spent on this process.
pub fn process_seconds() -> f64 {
    seconds_of(rustix::time::ClockId::ProcessCPUTime)
}

/// Time that the processors spent on this thread.
pub fn thread_seconds() -> f64 {
    seconds_of(rustix::time::ClockId::ThreadCPUTime)
}

fn seconds_of(clock: rustix::time::ClockId) -> f64 {
    let time = rustix::time::clock_gettime(clock);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// Makes the system forget what it has cached of the files in a folder.
pub fn drop_page_cache(folder: &Path) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            drop_page_cache(&path)?;
        } else {
            let file = File::open(path)?;
            file.sync_all()?;
            rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed)?;
        }
    }
    Ok(())
}

/// Moves this process into a control group.
pub fn join(group: &Path) -> Result<()> {
    Ok(fs::write(group.join("cgroup.procs"), std::process::id().to_string())?)
}

/// A control group whose processes have so much memory together, page cache included; removed when dropped.
#[derive(Debug)]
pub struct MemoryLimit {
    /// Its folder.
    pub group: PathBuf,
}

impl MemoryLimit {
    /// Makes the group in either version of control groups. The error says why that cannot be done here.
    pub fn new(bytes: u64) -> Result<MemoryLimit> {
        let name = format!("stemedb-peers-{}", std::process::id());
        let mut reasons = Vec::new();
        for (root, file) in [
            ("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
            ("/sys/fs/cgroup", "memory.max"),
            ("/sys/fs/cgroup/unified", "memory.max"),
        ] {
            match MemoryLimit::make(Path::new(root).join(&name), file, bytes) {
                Ok(limit) => return Ok(limit),
                Err(error) => reasons.push(format!("{root}: {error}")),
            }
        }
        Err(reasons.join("; ").into())
    }

    fn make(group: PathBuf, file: &str, bytes: u64) -> Result<MemoryLimit> {
        fs::create_dir(&group)?;
        let limit = MemoryLimit { group };
        // Not created if it is missing: a group without this file does not limit memory.
        File::options().write(true).open(limit.group.join(file))?.write_all(bytes.to_string().as_bytes())?;
        Ok(limit)
    }
}

impl Drop for MemoryLimit {
    fn drop(&mut self) {
        // Left behind, an empty group disturbs nobody.
        let _ = fs::remove_dir(&self.group);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_found_by_their_names() {
        let text = "rchar: 12\nread_bytes: 4096\nRssAnon:\t     300 kB\n";
        assert_eq!(number(text, "read_bytes:"), 4096);
        assert_eq!(kilobytes(text, "RssAnon:"), 300 << 10);
        assert_eq!(number(text, "VmHWM:"), 0);
    }

    #[test]
    fn space_is_that_of_all_files_below() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("below")).unwrap();
        for name in ["a", "below/b"] {
            let file = File::create(folder.path().join(name)).unwrap();
            rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, 1 << 20).unwrap();
        }
        let bytes = |without| disk_bytes(folder.path(), without).unwrap() >> 20;
        assert_eq!((bytes(None), bytes(Some("below")), bytes(Some("above"))), (2, 1, 2));
    }
}
