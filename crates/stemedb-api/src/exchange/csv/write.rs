//! Claims into rows.

use std::io::{self, Write};

use stemedb_core::{Assertion, Command, ObjectRef};
use stemedb_index::claims::Recorded;

use super::columns::Column;
use crate::exchange::export::WriteRecords;

/// Writes rows.
pub(in crate::exchange) struct RowsOut<W: Write> {
    out: csv::Writer<W>,
    headed: bool,
}

impl<W: Write> RowsOut<W> {
    pub(in crate::exchange) fn new(out: W) -> RowsOut<W> {
        RowsOut { out: csv::Writer::from_writer(out), headed: false }
    }

    fn head(&mut self) -> io::Result<()> {
        if !self.headed {
            self.headed = true;
            self.out.write_record(Column::ALL.map(Column::name)).map_err(io::Error::from)?;
        }
        Ok(())
    }
}

impl<W: Write> WriteRecords for RowsOut<W> {
    fn record(&mut self, recorded: &Recorded) -> io::Result<bool> {
        self.head()?;
        let Command::Assert(claim) = &recorded.command else { return Ok(false) };
        let cells = Column::ALL.map(|column| cell(column, claim, recorded));
        self.out.write_record(&cells).map_err(io::Error::from)?;
        Ok(true)
    }

    fn finish(&mut self) -> io::Result<()> {
        self.head()?;
        self.out.flush()
    }
}

fn cell(column: Column, claim: &Assertion, recorded: &Recorded) -> String {
    match column {
        Column::Subject => claim.subject.clone(),
        Column::Predicate => claim.predicate.clone(),
        Column::Object => match claim.object.as_ref() {
            ObjectRef::Text(text)
            | ObjectRef::Number(text)
            | ObjectRef::Time(text)
            | ObjectRef::Reference(text)
            | ObjectRef::Json(text) => text.to_owned(),
            ObjectRef::Integer(integer) => integer.to_string(),
            ObjectRef::Boolean(truth) => truth.to_string(),
        },
        Column::ObjectType => claim.object.type_name().to_owned(),
        Column::Source => claim.source.clone(),
        Column::Confidence => shown(claim.confidence),
        Column::SourceClass => shown(claim.source_class.map(|class| class.number())),
        Column::Author => shown(claim.author),
        Column::ExcerptHash => shown(claim.excerpt_hash.map(stemedb_core::ClaimId)),
        Column::Epoch => claim.epoch.clone().unwrap_or_default(),
        Column::Lifecycle => shown(claim.lifecycle.map(|stage| stage.name())),
        Column::ValidFrom => shown(claim.valid_from),
        Column::ValidTo => shown(claim.valid_to),
        Column::ObservedAt => shown(claim.observed_at),
        Column::Parents => spaced(claim.parents.iter().map(ToString::to_string)),
        Column::Signatures => {
            spaced(claim.signatures.iter().map(|signed| format!("{}:{}", signed.agent, signed.bytes)))
        }
        Column::Id => shown(recorded.id),
        Column::Lsn => recorded.position.lsn.0.to_string(),
        Column::Ordinal => recorded.position.ordinal.to_string(),
        Column::RecordedAt => stemedb_core::Micros(recorded.recorded_at.0).to_string(),
    }
}

fn shown(value: Option<impl ToString>) -> String {
    value.map_or_else(String::new, |value| value.to_string())
}

fn spaced(items: impl Iterator<Item = String>) -> String {
    items.collect::<Vec<_>>().join(" ")
}
