//! Blocks of a file whose index is lost, found by their checksums alone.
//!
//! Data blocks follow each other from the header on, but their lengths stand in the index only. A block's end is where a tag
//! of a known kind is followed by the checksum of everything from the block's beginning on, and then by the next block, which
//! begins with a small number (its rows, or its unpacked length): hardly another place looks like that, so few sums are
//! computed. Behind a damaged block its successor's beginning is unknown too, and is searched for byte by byte.
//!
//! Cost: one pass over the file that unpacks every block. Behind a damaged place every byte may be a beginning.

use stemedb_env::File;

use super::{
    Room,
    block::Block,
    format::{BlockKind, HEADER_BYTES, Packing, TRAILER_BYTES, TableIdentity, open_block},
};
use crate::{Result, ranges::Fragments};

/// The longest block that is found from a known beginning.
const LONGEST_BYTES: usize = 2 << 20;
/// The longest block that is found behind a damaged place.
const LONGEST_BEHIND_BYTES: usize = 64 << 10;
/// The longest block that is found by the tag of the one before it.
const LONGEST_LIKELY_BYTES: usize = 32 << 10;
/// Bytes kept of the file.
const WINDOW_BYTES: usize = 4 << 20;
/// Rows or unpacked bytes of a block that is found behind a damaged place.
const MOST_AT_FRONT: u32 = 1 << 20;
const PAGE_BYTES: usize = 4 << 10;

