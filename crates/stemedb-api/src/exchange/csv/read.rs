//! Rows into claims.

use std::{
    cell::RefCell,
    collections::VecDeque,
    io::{self, Read},
    rc::Rc,
};

use stemedb_core::{Assertion, ClaimId, Command, Lifecycle, Object, Signature, object::canonical_json};

use super::columns::Column;
use crate::{
    database::LINE_MAX_BYTES,
    errors::{Code, Error, FieldError, Invalid, Result},
    exchange::{Found, ReadRecords, broken},
    json::cells::{class, digest, fraction, hex, instant, name},
};

/// Bytes that the parser reads ahead of a row.
const AHEAD_BYTES: usize = 64 << 10;

/// Reads rows.
pub(in crate::exchange) struct Rows<R> {
    rows: csv::Reader<Watched<R>>,
    watch: Rc<RefCell<Watch>>,
    /// The columns of the header, once it is read.
    columns: Option<Vec<Column>>,
    row: csv::ByteRecord,
}

/// An input that is watched: it refuses to be read on while a row has no end, and notes where lines end, because the parser
/// does not say on which line a row begins behind `\r\n` or an empty line.
struct Watched<R> {
    input: R,
    watch: Rc<RefCell<Watch>>,
}

#[derive(Default)]
struct Watch {
    /// What may still be read before the row must have ended.
    allowance: usize,
    /// Bytes read.
    offset: u64,
    /// Offsets of the line feeds that no row is behind yet.
    feeds: VecDeque<u64>,
    /// Line feeds before these.
    before: u64,
    /// The last byte read ended a line.
    at_line_end: bool,
}

impl Watch {
    fn saw(&mut self, bytes: &[u8]) {
        for (at, byte) in (self.offset..).zip(bytes) {
            if *byte == b'\n' {
                self.feeds.push_back(at);
            }
        }
        self.offset += bytes.len() as u64;
        if let Some(last) = bytes.last() {
            self.at_line_end = *last == b'\n';
        }
    }

    /// The line of a row that the parser found behind `start`.
    fn line_of(&mut self, start: u64) -> u64 {
        let mut start = start;
        while let Some(feed) = self.feeds.front().copied() {
            // The rest of a line end, or an empty line. No row is as short as that: four columns must be there.
            let empty = feed.saturating_sub(start) <= 1;
            if feed >= start && !empty {
                break;
            }
            start = start.max(feed + 1);
            self.feeds.pop_front();
            self.before += 1;
        }
        self.before + 1
    }

    /// Lines before an offset, the one that ends there included.
    fn lines_before(&self, end: u64) -> u64 {
        self.before + self.feeds.iter().take_while(|feed| **feed <= end).count() as u64
    }

    /// Lines in all, at the end of the input.
    fn lines(&self) -> u64 {
        let open = self.offset > 0 && !self.at_line_end;
        self.before + self.feeds.len() as u64 + u64::from(open)
    }
}

/// A row beyond its bound.
#[derive(Debug, thiserror::Error)]
#[error("a row exceeds 1 MiB")]
struct RowTooLong;

impl<R: Read> Read for Watched<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.watch.borrow().allowance;
        if left == 0 {
            return Err(io::Error::other(RowTooLong));
        }
        let most = left.min(buffer.len());
        let buffer = buffer.get_mut(..most).unwrap_or_default();
        let count = self.input.read(buffer)?;
        let mut watch = self.watch.borrow_mut();
        watch.allowance = left.saturating_sub(count);
        watch.saw(buffer.get(..count).unwrap_or_default());
        Ok(count)
    }
}

impl<R: Read> Rows<R> {
    pub(in crate::exchange) fn new(input: R) -> Rows<R> {
        let watch = Rc::new(RefCell::new(Watch::default()));
        let input = Watched { input, watch: Rc::clone(&watch) };
        let rows = csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .buffer_capacity(AHEAD_BYTES)
            .from_reader(input);
        Rows { rows, watch, columns: None, row: csv::ByteRecord::new() }
    }

