//! The files of a log: opening, appending, beginning a new one, removing the oldest.
//!
//! What goes is said first, durably, and goes afterwards: a crash in between leaves files that are whole, and the next new file
//! removes them.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use stemedb_env::{Env, File, OpenMode, fs::tree::create_dir_durably};

use super::{
    AuditError, AuditOptions,
    entry::{Entry, Head},
};

/// Longer than any line.
const TAIL_BYTES: usize = 64 << 10;

/// An open log.
#[derive(Debug)]
pub(super) struct Log {
    env: Env,
    options: AuditOptions,
    file: Arc<dyn File>,
    len: u64,
    head: Head,
    /// Written since the last sync.
    dirty: bool,
}

impl Log {
    pub fn open(env: &Env, options: AuditOptions) -> Result<Log, AuditError> {
        if let Some(dir) = options.file.parent() {
            create_dir_durably(&*env.fs, dir)?;
        }
        if env.fs.metadata(&options.file)?.is_none() {
            let head = match newest_part(env, &options.file)? {
                None => Head::START,
                Some(part) => tail(&*env.fs.open(&part, OpenMode::Read)?, &part)?.0,
            };
            let file = create(env, &options.file)?;
            return Ok(Log { env: env.clone(), options, file, len: 0, head, dirty: false });
        }
        let file = env.fs.open(&options.file, OpenMode::ReadWrite)?;
        let (mut head, torn) = tail(&*file, &options.file)?;
        let mut len = file.len()?;
        if head == Head::START
            && let Some(part) = newest_part(env, &options.file)?
        {
            // Nothing was written to it since it was begun.
            head = tail(&*env.fs.open(&part, OpenMode::Read)?, &part)?.0;
        }
        if !torn.is_empty() {
            len -= torn.len() as u64;
            file.set_len(len)?;
        }
        let mut log = Log { env: env.clone(), options, file, len, head, dirty: false };
        if !torn.is_empty() {
            log.append(&[Entry::torn(env, &torn)])?;
        }
        Ok(log)
    }

    /// Adds entries, all of them or none: after an error the next call writes over what may have been written.
    pub fn append(&mut self, entries: &[Entry]) -> stemedb_env::Result<()> {
        if self.len >= self.options.rotate_bytes {
            self.rotate()?;
            self.remove_oldest()?;
        }
        self.add(entries)
    }

    fn add(&mut self, entries: &[Entry]) -> stemedb_env::Result<()> {
        let (mut bytes, mut head) = (Vec::new(), self.head);
        for entry in entries {
            let (line, next) = head.next(entry);
            bytes.extend_from_slice(&line);
            head = next;
        }
        self.file.write_all_at(&bytes, self.len)?;
        self.len += bytes.len() as u64;
        (self.head, self.dirty) = (head, true);
        Ok(())
    }

    /// Makes what was added durable.
    pub fn sync(&mut self) -> stemedb_env::Result<()> {
        if self.dirty {
            self.file.sync_data()?;
            self.dirty = false;
        }
        Ok(())
    }

    pub fn is_dirty(&self) -> bool {
        self.dirty
    }

    /// Removes the files beyond those that are kept.
    fn remove_oldest(&mut self) -> stemedb_env::Result<()> {
        let keep = self.options.keep;
        let mut parts = parts(&self.env, &self.options.file)?;
        if keep == 0 || parts.len() <= keep {
            return Ok(());
        }
        parts.truncate(parts.len() - keep);
        let Some(newest) = parts.last() else { return Ok(()) };
        let Ok((last, _)) = tail(&*self.env.fs.open(newest, OpenMode::Read)?, newest) else {
            tracing::error!(file = %newest.display(), "no file of the audit log is removed: this one does not end with a line of it");
            return Ok(());
        };
        self.add(&[Entry::removed(&self.env, last)])?;
        self.sync()?;
        for part in &parts {
            self.env.fs.remove(part)?;
        }
        match self.options.file.parent() {
            Some(dir) => self.env.fs.sync_dir(dir),
            None => Ok(()),
        }
    }

    fn rotate(&mut self) -> stemedb_env::Result<()> {
        self.sync()?;
        let part = part_path(&self.options.file, self.head.seq);
        self.env.fs.rename(&self.options.file, &part)?;
        self.file = create(&self.env, &self.options.file)?;
        self.len = 0;
        Ok(())
    }
}

fn create(env: &Env, path: &Path) -> stemedb_env::Result<Arc<dyn File>> {
    let file = env.fs.open(path, OpenMode::CreateNew)?;
    env.fs.make_private(path)?;
    if let Some(dir) = path.parent() {
        env.fs.sync_dir(dir)?;
    }
    Ok(file)
}

/// The name of a file that is complete, by the number of its last line.
fn part_path(file: &Path, last_seq: u64) -> PathBuf {
    let mut name = file.file_name().map(|name| name.to_os_string()).unwrap_or_default();
    name.push(format!(".{last_seq:012}"));
    file.with_file_name(name)
}

fn newest_part(env: &Env, file: &Path) -> stemedb_env::Result<Option<PathBuf>> {
    Ok(parts(env, file)?.pop())
}

/// The files that are complete, oldest first.
fn parts(env: &Env, file: &Path) -> stemedb_env::Result<Vec<PathBuf>> {
    let (Some(dir), Some(name)) = (file.parent(), file.file_name().and_then(|name| name.to_str())) else {
        return Ok(Vec::new());
    };
    let is_part = |other: &str| {
        let digits = other.strip_prefix(name).and_then(|rest| rest.strip_prefix('.'));
        digits.is_some_and(|digits| digits.len() == 12 && digits.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let mut names: Vec<String> = env.fs.list(dir)?.into_iter().map(|entry| entry.name).collect();
    names.retain(|other| is_part(other));
    // The number has as many digits in each: names sort as numbers do.
    names.sort_unstable();
    Ok(names.iter().map(|name| dir.join(name)).collect())
}

/// The head after the last whole line, and what stands behind it.
fn tail(file: &dyn File, path: &Path) -> Result<(Head, Vec<u8>), AuditError> {
    let not_a_log = || AuditError::NotALog { file: path.to_path_buf() };
    let len = file.len()?;
    let start = len.saturating_sub(TAIL_BYTES as u64);
    let mut bytes = vec![0; usize::try_from(len - start).unwrap_or(TAIL_BYTES)];
    file.read_exact_at(&mut bytes, start)?;
    let Some(end) = bytes.iter().rposition(|byte| *byte == b'\n') else {
        // No whole line: all of it is torn, unless it is longer than a line can be.
        return if start == 0 { Ok((Head::START, bytes)) } else { Err(not_a_log()) };
    };
    let torn = bytes.split_off(end + 1);
    bytes.pop();
    let line = bytes.rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
    Ok((Head::of_line(line).ok_or_else(not_a_log)?, torn))
}
