//! What a contender must be able to do.
//!
//! [`Engine`] is a contender with its configuration: it must be able to say its name when it cannot even open. [`Store`] is
//! an opened database of it, shared by all threads; [`Reader`] is what one reading thread holds. What not every engine can
//! do has a default that answers so.

use std::path::Path;

/// Whatever an engine complains about. The engines' own error types have nothing in common but their message.
pub type EngineError = Box<dyn std::error::Error + Send + Sync>;

/// Shorthand for results of engines.
pub type Result<T> = std::result::Result<T, EngineError>;

/// On which side a contender stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// StemeDB.
    Ours,
    /// Another storage engine.
    Peer,
    /// Not an engine but a bound: what the disk, or the processor, allows at best.
    Limit,
}

/// One key with its value.
#[derive(Clone, Copy, Debug)]
pub struct Pair<'a> {
    /// The key.
    pub key: &'a [u8],
    /// The value.
    pub value: &'a [u8],
}

/// Which rows a database holds. Engines that declare prefixes of keys declare them by it.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize, clap::ValueEnum,
)]
#[serde(rename_all = "lowercase")]
pub enum Shape {
    /// Keys of 24 bytes in groups of 100, values of 256 bytes.
    #[default]
    Small,
    /// The rows that StemeDB's index derives from claims.
    Claims,
}

/// How a database is opened. The same for every engine of a run.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// Memory for blocks or pages, for every engine that has such a cache of its own.
    pub cache_bytes: usize,
    /// Size at which a memtable is sealed, for every engine that has one.
    pub memtable_bytes: usize,
    /// [`Store::commit`] makes durable what it writes. Without it, every write survives the end of the process but not a
    /// power cut.
    pub durable: bool,
    /// Rows of the database.
    pub shape: Shape,
    /// Reads will be random and from the disk.
    pub cold: bool,
}

impl Default for Setting {
    fn default() -> Setting {
        Setting {
            cache_bytes: 256 << 20,
            memtable_bytes: 64 << 20,
            durable: true,
            shape: Shape::Small,
            cold: false,
        }
    }
}

/// A contender: an engine in one configuration.
pub trait Engine: Send + Sync {
    /// Short, unique name: the one for `--only`.
    fn name(&self) -> &'static str;

    /// On which side it stands.
    fn kind(&self) -> Kind;

    /// Version, settings that are not the defaults, and what makes a commit durable, in one line.
    fn configuration(&self) -> &'static str;

    /// Opens the database in `folder`; makes one if the folder is empty. The database must be gone from memory when the
    /// store is dropped, since the folder is removed then.
    fn open(&self, folder: &Path, setting: &Setting) -> Result<Box<dyn Store>>;

    /// Most threads that it can serve at a time.
    fn max_writers(&self) -> usize {
        usize::MAX
    }

    /// Folder of a log whose files stay, to be used again or as the record of all writes, beside what is read from. Its size
    /// is reported by itself.
    fn record(&self) -> Option<&'static str> {
        None
    }

    /// Part of the data that it gets: an engine that would keep everybody waiting gets less, and the report says so.
    fn part_of_data(&self) -> f64 {
        1.0
    }
}

/// An opened database. Shared by all threads of a workload.
pub trait Store: Send + Sync {
    /// Writes a batch atomically; with [`Setting::durable`] it returns when the batch survives a power cut.
    fn commit(&self, batch: &[Pair<'_>]) -> Result<()>;

    /// Removes keys, atomically, as durable as [`Store::commit`].
    fn delete(&self, _keys: &[&[u8]]) -> Result<()> {
        Err(cannot("delete"))
    }

    /// A thread's way to read.
    fn reader(&self) -> Result<Box<dyn Reader + '_>> {
        Err(cannot("read"))
    }

    /// Makes everything that was written survive the end of the process, and a power cut where the engine can, in its
    /// cheapest way: a log stays a log.
    fn persist(&self) -> Result<()> {
        Ok(())
    }

    /// Brings everything that was written to where a reopened database finds it without replaying a log, and makes it
    /// durable.
    fn flush(&self) -> Result<()> {
        Ok(())
    }

    /// Merges or rewrites everything, as compactly as the engine can. False if it has nothing of the kind.
    fn compact(&mut self) -> Result<bool> {
        Ok(false)
    }

    /// Ends everything in the background and closes.
    fn close(self: Box<Self>) -> Result<()> {
        Ok(())
    }

    /// Syncs of the log since it was opened, where the engine counts them.
    fn syncs(&self) -> Option<u64> {
        None
    }

    /// A way to commit without waiting, for a contender that is driven by one thread with many commits under way. `None`:
    /// it is driven by threads that call [`Store::commit`].
    fn pipeline(&self) -> Option<Box<dyn Pipeline + '_>> {
        None
    }
}

fn cannot(what: &str) -> EngineError {
    format!("this contender cannot {what}").into()
}

/// What one thread reads with: a view of the database at one moment.
///
/// Values are looked at where they lie (see [`touch`]), so no engine pays for a copy that its callers could do without.
pub trait Reader {
    /// Moves the view to now.
    fn renew(&mut self) -> Result<()>;

    /// Looks a key up in the view: what [`touch`] says of its value.
    fn get(&mut self, key: &[u8]) -> Result<Option<u64>>;

    /// Looks a key up in the newest state, in the cheapest way that the engine has.
    fn get_fresh(&mut self, key: &[u8]) -> Result<Option<u64>> {
        self.renew()?;
        self.get(key)
    }

    /// Looks several keys up in the view; appends to `found` in the order of the keys.
    fn multi_get(&mut self, keys: &[&[u8]], found: &mut Vec<Option<u64>>) -> Result<()> {
        for key in keys {
            found.push(self.get(key)?);
        }
        Ok(())
    }

    /// Walks over the rows of the view whose keys start with `prefix`, in order, at most `limit` of them.
    fn scan(&mut self, prefix: &[u8], limit: u64) -> Result<Tally>;
}

/// What a scan saw.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Rows.
    pub rows: u64,
    /// Bytes of keys and values.
    pub bytes: u64,
    /// A sum over all rows, so that every one of them must be read.
    pub sum: u64,
}

impl Tally {
    /// Adds a row.
    #[inline]
    pub fn add(&mut self, key: &[u8], value: &[u8]) {
        self.rows += 1;
        self.bytes += (key.len() + value.len()) as u64;
        self.sum = self.sum.wrapping_add(touch(key)).wrapping_add(touch(value));
    }
}

/// Looks at both ends of some bytes. Two different values agree in it with a chance of 2⁻⁶⁴.
#[inline]
pub fn touch(bytes: &[u8]) -> u64 {
    let first = bytes.first_chunk::<8>().map_or(0, |word| u64::from_le_bytes(*word));
    let last = bytes.last_chunk::<8>().map_or(0, |word| u64::from_le_bytes(*word));
    first.wrapping_mul(3).wrapping_add(last).wrapping_add(bytes.len() as u64)
}

/// Commits under way, handed in by one thread. First in, first out.
pub trait Pipeline {
    /// Hands a batch in. It is not durable yet.
    fn submit(&mut self, batch: &[Pair<'_>]) -> Result<()>;

    /// Waits until the oldest batch whose end has not been waited for is durable.
    fn wait_oldest(&mut self) -> Result<()>;
}
