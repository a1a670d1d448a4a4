//! A file with the events of the storage, one JSON object a line.
//!
//! Whoever logs never waits for this file: lines go into a bounded queue, and a job of its own writes them. The file may be moved
//! away or emptied at any time, as logrotate does: the next line finds that it is not where it was, or not as long, and goes into a
//! new one. Nobody else writes to it.

use std::{
    collections::VecDeque,
    io,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

use parking_lot::Mutex;
use stemedb_env::{Budget, Env, File, Job, OpenMode, Step, TaskHandle};
use tracing_subscriber::fmt::MakeWriter;

use super::failure::Failure;

/// Lines that may wait. Beyond them the newest are left out, and the next line that is written says how many.
const WAITING_MAX: usize = 8192;

/// A log of the storage. Clones are the same log.
#[derive(Clone, Debug)]
pub struct StorageLog(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    queue: Arc<Queue>,
    task: OnceLock<TaskHandle>,
}

#[derive(Debug)]
struct Queue {
    waiting: Mutex<Waiting>,
    file: Mutex<LogFile>,
}

#[derive(Debug, Default)]
struct Waiting {
    lines: VecDeque<Vec<u8>>,
    left_out: u64,
}

#[derive(Debug)]
struct LogFile {
    env: Env,
    path: PathBuf,
    open: Option<Opened>,
    /// It could not be written, and that has been said.
    is_failing: bool,
}

#[derive(Debug)]
struct Opened {
    file: Arc<dyn File>,
    /// How long it is, if nobody has touched it.
    end: u64,
}

impl StorageLog {
    /// Opens the file, or makes it; missing folders are made, too.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn open(path: &Path) -> Result<StorageLog, Failure> {
        let env = Env::real();
        let file = LogFile { env: env.clone(), path: path.to_owned(), open: None, is_failing: false };
        let queue = Arc::new(Queue { waiting: Mutex::default(), file: Mutex::new(file) });
        let cannot = |error| {
            let what = format!("cannot write the storage's log {}", path.display());
            Failure::new(error).context(what)
        };
        if let Some(dir) = path.parent().filter(|dir| !dir.as_os_str().is_empty()) {
            env.fs.create_dir(dir).map_err(cannot)?;
        }
        queue.file.lock().reopen().map_err(cannot)?;
        let task = env.tasks.spawn("storage-log", Box::new(Writing(Arc::clone(&queue)))).map_err(cannot)?;
        let shared = Shared { queue, task: OnceLock::new() };
        let _ = shared.task.set(task);
        Ok(StorageLog(Arc::new(shared)))
    }

    /// Lets go of the file: the next line opens what is at its path then.
    pub fn reopen(&self) {
        self.0.queue.file.lock().open = None;
    }

    /// Writes what still waits. For the end of the program.
    pub fn finish(&self) {
        self.0.queue.write();
    }
}

impl Queue {
    /// Writes the lines that wait, in the order in which they came.
    fn write(&self) {
        // Held first, so that two do not change the order.
        let mut file = self.file.lock();
        let Waiting { lines, left_out } = std::mem::take(&mut *self.waiting.lock());
        if lines.is_empty() && left_out == 0 {
            return;
        }
        let mut text: Vec<u8> = lines.into_iter().flatten().collect();
        if left_out > 0 {
            let message = "the storage's log was too slow";
            let line = serde_json::json!({ "level": "WARN", "message": message, "left_out": left_out });
            text.extend(format!("{line}\n").into_bytes());
        }
        let written = file.append(&text);
        let failed = written.is_err();
        if let Err(error) = written
            && !file.is_failing
        {
            // Not as an event: that would come here again.
            let line = serde_json::json!({
                "level": "ERROR",
                "message": format!("the storage's log cannot be written: {error}"),
            });
            let _ = io::Write::write_all(&mut io::stderr(), format!("{line}\n").as_bytes());
        }
        file.is_failing = failed;
    }
}

