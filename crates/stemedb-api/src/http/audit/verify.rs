//! Checking a log: that nothing in it was changed, left out, moved or put in.

use std::{
    fmt,
    io::{self, BufRead, BufReader, Read},
    path::{Path, PathBuf},
    sync::Arc,
};

use stemedb_env::{Env, File, OpenMode};

use super::entry::{Head, Link, Told};
use crate::backup::Hex;

/// Longer than any line.
const LINE_MAX_BYTES: u64 = 64 << 10;

/// What a whole chain is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditReport {
    /// Number of the first line; not 1 where older files were not given, or are removed.
    pub first_seq: u64,
    /// A line says that all before the first one was removed by the server, and what the last of it was: the chain has lost its
    /// beginning to the retention and to nothing else.
    pub is_removal_told: bool,
    /// Number of the last line.
    pub last_seq: u64,
    /// The hash of the last line: note it elsewhere, and a later check shows that nothing was cut off.
    pub head: [u8; 32],
}

impl fmt::Display for AuditReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "lines {} to {}, head {}", self.first_seq, self.last_seq, Hex(self.head))?;
        match (self.first_seq, self.is_removal_told) {
            (1, _) => Ok(()),
            (first, true) => write!(f, "; lines 1 to {} were removed as configured", first - 1),
            (first, false) => write!(f, "; lines 1 to {} are not here, and no line says why", first - 1),
        }
    }
}

/// The first line that does not fit, or a file that cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuditBreak {
    /// A line is not what was written.
    #[error("{}, line {line}: {problem}", file.display())]
    Line {
        /// The file.
        file: PathBuf,
        /// The line, from 1.
        line: u64,
        /// What does not fit.
        problem: String,
    },
    /// The files have no line.
    #[error("there is nothing to check")]
    Empty,
    /// The system refused.
    #[error(transparent)]
    Env(#[from] stemedb_env::Error),
}

/// Checks the chain through files, which may be given in any order. Memory: a line at a time.
///
/// # Errors
/// [`AuditBreak`] names the first line that does not follow from the one before.
pub fn verify(env: &Env, files: &[PathBuf]) -> Result<AuditReport, AuditBreak> {
    let mut order = Vec::new();
    for file in files {
        let mut first = None;
        walk(env, file, |_, line| {
            first = first.or(serde_json::from_slice::<Link>(line).ok().map(|link| link.seq));
            Ok(first.is_none())
        })?;
        // A file whose first line is none is looked at where it would be noticed.
        order.push((first.unwrap_or(0), file));
    }
    order.sort();
    let (mut first_seq, mut head) = (None, Head::START);
    // What the first line follows, by number and hash; what is told of removals.
    let (mut before_first, mut is_removal_told) = (None, false);
    for (_, file) in order {
        walk(env, file, |number, line| {
            if before_first.is_none() {
                let link = serde_json::from_slice::<Link>(line).ok();
                before_first = link.map(|link| (link.seq.saturating_sub(1), link.prev));
            }
            is_removal_told |= before_first.is_some() && Told::removal(line) == before_first;
            head = follow(head, first_seq.is_none(), line).map_err(|problem| AuditBreak::Line {
                file: file.clone(),
                line: number,
                problem,
            })?;
            first_seq.get_or_insert(head.seq);
            Ok(true)
        })?;
    }
    let first_seq = first_seq.ok_or(AuditBreak::Empty)?;
    Ok(AuditReport { first_seq, is_removal_told, last_seq: head.seq, head: head.hash })
}

/// The head after a line that fits.
fn follow(head: Head, is_first: bool, line: &[u8]) -> Result<Head, String> {
    let link: Link = serde_json::from_slice(line).map_err(|error| format!("it is not an entry: {error}"))?;
    let before = Hex(head.hash).to_string();
    let begins_later = is_first && link.seq > 1;
    if !begins_later && link.seq != head.seq + 1 {
        return Err(format!("it has the number {}, and {} was expected", link.seq, head.seq + 1));
    }
    if !begins_later && link.prev != before {
        return Err(format!("it refers to {} as the line before, which is {before}", link.prev));
    }
    Head::of_line(line).ok_or_else(|| "it is not an entry".to_owned())
}

/// Calls `visit` with each line, without its line feed, until it says no.
fn walk(
    env: &Env,
    path: &Path,
    mut visit: impl FnMut(u64, &[u8]) -> Result<bool, AuditBreak>,
) -> Result<(), AuditBreak> {
    let problem = |line, problem: String| AuditBreak::Line { file: path.to_path_buf(), line, problem };
    let mut input = BufReader::new(Reader { file: env.fs.open(path, OpenMode::Read)?, offset: 0 });
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        let read = (&mut input).take(LINE_MAX_BYTES).read_until(b'\n', &mut line);
        match read.map_err(|error| problem(number, error.to_string()))? {
            0 => break,
            _ if line.pop() != Some(b'\n') => {
                return Err(problem(number, "its end is missing: it is torn, or just being written".into()));
            }
            _ if !visit(number, &line)? => break,
            _ => {}
        }
    }
    Ok(())
}

