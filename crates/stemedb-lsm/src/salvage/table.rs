//! The rows of one file, block by block.

use std::sync::Arc;

use stemedb_env::{Env, File, Lsn, OpenMode, frame::DatabaseId};

use super::{Candidate, Loss, SalvageReport};
use crate::{
    BulkLoader, CorruptionKind, Error, Result,
    codec::Fields,
    ranges::Fragments,
    table::{
        block::Block,
        decode_meta,
        format::{
            BlockHandle, BlockKind, FOOTER_BYTES, Footer, HEADER_BYTES, Scratch, TableIdentity, check_header,
            read_block,
        },
        index::Index,
        scan,
    },
};

/// What reading needs.
pub(super) struct Sources<'a> {
    pub(super) env: &'a Env,
    pub(super) database: DatabaseId,
    pub(super) scratch: Scratch,
}

/// What a file says of itself beside its rows.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// The ranges that it removes.
    pub(super) ranges: Fragments,
    /// The greatest LSN in it, if its footer reads: then it was written to its end.
    pub(super) newest: Option<Lsn>,
}

/// What stands at the end of a file. What cannot be known of removed ranges is noted as lost: their block, or the footer that
/// would say whether there is one.
pub(super) fn end_of(
    sources: &mut Sources<'_>,
    candidate: &Candidate,
    report: &mut SalvageReport,
) -> Result<Told> {
    let none = Told::default();
    let Ok(file) = sources.env.fs.open(&candidate.path, OpenMode::Read) else { return Ok(none) };
    let identity = identify(&*file, sources.database, candidate.number);
    let len = file.len()?;
    let Some(footer) = read_footer(&*file, &identity, len) else {
        if candidate.may_remove {
            if let Some(ranges) = scan::search(&*file, &identity, len, u64::MAX, &mut |_| Ok(()))?.ranges {
                return Ok(Told { ranges, newest: None });
            }
            let bytes = len.min(FOOTER_BYTES as u64);
            lose(report, candidate, len - bytes, bytes, CorruptionKind::SstHeader, (None, None));
        }
        return Ok(none);
    };
    let newest =
        read_block(&*file, &identity, BlockKind::Properties, footer.properties, &mut sources.scratch)
            .ok()
            .and_then(|payload| decode_meta(&mut Fields::new(sources.scratch.payload(payload))).ok())
            .map(|meta| meta.max_lsn);
    let Some(handle) = footer.ranges() else { return Ok(Told { newest, ..none }) };
    let mut read = || {
        let payload =
            read_block(&*file, &identity, BlockKind::RangeRemovals, handle, &mut sources.scratch).ok()?;
        Fragments::decode(sources.scratch.payload(payload)).ok()
    };
    match read().or_else(read) {
        Some(ranges) => Ok(Told { ranges, newest }),
        None => {
            lose(
                report,
                candidate,
                handle.offset,
                u64::from(handle.bytes),
                CorruptionKind::BlockChecksum,
                (None, None),
            );
            Ok(Told { newest, ..none })
        }
    }
}

/// Which rows are wanted.
#[derive(Debug)]
pub(super) struct Limits {
    /// Rows that these ranges hide are not.
    pub(super) removed: Fragments,
    /// Nor are newer ones.
    pub(super) upto: Lsn,
}

/// Gives every readable row of a file within the limits to the loader, and notes what is lost.
pub(super) fn read_table(
    sources: &mut Sources<'_>,
    candidate: &Candidate,
    limits: &Limits,
    loader: &mut BulkLoader<'_>,
    report: &mut SalvageReport,
) -> Result<()> {
    let mut reading = Reading { candidate, limits, loader, report, key: Vec::new(), last: None };
    let file = match sources.env.fs.open(&candidate.path, OpenMode::Read) {
        Ok(file) => file,
        Err(error) => {
            let missing = error.is_not_found();
            let kind = if missing { CorruptionKind::TableMissing } else { CorruptionKind::Unreadable };
            let bytes = candidate.told.as_ref().map_or(0, |(.., bytes)| *bytes);
            reading.lose(0, bytes, kind, None, None);
            return Ok(());
        }
    };
    let len = file.len()?;
    let identity = identify(&*file, sources.database, candidate.number);
    let footer = read_footer(&*file, &identity, len);
    let index = footer.and_then(|footer| {
        let payload =
            read_block(&*file, &identity, BlockKind::Index, footer.index, &mut sources.scratch).ok()?;
        Index::decode(sources.scratch.payload(payload), footer.data_end()).ok()
    });
    match index {
        Some(index) => reading.by_index(&file, &identity, &index, &mut sources.scratch),
        None => {
            reading.report.tables_searched += 1;
            let end = footer.map_or(len, |footer| footer.data_end());
            scan::search(&*file, &identity, end, u64::MAX, &mut |found| match found {
                scan::Found::Block(block, _) => reading.take(block),
                scan::Found::Lost { offset, bytes, next } => {
                    let from = reading.last.clone();
                    let upto = next.map(first_key);
                    reading.lose(offset, bytes, CorruptionKind::BlockChecksum, from, upto);
                    Ok(())
                }
            })
            .map(drop)
        }
    }
}

