//! What was promised, and what else may be found.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    content::{self, EntryId, OpId},
    engine_content,
    protocol::Line,
};

/// Whose history it is: what an append is made of, and how it is known again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Subject {
    /// A journal: see [`content`].
    Journal,
    /// An engine, where an append is a submission and always one entry: see [`engine_content`].
    Engine,
}

impl Subject {
    fn entries(self, seed: u64, op: OpId) -> u16 {
        match self {
            Subject::Journal => content::entries(seed, op),
            Subject::Engine => 1,
        }
    }

    fn hash(self, seed: u64, op: OpId) -> u32 {
        match self {
            Subject::Journal => content::hash(&content::group(seed, op)),
            Subject::Engine => engine_content::hash(&engine_content::claims(seed, op)),
        }
    }

    fn recognise(self, seed: u64, bytes: &[u8]) -> Option<EntryId> {
        match self {
            Subject::Journal => content::recognise(seed, bytes),
            Subject::Engine => engine_content::recognise(seed, bytes),
        }
    }
}

/// What became of an append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It is in the journal, its first entry at this LSN.
    There(u64),
    /// It must never be found.
    Refused,
    /// It may be found or not.
    Unknown,
}

/// Everything that the writers of one journal said, and what copies of it showed.
#[derive(Clone, Debug)]
pub struct History {
    subject: Subject,
    seed: u64,
    /// By LSN, what must be there.
    there: BTreeMap<u64, EntryId>,
    fates: BTreeMap<OpId, Fate>,
    /// By life and thread, the append that it does now. Appends from there on were not submitted.
    next: BTreeMap<(u32, u16), u32>,
    exists: bool,
    flushed: u64,
    gone: u64,
    seen: u64,
}

/// What a comparison found.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    /// Acknowledged entries that are there.
    pub checked: u64,
    /// Acknowledged entries that are not there, or whose place holds something else.
    pub lost: u64,
    /// Everything that is wrong, losses too; long lists are cut.
    pub problems: Vec<String>,
    /// What is there, in order.
    found: Vec<(u64, EntryId)>,
}

impl Verdict {
    fn problem(&mut self, what: String) {
        if self.problems.len() < 20 {
            self.problems.push(what);
        }
    }
}

impl History {
    /// Nothing yet, of a journal.
    pub fn new(seed: u64) -> History {
        History::of(Subject::Journal, seed)
    }

    /// Nothing yet, of an engine.
    pub fn of_engine(seed: u64) -> History {
        History::of(Subject::Engine, seed)
    }

    fn of(subject: Subject, seed: u64) -> History {
        History {
            subject,
            seed,
            there: BTreeMap::new(),
            fates: BTreeMap::new(),
            next: BTreeMap::new(),
            exists: false,
            flushed: 0,
            gone: 0,
            seen: 0,
        }
    }

    /// A writer said that the journal exists.
    pub fn exists(&self) -> bool {
        self.exists
    }

    /// What the views have flushed.
    pub fn flushed(&self) -> u64 {
        self.flushed
    }

    /// Entries up to here may have been removed.
    pub fn gone(&self) -> u64 {
        self.gone
    }

    /// How many entries must be there.
    pub fn promised(&self) -> u64 {
        self.there.range(self.gone + 1..).count() as u64
    }

    /// Takes in what the writer of `life` said. The error says how it contradicts what was said before.
    pub fn record(&mut self, life: u32, line: &Line) -> Result<(), String> {
        match line {
            Line::Open { last_lsn } => {
                self.exists = true;
                match self.last() {
                    last if last > *last_lsn => {
                        Err(format!("opened at {last_lsn}, but {last} was acknowledged"))
                    }
                    _ => Ok(()),
                }
            }
            Line::Acked { thread, seq, lsn, hash } => {
                self.acked(self.started(life, *thread, *seq)?, *lsn, *hash)
            }
            Line::Refused { thread, seq, .. } => self.answered(life, *thread, *seq, Fate::Refused),
            Line::Unknown { thread, seq, .. } => self.answered(life, *thread, *seq, Fate::Unknown),
            Line::Flushed { lsn } => {
                self.flushed = self.flushed.max(*lsn);
                Ok(())
            }
            Line::Gone { lsn } => {
                self.gone = self.gone.max(*lsn);
                Ok(())
            }
            Line::Seen { lsn } => {
                self.seen = self.seen.max(*lsn);
                Ok(())
            }
            Line::Wrong(what) => Err(format!("the writer says: {what}")),
            Line::Verified { .. } | Line::StaysShut { .. } | Line::Begins(_) | Line::Ends(_) | Line::Done => {
                Ok(())
            }
        }
    }

    /// Last LSN that must be there.
    fn last(&self) -> u64 {
        self.there.last_key_value().map_or(0, |(&lsn, _)| lsn).max(self.seen).max(self.flushed)
    }

