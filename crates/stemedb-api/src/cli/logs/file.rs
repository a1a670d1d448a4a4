//! Events in a file, which may be rotated under the server.

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

use parking_lot::Mutex;
use stemedb_env::{Env, File, OpenMode};
use tracing_subscriber::fmt::MakeWriter;

/// A file that events are added to.
///
/// Before each event it is looked whether the file is still the one that was written to: one that is gone (moved away by a
/// rotation) is made anew, one that became shorter (copied and cut) is gone on with at its end. That is one system call an event, and
/// nobody needs to send a signal.
pub struct LogFile {
    env: Env,
    path: PathBuf,
    open: Mutex<Open>,
}

struct Open {
    file: Arc<dyn File>,
    end: u64,
}

impl LogFile {
    /// Opens or creates it. Its folder must exist.
    pub fn open(env: &Env, path: &Path) -> stemedb_env::Result<LogFile> {
        let open = Open::at_end(env, path)?;
        Ok(LogFile { env: env.clone(), path: path.to_path_buf(), open: Mutex::new(open) })
    }

    fn add(&self, event: &[u8]) -> stemedb_env::Result<()> {
        let mut open = self.open.lock();
        let len = self.env.fs.metadata(&self.path)?.map(|found| found.len);
        if len.is_none_or(|len| len < open.end) {
            *open = Open::at_end(&self.env, &self.path)?;
        }
        open.file.write_all_at(event, open.end)?;
        open.end += event.len() as u64;
        Ok(())
    }
}

impl Open {
    fn at_end(env: &Env, path: &Path) -> stemedb_env::Result<Open> {
        let is_there = env.fs.metadata(path)?.is_some();
        let mode = if is_there { OpenMode::ReadWrite } else { OpenMode::CreateNew };
        let file = env.fs.open(path, mode)?;
        let end = file.len()?;
        Ok(Open { file, end })
    }
}

/// Writes one event. What cannot be written is lost: standard error has it as well, and a full disk must not stop the server.
pub struct Event<'a>(&'a LogFile);

impl Write for Event<'_> {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        self.0.add(event).map(|()| event.len()).map_err(io::Error::other)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for LogFile {
    type Writer = Event<'a>;

    fn make_writer(&'a self) -> Event<'a> {
        Event(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(env: &Env, path: &str) -> String {
        let file = env.fs.open(Path::new(path), OpenMode::Read).unwrap();
        let mut bytes = vec![0; file.len().unwrap() as usize];
        file.read_exact_at(&mut bytes, 0).unwrap();
        String::from_utf8(bytes).unwrap()
    }

    fn say(file: &LogFile, event: &str) {
        file.make_writer().write_all(event.as_bytes()).unwrap();
    }

    #[test]
    fn events_go_on_behind_what_is_there_and_in_a_new_file_after_a_rotation() {
        let (env, _sim) = Env::sim(1);
        env.fs.create_dir(Path::new("/log")).unwrap();
        let path = Path::new("/log/storage.log");
        let open = || LogFile::open(&env, path).unwrap();
        say(&open(), "one\n");
        let file = open();
        say(&file, "two\n");
        assert_eq!(text(&env, "/log/storage.log"), "one\ntwo\n");
        // Moved away.
        env.fs.rename(path, Path::new("/log/storage.log.1")).unwrap();
        say(&file, "three\n");
        assert_eq!(text(&env, "/log/storage.log"), "three\n");
        // Moved away, and an empty one put there.
        env.fs.rename(path, Path::new("/log/storage.log.2")).unwrap();
        env.fs.open(path, OpenMode::CreateNew).unwrap();
        say(&file, "four\n");
        assert_eq!(text(&env, "/log/storage.log"), "four\n");
        // Copied and cut.
        env.fs.open(path, OpenMode::ReadWrite).unwrap().set_len(0).unwrap();
        say(&file, "five\n");
        assert_eq!(text(&env, "/log/storage.log"), "five\n");
        assert_eq!(text(&env, "/log/storage.log.1"), "one\ntwo\n");
    }

    #[test]
    fn without_its_folder_it_is_not_opened() {
        let (env, _sim) = Env::sim(1);
        assert!(LogFile::open(&env, Path::new("/nowhere/storage.log")).is_err());
    }
}
