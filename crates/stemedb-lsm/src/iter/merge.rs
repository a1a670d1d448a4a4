//! Many sorted inputs as one: a loser tree over concrete sources.
//!
//! After the winner has moved on it is compared once with each loser on its way to the root: log2(k) comparisons per
//! row, where a heap makes about twice as many. Most of them are of one `u64` per source: the first eight bytes of its key
//! behind what all keys of the scan share. With a single source nothing is compared at all. Nothing is allocated per row.

use std::cmp::Ordering;

use stemedb_env::{
    Lsn,
    planted::{Bug, planted},
};

use crate::{
    Direction, Result, SortedRows, Value,
    memtable::MemCursor,
    table::{RunCursor, head},
};

/// One sorted input.
#[derive(Debug)]
pub(crate) enum Source {
    /// A memtable.
    Mem(MemCursor),
    /// A run of tables.
    Run(Box<RunCursor>),
}

impl SortedRows for Source {
    fn advance(&mut self) -> Result<bool> {
        match self {
            Source::Mem(cursor) => Ok(cursor.advance()),
            Source::Run(cursor) => cursor.advance(),
        }
    }

    fn key(&self) -> &[u8] {
        match self {
            Source::Mem(cursor) => cursor.key(),
            Source::Run(cursor) => cursor.key(),
        }
    }

    fn lsn(&self) -> Lsn {
        match self {
            Source::Mem(cursor) => cursor.lsn(),
            Source::Run(cursor) => cursor.lsn(),
        }
    }

    fn value(&self) -> Option<&[u8]> {
        match self {
            Source::Mem(cursor) => cursor.value(),
            Source::Run(cursor) => cursor.value(),
        }
    }
}

impl Source {
    fn pinned(&self) -> Option<Value> {
        match self {
            Source::Mem(cursor) => cursor.pinned(),
            Source::Run(cursor) => cursor.pinned(),
        }
    }

    /// True if no key comes twice.
    fn has_unique_keys(&self) -> bool {
        match self {
            Source::Mem(_) => false,
            Source::Run(cursor) => cursor.has_unique_keys(),
        }
    }
}

/// A source and what its current row is compared by.
#[derive(Debug)]
struct Player<S> {
    source: S,
    head: u64,
    /// There is a current row.
    valid: bool,
}

/// All versions of all sources: key ascending and LSN descending, or the exact reverse.
#[derive(Debug)]
pub(crate) struct Merge<S = Source> {
    players: Vec<Player<S>>,
    /// Node 0 is the winner; node `n` is the loser of the match between the winners below nodes `2n` and `2n + 1`, where
    /// player `p` is below node `p + k`.
    nodes: Vec<u32>,
    direction: Direction,
    /// Bytes that all keys share.
    shared_bytes: usize,
    started: bool,
}

impl<S: SortedRows> Merge<S> {
    /// A merge of nothing yet. Every key of every source will start with the same `shared_bytes` bytes.
    pub(crate) fn new(direction: Direction, shared_bytes: usize) -> Merge<S> {
        Merge { players: Vec::new(), nodes: Vec::new(), direction, shared_bytes, started: false }
    }

    /// A merge of sources, before the first row.
    pub(crate) fn of(
        sources: impl IntoIterator<Item = S>,
        direction: Direction,
        shared_bytes: usize,
    ) -> Merge<S> {
        let mut merge = Merge::new(direction, shared_bytes);
        sources.into_iter().for_each(|source| merge.push(source));
        merge
    }

    /// One source more, before the first row.
    pub(crate) fn push(&mut self, source: S) {
        self.players.push(Player { source, head: 0, valid: false });
    }

    fn winner(&self) -> Option<&Player<S>> {
        let at = self.nodes.first().map_or(0, |winner| *winner as usize);
        self.players.get(at).filter(|player| player.valid)
    }

