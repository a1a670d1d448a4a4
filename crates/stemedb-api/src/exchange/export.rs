//! Writing what a database holds.

use std::{
    collections::BTreeSet,
    io::{self, BufWriter, Write},
};

use stemedb_core::{AssertionRef, ClaimId, Command, CommandRef};
use stemedb_env::Lsn;
use stemedb_index::{ClaimReader, claims::Recorded};

use super::{Format, csv, jsonl, rdf};
use crate::{
    database::{AsOf, Database, Snapshot},
    errors::{Error, Result},
};

/// Bytes that are written at once.
const BUFFER_BYTES: usize = 64 << 10;

/// Which claims to export; all that are given must fit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// About this subject.
    pub subject: Option<String>,
    /// About subjects that begin so.
    pub prefix: Option<String>,
    /// Under this predicate.
    pub predicate: Option<String>,
    /// Of this source.
    pub source: Option<String>,
}

impl Filter {
    fn is_empty(&self) -> bool {
        *self == Filter::default()
    }

    fn fits(&self, claim: &AssertionRef<'_>) -> bool {
        let same =
            |wanted: &Option<String>, found: &str| wanted.as_ref().is_none_or(|wanted| wanted == found);
        same(&self.subject, claim.subject)
            && same(&self.predicate, claim.predicate)
            && same(&self.source, claim.source)
            && self.prefix.as_ref().is_none_or(|prefix| claim.subject.starts_with(prefix.as_str()))
    }
}

/// What to export, and how.
#[derive(Clone, Debug)]
pub struct ExportOptions {
    /// In which format.
    pub format: Format,
    /// As it was known at a moment; now, unless said.
    pub as_of: Option<AsOf>,
    /// Which claims.
    pub filter: Filter,
    /// Records that are held at once while they are put into order, in bytes.
    pub memory_bytes: usize,
}

impl Default for ExportOptions {
    fn default() -> ExportOptions {
        ExportOptions {
            format: Format::Jsonl,
            as_of: None,
            filter: Filter::default(),
            memory_bytes: 128 << 20,
        }
    }
}

/// What was exported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExportReport {
    /// Claims written.
    pub claims: u64,
    /// Other records written.
    pub others: u64,
    /// Records that belong to what was asked for and are not in the output: the format has no place for them, or they refer
    /// to a claim that the filter leaves out.
    pub left_out: u64,
    /// The moment that was exported.
    pub lsn: Lsn,
}

/// Writes records in one format.
pub(super) trait WriteRecords {
    /// Writes a record; false where the format has no place for it.
    fn record(&mut self, recorded: &Recorded) -> io::Result<bool>;

    /// Writes what is due at the end.
    fn finish(&mut self) -> io::Result<()>;
}

impl Database {
    /// Writes records in the order of the journal, from one snapshot: what is written meanwhile is not among them.
    /// `progress` is told now and then.
    ///
    /// Cost: all rows are read once for each `memory_bytes` of records; with a filter the claims once more, and the ids and
    /// sources of those that fit are held as well.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a moment that lies in the future, [`Error::Output`] where the output fails, [`Error::Engine`]
    /// where the store does.
    pub fn export(
        &self,
        options: &ExportOptions,
        out: &mut dyn Write,
        progress: &mut dyn FnMut(&ExportReport),
    ) -> Result<ExportReport> {
        let reader = self.reader(options.as_of)?;
        export_from(&reader, options, out, progress)
    }
}

/// [`Database::export`], of a reader that is there already.
pub(crate) fn export_from(
    reader: &ClaimReader<Snapshot>,
    options: &ExportOptions,
    out: &mut dyn Write,
    progress: &mut dyn FnMut(&ExportReport),
) -> Result<ExportReport> {
    let mut report = ExportReport { lsn: reader.lsn(), ..ExportReport::default() };
    let selection = Selection::of(reader, &options.filter)?;
    let mut left_out = 0;
    let mut replay = reader.replay(options.memory_bytes);
    if let Some(selection) = &selection {
        replay = replay.only(|id, command| selection.wants(id, command));
    }
    let out = BufWriter::with_capacity(BUFFER_BYTES, out);
    let mut writer: Box<dyn WriteRecords + '_> = match options.format {
        Format::Jsonl => Box::new(jsonl::JsonLinesOut(out)),
        Format::Csv => Box::new(csv::RowsOut::new(out)),
        Format::NQuads => Box::new(rdf::QuadsOut::nquads(out)),
        Format::TriG => Box::new(rdf::QuadsOut::trig(out)),
        Format::Nanopub => Box::new(rdf::NanopublicationsOut::new(out)),
    };
    while let Some(recorded) = replay.next_command()? {
        let fits = selection.as_ref().is_none_or(|selection| selection.can_refer(&recorded.command));
        if !(fits && writer.record(&recorded).map_err(Error::Output)?) {
            left_out += 1;
        } else if recorded.id.is_some() {
            report.claims += 1;
        } else {
            report.others += 1;
        }
        if (report.claims + report.others + left_out).is_multiple_of(4096) {
            progress(&report);
        }
    }
    writer.finish().map_err(Error::Output)?;
    report.left_out = left_out;
    progress(&report);
    Ok(report)
}

/// What a filter lets through: the claims that fit, and the sources they name.
struct Selection {
    claims: BTreeSet<ClaimId>,
    sources: BTreeSet<String>,
}

impl Selection {
    /// `None` without a filter.
    fn of(reader: &ClaimReader<Snapshot>, filter: &Filter) -> Result<Option<Selection>> {
        if filter.is_empty() {
            return Ok(None);
        }
        let mut selection = Selection { claims: BTreeSet::new(), sources: BTreeSet::new() };
        reader.each_claim(|id, command| {
            if let Ok(CommandRef::Assert(claim)) = CommandRef::decode(&mut &*command)
                && filter.fits(&claim)
            {
                selection.claims.insert(id);
                if !selection.sources.contains(claim.source) {
                    selection.sources.insert(claim.source.to_owned());
                }
            }
            Ok(())
        })?;
        Ok(Some(selection))
    }
}

impl Selection {
    /// Whether a command is about something that fits.
    fn wants(&self, id: Option<ClaimId>, command: &[u8]) -> stemedb_index::Result<bool> {
        if let Some(id) = id {
            return Ok(self.claims.contains(&id));
        }
        Ok(match CommandRef::decode(&mut &*command) {
            Ok(CommandRef::Vote(vote)) => self.claims.contains(&vote.assertion),
            Ok(CommandRef::Supersede(change)) => self.claims.contains(&change.old),
            Ok(CommandRef::Cosign(cosign)) => self.claims.contains(&cosign.claim),
            Ok(CommandRef::Source(source)) => self.sources.contains(source.id),
            // What is about no claim; and what cannot be read, which is said when it is read whole.
            Ok(CommandRef::Assert(_) | CommandRef::Epoch(_) | CommandRef::Agent(_)) | Err(_) => true,
        })
    }

    /// Whether everything that a wanted command refers to is exported with it.
    fn can_refer(&self, command: &Command) -> bool {
        match command {
            Command::Supersede(change) => change.new.is_none_or(|new| self.claims.contains(&new)),
            _ => true,
        }
    }
}
