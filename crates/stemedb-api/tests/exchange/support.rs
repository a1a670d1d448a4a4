//! Databases in folders of their own, and what is read from them.

use stemedb_api::{
    Code, Database, DatabaseOptions, ExportOptions, ExportReport, Format, ImportOptions, ImportReport,
    ImportSink, Invalid, OnError, ReadOptions,
    core::{AuthorityPolicy, Command, SignaturePolicy},
    hybrid::HybridOptions,
};
use stemedb_index::ClaimReader;
use tempfile::TempDir;

/// A database, and the folder that goes away with it.
pub struct Db {
    pub database: Database,
    _dir: TempDir,
}

impl std::ops::Deref for Db {
    type Target = Database;

    fn deref(&self) -> &Database {
        &self.database
    }
}

impl Db {
    pub fn new(signatures: SignaturePolicy) -> Db {
        let dir = tempfile::tempdir().unwrap();
        let options = DatabaseOptions {
            engine: HybridOptions::tiny(),
            signatures,
            // Histories are made at random, without regard to ranks.
            supersession_authority: AuthorityPolicy::Off,
            ..DatabaseOptions::default()
        };
        let database = Database::create(dir.path().join("db"), options).unwrap();
        Db { database, _dir: dir }
    }

    /// One that was told these commands, in several entries.
    pub fn told(commands: &[Command]) -> Db {
        let db = Db::new(SignaturePolicy::Off);
        for some in commands.chunks(3) {
            match db.submit(some) {
                // Histories are made at random: what would close a circle is left out.
                Err(error) if error.code() == Code::SupersessionCycle => {
                    for one in some {
                        if let Err(error) = db.submit(std::slice::from_ref(one)) {
                            assert_eq!(error.code(), Code::SupersessionCycle, "{one:?}");
                        }
                    }
                }
                told => {
                    told.unwrap();
                }
            }
        }
        db
    }

    pub fn export(&self, format: Format) -> String {
        self.export_with(ExportOptions { format, ..ExportOptions::default() }).0
    }

    pub fn export_with(&self, options: ExportOptions) -> (String, ExportReport) {
        let mut out = Vec::new();
        let report = self.database.export(&options, &mut out, &mut |_| {}).unwrap();
        (String::from_utf8(out).unwrap(), report)
    }

    pub fn import(&self, text: &str, format: Format) -> (ImportReport, Refused) {
        self.import_with(text, &ReadOptions::of(format), OnError::Continue)
    }

    pub fn import_with(&self, text: &str, read: &ReadOptions, on_error: OnError) -> (ImportReport, Refused) {
        let mut refused = Refused::default();
        let options = ImportOptions { on_error, ..ImportOptions::default() };
        let report = self.database.import_as(text.as_bytes(), read, options, &mut refused).unwrap();
        (report, refused)
    }

    /// Every command that was recorded, in the order of the journal.
    pub fn commands(&self) -> Vec<Command> {
        let reader: ClaimReader<_> = self.reader(None).unwrap();
        let mut replay = reader.replay(1 << 20);
        let mut commands = Vec::new();
        while let Some(recorded) = replay.next_command().unwrap() {
            commands.push(recorded.command);
        }
        commands
    }

    /// Those of them that are claims.
    pub fn claims(&self) -> Vec<Command> {
        self.commands().into_iter().filter(|command| matches!(command, Command::Assert(_))).collect()
    }
}

/// Lines that were refused, and why.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Refused(pub Vec<(u64, String, String)>);

impl ImportSink for Refused {
    fn refused(&mut self, line: u64, why: &Invalid) {
        let first = why.errors().next().unwrap();
        self.0.push((line, why.code().name().to_owned(), first.place.to_string()));
    }
}

impl Refused {
    /// Line and code of each.
    pub fn codes(&self) -> Vec<(u64, &str)> {
        self.0.iter().map(|(line, code, _)| (*line, code.as_str())).collect()
    }
}
