//! Where the parts of a table lie, by the page of the format, and what can happen to them.

use std::{ops::Range, path::Path};

use stemedb_env::fs::SimFs;

const HEADER_BYTES: usize = 48;
const FOOTER_BYTES: usize = 104;

/// Offsets of the parts.
#[derive(Clone, Debug)]
pub struct Layout {
    pub blocks: Vec<Range<usize>>,
    pub ranges: Range<usize>,
    pub key_filter: Range<usize>,
    pub prefix_filter: Range<usize>,
    pub index: Range<usize>,
    pub properties: Range<usize>,
    pub len: usize,
}

fn word(bytes: &[u8], at: usize) -> usize {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize
}

pub fn layout(bytes: &[u8]) -> Layout {
    let footer = bytes.len() - FOOTER_BYTES;
    let start = |nth: usize| {
        u64::from_le_bytes(bytes[footer + nth * 12..footer + nth * 12 + 8].try_into().unwrap()) as usize
    };
    let data_end = start(0) - word(bytes, footer + 84);
    let index = &bytes[start(2)..];
    let (count, prefix) = (word(index, 0), word(index, 4));
    let mut at = HEADER_BYTES;
    let blocks = (0..count)
        .map(|nth| {
            let from = at;
            at += word(index, 8 + prefix + nth * 4);
            from..at
        })
        .collect();
    assert_eq!(at, data_end);
    Layout {
        blocks,
        ranges: data_end..start(0),
        key_filter: start(0)..start(1),
        prefix_filter: start(1)..start(2),
        index: start(2)..start(3),
        properties: start(3)..footer,
        len: bytes.len(),
    }
}

/// What happens to a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Harm {
    Block(usize),
    Missing,
    Empty,
    Half,
    Cut,
    Longer,
    Foreign,
    Header,
    Footer,
    Index,
    IndexAndHeader,
    Filters,
    Properties,
    Ranges,
    /// The index, and from this block on so many.
    IndexAndBlocks(usize, usize),
    /// A hole from the middle of the file to its end.
    Hole,
    /// Every so-manieth block, and the removed ranges.
    Many(usize),
}

impl Harm {
    pub fn all(layout: &Layout) -> Vec<Harm> {
        let mut all: Vec<Harm> = (0..layout.blocks.len()).map(Harm::Block).collect();
        all.extend([
            Harm::Missing,
            Harm::Empty,
            Harm::Half,
            Harm::Cut,
            Harm::Longer,
            Harm::Foreign,
            Harm::Header,
            Harm::Footer,
            Harm::Index,
            Harm::IndexAndHeader,
            Harm::Filters,
            Harm::Properties,
            Harm::Many(1),
            Harm::Many(2),
            Harm::Hole,
        ]);
        let blocks = layout.blocks.len();
        let some = (blocks / 3).max(1);
        all.extend((0..blocks).step_by(some).map(|at| Harm::IndexAndBlocks(at, 1)));
        all.extend((1..blocks).step_by(some).map(|at| Harm::IndexAndBlocks(at - 1, 2)));
        if !layout.ranges.is_empty() {
            all.push(Harm::Ranges);
        }
        all
    }

    pub fn does(self, fs: &SimFs, path: &Path, foreign: &[u8]) {
        let bytes = fs.read_all(path).unwrap();
        let layout = layout(&bytes);
        let flip = |range: &Range<usize>| {
            if !range.is_empty() {
                fs.corrupt(path, (range.start + range.len() / 2) as u64, 0x10).unwrap();
            }
        };
        match self {
            Harm::Block(at) => flip(&layout.blocks[at]),
            Harm::Missing => fs.delete(path).unwrap(),
            Harm::Empty => fs.truncate(path, 0).unwrap(),
            Harm::Half => fs.truncate(path, layout.len as u64 / 2).unwrap(),
            Harm::Cut => fs.truncate(path, layout.len as u64 - 1).unwrap(),
            Harm::Longer => fs.install(path, &[&bytes[..], b"and more"].concat()).unwrap(),
            Harm::Foreign => {
                let mut foreign = foreign.to_vec();
                foreign.resize(layout.len, 0x5A);
                fs.install(path, &foreign).unwrap();
            }
            Harm::Header => flip(&(0..HEADER_BYTES)),
            Harm::Footer => flip(&(layout.len - FOOTER_BYTES..layout.len)),
            Harm::Index => flip(&layout.index),
            Harm::IndexAndHeader => {
                flip(&(0..HEADER_BYTES));
                flip(&layout.index);
            }
            Harm::IndexAndBlocks(from, many) => {
                flip(&layout.index);
                layout.blocks.iter().skip(from).take(many).for_each(flip);
            }
            Harm::Hole => {
                let mut bytes = bytes.clone();
                bytes[layout.len / 2..].fill(0);
                fs.install(path, &bytes).unwrap();
            }
            Harm::Filters => {
                flip(&layout.key_filter);
                flip(&layout.prefix_filter);
            }
            Harm::Properties => flip(&layout.properties),
            Harm::Ranges => flip(&layout.ranges),
            Harm::Many(step) => {
                layout.blocks.iter().step_by(step).for_each(flip);
                flip(&layout.ranges);
            }
        }
    }
}