/// The number under which a file's blocks are sealed: that in its header if that is sound, else that of its name.
fn identify(file: &dyn File, database: DatabaseId, number: u64) -> TableIdentity {
    let named = TableIdentity { database, file: number };
    let mut header = [0; HEADER_BYTES];
    if file.read_exact_at(&mut header, 0).is_err() {
        return named;
    }
    let field = |at: usize, n: usize| header.get(at..at + n).unwrap_or_default();
    let version = field(12, 4).try_into().map_or(0, u32::from_le_bytes);
    let inside = field(32, 8).try_into().map_or(number, u64::from_le_bytes);
    let told = TableIdentity { database, file: inside };
    if check_header(&told, version, &header) { told } else { named }
}

fn read_footer(file: &dyn File, identity: &TableIdentity, len: u64) -> Option<Footer> {
    let at = len.checked_sub(FOOTER_BYTES as u64)?;
    let mut bytes = [0; FOOTER_BYTES];
    file.read_exact_at(&mut bytes, at).ok()?;
    Footer::decode(identity, &bytes, len)
}

fn key_at(block: &Block, at: usize) -> Vec<u8> {
    [block.prefix(), block.suffix(at)].concat()
}

fn first_key(block: &Block) -> Vec<u8> {
    key_at(block, 0)
}

struct Reading<'r, 'l, 's> {
    candidate: &'r Candidate,
    limits: &'r Limits,
    loader: &'l mut BulkLoader<'s>,
    report: &'l mut SalvageReport,
    key: Vec<u8>,
    /// The last key read.
    last: Option<Vec<u8>>,
}

impl Reading<'_, '_, '_> {
    fn by_index(
        &mut self,
        file: &Arc<dyn File>,
        identity: &TableIdentity,
        index: &Index,
        scratch: &mut Scratch,
    ) -> Result<()> {
        for at in 0..index.blocks() {
            let Some(handle) = index.handle(at) else { continue };
            // A second try tells a bad transfer from a bad sector.
            let block = read(&**file, identity, handle, scratch)
                .or_else(|_| read(&**file, identity, handle, scratch));
            scratch.trim();
            match block {
                Ok(block) => self.take(&block)?,
                Err(kind) => {
                    let from = at.checked_sub(1).map(|before| index.separator(before));
                    self.lose(handle.offset, u64::from(handle.bytes), kind, from, Some(index.separator(at)));
                }
            }
        }
        Ok(())
    }

    fn take(&mut self, block: &Block) -> Result<()> {
        for at in 0..block.rows() {
            self.key.clear();
            self.key.extend_from_slice(block.prefix());
            self.key.extend_from_slice(block.suffix(at));
            let lsn = block.lsn(at);
            if lsn > self.limits.upto {
                self.report.left_out += 1;
            } else if self.limits.removed.newest(&self.key, Lsn::MAX) <= lsn {
                self.loader.add(&self.key, lsn, block.value(at))?;
            }
        }
        self.report.rows_read += block.rows() as u64;
        self.last = Some(key_at(block, block.rows() - 1));
        Ok(())
    }

    fn lose(
        &mut self,
        offset: u64,
        bytes: u64,
        kind: CorruptionKind,
        from: Option<Vec<u8>>,
        upto: Option<Vec<u8>>,
    ) {
        lose(self.report, self.candidate, offset, bytes, kind, (from, upto));
    }
}

/// Notes bytes that could not be read, with what is known of their keys.
fn lose(
    report: &mut SalvageReport,
    candidate: &Candidate,
    offset: u64,
    bytes: u64,
    kind: CorruptionKind,
    (from, upto): (Option<Vec<u8>>, Option<Vec<u8>>),
) {
    let told = candidate.told.as_ref();
    let from = from.or_else(|| told.map(|(smallest, ..)| smallest.clone()));
    let upto = upto.or_else(|| told.map(|(_, largest, _)| largest.clone()));
    let path = &candidate.path;
    tracing::warn!(file = %path.display(), offset, bytes, %kind, "cannot be salvaged");
    if let Some(last) = report.lost.last_mut()
        && last.file == *path
        && last.kind == kind
        && last.offset.checked_add(last.bytes) == Some(offset)
    {
        last.bytes += bytes;
        last.upto = upto;
        return;
    }
    report.lost.push(Loss { file: path.clone(), offset, bytes, kind, from, upto });
}

fn read(
    file: &dyn File,
    identity: &TableIdentity,
    handle: BlockHandle,
    scratch: &mut Scratch,
) -> std::result::Result<Block, CorruptionKind> {
    match read_block(file, identity, BlockKind::Data, handle, scratch) {
        Ok(payload) => Block::parse(scratch.payload(payload), None).map_err(|_| CorruptionKind::BlockFormat),
        Err(Error::Corruption { kind, .. }) => Err(kind),
        Err(_) => Err(CorruptionKind::Unreadable),
    }
}