/// A file from its beginning to its end.
struct Reader {
    file: Arc<dyn File>,
    offset: u64,
}

impl Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read_up_to_at(buffer, self.offset).map_err(io::Error::other)?;
        self.offset += count as u64;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use stemedb_env::fs::{read_file, write_file_atomic};

    use super::{
        super::{Audit, AuditOptions, entry::Entry},
        *,
    };

    const FILE: &str = "/log/audit.log";

    fn entry(env: &Env, status: u16) -> Entry {
        Entry { status: Some(status), ..Entry::new(env, "request") }
    }

    /// Lets the writer do what there is.
    fn settle(env: &Env) {
        while env.tasks.drive() {}
    }

    fn files(env: &Env) -> Vec<PathBuf> {
        let names = env.fs.list(Path::new("/log")).unwrap();
        names.into_iter().map(|entry| Path::new("/log").join(entry.name)).collect()
    }

    fn lines(env: &Env) -> u64 {
        verify(env, &files(env)).unwrap().last_seq
    }

    /// A log in many small files, over two runs of the program.
    fn written(env: &Env) {
        for _ in 0..2 {
            let options = AuditOptions { rotate_bytes: 1000, ..AuditOptions::new(FILE) };
            let audit = Audit::open(env, options).unwrap();
            for _ in 0..20 {
                audit.record(entry(env, 201));
                settle(env);
            }
        }
    }

    #[test]
    fn a_chain_holds_through_files_and_restarts_and_every_changed_byte_breaks_it() {
        let (env, _) = Env::sim(1);
        written(&env);
        assert!(files(&env).len() > 3);
        let mut mixed = files(&env);
        mixed.reverse();
        let whole = verify(&env, &mixed).unwrap();
        assert_eq!((whole.first_seq, whole.last_seq), (1, 42), "two starts and forty requests");
        let path = files(&env)[2].clone();
        let bytes = read_file(&*env.fs, &path, 1 << 20).unwrap();
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            write_file_atomic(&*env.fs, &path, &changed).unwrap();
            assert!(verify(&env, &mixed).is_err(), "byte {at}");
        }
        write_file_atomic(&*env.fs, &path, &bytes).unwrap();
        assert_eq!(verify(&env, &mixed).unwrap(), whole);
        let without = bytes.split_inclusive(|byte| *byte == b'\n').skip(1).collect::<Vec<_>>().concat();
        write_file_atomic(&*env.fs, &path, &without).unwrap();
        let broken = verify(&env, &mixed).unwrap_err();
        assert!(matches!(&broken, AuditBreak::Line { file, line: 1, .. } if *file == path), "{broken}");
        mixed.retain(|file| *file != path);
        assert!(verify(&env, &mixed).is_err(), "a file is missing");
        let later = verify(&env, &mixed[..1]).unwrap();
        assert!(later.first_seq > 1, "the newest file alone");
    }

    #[test]
    fn of_old_files_as_many_are_kept_as_configured_and_the_lines_that_went_are_told() {
        let (env, _) = Env::sim(5);
        let options = AuditOptions { rotate_bytes: 1000, keep: 2, ..AuditOptions::new(FILE) };
        let write = |entries: usize| {
            let audit = Audit::open(&env, options.clone()).unwrap();
            for _ in 0..entries {
                audit.record(entry(&env, 201));
                settle(&env);
                assert!(files(&env).len() <= 3, "two, and the one that is written");
            }
        };
        write(60);
        write(60);
        let whole = verify(&env, &files(&env)).unwrap();
        assert_eq!(files(&env).len(), 3);
        assert!(whole.first_seq > 60 && whole.is_removal_told, "{whole}");
        assert!(whole.to_string().contains("were removed as configured"), "{whole}");
        // One more that is gone was not removed by the server; nor was one in between.
        let less = verify(&env, &files(&env)[..2]).unwrap_err();
        assert!(less.to_string().contains("was expected"), "{less}");
        env.fs.remove(&files(&env)[1]).unwrap();
        let less = verify(&env, &files(&env)).unwrap();
        assert!(!less.is_removal_told && less.to_string().contains("no line says why"), "{less}");
    }

    #[test]
    fn a_power_cut_between_the_word_and_the_removal_leaves_whole_files_that_go_later() {
        let (env, handles) = Env::sim(6);
        let keep = |keep| AuditOptions { rotate_bytes: 1000, keep, ..AuditOptions::new(FILE) };
        let audit = Audit::open(&env, keep(0)).unwrap();
        for _ in 0..60 {
            audit.record(entry(&env, 201));
            settle(&env);
        }
        drop(audit);
        let many = files(&env).len();
        assert!(many > 5);
        // It cannot remove, and goes on writing.
        let faults = {
            use stemedb_env::{
                IoOp,
                fs::{
                    FaultFs,
                    fault::{Fault, FaultRule},
                },
            };
            let faults = Arc::new(FaultFs::new(Arc::clone(&env.fs), 1));
            faults.add(FaultRule::new(Fault::Eio).on(IoOp::Remove));
            faults
        };
        let mut stubborn = env.clone();
        stubborn.fs = Arc::<stemedb_env::fs::FaultFs>::clone(&faults);
        let audit = Audit::open(&stubborn, keep(2)).unwrap();
        for _ in 0..20 {
            audit.record(entry(&env, 201));
            settle(&env);
            handles.clock.advance(Duration::from_secs(2));
            settle(&env);
        }
        assert!(files(&env).len() >= many, "nothing is gone");
        assert_eq!(verify(&env, &files(&env)).unwrap().first_seq, 1);
        faults.clear();
        for _ in 0..20 {
            audit.record(entry(&env, 201));
            settle(&env);
            handles.clock.advance(Duration::from_secs(2));
            settle(&env);
        }
        drop(audit);
        assert_eq!(files(&env).len(), 3);
        assert!(verify(&env, &files(&env)).unwrap().is_removal_told);
    }

    #[test]
    fn a_torn_line_is_cut_off_and_told_and_a_foreign_file_is_left_alone() {
        let (env, _) = Env::sim(2);
        written(&env);
        let mut bytes = read_file(&*env.fs, Path::new(FILE), 1 << 20).unwrap();
        bytes.truncate(bytes.len() - 7);
        write_file_atomic(&*env.fs, Path::new(FILE), &bytes).unwrap();
        assert!(verify(&env, &files(&env)).is_err());
        let before = 41;
        drop(Audit::open(&env, AuditOptions::new(FILE)).unwrap());
        assert_eq!(lines(&env), before + 2, "what was torn, and the start");
        let text = read_file(&*env.fs, Path::new(FILE), 1 << 20).unwrap();
        assert!(String::from_utf8(text).unwrap().contains(r#""event":"torn""#));
        write_file_atomic(&*env.fs, Path::new("/log/letter"), b"dear\nreader\n").unwrap();
        assert!(Audit::open(&env, AuditOptions::new("/log/letter")).is_err());
    }

    #[test]
    fn what_finds_no_room_is_counted_and_its_number_is_a_line() {
        let (env, handles) = Env::sim(3);
        let audit = Audit::open(&env, AuditOptions::new(FILE)).unwrap();
        settle(&env);
        for _ in 0..10_000 {
            audit.record(entry(&env, 201));
        }
        for _ in 0..1000 {
            audit.record(entry(&env, 401));
        }
        handles.clock.advance(Duration::from_secs(2));
        settle(&env);
        drop(audit);
        let text = String::from_utf8(read_file(&*env.fs, Path::new(FILE), 1 << 24).unwrap()).unwrap();
        let mut told = 0;
        for line in text.lines() {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            told += match line["event"].as_str().unwrap() {
                "request" => 1,
                "gap" => line["count"].as_u64().unwrap(),
                _ => 0,
            };
        }
        assert_eq!(told, 11_000, "each is a line or in a gap's number");
        assert!(text.contains("queue_full") && text.contains("too_many_refusals"));
        assert!(verify(&env, &[FILE.into()]).is_ok());
    }

    #[test]
    fn while_the_disk_refuses_entries_wait_and_are_written_afterwards() {
        use stemedb_env::{
            IoOp,
            fs::{
                FaultFs,
                fault::{Fault, FaultRule},
            },
        };
        let (mut env, handles) = Env::sim(4);
        let faults = Arc::new(FaultFs::new(Arc::clone(&env.fs), 1));
        env.fs = Arc::<FaultFs>::clone(&faults);
        let audit = Audit::open(&env, AuditOptions::new(FILE)).unwrap();
        settle(&env);
        faults.add(FaultRule::new(Fault::StorageFull).on(IoOp::Write));
        for _ in 0..5 {
            audit.record(entry(&env, 201));
        }
        settle(&env);
        assert_eq!(lines(&env), 1);
        faults.clear();
        handles.clock.advance(Duration::from_secs(2));
        settle(&env);
        assert_eq!(lines(&env), 6);
    }
}
