//! The oracle: what must be in the journal, what may be, and nothing else.
//!
//! It lives outside the simulated machine and knows nothing of files. An entry is *settled* when it was acknowledged or
//! when somebody has seen it: from then on it must be there for good. A group whose outcome nobody knows is *open*: it
//! may be there as a whole or not at all, until an open of the journal decides.

use std::sync::Arc;

use crate::{
    dice::{digest, fold},
    subject::Answer,
    violation::{Promise, Violation},
};

/// Entries that were submitted together.
pub type Group = Arc<Vec<Vec<u8>>>;

/// What must be there and what may be. A clone shares the entries.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    settled: Vec<Arc<[u8]>>,
    /// Digest of all settled entries.
    digest: u64,
    /// In the order of submission.
    open: Vec<Group>,
}

impl Ledger {
    /// Entries that must be there: LSN 1 to this.
    pub fn settled(&self) -> u64 {
        self.settled.len() as u64
    }

    /// A settled entry.
    pub fn entry(&self, lsn: u64) -> Option<&[u8]> {
        let at = usize::try_from(lsn.checked_sub(1)?).ok()?;
        self.settled.get(at).map(|entry| &entry[..])
    }

    /// Groups that may be there.
    pub fn open(&self) -> &[Group] {
        &self.open
    }

    /// Equal for ledgers that demand and allow the same.
    pub fn key(&self) -> u64 {
        let of_group = |group: &Group| group.iter().fold(1, |key, entry| fold(key, digest(entry)));
        self.open.iter().fold(self.digest, |key, group| fold(key, of_group(group)))
    }

    /// A group is about to be appended: from now on it may be there.
    pub fn submit(&mut self, group: Group) {
        self.open.push(group);
    }

    /// What the journal said to the group submitted last.
    ///
    /// `read_back` gives the entries behind the settled ones; it is asked for only when earlier groups are open, since
    /// then an LSN alone does not say which of them are there.
    pub fn answered(
        &mut self,
        answer: &Answer,
        read_back: impl FnOnce() -> Result<Vec<Vec<u8>>, Violation>,
    ) -> Result<(), Violation> {
        match answer {
            Answer::Unknown(_) => Ok(()),
            Answer::Refused(_) => {
                self.open.pop();
                Ok(())
            }
            Answer::Acknowledged(first) if self.open.len() == 1 => {
                let expected = self.settled() + 1;
                if *first != expected {
                    let detail = format!("acknowledged as LSN {first}, the next one is {expected}");
                    return Err(Violation::new(Promise::Prefix, detail));
                }
                self.open.pop().into_iter().for_each(|group| self.settle(&group));
                Ok(())
            }
            Answer::Acknowledged(first) => {
                let Some(newest) = self.open.last().cloned() else { return Ok(()) };
                self.observe(&read_back()?)?;
                let at = self.settled() + 1 - newest.len() as u64;
                if self.open.iter().any(|group| Arc::ptr_eq(group, &newest)) || at != *first {
                    let detail = format!("acknowledged as LSN {first}, but the entries there are others");
                    return Err(Violation::new(Promise::Durable, detail));
                }
                // What was submitted before an acknowledged group and is not before it will never be there.
                self.conclude();
                Ok(())
            }
        }
    }

    fn settle(&mut self, group: &Group) {
        for entry in group.iter() {
            self.digest = fold(self.digest, digest(entry));
            self.settled.push(Arc::from(&entry[..]));
        }
    }

    /// Which open groups `behind` (the entries that follow the settled ones) consists of. Contents are unique, so there
    /// is one way at most.
    fn identify(&self, behind: &[Vec<u8>]) -> Result<Vec<usize>, Violation> {
        let mut rest = behind;
        let mut found = Vec::new();
        for (index, group) in self.open.iter().enumerate() {
            if rest.get(..group.len()).is_some_and(|start| start == group.as_slice()) {
                found.push(index);
                rest = &rest[group.len()..];
            }
        }
        let Some(stray) = rest.first() else { return Ok(found) };
        let lsn = self.settled() + 1 + (behind.len() - rest.len()) as u64;
        let of_a_group = self.open.iter().any(|group| group.contains(stray));
        let (promise, what) = match of_a_group {
            true => (Promise::Atomic, "a part of a group"),
            false => (Promise::NoPhantom, "an entry that was never submitted, or refused"),
        };
        let shown = String::from_utf8_lossy(stray.get(..40).unwrap_or(stray)).into_owned();
        Err(Violation::new(promise, format!("{what} stands at LSN {lsn}: {shown:?}")))
    }

    /// Somebody has read `behind` after the settled entries: it is settled from now on. A group that was submitted before
    /// one of these and is not there will never be.
    pub fn observe(&mut self, behind: &[Vec<u8>]) -> Result<(), Violation> {
        let found = self.identify(behind)?;
        for index in &found {
            let group = Arc::clone(&self.open[*index]);
            self.settle(&group);
        }
        if let Some(last) = found.last() {
            self.open.drain(..=*last);
        }
        Ok(())
    }

    /// The journal was opened and everything in it was observed: what is still open is not there and never will be.
    pub fn conclude(&mut self) {
        self.open.clear();
    }

    /// Compares everything that can be read with what must and may be there.
    pub fn comparison(&self) -> Comparison<'_> {
        self.comparison_from(1)
    }

    /// As [`Ledger::comparison`], where the entries before `first` are known to be gone.
    pub fn comparison_from(&self, first: u64) -> Comparison<'_> {
        Comparison { ledger: self, next: first, behind: Vec::new(), wrong: None }
    }
}