/// What the search came upon.
pub(crate) enum Found<'b> {
    /// A block, and how long it is in the file.
    Block(&'b Block, u64),
    /// Nothing that verifies, up to the block `next` or to the end.
    Lost { offset: u64, bytes: u64, next: Option<&'b Block> },
}

/// How a search ended.
#[derive(Debug, Default)]
pub(crate) struct Behind {
    /// Where the data blocks end.
    pub(crate) at: u64,
    /// The removed ranges behind them; `None` if what lies behind them is lost.
    pub(crate) ranges: Option<Fragments>,
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

/// True if these bytes may be the beginning of a data block: its rows, or its unpacked length.
fn begins_block(bytes: Option<&[u8]>) -> bool {
    let front = bytes.and_then(<[u8]>::first_chunk).map_or(0, |front| u32::from_le_bytes(*front));
    (1..=MOST_AT_FRONT).contains(&front)
}

/// How the ends of blocks are found.
struct Looker<'i> {
    identity: &'i TableIdentity,
    /// What each byte means as a tag.
    tags: [Option<BlockKind>; 256],
    /// The tag of the last block.
    likely: Option<u8>,
    /// Length of the longest block so far.
    longest: usize,
    /// Behind a damaged place: not only the likely tag, and no longer than usual.
    thorough: bool,
    room: Room,
}

impl Looker<'_> {
    fn new(identity: &TableIdentity, thorough: bool) -> Looker<'_> {
        let kinds = [
            BlockKind::Data,
            BlockKind::RangeRemovals,
            BlockKind::Index,
            BlockKind::KeyFilter,
            BlockKind::PrefixFilter,
            BlockKind::Properties,
        ];
        let tags = std::array::from_fn(|tag| {
            let tag = u8::try_from(tag).ok()?;
            kinds.into_iter().find(|kind| {
                Packing::of_tag(tag, *kind).is_some_and(|it| *kind == BlockKind::Data || it == Packing::PLAIN)
            })
        });
        Looker { identity, tags, likely: None, longest: 0, thorough, room: Room::default() }
    }

    /// Looks for the end of a block that begins with `bytes`, which lie at `offset`.
    fn look(&mut self, bytes: &[u8], offset: u64, longest: usize, only_data: bool) -> Here {
        let ends = bytes.len().min(longest).saturating_sub(TRAILER_BYTES - 1);
        let is_quick = only_data && !self.thorough;
        let usual = if is_quick { 2 * self.longest } else { LONGEST_LIKELY_BYTES };
        // First only where another block seems to begin behind it: of a few hundred places that look like the end of the block
        // this leaves one. That nothing follows is true of the last one, and of one whose neighbour is damaged.
        for at in 1..if is_quick { ends.min(usual) } else { ends } {
            let is_data = bytes.get(at).is_some_and(|tag| self.is_data(*tag));
            if is_data && begins_block(bytes.get(at + TRAILER_BYTES..)) {
                let tag = bytes.get(at).copied();
                if let Some(here) = self.ends_at(bytes, offset, at, BlockKind::Data) {
                    self.likely = tag;
                    return here;
                }
            }
        }
        if let Some(likely) = self.likely {
            for at in 1..ends.min(usual) {
                if bytes.get(at) == Some(&likely)
                    && let Some(here) = self.ends_at(bytes, offset, at, BlockKind::Data)
                {
                    return here;
                }
            }
            if is_quick {
                return Here::Nothing;
            }
        }
        for at in 1..ends {
            let Some((tag, kind)) =
                bytes.get(at).and_then(|tag| Some((*tag, (*self.tags.get(usize::from(*tag))?)?)))
            else {
                continue;
            };
            let was_tried = self.likely == Some(tag) && at < LONGEST_LIKELY_BYTES;
            if was_tried || (only_data && kind != BlockKind::Data) {
                continue;
            }
            if let Some(here) = self.ends_at(bytes, offset, at, kind) {
                self.likely = if kind == BlockKind::Data { Some(tag) } else { self.likely };
                return here;
            }
        }
        Here::Nothing
    }

    fn is_data(&self, tag: u8) -> bool {
        self.tags.get(usize::from(tag)) == Some(&Some(BlockKind::Data))
    }

    /// What ends with a tag at `at`, if anything does.
    fn ends_at(&mut self, bytes: &[u8], offset: u64, at: usize, kind: BlockKind) -> Option<Here> {
        let sealed = bytes.get(..at + TRAILER_BYTES)?;
        let payload = open_block(self.identity, kind, sealed, offset, &mut self.room).ok()?;
        match kind {
            BlockKind::Data => {
                let block = Block::parse(payload.of(sealed, &self.room), None).ok()?;
                self.longest = self.longest.max(sealed.len());
                Some(Here::Data(block, sealed.len()))
            }
            BlockKind::RangeRemovals => Some(match Fragments::decode(payload.of(sealed, &self.room)) {
                Ok(ranges) => Here::Ranges(ranges),
                Err(_) => Here::Nothing,
            }),
            _ => Some(Here::Other),
        }
    }

    /// Moves `at` to the next place where a data block begins, or to the end if none does within `behind` bytes.
    fn next_block(&mut self, window: &mut Window<'_>, at: &mut u64, behind: u64) -> Option<Block> {
        let last = at.saturating_add(behind).min(window.end);
        loop {
            *at += 1;
            if *at >= last {
                *at = window.end;
                return None;
            }
            let bytes = window.from(*at, LONGEST_BEHIND_BYTES);
            if !begins_block(Some(bytes)) {
                continue;
            }
            if let Here::Data(block, _) = self.look(bytes, *at, LONGEST_BEHIND_BYTES, true) {
                return Some(block);
            }
        }
    }
}

/// Goes through the data blocks of a file up to `end`. Behind a damaged place it looks no further than `behind` bytes: the rest
/// counts as lost. Without that limit it tries everything there, which may take minutes.
pub(crate) fn search(
    file: &dyn File,
    identity: &TableIdentity,
    end: u64,
    behind: u64,
    found: &mut dyn FnMut(Found<'_>) -> Result<()>,
) -> Result<Behind> {
    let mut window = Window { file, start: 0, bytes: Vec::new(), end };
    let mut looker = Looker::new(identity, behind == u64::MAX);
    let mut at = HEADER_BYTES as u64;
    while at < end {
        match looker.look(window.from(at, LONGEST_BYTES), at, LONGEST_BYTES, false) {
            Here::Data(block, bytes) => {
                found(Found::Block(&block, bytes as u64))?;
                at += bytes as u64;
            }
            Here::Ranges(ranges) => return Ok(Behind { at, ranges: Some(ranges) }),
            Here::Other => return Ok(Behind { at, ranges: Some(Fragments::default()) }),
            Here::Nothing => {
                let lost = at;
                let next = looker.next_block(&mut window, &mut at, behind);
                found(Found::Lost { offset: lost, bytes: at - lost, next: next.as_ref() })?;
            }
        }
    }
    Ok(Behind { at, ranges: None })
}