    fn started(&self, life: u32, thread: u16, seq: u32) -> Result<OpId, String> {
        let next = self.next.get(&(life, thread)).copied().unwrap_or(0);
        if next == seq {
            Ok(OpId { life, thread, seq })
        } else {
            Err(format!("thread {thread} answers {seq}, it had {next}"))
        }
    }

    fn answered(&mut self, life: u32, thread: u16, seq: u32, fate: Fate) -> Result<(), String> {
        let op = self.started(life, thread, seq)?;
        self.fates.insert(op, fate);
        self.next.insert((life, thread), seq + 1);
        Ok(())
    }

    /// An append of `op` was answered with `lsn`.
    pub fn acked(&mut self, op: OpId, lsn: u64, hash: u32) -> Result<(), String> {
        if hash != self.subject.hash(self.seed, op) {
            return Err(format!("{op:?} was appended with other content"));
        }
        for index in 0..self.subject.entries(self.seed, op) {
            let at = lsn + u64::from(index);
            if let Some(other) = self.there.insert(at, EntryId { op, index }) {
                return Err(format!("LSN {at} was given to {other:?} and to {op:?}"));
            }
        }
        self.answered(op.life, op.thread, op.seq, Fate::There(lsn))
    }

    /// Compares entries that were read, with dense LSNs from `first_lsn`, with what must and may be there.
    pub fn compare<B: AsRef<[u8]>>(&self, first_lsn: u64, entries: impl IntoIterator<Item = B>) -> Verdict {
        let mut verdict = Verdict::default();
        let mut lsn = first_lsn;
        for bytes in entries {
            match self.subject.recognise(self.seed, bytes.as_ref()) {
                Some(id) => verdict.found.push((lsn, id)),
                None => verdict.problem(format!("LSN {lsn} has content that nobody appended")),
            }
            lsn += 1;
        }
        let last = lsn.saturating_sub(1);
        if first_lsn > self.gone + 1 {
            verdict.problem(format!(
                "entries start at {first_lsn}, only those up to {} were removed",
                self.gone
            ));
        }
        if last < self.seen.max(self.flushed) {
            let (seen, flushed) = (self.seen, self.flushed);
            verdict
                .problem(format!("entries end at {last}; readers saw {seen}, the views flushed {flushed}"));
        }
        self.compare_promises(&mut verdict);
        self.compare_appends(&mut verdict);
        verdict
    }

    /// The verdict where nothing could be read.
    pub fn unreadable(&self, problem: String) -> Verdict {
        Verdict { lost: self.promised(), problems: vec![problem], ..Verdict::default() }
    }

    fn compare_promises(&self, verdict: &mut Verdict) {
        let found: BTreeMap<u64, EntryId> = verdict.found.iter().copied().collect();
        for (lsn, id) in self.there.range(self.gone + 1..) {
            match found.get(lsn) {
                Some(other) if other == id => verdict.checked += 1,
                other => {
                    verdict.lost += 1;
                    verdict
                        .problem(format!("LOST: LSN {lsn} was acknowledged to {id:?}, there is {other:?}"));
                }
            }
        }
    }

    /// Every append that is there was submitted, is whole, is there once, and follows the ones before it of its thread.
    fn compare_appends(&self, verdict: &mut Verdict) {
        let mut starts: BTreeMap<OpId, u64> = BTreeMap::new();
        let mut indices: BTreeMap<OpId, BTreeSet<u16>> = BTreeMap::new();
        let mut problems = Vec::new();
        for &(lsn, EntryId { op, index }) in &verdict.found {
            let start = lsn.saturating_sub(u64::from(index));
            if *starts.entry(op).or_insert(start) != start || !indices.entry(op).or_default().insert(index) {
                problems.push(format!("{op:?} is there more than once, again at LSN {lsn}"));
            }
        }
        let mut before: Option<(OpId, u64)> = None;
        for (&op, &start) in &starts {
            let has = indices.get(&op).map_or(0, BTreeSet::len);
            let of = self.subject.entries(self.seed, op);
            if has != usize::from(of) {
                problems.push(format!("{has} of {of} entries of {op:?} are there"));
            }
            let next = self.next.get(&(op.life, op.thread)).copied();
            match self.fates.get(&op) {
                Some(Fate::There(lsn)) if *lsn != start => {
                    problems.push(format!("{op:?} was acknowledged at {lsn}, it is at {start}"));
                }
                Some(Fate::Refused) => problems.push(format!("{op:?} was refused, it is at {start}")),
                None if next != Some(op.seq) => {
                    problems.push(format!("{op:?} is at {start}, its thread is at {next:?}"));
                }
                _ => {}
            }
            if let Some((earlier, at)) = before
                && (earlier.life, earlier.thread) == (op.life, op.thread)
                && at > start
            {
                problems.push(format!("{earlier:?} is at {at}, behind {op:?} at {start}"));
            }
            before = Some((op, start));
        }
        problems.into_iter().for_each(|problem| verdict.problem(problem));
    }

