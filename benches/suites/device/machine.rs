//! On what the figures were taken, and whether others were at work meanwhile.

use std::{
    fmt::Write as _,
    fs,
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde_json::{Map, Value, json};

use crate::counters::{Device, Mount};

/// For so long the disk is watched while nothing of ours uses it.
const WATCH: Duration = Duration::from_millis(500);
/// Others may use so much of one processor before it is worth a warning.
const QUIET: f64 = 0.2;

pub struct Machine {
    facts: Vec<(&'static str, String)>,
    notes: Vec<String>,
    measured_at_unix: u64,
    start: Option<Usage>,
}

impl Machine {
    /// Reads what the kernel says, and watches the disk for a moment.
    pub fn look(dir: &Path, device: &Result<Device, String>) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let mut facts = vec![("processor", format!("{cores} × {}", processor()))];
        let mut notes = Vec::new();
        facts.extend(line("/proc/sys/kernel/osrelease").map(|kernel| ("kernel", kernel)));
        if let Some(mount) = Mount::of(dir) {
            facts.push(("file system", format!("{} ({})", mount.kind, mount.options)));
        }
        let before = (Usage::read(), device.as_ref().ok().and_then(Device::read));
        std::thread::sleep(WATCH);
        let after = (Usage::read(), device.as_ref().ok().and_then(Device::read));
        match device {
            Ok(device) => facts.extend(device.facts.iter().cloned()),
            Err(reason) => notes.push(format!("REQUESTS TO THE DISK ARE NOT AVAILABLE: {reason}")),
        }
        let requests = before.1.zip(after.1).map_or(0, |(before, after)| after.since(before).requests());
        if requests > 0 {
            let watch = WATCH.as_millis();
            notes.push(format!("OTHERS USE THE DISK: {requests} requests in {watch} ms before the start"));
        }
        let others = before.0.zip(after.0).map(|(before, after)| after.others_since(before));
        notes.extend(others.and_then(|others| others.warning("before the start")));
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { facts, notes, measured_at_unix: now.as_secs(), start: Usage::read() }
    }

    pub fn text(&self) -> String {
        self.facts.iter().fold(String::new(), |mut text, (name, value)| {
            let _ = writeln!(text, "{name:<20} {value}");
            text
        })
    }

    /// Looks back on what others did since the start.
    pub fn end(&mut self) {
        let others = self.start.zip(Usage::read()).map(|(start, end)| end.others_since(start));
        self.notes.extend(others.and_then(|others| others.warning("during the measurement")));
    }

    /// Everything that makes the figures doubtful.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    pub fn json(&self) -> Value {
        let facts: Map<String, Value> =
            self.facts.iter().map(|(name, value)| (name.replace(' ', "_"), json!(value))).collect();
        json!({
            "measured_at_unix": self.measured_at_unix,
            "facts": facts,
            "notes": self.notes,
        })
    }
}

fn line(path: &str) -> Option<String> {
    Some(fs::read_to_string(path).ok()?.trim().to_owned())
}

fn processor() -> String {
    let info = line("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find(|line| line.starts_with("model name"));
    model.and_then(|line| line.split_once(':')).map_or("processors", |(_, name)| name.trim()).to_owned()
}

/// Processor time since boot in ticks, of all processors together.
#[derive(Clone, Copy)]
struct Usage {
    all: u64,
    busy: u64,
    stolen: u64,
    own: u64,
    cores: usize,
}

impl Usage {
    fn read() -> Option<Self> {
        let stat = line("/proc/stat")?;
        let numbers =
            |text: &str| text.split_whitespace().map(|word| word.parse().unwrap_or(0)).collect::<Vec<u64>>();
        // user nice system idle iowait irq softirq steal
        let fields = numbers(stat.lines().next()?.strip_prefix("cpu ")?);
        let [user, nice, system, idle, iowait, irq, softirq, stolen, ..] = fields[..] else { return None };
        let busy = user + nice + system + irq + softirq;
        // After the name in brackets: the state, ten numbers, then user and system time of all threads.
        let own = numbers(line("/proc/self/stat")?.rsplit_once(')')?.1);
        let cores = stat.lines().filter(|line| line.starts_with("cpu")).count() - 1;
        let all = busy + idle + iowait + stolen;
        Some(Self { all, busy, stolen, own: own.get(11)? + own.get(12)?, cores })
    }

    fn others_since(self, earlier: Usage) -> Others {
        let own = self.own.saturating_sub(earlier.own);
        let busy = self.busy.saturating_sub(earlier.busy).saturating_sub(own);
        let all = self.all.saturating_sub(earlier.all).max(1) as f64;
        let cores = self.cores as f64;
        let stolen = self.stolen.saturating_sub(earlier.stolen);
        Others { busy: busy as f64 / all * cores, stolen: stolen as f64 / all * cores, cores: self.cores }
    }
}

/// How many processors others kept busy on average, and how many the hypervisor took away.
struct Others {
    busy: f64,
    stolen: f64,
    cores: usize,
}

impl Others {
    fn warning(&self, when: &str) -> Option<String> {
        let Self { busy, stolen, cores } = self;
        (busy + stolen > QUIET).then(|| {
            format!(
                "OTHERS (WITH KERNEL THREADS) USE THE PROCESSORS: {busy:.2} of {cores} {when}, the hypervisor {stolen:.2}. \
                 Much more than 0.2, and the figures are the scheduler's: docs/design/device.md says what to do"
            )
        })
    }
}