impl LogFile {
    fn reopen(&mut self) -> stemedb_env::Result<&Opened> {
        let fs = &self.env.fs;
        let file = match fs.open(&self.path, OpenMode::ReadWrite) {
            Err(error) if error.is_not_found() => fs.open(&self.path, OpenMode::CreateNew)?,
            opened => opened?,
        };
        let end = file.len()?;
        Ok(self.open.insert(Opened { file, end }))
    }

    fn append(&mut self, text: &[u8]) -> stemedb_env::Result<()> {
        let found = self.env.fs.metadata(&self.path)?;
        let is_same = |open: &&Opened| found.is_some_and(|found| found.len == open.end);
        if self.open.as_ref().filter(is_same).is_none() {
            let opened = self.reopen()?;
            // A line that was cut off when the disk was full keeps no other from being one.
            let mut last = [b'\n'];
            if opened.end > 0 {
                opened.file.read_exact_at(&mut last, opened.end - 1)?;
            }
            if last != *b"\n" {
                self.put(b"\n")?;
            }
        }
        self.put(text)
    }

    fn put(&mut self, text: &[u8]) -> stemedb_env::Result<()> {
        let Some(open) = &mut self.open else { return Ok(()) };
        let written = open.file.write_all_at(text, open.end);
        match &written {
            Ok(()) => open.end += text.len() as u64,
            Err(_) => self.open = None,
        }
        written
    }
}

struct Writing(Arc<Queue>);

impl Job for Writing {
    fn step(&mut self, _budget: Budget) -> Step {
        self.0.write();
        Step::Idle
    }
}

impl io::Write for StorageLog {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut waiting = self.0.queue.waiting.lock();
        if waiting.lines.len() < WAITING_MAX {
            waiting.lines.push_back(line.to_vec());
        } else {
            waiting.left_out += 1;
        }
        drop(waiting);
        if let Some(task) = self.0.task.get() {
            task.wake();
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for StorageLog {
    type Writer = StorageLog;

    fn make_writer(&self) -> StorageLog {
        self.clone()
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use stemedb_env::fs::read_file;

    use super::*;

    fn log() -> (LogFile, Env, PathBuf) {
        let (env, _) = Env::sim(3);
        let path = PathBuf::from("/storage.log");
        (LogFile { env: env.clone(), path: path.clone(), open: None, is_failing: false }, env, path)
    }

    fn text(env: &Env, path: &Path) -> String {
        String::from_utf8(read_file(&*env.fs, path, 1 << 20).unwrap()).unwrap()
    }

    #[test]
    fn a_file_that_was_moved_away_is_followed_by_a_new_one() {
        let (mut log, env, path) = log();
        log.append(b"one\n").unwrap();
        let moved = PathBuf::from("/storage.log.1");
        env.fs.rename(&path, &moved).unwrap();
        log.append(b"two\n").unwrap();
        assert_eq!((text(&env, &moved), text(&env, &path)), ("one\n".into(), "two\n".into()));
        // Moved, and a new one made, as logrotate's `create` does.
        env.fs.rename(&path, &PathBuf::from("/storage.log.2")).unwrap();
        env.fs.open(&path, OpenMode::CreateNew).unwrap();
        log.append(b"three\n").unwrap();
        assert_eq!(text(&env, &path), "three\n");
    }

    #[test]
    fn a_file_that_was_emptied_is_begun_again_at_its_front() {
        let (mut log, env, path) = log();
        log.append(b"one\n").unwrap();
        env.fs.open(&path, OpenMode::ReadWrite).unwrap().set_len(0).unwrap();
        log.append(b"two\n").unwrap();
        assert_eq!(text(&env, &path), "two\n");
    }

    #[test]
    fn a_line_that_was_cut_off_does_not_swallow_the_next() {
        let (mut log, env, path) = log();
        log.append(b"one\ntw").unwrap();
        log.open = None;
        log.append(b"three\n").unwrap();
        assert_eq!(text(&env, &path), "one\ntw\nthree\n");
    }
}