/// A comparison in progress: entries are handed in as they are read.
#[derive(Debug)]
pub struct Comparison<'a> {
    ledger: &'a Ledger,
    next: u64,
    behind: Vec<Vec<u8>>,
    wrong: Option<Violation>,
}

impl Comparison<'_> {
    /// The next entry that was read.
    pub fn entry(&mut self, lsn: u64, bytes: &[u8]) {
        let expected = self.next;
        self.next += 1;
        if self.wrong.is_some() {
            return;
        }
        if lsn != expected {
            let detail = format!("LSN {lsn} was read where {expected} should be");
            self.wrong = Some(Violation::new(Promise::Prefix, detail));
        } else if expected <= self.ledger.settled() {
            if self.ledger.entry(expected) != Some(bytes) {
                let shown = String::from_utf8_lossy(bytes.get(..40).unwrap_or(bytes)).into_owned();
                let detail = format!("LSN {expected} holds something else: {shown:?}");
                self.wrong = Some(Violation::new(Promise::Durable, detail));
            }
        } else {
            self.behind.push(bytes.to_vec());
        }
    }

    /// The last entry was read, and every settled one must have been. Returns what stands behind them.
    pub fn finish(self) -> Result<Vec<Vec<u8>>, Violation> {
        let settled = self.ledger.settled();
        let (last, behind) = self.finish_shorter()?;
        if last < settled {
            let detail = format!("the journal ends at LSN {last}, entries up to {settled} must be there");
            return Err(Violation::new(Promise::Durable, detail));
        }
        Ok(behind)
    }

    /// The last entry was read, and settled ones may be missing at the end (a disk that lies, damage that nothing can tell
    /// from a torn tail). Returns the LSN of the last one, and what stands behind the settled entries.
    pub fn finish_shorter(self) -> Result<(u64, Vec<Vec<u8>>), Violation> {
        if let Some(wrong) = self.wrong {
            return Err(wrong);
        }
        self.ledger.identify(&self.behind)?;
        Ok((self.next - 1, self.behind))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::subject::Refusal;

    fn group(names: &[&str]) -> Group {
        Arc::new(names.iter().map(|name| name.as_bytes().to_vec()).collect())
    }

    fn unknown() -> Answer {
        Answer::Unknown(Refusal::System("?".into()))
    }

    fn none() -> Result<Vec<Vec<u8>>, Violation> {
        panic!("not needed")
    }

    /// a is acknowledged, b and c (one group) are unknown.
    fn ledger() -> Ledger {
        let mut ledger = Ledger::default();
        ledger.submit(group(&["a"]));
        ledger.answered(&Answer::Acknowledged(1), none).unwrap();
        ledger.submit(group(&["b", "c"]));
        ledger.answered(&unknown(), none).unwrap();
        ledger
    }

    fn compare(ledger: &Ledger, entries: &[&str]) -> Result<usize, Promise> {
        let mut comparison = ledger.comparison();
        for (at, entry) in entries.iter().enumerate() {
            comparison.entry(at as u64 + 1, entry.as_bytes());
        }
        comparison.finish().map(|behind| behind.len()).map_err(|violation| violation.promise)
    }

    #[test]
    fn an_open_group_may_be_there_as_a_whole_or_not_at_all() {
        let ledger = ledger();
        assert_eq!(compare(&ledger, &["a"]), Ok(0));
        assert_eq!(compare(&ledger, &["a", "b", "c"]), Ok(2));
        assert_eq!(compare(&ledger, &["a", "b"]), Err(Promise::Atomic));
        assert_eq!(compare(&ledger, &["a", "x"]), Err(Promise::NoPhantom));
        assert_eq!(compare(&ledger, &["x"]), Err(Promise::Durable));
        assert_eq!(compare(&ledger, &[]), Err(Promise::Durable));
    }

    #[test]
    fn what_was_seen_is_settled_and_what_was_refused_is_a_phantom() {
        let mut seen = ledger();
        seen.observe(&[b"b".to_vec(), b"c".to_vec()]).unwrap();
        assert_eq!((seen.settled(), compare(&seen, &["a"])), (3, Err(Promise::Durable)));
        let mut refused = ledger();
        refused.conclude();
        refused.submit(group(&["d"]));
        refused.answered(&Answer::Refused(Refusal::ReadOnly("".into())), none).unwrap();
        assert_eq!(compare(&refused, &["a", "d"]), Err(Promise::NoPhantom));
    }

    #[test]
    fn an_acknowledgement_behind_an_open_group_is_settled_by_reading() {
        let mut kept = ledger();
        kept.submit(group(&["d"]));
        let behind = || Ok(vec![b"b".to_vec(), b"c".to_vec(), b"d".to_vec()]);
        kept.answered(&Answer::Acknowledged(4), behind).unwrap();
        assert_eq!((kept.settled(), kept.open().len()), (4, 0));
        let mut dropped = ledger();
        dropped.submit(group(&["d"]));
        dropped.answered(&Answer::Acknowledged(2), || Ok(vec![b"d".to_vec()])).unwrap();
        assert_eq!((dropped.settled(), compare(&dropped, &["a", "d"])), (2, Ok(0)));
        let mut lied = ledger();
        lied.submit(group(&["d"]));
        assert!(lied.answered(&Answer::Acknowledged(4), || Ok(vec![b"d".to_vec()])).is_err());
    }
}