    /// Reads a row; its line, or `None` at the end.
    fn advance(&mut self) -> Result<Option<u64>> {
        self.watch.borrow_mut().allowance = LINE_MAX_BYTES + AHEAD_BYTES;
        let start = self.rows.position().byte();
        let found = self.rows.read_byte_record(&mut self.row);
        let line = self.watch.borrow_mut().line_of(start);
        match found {
            Ok(found) => Ok(found.then_some(line)),
            Err(error) => match error.into_kind() {
                csv::ErrorKind::Io(error)
                    if error.get_ref().is_some_and(|inner| inner.is::<RowTooLong>()) =>
                {
                    Err(broken(line, Code::LineTooLong, RowTooLong))
                }
                csv::ErrorKind::Io(error) => Err(Error::Input(error)),
                other => Err(broken(line, Code::InvalidCsv, format!("{other:?}"))),
            },
        }
    }

    /// Reads the header; `None` where there is not even one.
    fn header(&mut self) -> Result<Option<Vec<Column>>> {
        if self.advance()?.is_none() {
            return Ok(None);
        }
        let mut columns = Vec::with_capacity(self.row.len().min(Column::ALL.len()));
        for cell in &self.row {
            let found = Column::ALL.into_iter().find(|column| column.name().as_bytes() == cell);
            let Some(column) = found else {
                let name: String = String::from_utf8_lossy(cell).chars().take(64).collect();
                let names = Column::ALL.map(Column::name).join(", ");
                return Err(broken(
                    1,
                    Code::UnknownField,
                    format!("{name:?} is none of the columns {names}"),
                ));
            };
            if columns.contains(&column) {
                let detail = format!("the column {} is named twice", column.name());
                return Err(broken(1, Code::DuplicateKey, detail));
            }
            columns.push(column);
        }
        if let Some(missing) = Column::REQUIRED.iter().find(|column| !columns.contains(column)) {
            let detail = format!("the column {} is missing", missing.name());
            return Err(broken(1, Code::MissingField, detail));
        }
        Ok(Some(columns))
    }

    fn claim(&self, columns: &[Column]) -> Result<Command, Invalid> {
        if self.row.len() != columns.len() {
            let detail = format!("has {} cells, the header {}", self.row.len(), columns.len());
            return Err(FieldError::in_body("", Code::InvalidCsv, detail).into());
        }
        let mut draft = Draft::default();
        let mut errors = Vec::new();
        for (column, cell) in columns.iter().zip(&self.row) {
            let read = match std::str::from_utf8(cell) {
                Err(error) => {
                    Err((Code::InvalidUtf8, format!("is not UTF-8 at byte {}", error.valid_up_to())))
                }
                Ok(cell) => draft.take(*column, cell),
            };
            if let Err((code, detail)) = read {
                errors.push(FieldError::in_body(column.pointer(), code, detail));
            }
        }
        match Invalid::all(errors) {
            None => draft.finish(),
            Some(invalid) => Err(invalid),
        }
    }
}

impl<R: Read> ReadRecords for Rows<R> {
    fn lines_read(&self) -> u64 {
        self.watch.borrow().lines()
    }

    fn next_record(&mut self) -> Result<Option<Found>> {
        let columns = match self.columns.take() {
            Some(columns) => columns,
            None => match self.header()? {
                Some(columns) => columns,
                None => return Ok(None),
            },
        };
        let line = self.advance()?;
        let found = line.map(|line| {
            let read = self.watch.borrow().lines_before(self.rows.position().byte()).max(line);
            Found { line, read, record: Some(self.claim(&columns)) }
        });
        self.columns = Some(columns);
        Ok(found)
    }
}

type Refusal = (Code, String);

/// A row being read.
struct Draft {
    claim: Assertion,
    object: String,
    kind: String,
    id: Option<ClaimId>,
}

impl Default for Draft {
    fn default() -> Draft {
        let claim = Assertion::new("", "", Object::Boolean(false), "");
        Draft { claim, object: String::new(), kind: String::new(), id: None }
    }
}

