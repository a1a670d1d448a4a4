//! Reads a sidecar. Nothing of it is believed before its checksum and its place have been verified.

use std::{ops::RangeInclusive, path::Path, sync::Arc};

use stemedb_env::{File, Fs, Lsn, OpenMode, frame::Chain};
use stemedb_wal::JournalMark;

use super::{
    block::BlockRows,
    format::{
        CHECKSUM_BYTES, FOOTER_BYTES, Fields, Footer, HEADER_BYTES, Header, MAX_BLOCK_BYTES, Origin, Place,
        Seal, Unfit,
    },
    name::SidecarName,
};

/// Why a sidecar cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unusable {
    /// What it says.
    #[error(transparent)]
    Unfit(#[from] Unfit),
    /// The system.
    #[error(transparent)]
    Env(#[from] stemedb_env::Error),
}

type Result<T> = std::result::Result<T, Unusable>;

/// A block of keys, as the index has it.
#[derive(Debug)]
struct KeyBlock {
    place: Place,
    rows: u32,
    first: Box<[u8]>,
}

/// A sidecar whose header, footer, index and marks have been verified. Holds an open file and the index.
#[derive(Debug)]
pub(super) struct Sidecar {
    pub name: SidecarName,
    file: Arc<dyn File>,
    seal: Seal,
    footer: Footer,
    keys: Vec<KeyBlock>,
    removals: Vec<Place>,
    /// Positions of the journal, ascending.
    pub marks: Vec<JournalMark>,
}

impl Sidecar {
    /// Opens a file that must be of `origin` and what its name says. Cost: four small reads.
    pub fn open(fs: &dyn Fs, path: &Path, origin: &Origin, name: SidecarName) -> Result<Sidecar> {
        let file = fs.open(path, OpenMode::Read)?;
        let file_bytes = file.len()?;
        let end_at = file_bytes.checked_sub(FOOTER_BYTES as u64).filter(|&at| at >= HEADER_BYTES as u64);
        let end_at = end_at.ok_or(Unfit::Damaged)?;
        let mut front = [0; HEADER_BYTES];
        file.read_exact_at(&mut front, 0)?;
        let (header, seal) = Header::decode(&front)?;
        if header.origin != *origin {
            return Err(Unfit::Foreign.into());
        }
        let mut end = [0; FOOTER_BYTES];
        file.read_exact_at(&mut end, end_at)?;
        let footer = Footer::decode(&end, &seal, file_bytes)?;
        if footer.lsns != name.lsns() || header.made_from != name.made_from {
            return Err(Unfit::Stale.into());
        }
        let (keys, removals, marks) = (Vec::new(), Vec::new(), Vec::new());
        let mut sidecar = Sidecar { name, file, seal, footer, keys, removals, marks };
        let mut bytes = Vec::new();
        // The footer has seen to it that both lie within the file, so what is allocated is there to be read.
        sidecar.marks = parse_marks(sidecar.read(sidecar.footer.marks, &mut bytes)?).ok_or(Unfit::Damaged)?;
        let (keys, removals) = parse_index(sidecar.read(sidecar.footer.index, &mut bytes)?, &sidecar.footer)
            .ok_or(Unfit::Damaged)?;
        (sidecar.keys, sidecar.removals) = (keys, removals);
        Ok(sidecar)
    }

    fn read<'b>(&self, place: Place, buffer: &'b mut Vec<u8>) -> Result<&'b [u8]> {
        buffer.resize(place.bytes as usize + CHECKSUM_BYTES, 0);
        self.file.read_exact_at(buffer, place.offset)?;
        Ok(self.seal.open(place.offset, buffer)?)
    }

    /// Visits the truncated key and the LSN of every row that may lie in a span. Reads the blocks that meet it.
    pub fn rows(&self, keys: &RangeInclusive<&[u8]>, visit: &mut dyn FnMut(&[u8], Lsn)) -> Result<()> {
        let (start, end) = (*keys.start(), *keys.end());
        let mut from = self.keys.partition_point(|block| &*block.first < start).saturating_sub(1);
        // Versions of one key may fill several blocks.
        while from > 0 && self.keys.get(from).is_some_and(|block| start.starts_with(&block.first)) {
            from -= 1;
        }
        let mut bytes = Vec::new();
        for block in self.keys.get(from..).unwrap_or_default() {
            if &*block.first > end {
                break;
            }
            let mut rows = BlockRows::new(self.read(block.place, &mut bytes)?)?;
            if rows.rows() != block.rows {
                return Err(Unfit::Damaged.into());
            }
            while rows.advance()? {
                let key = rows.key();
                if key > end {
                    break;
                }
                if key >= start || start.starts_with(key) {
                    visit(key, rows.lsn());
                }
            }
        }
        Ok(())
    }

    /// Appends the LSNs of all entries with a row that may lie in a span, in no order and with repetitions.
    pub fn find_rows(&self, keys: &RangeInclusive<&[u8]>, found: &mut Vec<Lsn>) -> Result<()> {
        self.rows(keys, &mut |_, lsn| found.push(lsn))
    }

    /// Appends the LSNs of all entries that remove a range which meets a span, in no order and with repetitions. Reads all blocks of
    /// removals.
    pub fn find_removals(&self, keys: &RangeInclusive<&[u8]>, found: &mut Vec<Lsn>) -> Result<()> {
        let mut bytes = Vec::new();
        for place in &self.removals {
            let payload = self.read(*place, &mut bytes)?;
            each_removal(payload, |start, end, lsn| {
                if start <= *keys.end() && end > *keys.start() {
                    found.push(lsn);
                }
            })
            .ok_or(Unfit::Damaged)?;
        }
        Ok(())
    }
}

