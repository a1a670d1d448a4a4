//! What hides rows from one reader, or in one merge.

use std::sync::Arc;

use stemedb_env::Lsn;

use super::Fragments;

/// Keys whose rows below an LSN are hidden.
#[derive(Debug)]
struct Hidden {
    start: Arc<[u8]>,
    end: Arc<[u8]>,
    lsn: Lsn,
}

/// Of each key the newest removal that counts, and a place that follows the rows. Rows in key order, either way, cost two
/// comparisons each, and one search per span that is entered or left.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cover {
    spans: Arc<[Hidden]>,
    /// The first span that does not end before the key asked for last.
    at: usize,
}

impl Cover {
    /// The newest removals at or below `upto`.
    pub(crate) fn new(fragments: &Fragments, upto: Lsn) -> Cover {
        let mut spans: Vec<Hidden> = Vec::with_capacity(fragments.spans().len());
        for span in fragments.spans() {
            let newest = span.newest(upto);
            match spans.last_mut() {
                _ if newest == Lsn::ZERO => {}
                // What older removals have cut counts as one.
                Some(last) if last.end == span.start && last.lsn == newest => {
                    last.end = Arc::clone(&span.end)
                }
                _ => spans.push(Hidden {
                    start: Arc::clone(&span.start),
                    end: Arc::clone(&span.end),
                    lsn: newest,
                }),
            }
        }
        Cover { spans: spans.into(), at: 0 }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// The LSN below which every row of `key` is hidden; 0 if none is.
    pub(crate) fn newest(&mut self, key: &[u8]) -> Lsn {
        let is_behind = self.at.checked_sub(1).and_then(|before| self.spans.get(before));
        let is_here = is_behind.is_none_or(|span| *span.end <= *key)
            && self.spans.get(self.at).is_none_or(|span| *key < *span.end);
        if !is_here {
            self.at = self.spans.partition_point(|span| *span.end <= *key);
        }
        match self.spans.get(self.at) {
            Some(span) if *span.start <= *key => span.lsn,
            _ => Lsn::ZERO,
        }
    }

    /// True if every row from key `smallest` to key `largest` with an LSN of at most `newest` is hidden by one removal.
    pub(crate) fn hides_all(&self, smallest: &[u8], largest: &[u8], newest: Lsn) -> bool {
        let at = self.spans.partition_point(|span| *span.end <= *smallest);
        self.spans
            .get(at)
            .is_some_and(|span| *span.start <= *smallest && *largest < *span.end && newest < span.lsn)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_follows_rows_in_any_order() {
        let fragments = Fragments::merged([
            Fragments::one(b"b", b"d", Lsn(3)),
            Fragments::one(b"c", b"g", Lsn(5)),
            Fragments::one(b"k", b"m", Lsn(9)),
        ]);
        let mut cover = Cover::new(&fragments, Lsn(6));
        let keys: Vec<Vec<u8>> = (b'a'..=b'z').map(|byte| vec![byte]).collect();
        for key in keys.iter().chain(keys.iter().rev()).chain(keys.iter().step_by(5)) {
            let expected = match key[0] {
                b'b' => 3,
                b'c'..b'g' => 5,
                _ => 0,
            };
            assert_eq!(cover.newest(key), Lsn(expected), "{key:?}");
        }
        assert!(cover.hides_all(b"c", b"f", Lsn(4)) && !cover.hides_all(b"c", b"f", Lsn(5)));
        assert!(!cover.hides_all(b"c", b"g", Lsn(4)) && !cover.hides_all(b"a", b"c", Lsn(1)));
        assert!(!cover.hides_all(b"b", b"c", Lsn(1)), "two removals with a border between them");
    }
}
