//! What the block device below a folder has been asked to do, as the kernel counts it.
//!
//! The figures are those of `/sys/dev/block/*/stat`. They count everybody's requests, not ours alone.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

/// Requests since boot, or between two readings.
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
pub struct Counts {
    pub reads: u64,
    pub read_sectors: u64,
    pub writes: u64,
    pub written_sectors: u64,
    pub discards: u64,
    pub flushes: u64,
}

impl Counts {
    /// The line of a `stat` file. Kernels before 5.5 count no flushes; without them the line is refused.
    pub fn parse(line: &str) -> Option<Self> {
        let fields: Vec<u64> =
            line.split_whitespace().map(|field| field.parse().ok()).collect::<Option<_>>()?;
        Some(Self {
            reads: *fields.first()?,
            read_sectors: *fields.get(2)?,
            writes: *fields.get(4)?,
            written_sectors: *fields.get(6)?,
            discards: *fields.get(11)?,
            flushes: *fields.get(15)?,
        })
    }

    pub fn requests(self) -> u64 {
        self.reads + self.writes + self.discards + self.flushes
    }

    /// What happened between an earlier reading and this one.
    pub fn since(self, earlier: Counts) -> Self {
        Self {
            reads: self.reads.saturating_sub(earlier.reads),
            read_sectors: self.read_sectors.saturating_sub(earlier.read_sectors),
            writes: self.writes.saturating_sub(earlier.writes),
            written_sectors: self.written_sectors.saturating_sub(earlier.written_sectors),
            discards: self.discards.saturating_sub(earlier.discards),
            flushes: self.flushes.saturating_sub(earlier.flushes),
        }
    }
}

/// The disk that holds a folder.
pub struct Device {
    stat: PathBuf,
    /// What the kernel says about it, for the report.
    pub facts: Vec<(&'static str, String)>,
}

impl Device {
    /// Finds the disk by the folder's device number, else by the source of its mount. The error says why there is none.
    pub fn of(folder: &Path) -> Result<Self, String> {
        let number = fs::metadata(folder).map_err(|error| error.to_string())?.dev();
        let (major, minor) = (rustix::fs::major(number), rustix::fs::minor(number));
        let by_number = PathBuf::from(format!("/sys/dev/block/{major}:{minor}"));
        let found = fs::canonicalize(by_number).or_else(|_| {
            let source = Mount::of(folder).map(|mount| mount.source).unwrap_or_default();
            let name = fs::canonicalize(source)?.file_name().unwrap_or_default().to_owned();
            fs::canonicalize(Path::new("/sys/class/block").join(name))
        });
        let mut disk = found.map_err(|_| format!("{major}:{minor} is no block device"))?;
        // Flushes are counted for whole disks only.
        if disk.join("partition").exists() {
            disk.pop();
        }
        let fact =
            |name| fs::read_to_string(disk.join("queue").join(name)).map(|text| text.trim().to_owned());
        let facts = ["write_cache", "fua", "scheduler", "rotational", "logical_block_size", "read_ahead_kb"]
            .into_iter()
            .filter_map(|name| Some((name, fact(name).ok()?)))
            .chain(disk.file_name().map(|name| ("device", name.to_string_lossy().into_owned())))
            .collect();
        let device = Self { stat: disk.join("stat"), facts };
        match device.read() {
            Some(_) => Ok(device),
            None => Err(format!("{} has no counts of flushes", device.stat.display())),
        }
    }

    pub fn read(&self) -> Option<Counts> {
        Counts::parse(&fs::read_to_string(&self.stat).ok()?)
    }
}

/// A line of `/proc/self/mountinfo`.
#[derive(Debug, PartialEq, Eq)]
pub struct Mount {
    point: PathBuf,
    source: PathBuf,
    pub kind: String,
    pub options: String,
}

impl Mount {
    /// The mount that a folder is on: the last of those with the longest path above it.
    pub fn of(folder: &Path) -> Option<Self> {
        let folder = fs::canonicalize(folder).ok()?;
        let list = fs::read_to_string("/proc/self/mountinfo").ok()?;
        list.lines()
            .filter_map(Self::parse)
            .filter(|mount| folder.starts_with(&mount.point))
            .max_by_key(|mount| mount.point.components().count())
    }

    /// `27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw,discard`
    pub fn parse(line: &str) -> Option<Self> {
        let (left, right) = line.split_once(" - ")?;
        let mut right = right.split(' ');
        Some(Self {
            point: left.split(' ').nth(4)?.into(),
            kind: right.next()?.to_owned(),
            source: right.next()?.into(),
            options: right.next()?.to_owned(),
        })
    }
}