fn each_removal(payload: &[u8], mut visit: impl FnMut(&[u8], &[u8], Lsn)) -> Option<()> {
    let mut fields = Fields { rest: payload };
    for _ in 0..fields.u32()? {
        visit(fields.bytes()?, fields.bytes()?, Lsn(fields.number()?));
    }
    fields.rest.is_empty().then_some(())
}

fn parse_marks(payload: &[u8]) -> Option<Vec<JournalMark>> {
    let mut fields = Fields { rest: payload };
    let count = fields.u32()? as usize;
    // Checked before anything is allocated for it.
    if fields.rest.len() != count.checked_mul(40)? {
        return None;
    }
    let mut marks = Vec::with_capacity(count);
    for _ in 0..count {
        let (next_lsn, segment, offset) = (Lsn(fields.u64()?), fields.u64()?, fields.u64()?);
        marks.push(JournalMark { next_lsn, segment, offset, chain: Chain(fields.array()?) });
    }
    marks.is_sorted_by_key(|mark| mark.next_lsn).then_some(marks)
}

fn parse_index(payload: &[u8], footer: &Footer) -> Option<(Vec<KeyBlock>, Vec<Place>)> {
    let mut fields = Fields { rest: payload };
    let (key_blocks, removal_blocks) = (fields.u32()?, fields.u32()?);
    let mut offset = HEADER_BYTES as u64;
    let mut next_place = |fields: &mut Fields<'_>| {
        let bytes = u32::try_from(fields.number()?).ok()?;
        let place = Place { offset, bytes };
        offset = place.end()?;
        (bytes as usize <= MAX_BLOCK_BYTES).then_some(place)
    };
    let (mut keys, mut removals, mut rows) = (Vec::new(), Vec::new(), 0u64);
    for _ in 0..key_blocks {
        let place = next_place(&mut fields)?;
        let block_rows = u32::try_from(fields.number()?).ok()?;
        rows = rows.checked_add(u64::from(block_rows))?;
        keys.push(KeyBlock { place, rows: block_rows, first: fields.bytes()?.into() });
    }
    for _ in 0..removal_blocks {
        removals.push(next_place(&mut fields)?);
    }
    // Blocks lie one behind the other up to the marks, so that every byte is somebody's.
    let whole = fields.rest.is_empty()
        && offset == footer.marks.offset
        && rows == footer.rows
        && keys.is_sorted_by(|a, b| a.first <= b.first);
    whole.then_some((keys, removals))
}