    /// A writer with so many threads begins, each with its first append.
    pub fn begins(&mut self, life: u32, threads: u16) {
        for thread in 0..threads {
            self.next.insert((life, thread), 0);
        }
    }

    /// The journal goes on from the state that was found: what is there stays, what is not there never comes.
    pub fn go_on_from(&mut self, found: &Verdict) {
        for &(lsn, id) in &found.found {
            self.there.insert(lsn, id);
            self.fates.insert(id.op, Fate::There(lsn - u64::from(id.index)));
        }
        for (&(life, thread), &seq) in &self.next {
            self.fates.entry(OpId { life, thread, seq }).or_insert(Fate::Refused);
        }
        for fate in self.fates.values_mut().filter(|fate| **fate == Fate::Unknown) {
            *fate = Fate::Refused;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEED: u64 = 5;

    fn bytes(ops: &[OpId]) -> Vec<Vec<u8>> {
        ops.iter().flat_map(|&op| content::group(SEED, op)).collect()
    }

    fn op(seq: u32) -> OpId {
        OpId { life: 1, thread: 0, seq }
    }

    /// Appends 0..count, acknowledged; returns the history and the next LSN.
    fn acknowledged(count: u32) -> (History, u64) {
        let (mut history, mut lsn) = (History::new(SEED), 1);
        history.begins(1, 1);
        for seq in 0..count {
            let hash = content::hash(&content::group(SEED, op(seq)));
            history.record(1, &Line::Acked { thread: 0, seq, lsn, hash }).unwrap();
            lsn += u64::from(content::entries(SEED, op(seq)));
        }
        (history, lsn)
    }

    #[test]
    fn what_was_acknowledged_and_the_append_under_way_may_be_there_and_nothing_else() {
        let (history, _) = acknowledged(20);
        let all: Vec<OpId> = (0..21).map(op).collect();
        let verdict = history.compare(1, bytes(&all[..20]));
        assert!(verdict.problems.is_empty() && verdict.lost == 0, "{:?}", verdict.problems);
        assert_eq!(verdict.checked, history.promised());
        assert!(history.compare(1, bytes(&all)).problems.is_empty());
        assert!(!history.compare(1, bytes(&[all, vec![op(21)]].concat())).problems.is_empty());
    }

    #[test]
    fn a_missing_an_exchanged_and_a_repeated_entry_are_noticed() {
        let (history, _) = acknowledged(10);
        let all: Vec<OpId> = (0..10).map(op).collect();
        assert!(history.compare(1, bytes(&all[..9])).lost > 0);
        let mut exchanged = all.clone();
        exchanged.swap(3, 4);
        assert!(history.compare(1, bytes(&exchanged)).lost > 0);
        let repeated = [all.clone(), vec![op(9)]].concat();
        assert!(!history.compare(1, bytes(&repeated)).problems.is_empty());
        let mut changed = bytes(&all);
        changed[2][0] ^= 1;
        assert!(history.compare(1, changed).lost > 0);
    }

    #[test]
    fn half_a_group_is_noticed() {
        let (history, _) = acknowledged(10);
        let group = (10..).map(op).find(|&op| content::entries(SEED, op) > 1).unwrap();
        let mut history = history;
        for seq in 10..group.seq {
            history.record(1, &Line::Refused { thread: 0, seq, why: String::new() }).unwrap();
        }
        let mut entries = bytes(&[(0..10).map(op).collect(), vec![group]].concat());
        assert!(history.compare(1, &entries).problems.is_empty());
        entries.pop();
        assert!(!history.compare(1, &entries).problems.is_empty());
    }

    #[test]
    fn a_refused_append_must_not_be_there_and_an_unknown_one_may_until_a_recovery_has_decided() {
        let (mut history, _) = acknowledged(3);
        history.record(1, &Line::Refused { thread: 0, seq: 3, why: String::new() }).unwrap();
        history.record(1, &Line::Unknown { thread: 0, seq: 4, why: String::new() }).unwrap();
        let with = |seq| bytes(&[op(0), op(1), op(2), op(seq)]);
        assert!(!history.compare(1, with(3)).problems.is_empty());
        assert!(history.compare(1, with(4)).problems.is_empty());
        let without = history.compare(1, bytes(&[op(0), op(1), op(2)]));
        assert!(without.problems.is_empty());
        history.go_on_from(&without);
        assert!(!history.compare(1, with(4)).problems.is_empty());
    }

    #[test]
    fn what_a_reader_saw_must_be_there() {
        let (mut history, next) = acknowledged(3);
        history.record(1, &Line::Seen { lsn: next }).unwrap();
        assert!(!history.compare(1, bytes(&[op(0), op(1), op(2)])).problems.is_empty());
    }
}
