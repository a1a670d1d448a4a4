//! How a command fails: one line that says what is wrong and what to do.

use std::{fmt, io::Write, process::ExitCode};

use stemedb_api::{Code, Error};

/// Exit code of a command that was called wrongly.
pub const USAGE: u8 = 2;
const FAILED: u8 = 1;

/// Why a command ended, for the person who called it.
#[derive(Debug)]
pub struct Failure {
    what: String,
    /// What to do about it.
    hint: Option<String>,
    exit: u8,
    /// What was written to a pipe whose reader has gone: nobody is there to be told.
    silent: bool,
}

impl Failure {
    /// A failure without advice.
    pub fn new(what: impl fmt::Display) -> Failure {
        Failure { what: what.to_string(), hint: None, exit: FAILED, silent: false }
    }

    /// The command was called wrongly.
    pub fn usage(what: impl fmt::Display) -> Failure {
        Failure { exit: USAGE, ..Failure::new(what) }
    }

    /// A failure that scripts are to tell from others by its exit code.
    pub fn with_exit(self, exit: u8) -> Failure {
        Failure { exit, ..self }
    }

    /// Adds what to do.
    pub fn hint(mut self, hint: impl fmt::Display) -> Failure {
        self.hint = Some(hint.to_string());
        self
    }

    /// Says first what was being done.
    pub fn context(mut self, doing: impl fmt::Display) -> Failure {
        self.what = format!("{doing}: {}", self.what);
        self
    }

    /// Writes it to standard error, as one line.
    pub fn print(&self) {
        if self.silent {
            return;
        }
        let mut out = anstream::stderr().lock();
        let (red, plain) = (super::paint::ERROR.render(), super::paint::ERROR.render_reset());
        let _ = write!(out, "{red}error{plain}: {}", self.what);
        if let Some(hint) = &self.hint {
            let _ = write!(out, " — {hint}");
        }
        let _ = writeln!(out);
    }

    /// The exit code.
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.exit)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        let hint = match error.code() {
            Code::NotADatabase => Some(
                "check the path and that its disk is mounted; `stemedb-api init --data-dir DIR` creates a database",
            ),
            Code::AlreadyExists => Some("choose an absent or empty folder"),
            Code::InUse => Some("stop that process, or ask it with --url"),
            Code::Corruption if is_of_the_journal(&error) => Some(
                "keep the file as it is; `backup restore` gives everything that backups and archive have, `serve --read-only-if-damaged` serves what lies before it",
            ),
            Code::Corruption => Some("`stemedb-api rebuild` derives the view again from the journal"),
            Code::OtherDerivation => Some(
                "use the newer program, or restore a backup; `rebuild` into an absent folder derives the view by this one",
            ),
            Code::StorageFull => Some("free some space and run the same command again"),
            Code::Indeterminate | Code::Overloaded => Some("running the same command again is safe"),
            _ => None,
        };
        Failure { hint: hint.map(str::to_owned), ..Failure::new(error) }
    }
}

impl From<stemedb_env::Error> for Failure {
    fn from(error: stemedb_env::Error) -> Failure {
        Failure::new(error)
    }
}

/// A view cannot be derived from what is damaged itself.
fn is_of_the_journal(error: &Error) -> bool {
    matches!(error, Error::Engine(stemedb_hybrid::Error::Journal(_)))
}

/// Of standard output.
impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Failure {
        let silent = error.kind() == std::io::ErrorKind::BrokenPipe;
        Failure { silent, ..Failure::new(error).context("cannot write the output") }
    }
}