    /// True if player `a` comes before player `b`.
    fn before(&self, a: u32, b: u32) -> bool {
        let (Some(x), Some(y)) = (self.players.get(a as usize), self.players.get(b as usize)) else {
            return a < b;
        };
        if !x.valid || !y.valid {
            return if x.valid == y.valid { a < b } else { x.valid };
        }
        let keys = || {
            let behind = |player: &Player<S>| -> std::ops::Range<usize> {
                self.shared_bytes.min(player.source.key().len())..player.source.key().len()
            };
            let (x_key, y_key) = (x.source.key().get(behind(x)), y.source.key().get(behind(y)));
            if planted(Bug::LsmMergeShowsOlderFirst) {
                return x_key.cmp(&y_key).then_with(|| x.source.lsn().cmp(&y.source.lsn()));
            }
            x_key.cmp(&y_key).then_with(|| y.source.lsn().cmp(&x.source.lsn()))
        };
        let order = x.head.cmp(&y.head).then_with(keys);
        match (self.direction, order) {
            // The same row twice, as while a memtable is split: any order, but a fixed one.
            (_, Ordering::Equal) => a < b,
            (Direction::Forward, order) => order == Ordering::Less,
            (Direction::Backward, order) => order == Ordering::Greater,
        }
    }

    fn step(&mut self, at: usize) -> Result<()> {
        let single = self.players.len() == 1;
        let Some(player) = self.players.get_mut(at) else { return Ok(()) };
        player.valid = player.source.advance()?;
        if player.valid && !single {
            player.head = head(player.source.key().get(self.shared_bytes..).unwrap_or_default());
        }
        Ok(())
    }

    fn start(&mut self) -> Result<()> {
        let count = self.players.len();
        for at in 0..count {
            self.step(at)?;
        }
        if count <= 1 {
            // Nothing plays against it.
            return Ok(());
        }
        // Winners of every match, from the leaves to the root; what remains in a node is its loser.
        let leaves = 0..u32::try_from(count).unwrap_or(u32::MAX);
        let mut winners: Vec<u32> = std::iter::repeat_n(0, count).chain(leaves).collect();
        self.nodes = vec![0; count];
        for node in (1..count).rev() {
            let of = |child: usize| winners.get(child).copied().unwrap_or_default();
            let (left, right) = (of(2 * node), of(2 * node + 1));
            let (winner, loser) = if self.before(left, right) { (left, right) } else { (right, left) };
            if let (Some(won), Some(lost)) = (winners.get_mut(node), self.nodes.get_mut(node)) {
                (*won, *lost) = (winner, loser);
            }
        }
        if let Some(root) = self.nodes.first_mut() {
            *root = winners.get(1).copied().unwrap_or_default();
        }
        Ok(())
    }

    /// Moves to the next row; false at the end.
    pub(crate) fn advance(&mut self) -> Result<bool> {
        if !self.started {
            self.started = true;
            self.start()?;
            return Ok(self.is_valid());
        }
        let winner = self.nodes.first().copied().unwrap_or_default();
        self.step(winner as usize)?;
        let mut winner = winner;
        let mut node = (winner as usize + self.players.len()) / 2;
        while node > 0 {
            let Some(loser) = self.nodes.get(node).copied() else { break };
            if self.before(loser, winner)
                && let Some(slot) = self.nodes.get_mut(node)
            {
                *slot = winner;
                winner = loser;
            }
            node /= 2;
        }
        if let Some(root) = self.nodes.first_mut() {
            *root = winner;
        }
        Ok(self.is_valid())
    }

    /// True if there is a current row.
    pub(crate) fn is_valid(&self) -> bool {
        self.winner().is_some()
    }

    pub(crate) fn key(&self) -> &[u8] {
        self.winner().map_or(&[], |player| player.source.key())
    }

    pub(crate) fn lsn(&self) -> Lsn {
        self.winner().map_or(Lsn::ZERO, |player| player.source.lsn())
    }

    /// The value of the current row; `None` for a removal.
    pub(crate) fn value(&self) -> Option<&[u8]> {
        self.winner().and_then(|player| player.source.value())
    }
}

impl Merge {
    /// True if no key can come twice.
    pub(crate) fn has_unique_keys(&self) -> bool {
        matches!(self.players.as_slice(), [only] if only.source.has_unique_keys())
    }

    /// The tables that the sources stand in.
    pub(crate) fn files(&self) -> impl Iterator<Item = u64> {
        self.players.iter().filter(|player| player.valid).filter_map(|player| match &player.source {
            Source::Mem(_) => None,
            Source::Run(cursor) => cursor.file(),
        })
    }

    pub(crate) fn pinned(&self) -> Option<Value> {
        self.winner().and_then(|player| player.source.pinned())
    }
}
