//! Sorted spans of removed keys.

use std::{cmp::Ordering, sync::Arc};

use stemedb_env::Lsn;

use crate::{
    codec::{Fields, Malformed, put_bytes},
    kv::RowDigester,
};

/// The smallest key behind `key`.
pub(crate) fn successor(key: &[u8]) -> Vec<u8> {
    let mut next = Vec::with_capacity(key.len() + 1);
    next.extend_from_slice(key);
    next.push(0);
    next
}

/// Keys that were removed together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    /// First key.
    pub(crate) start: Arc<[u8]>,
    /// First key behind.
    pub(crate) end: Arc<[u8]>,
    /// When they were removed, newest first; at least one.
    pub(crate) lsns: Arc<[Lsn]>,
}

impl Span {
    /// The newest removal at or below `upto`; 0 without one.
    pub(crate) fn newest(&self, upto: Lsn) -> Lsn {
        let at = self.lsns.partition_point(|lsn| *lsn > upto);
        self.lsns.get(at).copied().unwrap_or(Lsn::ZERO)
    }

    fn memory_bytes(&self) -> usize {
        size_of::<Span>() + self.start.len() + self.end.len() + self.lsns.len() * size_of::<Lsn>()
    }
}

/// Spans in key order, without overlap; neighbours that touch have different LSNs. So equal removals have equal fragments,
/// however they came about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fragments {
    spans: Vec<Span>,
}

/// The LSNs of both, newest first, each once.
fn union(a: &Arc<[Lsn]>, b: &Arc<[Lsn]>) -> Arc<[Lsn]> {
    let mut all = Vec::with_capacity(a.len() + b.len());
    let (mut a, mut b) = (a.iter().copied().peekable(), b.iter().copied().peekable());
    loop {
        let next = match (a.peek(), b.peek()) {
            (Some(x), Some(y)) => match x.cmp(y) {
                Ordering::Greater => a.next(),
                Ordering::Less => b.next(),
                Ordering::Equal => {
                    a.next();
                    b.next()
                }
            },
            (Some(_), None) => a.next(),
            (None, _) => b.next(),
        };
        match next {
            Some(lsn) => all.push(lsn),
            None => return all.into(),
        }
    }
}

impl Fragments {
    /// One removal; nothing if the range is empty.
    pub(crate) fn one(start: &[u8], end: &[u8], lsn: Lsn) -> Fragments {
        let mut one = Fragments::default();
        if start < end {
            one.push(Span { start: start.into(), end: end.into(), lsns: [lsn].into() });
        }
        one
    }

    /// All removals of several sources.
    pub(crate) fn merged(sources: impl IntoIterator<Item = Fragments>) -> Fragments {
        // In pairs: every span is copied as often as there are rounds.
        let mut round: Vec<Fragments> = sources.into_iter().filter(|source| !source.is_empty()).collect();
        while round.len() > 1 {
            let mut pairs = std::mem::take(&mut round).into_iter();
            while let Some(one) = pairs.next() {
                round.push(match pairs.next() {
                    Some(other) => one.with(&other),
                    None => one,
                });
            }
        }
        round.pop().unwrap_or_default()
    }

    /// Appends a span behind all others, joined with the last one where nothing tells them apart.
    pub(crate) fn push(&mut self, span: Span) {
        if span.lsns.is_empty() || span.start >= span.end {
            return;
        }
        match self.spans.last_mut() {
            Some(last) if last.end == span.start && last.lsns == span.lsns => last.end = span.end,
            _ => self.spans.push(span),
        }
    }

    /// The removals of both.
    pub(crate) fn with(&self, other: &Fragments) -> Fragments {
        self.combined(other, |a, b| match (a, b) {
            (Some(a), Some(b)) => Some(union(a, b)),
            (a, b) => a.or(b).cloned(),
        })
    }

    /// The removals that `other` has not.
    pub(crate) fn without(&self, other: &Fragments) -> Fragments {
        self.combined(other, |a, b| match (a, b) {
            (Some(a), Some(b)) => Some(a.iter().filter(|lsn| !b.contains(lsn)).copied().collect()),
            (a, _) => a.cloned(),
        })
    }

