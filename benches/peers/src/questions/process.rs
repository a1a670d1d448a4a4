//! A contender's process as the one who gives the orders sees it, and its memory.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    thread,
    time::Duration,
};

use super::worker::{Order, Reply, Task};
use crate::engine::Result;

/// How often memory is looked at while a process is at work.
const SAMPLE_INTERVAL: Duration = Duration::from_millis(50);

/// Memory of a process and those that it started, each page counted once: shared ones in parts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Memory {
    /// Without pages of files: its own, and those that it shares with others, such as PostgreSQL's buffers.
    pub own_bytes: u64,
    /// All that is resident, pages of mapped files too.
    pub resident_bytes: u64,
}

impl Memory {
    /// What the system says now; `None` where it does not.
    fn of(pid: u32) -> Option<Memory> {
        let mut memory = Memory::default();
        for pid in with_descendants(pid) {
            // One that has just ended takes nothing.
            let Ok(text) = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")) else { continue };
            memory.resident_bytes += kilobytes(&text, "Pss:")?;
            memory.own_bytes += kilobytes(&text, "Pss_Anon:")? + kilobytes(&text, "Pss_Shmem:")?;
        }
        (memory.resident_bytes > 0).then_some(memory)
    }

    fn at_most(self, other: Memory) -> Memory {
        Memory {
            own_bytes: self.own_bytes.max(other.own_bytes),
            resident_bytes: self.resident_bytes.max(other.resident_bytes),
        }
    }

    /// The greater of both figures, as far as they are known.
    pub fn peak(before: Option<Memory>, now: Option<Memory>) -> Option<Memory> {
        match (before, now) {
            (Some(before), Some(now)) => Some(before.at_most(now)),
            (before, now) => before.or(now),
        }
    }
}

fn kilobytes(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
}

/// A process and everything that was started by it.
fn with_descendants(pid: u32) -> Vec<u32> {
    let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(child) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else { continue };
        // Behind the name, which may hold anything: state, parent.
        let parent = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(1)?.parse().ok());
        if let Some(parent) = parent {
            children.entry(parent).or_default().push(child);
        }
    }
    let mut found = vec![pid];
    let mut at = 0;
    while let Some(pid) = found.get(at) {
        found.extend(children.remove(pid).unwrap_or_default());
        at += 1;
    }
    found
}

/// A running contender. Ended when dropped: its input ends.
pub struct Process {
    child: Child,
    orders: Option<ChildStdin>,
    replies: Receiver<String>,
    reader: Option<thread::JoinHandle<()>>,
}

impl Process {
    /// Starts one.
    pub fn start(task: &Task) -> Result<Process> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["question-worker", &serde_json::to_string(task)?])
            // As `stemedb-api` sets it for itself; the same for every contender. It changes what is kept of freed memory.
            .env("MALLOC_ARENA_MAX", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let orders = child.stdin.take();
        let output = child.stdout.take().ok_or("a process without output")?;
        let (send, replies) = channel();
        let reader = thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(|line| line.ok()) {
                if send.send(line).is_err() {
                    break;
                }
            }
        });
        Ok(Process { child, orders, replies, reader: Some(reader) })
    }

    /// Gives an order and waits until it is done; also tells the peak of memory meanwhile. With `watched` memory is looked at all
    /// the time, else only at the end, so that nothing disturbs what is measured.
    pub fn order(&mut self, order: Order, watched: bool) -> Result<(Reply, Option<Memory>)> {
        let orders = self.orders.as_mut().ok_or("the process has ended")?;
        writeln!(orders, "{}", serde_json::to_string(&order)?)?;
        orders.flush()?;
        let mut peak = None;
        let line = loop {
            match self.replies.recv_timeout(SAMPLE_INTERVAL) {
                Ok(line) => break line,
                Err(RecvTimeoutError::Timeout) if watched => {
                    peak = Memory::peak(peak, Memory::of(self.child.id()));
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(format!("the process ended: {}", self.child.wait()?).into());
                }
            }
        };
        let peak = Memory::peak(peak, Memory::of(self.child.id()));
        match serde_json::from_str(&line)? {
            Reply::Failed(why) => Err(why.into()),
            reply => Ok((reply, peak)),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.orders = None;
        let _ = self.child.wait();
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_of_a_process_counts_what_it_touches_and_what_it_started() {
        let before = Memory::of(std::process::id()).unwrap();
        let touched = vec![1_u8; 64 << 20];
        let after = Memory::of(std::process::id()).unwrap();
        assert!(after.own_bytes > before.own_bytes + (60 << 20), "{before:?} {after:?}");
        assert!(after.resident_bytes >= after.own_bytes);
        drop(touched);
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        assert!(with_descendants(std::process::id()).contains(&child.id()));
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
