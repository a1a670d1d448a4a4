//! A run that takes hours is continued where it stopped.
//!
//! Two files: `FILE` with the next number (of a sequence, of a seed) and the counts so far, replaced atomically, and
//! `FILE.seen` with the keys of the states that were checked, appended to before that.

use std::{path::Path, sync::Arc};

use stemedb_env::{Env, File, Fs, OpenMode, fs};

use crate::report::Report;

/// Where a run stands.
#[derive(Debug)]
pub struct Progress {
    fs: Arc<dyn Fs>,
    path: std::path::PathBuf,
    keys: Arc<dyn File>,
    fingerprint: u64,
    /// First number that has not been done.
    pub next: u64,
    /// Time spent so far.
    pub seconds: f64,
    saved_keys: u64,
}

const MAX_PROGRESS_BYTES: u64 = 1 << 20;

impl Progress {
    /// Opens or creates the files at `path`; adds what was done so far to `report`, and returns the keys of all states.
    ///
    /// # Errors
    /// A message when the files cannot be read, or belong to another plan.
    pub fn open(path: &Path, fingerprint: u64, report: &mut Report) -> Result<(Progress, Vec<u64>), String> {
        let fs = Env::real().fs;
        let shown = |error: stemedb_env::Error| error.to_string();
        let mut name = path.as_os_str().to_os_string();
        name.push(".seen");
        let seen = std::path::PathBuf::from(name);
        if let Some(dir) = path.parent().filter(|dir| !dir.as_os_str().is_empty()) {
            fs.create_dir(dir).map_err(shown)?;
        }
        let exists = fs.metadata(&seen).map_err(shown)?.is_some();
        let mode = if exists { OpenMode::ReadWrite } else { OpenMode::CreateNew };
        let keys = fs.open(&seen, mode).map_err(shown)?;
        let mut progress = Progress {
            fs,
            path: path.to_path_buf(),
            keys,
            fingerprint,
            next: 0,
            seconds: 0.0,
            saved_keys: 0,
        };
        if progress.fs.metadata(path).map_err(shown)?.is_none() {
            return Ok((progress, Vec::new()));
        }
        let text = fs::read_file(&*progress.fs, path, MAX_PROGRESS_BYTES).map_err(shown)?;
        progress.read(&String::from_utf8_lossy(&text), report)?;
        let mut bytes = vec![0; usize::try_from(progress.saved_keys * 8).unwrap_or(0)];
        progress.keys.read_exact_at(&mut bytes, 0).map_err(shown)?;
        let key = |chunk: &[u8]| chunk.try_into().map(u64::from_le_bytes).unwrap_or(0);
        Ok((progress, bytes.chunks(8).map(key).collect()))
    }

    fn read(&mut self, text: &str, report: &mut Report) -> Result<(), String> {
        for line in text.lines() {
            let mut words = line.split_whitespace();
            let bad = || format!("{}: `{line}` is not a line of a progress file", self.path.display());
            let (Some(what), Some(name), Some(value)) = (words.next(), words.next(), words.next()) else {
                return Err(bad());
            };
            let number = || value.parse::<u64>().map_err(|_| bad());
            match what {
                "plan" if number()? == self.fingerprint => {}
                "plan" => {
                    let path = self.path.display();
                    return Err(format!("{path} belongs to another plan: remove it, or name another file"));
                }
                "next" => self.next = number()?,
                "keys" => self.saved_keys = number()?,
                "seconds" => self.seconds = value.parse().map_err(|_| bad())?,
                "did" => report.did(name, number()?),
                "injected" => report.injected(name, number()?),
                "outcome" => {
                    let (class, outcome) = name.split_once('.').ok_or_else(bad)?;
                    report.came_of(class, outcome, number()?);
                }
                _ => return Err(bad()),
            }
        }
        Ok(())
    }

    /// Saves where the run stands.
    ///
    /// # Errors
    /// A message when the files cannot be written.
    pub fn save(&mut self, report: &Report, new_keys: &[u64]) -> Result<(), String> {
        let shown = |error: stemedb_env::Error| error.to_string();
        let bytes: Vec<u8> = new_keys.iter().flat_map(|key| key.to_le_bytes()).collect();
        self.keys.write_all_at(&bytes, self.saved_keys * 8).map_err(shown)?;
        self.keys.sync_data().map_err(shown)?;
        self.saved_keys += new_keys.len() as u64;
        let mut lines = vec![
            format!("plan = {}", self.fingerprint),
            format!("next = {}", self.next),
            format!("keys = {}", self.saved_keys),
            format!("seconds = {:.1}", self.seconds),
        ];
        lines.extend(report.work.iter().map(|(what, times)| format!("did {what} {times}")));
        lines.extend(report.faults.iter().map(|(class, times)| format!("injected {class} {times}")));
        let outcomes = report.outcomes.iter();
        lines.extend(outcomes.map(|((class, what), times)| format!("outcome {class}.{what} {times}")));
        lines.push(String::new());
        fs::write_file_atomic(&*self.fs, &self.path, lines.join("\n").as_bytes()).map_err(shown)
    }
}
