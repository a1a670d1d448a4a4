//! From entries to notices.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use stemedb_core::{ClaimId, CommandRef, lens::Candidate};
use stemedb_env::{Lsn, Micros};
use stemedb_lsm::KvSnapshot;

use super::{
    Brief, Crossed, Notice, Registered,
    hooks::{Hook, Hooks},
};
use crate::{ClaimReader, Error, Family, QuestionKey, Result, claims::Entry};

/// Follows a journal from a position on, for a set of watches.
///
/// Reads only through the snapshots that it is given, and keeps nothing that could not be found again: a follower that is dropped
/// and begun anew at the position where it stood goes on as if nothing had happened.
///
/// Memory: about 300 bytes and its texts a watched question, 24 bytes for each thing that its answers hang on (a claim has two
/// or three of them), and a pointer a watch.
#[derive(Debug)]
pub struct Follower {
    /// Subject NUL predicate to the question's number.
    numbers: HashMap<Box<str>, u32>,
    questions: Vec<Watched>,
    /// Questions that were not looked at yet.
    waiting: Vec<u32>,
    hooks: Hooks,
    next: Lsn,
    /// When the entry before `next` was recorded, once it is known.
    clock: Option<Micros>,
    counts: FollowCounts,
    /// Where names are put together to be looked up.
    name: String,
}

#[derive(Debug)]
struct Watched {
    question: QuestionKey,
    watches: Vec<Arc<Registered>>,
}

/// What following has cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FollowCounts {
    /// Entries that went by.
    pub entries: u64,
    /// Questions whose claims were looked through for what their answers hang on.
    pub learned: u64,
    /// Questions that were read before and after an entry.
    pub compared: u64,
    /// Answers that were made.
    pub answers: u64,
    /// Notices given.
    pub notices: u64,
}

impl Follower {
    /// Stands before an entry (0 counts as 1), without a watch.
    pub fn new(next: Lsn) -> Follower {
        Follower {
            numbers: HashMap::new(),
            questions: Vec::new(),
            waiting: Vec::new(),
            hooks: Hooks::default(),
            next: next.max(Lsn(1)),
            clock: None,
            counts: FollowCounts::default(),
            name: String::new(),
        }
    }

    /// The entry that comes next.
    pub fn position(&self) -> Lsn {
        self.next
    }

    /// What it has cost so far.
    pub fn counts(&self) -> FollowCounts {
        self.counts
    }

    /// Things that answers hang on, and instants, that are held.
    pub fn hooks(&self) -> usize {
        self.hooks.len()
    }

    /// Watches from here on: entries behind `since` that have gone by are not gone back to.
    pub fn add(&mut self, registered: Arc<Registered>) {
        let question = &registered.watch.question;
        let number = match self.find(&question.subject, &question.predicate) {
            Some(number) => number,
            None => {
                let new = u32::try_from(self.questions.len()).unwrap_or(u32::MAX);
                self.questions.push(Watched { question: question.clone(), watches: Vec::new() });
                self.numbers.insert(self.name.as_str().into(), new);
                self.waiting.push(new);
                new
            }
        };
        if let Some(watched) = self.questions.get_mut(number as usize) {
            watched.watches.push(registered);
        }
    }

    /// Does not watch any more. Cost: the watches of the same question.
    pub fn remove(&mut self, registered: &Registered) {
        let question = &registered.watch.question;
        if let Some(number) = self.find(&question.subject, &question.predicate)
            && let Some(watched) = self.questions.get_mut(number as usize)
        {
            watched.watches.retain(|other| other.watch.id != registered.watch.id);
        }
    }

    /// The number of a question. Its name is in `self.name` afterwards.
    fn find(&mut self, subject: &str, predicate: &str) -> Option<u32> {
        find(&self.numbers, &mut self.name, subject, predicate)
    }

    /// Looks at questions that are new, at most so many. True when all of them have been looked at: then [`Follower::step`] costs
    /// nothing for them. What is not looked at before a step is looked at by it.
    ///
    /// Cost: one scan of its claims a question.
    ///
    /// # Errors
    /// Where the store fails; then nothing is forgotten, and it can be called again.
    pub fn look<S: KvSnapshot>(&mut self, snapshot: &S, most: usize) -> Result<bool> {
        if self.waiting.is_empty() {
            return Ok(true);
        }
        let reader = ClaimReader::as_of(snapshot.clone(), self.next.prev())?;
        let clock = self.clock(&reader)?;
        for _ in 0..most {
            let Some(&number) = self.waiting.last() else { break };
            if let Some(watched) = self.questions.get(number as usize) {
                self.hooks.learn_all(number, &watched.question, &reader, clock)?;
                self.counts.learned += 1;
            }
            self.waiting.pop();
        }
        Ok(self.waiting.is_empty())
    }

    /// When the entry before the next one was recorded; the beginning of time before the first.
    fn clock<S: KvSnapshot>(&mut self, before: &ClaimReader<S>) -> Result<Micros> {
        let clock = match self.clock {
            Some(clock) => clock,
            None if self.next <= Lsn(1) => Micros(i64::MIN),
            None => {
                let recorded_at = before.recorded_at(self.next.prev())?;
                recorded_at.ok_or(Error::BadKey { family: Family::Entry })?
            }
        };
        self.clock = Some(clock);
        Ok(clock)
    }