    /// A sweep over the borders of both.
    fn combined(
        &self,
        other: &Fragments,
        join: impl Fn(Option<&Arc<[Lsn]>>, Option<&Arc<[Lsn]>>) -> Option<Arc<[Lsn]>>,
    ) -> Fragments {
        let mut out = Fragments { spans: Vec::with_capacity(self.spans.len() + other.spans.len()) };
        let mut add = |start: &Arc<[u8]>, end: &Arc<[u8]>, lsns: Option<Arc<[Lsn]>>| {
            if let Some(lsns) = lsns {
                out.push(Span { start: Arc::clone(start), end: Arc::clone(end), lsns });
            }
        };
        let (mut ours, mut theirs) = (self.spans.iter().cloned(), other.spans.iter().cloned());
        let (mut a, mut b) = (ours.next(), theirs.next());
        loop {
            match (&mut a, &mut b) {
                (None, None) => return out,
                (Some(x), None) => {
                    add(&x.start, &x.end, join(Some(&x.lsns), None));
                    a = ours.next();
                }
                (None, Some(y)) => {
                    add(&y.start, &y.end, join(None, Some(&y.lsns)));
                    b = theirs.next();
                }
                (Some(x), Some(y)) if x.start < y.start => {
                    let end = Arc::clone((&x.end).min(&y.start));
                    add(&x.start, &end, join(Some(&x.lsns), None));
                    x.start = end;
                    if x.start >= x.end {
                        a = ours.next();
                    }
                }
                (Some(x), Some(y)) if y.start < x.start => {
                    let end = Arc::clone((&y.end).min(&x.start));
                    add(&y.start, &end, join(None, Some(&y.lsns)));
                    y.start = end;
                    if y.start >= y.end {
                        b = theirs.next();
                    }
                }
                (Some(x), Some(y)) => {
                    let end = Arc::clone((&x.end).min(&y.end));
                    add(&x.start, &end, join(Some(&x.lsns), Some(&y.lsns)));
                    (x.start, y.start) = (Arc::clone(&end), end);
                    let (x_ends, y_ends) = (x.start >= x.end, y.start >= y.end);
                    if x_ends {
                        a = ours.next();
                    }
                    if y_ends {
                        b = theirs.next();
                    }
                }
            }
        }
    }

    /// The same spans with other LSNs: those that `keep` leaves of each list.
    pub(crate) fn with_lsns(&self, keep: impl Fn(&[Lsn]) -> Vec<Lsn>) -> Fragments {
        let mut kept = Fragments::default();
        for span in &self.spans {
            kept.push(Span { lsns: keep(&span.lsns).into(), ..span.clone() });
        }
        kept
    }

    /// What a table built at this horizon keeps: of each key every removal above the horizon, and the newest at or below it,
    /// or not even that.
    pub(crate) fn forgotten(&self, horizon: Lsn, drops_removals: bool) -> Fragments {
        self.with_lsns(|lsns| {
            let above = lsns.partition_point(|lsn| *lsn > horizon);
            let kept = above + usize::from(!drops_removals);
            lsns.get(..kept.min(lsns.len())).unwrap_or_default().to_vec()
        })
    }

    /// The part from `start` on and before `end`.
    pub(crate) fn clipped(&self, start: &[u8], end: Option<&[u8]>) -> Fragments {
        let mut part = Fragments::default();
        for span in self.overlapping(start, end) {
            let clipped_start = if *span.start < *start { start.into() } else { Arc::clone(&span.start) };
            let clipped_end = match end {
                Some(end) if *span.end > *end => end.into(),
                _ => Arc::clone(&span.end),
            };
            part.push(Span { start: clipped_start, end: clipped_end, lsns: Arc::clone(&span.lsns) });
        }
        part
    }

    /// The spans with keys from `start` on and before `end`.
    pub(crate) fn overlapping(&self, start: &[u8], end: Option<&[u8]>) -> &[Span] {
        let first = self.spans.partition_point(|span| *span.end <= *start);
        let last = end.map_or(self.spans.len(), |end| self.spans.partition_point(|span| *span.start < *end));
        self.spans.get(first..last.max(first)).unwrap_or_default()
    }

    /// Of the spans with keys from `start` on and before `end`, the newest removals at or below `upto`.
    pub(crate) fn as_of(&self, start: &[u8], end: Option<&[u8]>, upto: Lsn) -> Fragments {
        let mut newest = Fragments::default();
        for span in self.overlapping(start, end) {
            let lsn = span.newest(upto);
            if lsn > Lsn::ZERO {
                newest.push(Span { lsns: [lsn].into(), ..span.clone() });
            }
        }
        newest
    }

