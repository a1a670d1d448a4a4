//! Blocks of a file whose index is lost, found by their checksums alone.
//!
//! Data blocks follow each other from the header on, but their lengths stand in the index only. A block's end is where a tag
//! of a known kind is followed by the checksum of everything from the block's beginning on: few bytes look like a tag, so
//! few sums are computed. Behind a damaged block its successor's beginning is unknown too, and is searched for byte by byte;
//! a block begins with a small number (its rows, or its unpacked length), which rules out nearly all places.

use stemedb_env::File;

use crate::{
    Result,
    ranges::Fragments,
    table::{
        Room,
        block::Block,
        format::{BlockKind, HEADER_BYTES, Packing, TRAILER_BYTES, TableIdentity, open_block},
    },
};

/// The longest block that is found from a known beginning.
const LONGEST_BYTES: usize = 2 << 20;
/// The longest block that is found behind a damaged place.
const LONGEST_BEHIND_BYTES: usize = 64 << 10;
/// Bytes kept of the file.
const WINDOW_BYTES: usize = 4 << 20;
/// Rows or unpacked bytes of a block that is found behind a damaged place.
const MOST_AT_FRONT: u32 = 1 << 20;
const PAGE_BYTES: usize = 4 << 10;

/// What the search came upon.
pub(super) enum Found<'b> {
    Block(&'b Block),
    /// Nothing that verifies, up to the block `next` or to the end.
    Lost {
        offset: u64,
        bytes: u64,
        next: Option<&'b Block>,
    },
}

/// What stands at one place.
enum Here {
    Data(Block, usize),
    /// The removed ranges, which follow the last data block.
    Ranges(Fragments),
    /// A block behind those.
    Other,
    Nothing,
}

/// A part of a file in memory. What cannot be read is zeros, which verify as nothing.
struct Window<'f> {
    file: &'f dyn File,
    start: u64,
    bytes: Vec<u8>,
    end: u64,
}

impl Window<'_> {
    /// What is there from `at` on, at least `least` bytes if the file has as many.
    fn from(&mut self, at: u64, least: usize) -> &[u8] {
        let want = self.end.saturating_sub(at).min(least as u64);
        let have = (self.start + self.bytes.len() as u64).saturating_sub(at);
        if at < self.start || have < want {
            self.start = at;
            let bytes = self.end.saturating_sub(at).min(WINDOW_BYTES as u64);
            self.bytes.clear();
            self.bytes.resize(usize::try_from(bytes).unwrap_or(0), 0);
            if self.file.read_exact_at(&mut self.bytes, at).is_err() {
                for (page, room) in self.bytes.chunks_mut(PAGE_BYTES).enumerate() {
                    if self.file.read_exact_at(room, at + (page * PAGE_BYTES) as u64).is_err() {
                        room.fill(0);
                    }
                }
            }
        }
        usize::try_from(at - self.start).ok().and_then(|skip| self.bytes.get(skip..)).unwrap_or_default()
    }
}

/// What each byte means as a tag.
type Tags = [Option<BlockKind>; 256];

fn tags() -> Tags {
    let kinds = [
        BlockKind::Data,
        BlockKind::RangeRemovals,
        BlockKind::Index,
        BlockKind::KeyFilter,
        BlockKind::PrefixFilter,
        BlockKind::Properties,
    ];
    std::array::from_fn(|tag| {
        let tag = u8::try_from(tag).ok()?;
        kinds.into_iter().find(|kind| {
            Packing::of_tag(tag, *kind).is_some_and(|it| *kind == BlockKind::Data || it == Packing::PLAIN)
        })
    })
}

/// Looks for the end of a block that begins with `bytes`, which lie at `offset`.
fn look(
    identity: &TableIdentity,
    bytes: &[u8],
    offset: u64,
    longest: usize,
    tags: &Tags,
    only_data: bool,
    room: &mut Room,
) -> Here {
    let longest = bytes.len().min(longest);
    for at in 1..longest.saturating_sub(TRAILER_BYTES - 1) {
        let Some(kind) = bytes.get(at).and_then(|tag| *tags.get(usize::from(*tag))?) else { continue };
        if only_data && kind != BlockKind::Data {
            continue;
        }
        let sealed = bytes.get(..at + TRAILER_BYTES).unwrap_or_default();
        let Ok(payload) = open_block(identity, kind, sealed, offset, room) else { continue };
        match kind {
            BlockKind::Data => {}
            BlockKind::RangeRemovals => {
                return match Fragments::decode(payload.of(sealed, room)) {
                    Ok(ranges) => Here::Ranges(ranges),
                    Err(_) => Here::Nothing,
                };
            }
            _ => return Here::Other,
        }
        if let Ok(block) = Block::parse(payload.of(sealed, room), None) {
            return Here::Data(block, sealed.len());
        }
    }
    Here::Nothing
}

/// Goes through the data blocks of a file up to `end`. Returns the removed ranges behind them; `None` if what lies behind
/// them is lost.
pub(super) fn search(
    file: &dyn File,
    identity: &TableIdentity,
    end: u64,
    found: &mut dyn FnMut(Found<'_>) -> Result<()>,
) -> Result<Option<Fragments>> {
    let mut window = Window { file, start: 0, bytes: Vec::new(), end };
    let mut room = Room::default();
    let tags = tags();
    let mut at = HEADER_BYTES as u64;
    while at < end {
        match look(identity, window.from(at, LONGEST_BYTES), at, LONGEST_BYTES, &tags, false, &mut room) {
            Here::Data(block, bytes) => {
                found(Found::Block(&block))?;
                at += bytes as u64;
            }
            Here::Ranges(ranges) => return Ok(Some(ranges)),
            Here::Other => return Ok(Some(Fragments::default())),
            Here::Nothing => {
                let lost = at;
                let next = next_block(identity, &mut window, &mut at, &tags, &mut room);
                found(Found::Lost { offset: lost, bytes: at - lost, next: next.as_ref() })?;
            }
        }
    }
    Ok(None)
}

/// Moves `at` to the next place where a data block begins, or to the end.
fn next_block(
    identity: &TableIdentity,
    window: &mut Window<'_>,
    at: &mut u64,
    tags: &Tags,
    room: &mut Room,
) -> Option<Block> {
    loop {
        *at += 1;
        if *at >= window.end {
            *at = window.end;
            return None;
        }
        let bytes = window.from(*at, LONGEST_BEHIND_BYTES);
        let front = bytes.first_chunk().map_or(0, |front| u32::from_le_bytes(*front));
        if !(1..=MOST_AT_FRONT).contains(&front) {
            continue;
        }
        if let Here::Data(block, _) = look(identity, bytes, *at, LONGEST_BEHIND_BYTES, tags, true, room) {
            return Some(block);
        }
    }
}
