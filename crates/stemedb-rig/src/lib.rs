//! The journal on a real kernel.
//!
//! The simulator has beliefs about what a disk does; this rig asks a kernel. A child process ([`writer`]) appends to a
//! journal on a real file system in a file, and says on a pipe what was acknowledged. The parent ([`power_cuts`],
//! [`full_disk`]) stops it at a random moment, copies the file (that is what the disk would hold if the power had gone
//! at that moment), mounts the copy, opens the journal in it and compares it with what was acknowledged:
//!
//! ```text
//! writer      append ── ack ── append ── ack ── append ─┤stopped├─ ack ── append …
//! parent                                                 copy ─ mount ─ open ─ compare ─ append 3 ─ reopen ─ unmount
//! ```
//!
//! - [`scratch`]: where the rig may work at all, a mount namespace of its own, and leftovers of runs that were killed.
//! - [`image`], [`mount`]: file systems in files, and guards that unmount them.
//! - [`content`], [`history`]: every entry is a function of its position in the work; what was promised, and what else may be there.
//! - [`protocol`], [`life`], [`child`], [`writer`]: the writing process, what it says, and how the parent holds it.
//! - [`slow_fs`]: a file system that dawdles (or, to prove that the rig can fail, does not sync).
//! - [`writeback`]: what a kernel may write by itself before the power goes.
//! - [`examine`]: one copy, opened and compared.
//! - [`engine`]: the whole engine in this process, on a disk that is filled and freed.
//! - [`engine_life`], [`engine_content`], [`engine_writer`]: a child process that runs the whole engine, and what it writes.
//! - [`engine_examine`], [`engine_deaths`]: what such a process left, opened and compared; what is counted.
//! - [`engine_kills`], [`engine_cuts`]: the suites of engines that are killed, and of power cuts below engines.
//! - [`power_cuts`]: the suite of cuts. [`full_disk`], [`disk`], [`filler`], [`resume`]: the suite of disks without room.
//!
//! What it cannot show: a write that reached the loop device counts as durable even without a flush of the device, so
//! a file system that forgets to flush would not be noticed. The journal's own syncs are.
#![deny(missing_docs)]
// Its subject is the operating system itself: mounts, processes, signals and files outside of the engine's door.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]
#![cfg(target_os = "linux")]

pub mod child;
pub mod content;
pub mod dice;
pub mod disk;
pub mod engine;
pub mod engine_content;
pub mod engine_cuts;
pub mod engine_deaths;
pub mod engine_examine;
pub mod engine_kills;
pub mod engine_life;
pub mod engine_writer;
pub mod examine;
pub mod filler;
pub mod full_disk;
pub mod history;
pub mod image;
pub mod life;
pub mod mount;
pub mod power_cuts;
pub mod protocol;
pub mod resume;
pub mod scratch;
pub mod slow_fs;
pub mod writeback;
pub mod writer;

use std::{fmt, path::Path};

use stemedb_env::frame::DatabaseId;
use stemedb_wal::JournalIdentity;

/// Why the rig itself could not go on: a command or a call failed. Not a verdict about the journal.
#[derive(Debug)]
pub struct Broken(pub String);

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Broken {}

impl From<String> for Broken {
    fn from(message: String) -> Broken {
        Broken(message)
    }
}

/// Shorthand for results of this crate.
pub type Result<T> = std::result::Result<T, Broken>;

/// Says what was being done, and to what, when the system refused.
pub(crate) trait At<T> {
    /// Adds the place.
    fn at(self, doing: &str, path: &Path) -> Result<T>;
}

impl<T, E: fmt::Display> At<T> for std::result::Result<T, E> {
    fn at(self, doing: &str, path: &Path) -> Result<T> {
        self.map_err(|error| Broken(format!("{doing} {}: {error}", path.display())))
    }
}

/// Whose journal a run with this seed writes.
pub fn identity(seed: u64) -> JournalIdentity {
    let mut database = DatabaseId::default();
    database.0.iter_mut().zip(seed.to_le_bytes()).for_each(|(to, from)| *to = from);
    JournalIdentity { database, timeline: 1 }
}

/// The journal's folder below the root of a mounted image.
pub const JOURNAL_DIR: &str = "wal";