    /// Goes on by the next entry, of which these are the journal's bytes, with a snapshot that shows it. Gives its notices in the
    /// order of the watches' ids.
    ///
    /// Cost: a hash lookup a command (of a claim also its hash, where watched claims derive from others) for an entry that touches
    /// nothing; for each touched question two readings of its claims and two answers for each way in which it is watched.
    ///
    /// # Errors
    /// Bytes that are no entry, or a store that fails: the follower stays before the entry.
    pub fn step<S: KvSnapshot>(&mut self, entry: &[u8], snapshot: &S) -> Result<Vec<Notice>> {
        let lsn = self.next;
        let entry = Entry::parse(lsn, entry)?;
        let mut notices = Vec::new();
        if !self.questions.is_empty() {
            while !self.look(snapshot, usize::MAX)? {}
            let before = ClaimReader::as_of(snapshot.clone(), lsn.prev())?;
            let after = ClaimReader::as_of(snapshot.clone(), lsn)?;
            let clock = self.clock(&before)?;
            let mut touched = self.touched(&entry, &after)?;
            let borders: Vec<u32> = self.hooks.due(entry.recorded_at).collect();
            touched.extend(borders.iter().copied());
            let told = self.tell(&touched, (&before, clock), (&after, entry.recorded_at));
            match told {
                Ok(told) => notices = told,
                Err(error) => {
                    // They must be due again when the entry is tried again.
                    self.waiting.extend(borders);
                    return Err(error);
                }
            }
            notices.sort_unstable_by(|a, b| a.watch.cmp(&b.watch));
        }
        self.clock = Some(entry.recorded_at);
        self.next = lsn.next();
        self.counts.entries += 1;
        self.counts.notices += notices.len() as u64;
        Ok(notices)
    }

    /// The questions whose answers the entry's records may have changed. Learns what they hang on by it.
    fn touched<S: KvSnapshot>(&mut self, entry: &Entry<'_>, after: &ClaimReader<S>) -> Result<BTreeSet<u32>> {
        let Follower { numbers, questions, hooks, counts, name, .. } = self;
        let (now, mut touched) = (entry.recorded_at, BTreeSet::new());
        entry.for_each(|_, command, _| {
            match command {
                CommandRef::Assert(claim) => {
                    let own = find(numbers, name, claim.subject, claim.predicate);
                    if own.is_none() && !hooks.has_lineages() {
                        return Ok(());
                    }
                    let id = ClaimId::of(claim.canonical);
                    // Others may have derived from it before it was there; what it derives from matters to them now.
                    let heirs: Vec<u32> = hooks.of(Hook::Claim(&id)).collect();
                    for heir in heirs {
                        touched.insert(heir);
                        if let Some(watched) = questions.get(heir as usize) {
                            hooks.learn_all(heir, &watched.question, after, now)?;
                            counts.learned += 1;
                        }
                    }
                    if let Some(own) = own {
                        touched.insert(own);
                        hooks.learn(own, &id, &claim, after, now)?;
                    }
                }
                CommandRef::Vote(vote) => touched.extend(hooks.of(Hook::Claim(&vote.assertion))),
                CommandRef::Supersede(change) => touched.extend(hooks.of(Hook::Claim(&change.old))),
                CommandRef::Cosign(cosign) => touched.extend(hooks.of(Hook::Claim(&cosign.claim))),
                CommandRef::Source(source) => touched.extend(hooks.of(Hook::Source(source.id))),
                CommandRef::Agent(agent) => touched.extend(hooks.of(Hook::Agent(&agent.id))),
                CommandRef::Epoch(epoch) => {
                    let old = epoch.supersedes.as_deref();
                    touched.extend(old.into_iter().flat_map(|old| hooks.of(Hook::Epoch(old))));
                }
            }
            Ok(())
        })?;
        Ok(touched)
    }

    fn tell<S: KvSnapshot>(
        &mut self,
        touched: &BTreeSet<u32>,
        (before, then): (&ClaimReader<S>, Micros),
        (after, now): (&ClaimReader<S>, Micros),
    ) -> Result<Vec<Notice>> {
        let lsn = after.lsn();
        let (then, now) = (stemedb_core::Micros(then.0), stemedb_core::Micros(now.0));
        let mut notices = Vec::new();
        for number in touched {
            let Some(Watched { question, watches }) = self.questions.get(*number as usize) else { continue };
            let mut read: Vec<(Option<&str>, Vec<Candidate>, Vec<Candidate>)> = Vec::new();
            let mut answered: Vec<(&Registered, Brief, Brief)> = Vec::new();
            for registered in watches.iter().filter(|registered| registered.since < lsn) {
                let watch = &registered.watch;
                let epoch = watch.epoch.as_deref();
                let at = match answered.iter().position(|(other, ..)| other.watch.asks_as(watch)) {
                    Some(at) => at,
                    None => {
                        let claims = match read.iter().position(|(other, ..)| *other == epoch) {
                            Some(at) => at,
                            None => {
                                let of = |reader: &ClaimReader<S>| {
                                    reader.candidates(&question.subject, &question.predicate, epoch)
                                };
                                read.push((epoch, of(before)?, of(after)?));
                                self.counts.compared += 1;
                                read.len() - 1
                            }
                        };
                        let Some((_, old, new)) = read.get(claims) else { continue };
                        let earlier = Brief::of(watch, old, then);
                        let later = Brief::of(watch, new, now);
                        self.counts.answers += 2;
                        answered.push((registered, earlier, later));
                        answered.len() - 1
                    }
                };
                let Some((_, earlier, later)) = answered.get(at) else { continue };
                let crossed = Crossed::between(watch, earlier, later);
                if !crossed.is_empty() {
                    notices.push(Notice {
                        watch: watch.id.clone(),
                        lsn,
                        recorded_at: now,
                        crossed,
                        before: earlier.clone(),
                        after: later.clone(),
                    });
                }
            }
        }
        Ok(notices)
    }
}

fn find(numbers: &HashMap<Box<str>, u32>, name: &mut String, subject: &str, predicate: &str) -> Option<u32> {
    name.clear();
    name.push_str(subject);
    name.push('\0');
    name.push_str(predicate);
    numbers.get(name.as_str()).copied()
}