impl Draft {
    fn take(&mut self, column: Column, cell: &str) -> Result<(), Refusal> {
        let claim = &mut self.claim;
        match column {
            Column::Subject => claim.subject = cell.to_owned(),
            Column::Predicate => claim.predicate = cell.to_owned(),
            Column::Source => claim.source = cell.to_owned(),
            Column::Object => self.object = cell.to_owned(),
            Column::ObjectType => self.kind = cell.to_owned(),
            // An empty cell says nothing.
            _ if cell.is_empty() => {}
            Column::Confidence => claim.confidence = Some(fraction(cell)?),
            Column::SourceClass => claim.source_class = Some(class(cell)?),
            Column::Author => claim.author = Some(hex(cell)?),
            Column::ExcerptHash => claim.excerpt_hash = Some(digest(cell)?),
            Column::Epoch => claim.epoch = Some(cell.to_owned()),
            Column::Lifecycle => claim.lifecycle = Some(name(cell, &Lifecycle::ALL.map(Lifecycle::name))?),
            Column::ValidFrom => claim.valid_from = Some(instant(cell)?),
            Column::ValidTo => claim.valid_to = Some(instant(cell)?),
            Column::ObservedAt => claim.observed_at = Some(instant(cell)?),
            Column::Parents => {
                claim.parents = cell.split(' ').map(hex).collect::<Result<_, Refusal>>()?;
            }
            Column::Signatures => {
                claim.signatures = cell.split(' ').map(signature).collect::<Result<_, Refusal>>()?;
            }
            Column::Id => self.id = Some(hex(cell)?),
            Column::Lsn | Column::Ordinal | Column::RecordedAt => {}
        }
        Ok(())
    }

    fn finish(self) -> Result<Command, Invalid> {
        let Draft { mut claim, object, kind, id } = self;
        claim.object = read_object(object, &kind)?;
        claim.normalize();
        claim.validate()?;
        let found = id.map(|id| (id, claim.id()));
        if let Some((id, found)) = found
            && id != found
        {
            let detail = format!("is not the id of what the row says, which is {found}");
            return Err(FieldError::in_body("/id", Code::IdMismatch, detail).into());
        }
        Ok(Command::Assert(claim))
    }
}

fn signature(text: &str) -> Result<Signature, Refusal> {
    let (agent, bytes) =
        text.split_once(':').ok_or_else(|| (Code::NotHex, "is not a list of agent:signature".to_owned()))?;
    Ok(Signature { agent: hex(agent)?, bytes: hex(bytes)? })
}

fn read_object(cell: String, kind: &str) -> Result<Object, Invalid> {
    let refused = |problem| Invalid::from(FieldError::of_problem("/object", problem));
    Ok(match kind {
        "text" => Object::Text(cell),
        "number" => Object::Number(cell),
        "time" => Object::Time(cell),
        "reference" => Object::Reference(cell),
        "json" => Object::Json(canonical_json(&cell).map_err(refused)?),
        "integer" => match Object::from_json_number(&cell).map_err(refused)? {
            integer @ Object::Integer(_) => integer,
            _ => {
                let detail = "is not a 64-bit integer";
                return Err(FieldError::in_body("/object", Code::NotANumber, detail).into());
            }
        },
        "boolean" => match cell.as_str() {
            "true" => Object::Boolean(true),
            "false" => Object::Boolean(false),
            _ => {
                return Err(FieldError::in_body("/object", Code::WrongType, "is not true or false").into());
            }
        },
        "" => match cell.as_str() {
            "" => return Err(FieldError::in_body("/object", Code::MissingField, "is required").into()),
            "true" => Object::Boolean(true),
            "false" => Object::Boolean(false),
            // A number that cannot be kept exactly is refused and not taken for a text.
            looks if is_json_number(looks) => Object::from_json_number(looks).map_err(refused)?,
            _ => Object::Text(cell),
        },
        _ => {
            let detail = "is none of text, number, integer, boolean, time, reference, json";
            return Err(FieldError::in_body("/object_type", Code::UnknownName, detail).into());
        }
    })
}

/// Whether a text has the grammar of a JSON number, whatever its size.
fn is_json_number(text: &str) -> bool {
    text.starts_with(|first: char| first == '-' || first.is_ascii_digit())
        && !matches!(Object::from_json_number(text), Err(stemedb_core::Problem::NotANumber))
}