    /// The newest removal of a key at or below `upto`; 0 without one.
    pub(crate) fn newest(&self, key: &[u8], upto: Lsn) -> Lsn {
        let at = self.spans.partition_point(|span| *span.end <= *key);
        let span = self.spans.get(at).filter(|span| *span.start <= *key);
        span.map_or(Lsn::ZERO, |span| span.newest(upto))
    }

    /// When a key was removed, newest first.
    pub(crate) fn removals(&self, key: &[u8]) -> &[Lsn] {
        let at = self.spans.partition_point(|span| *span.end <= *key);
        self.spans.get(at).filter(|span| *span.start <= *key).map_or(&[], |span| &span.lsns)
    }

    pub(crate) fn spans(&self) -> &[Span] {
        &self.spans
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// Number of removals: one per span and LSN.
    pub(crate) fn len(&self) -> usize {
        self.spans.iter().map(|span| span.lsns.len()).sum()
    }

    /// Smallest and greatest LSN.
    pub(crate) fn lsns(&self) -> Option<(Lsn, Lsn)> {
        let smallest = self.spans.iter().filter_map(|span| span.lsns.last()).min()?;
        let greatest = self.spans.iter().filter_map(|span| span.lsns.first()).max()?;
        Some((*smallest, *greatest))
    }

    /// Smallest and greatest key. The greatest is exact where the last span ends right behind a key, as spans that a table's
    /// end has cut do; else it is the key that the span ends before, which is the smallest that can be named.
    pub(crate) fn bounds(&self) -> Option<(&[u8], &[u8])> {
        let (first, last) = (self.spans.first()?, self.spans.last()?);
        Some((&first.start, last.end.strip_suffix(&[0]).unwrap_or(&last.end)))
    }

    /// Bytes of the borders of all removals.
    pub(crate) fn data_bytes(&self) -> u64 {
        self.spans.iter().map(|span| (span.start.len() + span.end.len()) as u64).sum()
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        self.spans.iter().map(Span::memory_bytes).sum()
    }

    /// Wrapping sum of the digests of all removals.
    pub(crate) fn digest(&self, digester: &mut RowDigester) -> u128 {
        let each = self.spans.iter().flat_map(|span| span.lsns.iter().map(move |lsn| (span, *lsn)));
        each.fold(0, |sum, (span, lsn)| sum.wrapping_add(digester.range_digest(&span.start, &span.end, lsn)))
    }

    /// The payload of a table's block; see `docs/formats/sst.md`.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX).to_le_bytes();
        let mut out = count(self.spans.len()).to_vec();
        for span in &self.spans {
            put_bytes(&mut out, &span.start);
            put_bytes(&mut out, &span.end);
            out.extend_from_slice(&count(span.lsns.len()));
            span.lsns.iter().for_each(|lsn| out.extend_from_slice(&lsn.0.to_le_bytes()));
        }
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Fragments, Malformed> {
        let mut fields = Fields::new(bytes);
        let mut fragments = Fragments::default();
        // The list grows as spans are really there: a wild count allocates nothing.
        for _ in 0..fields.u32()? {
            let (start, end) = (fields.bytes()?, fields.bytes()?);
            let count = fields.u32()? as usize;
            let lsns = fields.take(count.checked_mul(size_of::<u64>()).ok_or(Malformed)?)?;
            let lsns: Arc<[Lsn]> =
                lsns.as_chunks().0.iter().map(|bytes| Lsn(u64::from_le_bytes(*bytes))).collect();
            let ordered = start < end
                && !lsns.is_empty()
                && lsns.is_sorted_by(|a, b| a > b)
                && fragments.spans.last().is_none_or(|last| *last.end <= *start);
            if !ordered {
                return Err(Malformed);
            }
            let spans = fragments.spans.len();
            fragments.push(Span { start: start.into(), end: end.into(), lsns });
            if fragments.spans.len() == spans {
                // It would have been written as one with the span before.
                return Err(Malformed);
            }
        }
        fields.end()?;
        Ok(fragments)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;

    /// Keys of up to two bytes out of three, and their borders.
    fn keys() -> Vec<Vec<u8>> {
        let mut keys = vec![vec![]];
        for a in 0..3u8 {
            keys.push(vec![a]);
            keys.extend((0..3).map(|b| vec![a, b]));
        }
        keys.sort();
        keys
    }

    type Removals = Vec<(usize, usize, u64)>;

    fn removals() -> impl Strategy<Value = Removals> {
        proptest::collection::vec((0..13usize, 0..13usize, 1..9u64), 0..9)
    }

    fn fragments(removals: &Removals) -> Fragments {
        let keys = keys();
        Fragments::merged(removals.iter().map(|(a, b, lsn)| Fragments::one(&keys[*a], &keys[*b], Lsn(*lsn))))
    }

    fn model(removals: &Removals) -> BTreeMap<Vec<u8>, BTreeSet<u64>> {
        let mut model: BTreeMap<Vec<u8>, BTreeSet<u64>> = BTreeMap::new();
        for (a, b, lsn) in removals {
            for key in keys().get(*a..*b).unwrap_or_default() {
                model.entry(key.clone()).or_default().insert(*lsn);
            }
        }
        model
    }

    fn told(fragments: &Fragments) -> BTreeMap<Vec<u8>, BTreeSet<u64>> {
        let lsns = |key: &Vec<u8>| {
            (1..9).filter(|lsn| fragments.newest(key, Lsn(*lsn)) == Lsn(*lsn)).collect::<BTreeSet<u64>>()
        };
        keys().into_iter().map(|key| (key.clone(), lsns(&key))).filter(|(_, lsns)| !lsns.is_empty()).collect()
    }

    proptest! {
        #[test]
        fn fragments_say_of_every_key_what_the_removals_say(removals in removals()) {
            let fragments = fragments(&removals);
            prop_assert_eq!(told(&fragments), model(&removals));
            prop_assert!(fragments.spans.windows(2).all(|pair| pair[0].end < pair[1].start
                || (pair[0].end == pair[1].start && pair[0].lsns != pair[1].lsns)));
            let bytes = fragments.encode();
            prop_assert_eq!(Fragments::decode(&bytes).unwrap(), fragments);
            for n in 0..bytes.len() {
                prop_assert!(Fragments::decode(&bytes[..n]).is_err());
            }
        }

        #[test]
        fn equal_removals_have_equal_fragments(removals in removals(), at in 0..9usize, cut in 0..13usize) {
            let whole = fragments(&removals);
            let at = at.min(removals.len());
            let (one, other) = (fragments(&removals[at..].to_vec()), fragments(&removals[..at].to_vec()));
            prop_assert_eq!(&one.with(&other), &whole);
            let cut = &keys()[cut];
            let (front, back) = (whole.clipped(&[], Some(cut)), whole.clipped(cut, None));
            prop_assert_eq!(front.with(&back), whole);
            prop_assert!(told(&front).keys().all(|key| key < cut));
            prop_assert!(told(&back).keys().all(|key| key >= cut));
        }

        #[test]
        fn what_is_taken_away_is_gone_and_nothing_else(a in removals(), b in removals()) {
            let mut left = model(&a);
            for (key, lsns) in model(&b) {
                if let Some(ours) = left.get_mut(&key) {
                    ours.retain(|lsn| !lsns.contains(lsn));
                }
            }
            left.retain(|_, lsns| !lsns.is_empty());
            prop_assert_eq!(told(&fragments(&a).without(&fragments(&b))), left);
        }

        #[test]
        fn what_may_be_forgotten_is(removals in removals(), horizon in 0..9u64, drops: bool) {
            let mut kept = model(&removals);
            for lsns in kept.values_mut() {
                let newest = lsns.iter().copied().filter(|lsn| *lsn <= horizon).max();
                lsns.retain(|lsn| *lsn > horizon || (!drops && Some(*lsn) == newest));
            }
            kept.retain(|_, lsns| !lsns.is_empty());
            prop_assert_eq!(told(&fragments(&removals).forgotten(Lsn(horizon), drops)), kept);
        }

        #[test]
        fn no_bytes_make_the_decoder_panic(bytes in proptest::collection::vec(0u8..4, 0..60)) {
            let _ = Fragments::decode(&bytes);
        }
    }

    #[test]
    fn the_greatest_key_is_exact_where_it_can_be() {
        let bounds = |end: &[u8]| {
            let one = Fragments::one(b"a", end, Lsn(1));
            one.bounds().map(|(first, last)| (first.to_vec(), last.to_vec()))
        };
        assert_eq!(bounds(b"m"), Some((b"a".to_vec(), b"m".to_vec())));
        assert_eq!(bounds(&successor(b"m")), Some((b"a".to_vec(), b"m".to_vec())));
        assert_eq!(bounds(b"a"), None);
    }
}
