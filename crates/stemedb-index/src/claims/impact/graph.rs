//! All derivations in memory: claims as small numbers in the order of their ids, so that a walk touches four bytes a step.
//!
//! ```text
//! rows in the order of parents ─▶ children sorted once ─▶ numbers ─▶ parents found beside them, in one pass
//!                                                                     └▶ spans by number ─▶ walk over numbers and bits
//! ```
//!
//! Sorting costs less than a hash table of ids would: a look into one waits for memory two or three times a claim. A parent that
//! is nobody's child, and not the claim that is asked about, cannot be reached: it gets no number.

use stemedb_core::ClaimId;

/// Rows that a graph can have.
pub(super) const ROWS_MAX: usize = u32::MAX as usize - 1;

/// A set of numbers.
#[derive(Debug, Default)]
pub(super) struct Bits(Vec<u64>);

impl Bits {
    pub(super) fn contains(&self, number: u32) -> bool {
        self.0.get(number as usize / 64).is_some_and(|word| word >> (number % 64) & 1 == 1)
    }

    /// False if it was there.
    pub(super) fn insert(&mut self, number: u32) -> bool {
        let (at, bit) = (number as usize / 64, 1 << (number % 64));
        if at >= self.0.len() {
            self.0.resize(at + 1, 0);
        }
        let Some(word) = self.0.get_mut(at) else { return false };
        let is_new = *word & bit == 0;
        *word |= bit;
        is_new
    }
}

/// A graph that grows row by row, in the order of parents.
#[derive(Debug)]
pub(super) struct GraphBuilder {
    root: ClaimId,
    children: Vec<ClaimId>,
    /// Parents in the order of their rows, and where their children end.
    parents: Vec<(ClaimId, u32)>,
}

/// The first eight bytes of an id, in its order.
fn head(id: &ClaimId) -> u64 {
    id.0.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes))
}

impl GraphBuilder {
    /// Before the first row. The claim that is asked about is in the graph even if it is nobody's child.
    pub(super) fn new(root: ClaimId) -> GraphBuilder {
        GraphBuilder { root, children: Vec::new(), parents: Vec::new() }
    }

    /// Rows so far.
    pub(super) fn rows(&self) -> usize {
        self.children.len()
    }

    /// The next row, one of at most [`ROWS_MAX`].
    pub(super) fn push(&mut self, parent: &[u8; 32], child: &[u8; 32]) {
        self.children.push(ClaimId(*child));
        let end = self.children.len() as u32;
        match self.parents.last_mut() {
            Some((last, last_end)) if last.0 == *parent => *last_end = end,
            _ => self.parents.push((ClaimId(*parent), end)),
        }
    }

    /// After the last row.
    pub(super) fn finish(self) -> Graph {
        let GraphBuilder { root, children: mut rows, parents } = self;
        // The root is sorted in as one more child, of nobody.
        rows.push(root);
        let mut order: Vec<(u64, u32)> = (0..).zip(&rows).map(|(row, id)| (head(id), row)).collect();
        let id_of = |row: u32| rows.get(row as usize);
        order.sort_unstable_by(|a, b| a.0.cmp(&b.0).then_with(|| id_of(a.1).cmp(&id_of(b.1))));
        let mut ids: Vec<ClaimId> = Vec::with_capacity(rows.len());
        let mut children = vec![0; rows.len()];
        for (_, row) in order {
            let Some(id) = id_of(row) else { continue };
            if ids.last() != Some(id) {
                ids.push(*id);
            }
            if let Some(child) = children.get_mut(row as usize) {
                *child = (ids.len() - 1) as u32;
            }
        }
        drop(rows);
        children.pop();
        // Both are in the order of ids.
        let mut spans = vec![(0, 0); ids.len()];
        let mut numbered = ids.iter().zip(&mut spans).peekable();
        let mut start = 0;
        for (parent, end) in &parents {
            while numbered.next_if(|(id, _)| *id < parent).is_some() {}
            if let Some((_, span)) = numbered.next_if(|(id, _)| *id == parent) {
                *span = (start, *end);
            }
            start = *end;
        }
        Graph { ids, children, spans }
    }
}

/// Children by number.
#[derive(Debug)]
pub(super) struct Graph {
    /// By number, ascending.
    ids: Vec<ClaimId>,
    children: Vec<u32>,
    spans: Vec<(u32, u32)>,
}

impl Graph {
    /// The number of an id.
    pub(super) fn number(&self, id: &ClaimId) -> Option<u32> {
        self.ids.binary_search(id).ok().and_then(|at| u32::try_from(at).ok())
    }

    /// The id of a number.
    pub(super) fn id(&self, number: u32) -> Option<ClaimId> {
        self.ids.get(number as usize).copied()
    }

    /// The children of a number, in the order of ids.
    pub(super) fn children(&self, number: u32) -> &[u32] {
        let Some((start, end)) = self.spans.get(number as usize) else { return &[] };
        self.children.get(*start as usize..*end as usize).unwrap_or_default()
    }

    /// The ids of a set of numbers, ascending.
    pub(super) fn into_ids(self, of: &Bits) -> Vec<ClaimId> {
        let mut ids = self.ids;
        let mut number = 0;
        ids.retain(|_| {
            number += 1;
            of.contains(number - 1)
        });
        ids
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;

    /// Ids of which many begin alike.
    fn id(n: u16) -> ClaimId {
        let mut id = [0; 32];
        id[0] = (n % 3) as u8;
        id[30..].copy_from_slice(&n.to_be_bytes());
        ClaimId(id)
    }

    proptest! {
        #[test]
        fn children_are_those_of_the_rows(edges in prop::collection::btree_set((0u16..300, 0u16..2000), 0..2500)) {
            let rows: BTreeSet<(ClaimId, ClaimId)> = edges.iter().map(|(p, c)| (id(*p), id(*c))).collect();
            let root = id(7);
            let mut builder = GraphBuilder::new(root);
            let mut children = BTreeMap::<ClaimId, Vec<ClaimId>>::new();
            for (parent, child) in &rows {
                builder.push(&parent.0, &child.0);
                children.entry(*parent).or_default().push(*child);
            }
            prop_assert_eq!(builder.rows(), rows.len());
            let graph = builder.finish();
            let all: BTreeSet<ClaimId> = rows.iter().map(|(_, child)| *child).chain([root]).collect();
            let mut odd = Bits::default();
            for n in 0..2000 {
                let number = graph.number(&id(n));
                prop_assert_eq!(number.is_some(), all.contains(&id(n)));
                let Some(number) = number else { continue };
                prop_assert_eq!(graph.id(number), Some(id(n)));
                let found: Vec<_> = graph.children(number).iter().map(|n| graph.id(*n).unwrap()).collect();
                prop_assert_eq!(found, children.get(&id(n)).cloned().unwrap_or_default());
                if n % 2 == 1 {
                    odd.insert(number);
                }
            }
            let expected: Vec<ClaimId> = all.into_iter().filter(|id| id.0[31] % 2 == 1).collect();
            prop_assert_eq!(graph.into_ids(&odd), expected);
        }
    }

    #[test]
    fn bits_are_set_once() {
        let mut bits = Bits::default();
        for number in [0, 63, 64, 1000] {
            assert!(!bits.contains(number));
            assert!(bits.insert(number) && !bits.insert(number) && bits.contains(number));
        }
        assert!(!bits.contains(1) && !bits.contains(65) && !bits.contains(9999));
    }
}
