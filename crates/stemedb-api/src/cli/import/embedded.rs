//! Into a database of this process.

use std::ops::ControlFlow;

use stemedb_api::{
    Database, ImportFailed, ImportOptions, ImportReport, ImportSink, Invalid, OnError, ReadOptions,
};

use super::{Input, input::ReadSoFar, tally::Tally};
use crate::cli::{failure::Failure, progress::Progress};

/// Imports an input. `tally` is right also when it fails.
pub fn import_into(
    database: &Database,
    input: Input,
    how: &ReadOptions,
    on_error: OnError,
    tally: &mut Tally,
    progress: &mut Progress,
) -> Result<(), Failure> {
    let options = ImportOptions { on_error, ..ImportOptions::default() };
    let Input { text, read } = input;
    let mut sink = Sink { tally, progress, read };
    let (report, failed) = match database.import_as(text, how, options, &mut sink) {
        Ok(report) => (report, None),
        Err(ImportFailed { report, error }) => (report, Some(*error)),
    };
    tally.lines = report.lines;
    tally.created = report.created;
    tally.existing = report.existing;
    tally.refused = report.refused;
    tally.lsn = report.lsn.0;
    tally.stopped = report.stopped;
    match failed {
        None => Ok(()),
        Some(error) => {
            let doing = format!("the import ended after line {}", report.lines);
            Err(Failure::from(error).context(doing))
        }
    }
}

struct Sink<'a> {
    tally: &'a mut Tally,
    progress: &'a mut Progress,
    read: ReadSoFar,
}

impl ImportSink for Sink<'_> {
    fn refused(&mut self, line: u64, why: &Invalid) {
        self.tally.refuse(line, why);
    }

    fn acknowledged(&mut self, report: &ImportReport) -> ControlFlow<()> {
        self.progress.at(report.lines, self.read.part());
        ControlFlow::Continue(())
    }
}
