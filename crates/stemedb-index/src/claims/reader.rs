//! Reading claims: a question is one short scan.

use std::sync::Arc;

use stemedb_core::{
    Agent, AgentId, Assertion, AssertionRef, ClaimId, Command, CommandRef, Cosign, Epoch, Source,
    SourceClass, SourceRef, Supersession, Vote,
    lens::{Candidate, SetAside},
};
use stemedb_env::{Lsn, Micros};
use stemedb_lsm::{Direction, KeyRange, KvIter, KvSnapshot};

use super::{
    derivation::{parse_entry_value, parse_stamped},
    guard::{KnownGuard, Used},
    lineage::Lineages,
};
use crate::{
    CandidateSet, ClaimCache, Error, Result,
    cache::{Gathering, QuestionName, Tally},
    keys::{self, Family, Position},
};

/// A claim as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredClaim {
    /// Its id.
    pub id: ClaimId,
    /// Where it stands in the journal.
    pub position: Position,
    /// When it was recorded.
    pub recorded_at: Micros,
    /// What was asserted, with the signatures it came with.
    pub assertion: Assertion,
}

/// A question: what is said about a subject under a predicate.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct QuestionKey {
    /// The subject.
    pub subject: String,
    /// The predicate.
    pub predicate: String,
}

/// Reads claims from one snapshot, as they were known at one LSN.
///
/// "As known at" filters by the LSNs in the keys, so any moment since the first entry can be asked, however old.
#[derive(Clone, Debug)]
pub struct ClaimReader<S> {
    snapshot: S,
    /// Every row passes it before it is used.
    known: KnownGuard,
    cache: Option<Arc<ClaimCache>>,
}

impl<S: KvSnapshot> ClaimReader<S> {
    /// Reads what the snapshot shows.
    pub fn new(snapshot: S) -> ClaimReader<S> {
        let known = KnownGuard::new(snapshot.lsn());
        ClaimReader { snapshot, known, cache: None }
    }

    /// Reads what was known at an LSN that the snapshot has reached.
    pub fn as_of(snapshot: S, lsn: Lsn) -> Result<ClaimReader<S>> {
        let newest = snapshot.lsn();
        if lsn > newest {
            return Err(Error::NotReached { wanted: lsn, newest });
        }
        Ok(ClaimReader { snapshot, known: KnownGuard::new(lsn), cache: None })
    }

    /// With the caches of the engine that the snapshot is of: [`ClaimReader::question`] asks and fills them.
    #[must_use]
    pub fn with_cache(self, cache: Option<Arc<ClaimCache>>) -> ClaimReader<S> {
        ClaimReader { cache, ..self }
    }

    /// Refuses rows that were recorded after `time`, whatever their LSN: for a reader as of the last entry recorded by then, so
    /// that nothing depends on the search that found it.
    #[must_use]
    pub fn recorded_by(self, time: Micros) -> ClaimReader<S> {
        ClaimReader { known: self.known.recorded_by(time), ..self }
    }

    /// The same reader, as if it had not read anything yet.
    pub(super) fn unused(&self) -> ClaimReader<S> {
        let (snapshot, known, cache) = (self.snapshot.clone(), self.known.clone(), self.cache.clone());
        ClaimReader { snapshot, known, cache }
    }

    /// What was used counts as used by this reader.
    pub(super) fn note_used(&self, used: Option<Used>) {
        self.known.note(used);
    }

    /// The LSN that answers are as of.
    pub fn lsn(&self) -> Lsn {
        self.known.upto()
    }

    /// The newest of what this reader has used so far: claims, votes, supersessions, co-signatures, sources and epochs. What was
    /// looked at and found to be too new does not count. `None` if nothing was used.
    pub fn used(&self) -> Option<Used> {
        self.known.used()
    }

    /// The underlying view.
    pub fn snapshot(&self) -> &S {
        &self.snapshot
    }

    /// When an entry was recorded; `None` if there is no such entry.
    pub fn recorded_at(&self, lsn: Lsn) -> Result<Option<Micros>> {
        match self.snapshot.get(&keys::entry(lsn))? {
            Some(value) => Ok(Some(parse_entry_value(&value)?.0)),
            None => Ok(None),
        }
    }

    /// The last LSN recorded at or before a time, by binary search: recorded times never go back along the LSNs.
    /// Cost: at most 64 lookups.
    pub fn lsn_at(&self, time: Micros) -> Result<Lsn> {
        let (mut low, mut high) = (0, self.lsn().0);
        // Invariant: the answer lies in low..=high.
        while low < high {
            let middle = high - (high - low) / 2;
            match self.recorded_at(Lsn(middle))? {
                Some(recorded) if recorded <= time => low = middle,
                Some(_) => high = middle - 1,
                None => return Err(Error::BadKey { family: Family::Entry }),
            }
        }
        Ok(Lsn(low))
    }

    /// A claim by its id.
    pub fn claim(&self, id: ClaimId) -> Result<Option<StoredClaim>> {
        let Some(place) = self.snapshot.get(&keys::by_id(&id.0))? else { return Ok(None) };
        let (position, subject, predicate) = keys::parse_by_id_value(&place)?;
        if position.lsn > self.lsn() {
            return Ok(None);
        }
        // The posting without its claim is damage; it must never look like "not found".
        let value = self.snapshot.get(&keys::claim(subject, predicate, position, &id.0))?;
        let value = value.ok_or(Error::BadValue { family: Family::ById })?;
        let (recorded_at, command) = parse_stamped(Family::Claim, &value)?;
        if !self.known.admits(position.lsn, recorded_at)? {
            return Ok(None);
        }
        Ok(Some(StoredClaim { id, position, recorded_at, assertion: decode_assertion(command)? }))
    }

    /// All candidates of a question, newest first, each with its votes, cosigners, class and, if it has been set
    /// aside, why. `epoch` names the epoch that is asked about; `None` = whatever has not been superseded.
    ///
    /// Never from a cache. Cost: one range scan, plus three filtered probes a claim, one scan a source and one an author; for a
    /// claim that derives from others two lookups and a probe for each of those.
    pub fn candidates(&self, subject: &str, predicate: &str, epoch: Option<&str>) -> Result<Vec<Candidate>> {
        let question = QuestionName::new(keys::claim_prefix(subject, predicate), epoch);
        Ok(self.gather(&question, epoch, None)?.into_candidates())
    }

    /// As [`ClaimReader::candidates`], shared, and from the cache if that has them as of this moment.
    ///
    /// Cost: one lookup if they are there.
    pub fn question(&self, subject: &str, predicate: &str, epoch: Option<&str>) -> Result<Arc<CandidateSet>> {
        let question = QuestionName::new(keys::claim_prefix(subject, predicate), epoch);
        if let Some(set) = self.known_set(&question) {
            return Ok(set);
        }
        let cache = self.cache.as_deref();
        // What a set is kept with is what it was made from, whatever this reader has read before.
        let fresh = self.unused();
        let gathering = fresh.gather(&question, epoch, cache)?;
        self.known.note(fresh.used());
        Ok(gathering.finish(&question, fresh.used()))
    }

    /// [`ClaimReader::question`], if the cache has them: never reads from the store, so that nobody waits for a disk.
    pub fn known_question(
        &self,
        subject: &str,
        predicate: &str,
        epoch: Option<&str>,
    ) -> Option<Arc<CandidateSet>> {
        self.known_set(&QuestionName::new(keys::claim_prefix(subject, predicate), epoch))
    }

    fn known_set(&self, question: &QuestionName) -> Option<Arc<CandidateSet>> {
        let set = self.cache.as_deref()?.set(question, self.lsn())?;
        self.known.note(set.used());
        Some(set)
    }

    fn gather<'a>(
        &self,
        question: &QuestionName,
        epoch: Option<&str>,
        cache: Option<&'a ClaimCache>,
    ) -> Result<Gathering<'a>> {
        let mut rows = self.snapshot.scan_prefix(question.prefix());
        let mut context = Context::new(self, epoch);
        let mut gathering = Gathering::new(cache, self.lsn());
        while rows.advance()? {
            let (position, id) = keys::parse_claim_after(question.prefix().len(), rows.key())?;
            if self.admits(Family::Claim, position.lsn, rows.value())? {
                let candidate = context.candidate(position, ClaimId(id), rows.value())?;
                gathering.push(candidate, context.lineages.walked());
            }
        }
        gathering.complete(|candidates| context.complete(candidates, cache))?;
        Ok(gathering)
    }

    /// Every question from `subject` on that has a claim, in key order, with its candidates.
    pub fn questions_from(&self, subject: &str) -> QuestionScan<'_, S> {
        let range = KeyRange {
            start: keys::subject_prefix(subject),
            ..KeyRange::prefix(keys::family_prefix(Family::Claim))
        };
        self.scan_questions(KeyRange { prefix_bytes: 0, ..range })
    }

    /// Every question about one subject, with its candidates.
    pub fn questions_about(&self, subject: &str) -> QuestionScan<'_, S> {
        self.scan_questions(KeyRange { prefix_bytes: 0, ..KeyRange::prefix(keys::subject_prefix(subject)) })
    }

    /// Every question behind one, in key order, with its candidates; all of them behind `None`.
    pub fn questions_after(&self, question: Option<&QuestionKey>) -> QuestionScan<'_, S> {
        let all = KeyRange::prefix(keys::family_prefix(Family::Claim));
        let behind = question.and_then(|question| {
            KeyRange::prefix(keys::claim_prefix(&question.subject, &question.predicate)).end
        });
        let start = behind.unwrap_or(all.start);
        self.scan_questions(KeyRange { start, end: all.end, prefix_bytes: 0 })
    }

    fn scan_questions(&self, range: KeyRange) -> QuestionScan<'_, S> {
        let rows = self.snapshot.scan(&range, Direction::Forward);
        QuestionScan { context: Context::new(self, None), rows, pending: None, done: false }
    }

    /// Every vote ever cast on a claim, by agent, each agent's newest first.
    pub fn votes(&self, id: ClaimId) -> Result<Vec<(Position, Vote)>> {
        let mut votes = Vec::new();
        self.each_command(
            Family::Vote,
            KeyRange::prefix(keys::id_prefix(Family::Vote, &id.0)),
            |key| Ok(keys::parse_id_agent(Family::Vote, key)?.1),
            |at, command| {
                if let Command::Vote(vote) = command {
                    votes.push((at, vote));
                }
            },
        )?;
        Ok(votes)
    }

    /// Every supersession of a claim, oldest first.
    pub fn supersessions(&self, id: ClaimId) -> Result<Vec<(Position, Supersession)>> {
        let mut found = Vec::new();
        let range = KeyRange::prefix(keys::id_prefix(Family::Superseded, &id.0));
        self.each_command(Family::Superseded, range, keys::parse_superseded, |at, command| {
            if let Command::Supersede(supersession) = command {
                found.push((at, supersession));
            }
        })?;
        Ok(found)
    }

    /// Every signature that was added to a claim after it was asserted, by agent.
    pub fn cosignatures(&self, id: ClaimId) -> Result<Vec<(Position, Cosign)>> {
        let mut found = Vec::new();
        let range = KeyRange::prefix(keys::id_prefix(Family::Cosigned, &id.0));
        let position = |key: &[u8]| Ok(keys::parse_id_agent(Family::Cosigned, key)?.1);
        self.each_command(Family::Cosigned, range, position, |at, command| {
            if let Command::Cosign(cosign) = command {
                found.push((at, cosign));
            }
        })?;
        Ok(found)
    }

    /// The newest record of a source.
    pub fn source(&self, id: &str) -> Result<Option<(Position, Source)>> {
        self.newest_source(id, |at, record| (at, record.to_source()))
    }

    /// The class of a source; the lowest one there is if nothing is known about it. Allocates nothing but a scan.
    fn class_of_source(&self, id: &str) -> Result<SourceClass> {
        Ok(self.newest_source(id, |_, record| record.class)?.unwrap_or(SourceClass::ANECDOTAL))
    }

    fn newest_source<T>(
        &self,
        id: &str,
        take: impl FnOnce(Position, SourceRef<'_>) -> T,
    ) -> Result<Option<T>> {
        let family = Family::Source;
        let prefix = keys::named_prefix(family, id);
        let mut rows = self.snapshot.scan_prefix(&prefix);
        while rows.advance()? {
            let at = keys::parse_position_after(family, prefix.len(), rows.key())?;
            if self.admits(family, at.lsn, rows.value())? {
                let (_, command) = parse_stamped(family, rows.value())?;
                return match CommandRef::decode(&mut &*command) {
                    Ok(CommandRef::Source(record)) => Ok(Some(take(at, record))),
                    _ => Err(Error::BadValue { family }),
                };
            }
        }
        Ok(None)
    }

    /// The newest record of an agent.
    pub fn agent(&self, id: AgentId) -> Result<Option<(Position, Agent)>> {
        let range = KeyRange::prefix(keys::agent_prefix(&id.0));
        let mut rows = self.snapshot.scan(&range, Direction::Forward);
        while rows.advance()? {
            let (_, at) = keys::parse_agent(rows.key())?;
            if !self.admits(Family::Agent, at.lsn, rows.value())? {
                continue;
            }
            return match decode(Family::Agent, rows.value())? {
                Command::Agent(agent) => Ok(Some((at, agent))),
                _ => Err(Error::BadValue { family: Family::Agent }),
            };
        }
        Ok(None)
    }

    /// Every epoch record, by name, newest first.
    pub fn epochs(&self) -> Result<Vec<(Position, Epoch)>> {
        let mut found = Vec::new();
        let range = KeyRange { prefix_bytes: 0, ..KeyRange::prefix(keys::family_prefix(Family::Epoch)) };
        let position = |key: &[u8]| Ok(keys::parse_named(Family::Epoch, key)?.1);
        self.each_command(Family::Epoch, range, position, |at, command| {
            if let Command::Epoch(epoch) = command {
                found.push((at, epoch));
            }
        })?;
        Ok(found)
    }

    /// Visits the commands of a range that may be used.
    fn each_command(
        &self,
        family: Family,
        range: KeyRange,
        position: impl Fn(&[u8]) -> Result<Position>,
        mut visit: impl FnMut(Position, Command),
    ) -> Result<()> {
        let mut rows = self.snapshot.scan(&range, Direction::Forward);
        while rows.advance()? {
            let at = position(rows.key())?;
            if self.admits(family, at.lsn, rows.value())? {
                visit(at, decode(family, rows.value())?);
            }
        }
        Ok(())
    }

    /// Asks the guard about a row whose value holds a command.
    pub(super) fn admits(&self, family: Family, lsn: Lsn, value: &[u8]) -> Result<bool> {
        // What is too new is not even looked into.
        if lsn > self.lsn() {
            return Ok(false);
        }
        let (recorded_at, _) = parse_stamped(family, value)?;
        self.known.admits(lsn, recorded_at)
    }
}

/// The command in a row.
pub(crate) fn decode(family: Family, value: &[u8]) -> Result<Command> {
    let (_, command) = parse_stamped(family, value)?;
    Command::decode_exact(command).map_err(|_| Error::BadValue { family })
}

fn decode_assertion(command: &[u8]) -> Result<Assertion> {
    assertion_in(command).map(|claim| claim.to_assertion())
}

fn assertion_in(command: &[u8]) -> Result<AssertionRef<'_>> {
    match CommandRef::decode(&mut &*command) {
        Ok(CommandRef::Assert(claim)) => Ok(claim),
        _ => Err(Error::BadValue { family: Family::Claim }),
    }
}

/// A claim from its row.
pub(crate) fn stored(key: &keys::ClaimKey<'_>, value: &[u8]) -> Result<StoredClaim> {
    let (recorded_at, command) = parse_stamped(Family::Claim, value)?;
    let assertion = decode_assertion(command)?;
    Ok(StoredClaim { id: ClaimId(key.id), position: key.position, recorded_at, assertion })
}

/// A claim in its row, with borrowed texts.
pub(crate) fn stored_ref(value: &[u8]) -> Result<AssertionRef<'_>> {
    assertion_in(parse_stamped(Family::Claim, value)?.1)
}

/// Claims whose filters are asked together: what is fetched ahead must still be in the processor's cache when it is looked at, and
/// a question with a million claims must not need room for three prefixes of each.
const ASKED_TOGETHER: usize = 32;

/// What candidates of one question share: looked up once.
struct Context<'a, S> {
    reader: &'a ClaimReader<S>,
    epoch: Option<String>,
    classes: Vec<(String, SourceClass)>,
    lineages: Lineages<'a, S>,
    /// Names of epochs that some record supersedes; read when the first claim with an epoch turns up.
    superseded_epochs: Option<Vec<String>>,
}

impl<'a, S: KvSnapshot> Context<'a, S> {
    fn new(reader: &'a ClaimReader<S>, epoch: Option<&str>) -> Context<'a, S> {
        Context {
            reader,
            epoch: epoch.map(str::to_owned),
            classes: Vec::new(),
            lineages: Lineages::new(reader),
            superseded_epochs: None,
        }
    }

    /// A claim's row as a candidate, before anything is known of what other records say about it: see [`Context::complete`].
    fn candidate(&mut self, position: Position, id: ClaimId, value: &[u8]) -> Result<Candidate> {
        let (recorded_at, command) = parse_stamped(Family::Claim, value)?;
        let claim = assertion_in(command)?;
        let class = match claim.source_class {
            Some(class) => class,
            None => self.class_of(claim.source)?,
        };
        let lineage = match (claim.author, claim.parents().len()) {
            (author, 0) => self.lineages.of(author, &[])?,
            (author, _) => self.lineages.of(author, &claim.parents().collect::<Vec<_>>())?,
        };
        Ok(Candidate {
            id,
            lsn: position.lsn.0,
            ordinal: position.ordinal,
            recorded_at: stemedb_core::Micros(recorded_at.0),
            assertion: claim.to_assertion(),
            class,
            trust: lineage.trust,
            tainted: lineage.tainted,
            lineage_cut: lineage.cut,
            cosigners: Vec::new(),
            votes: Vec::new(),
            set_aside: None,
        })
    }

    /// Adds what other records say about all candidates of a question. Gives each that has a successor, with it.
    fn complete(
        &mut self,
        candidates: &mut [Candidate],
        cache: Option<&ClaimCache>,
    ) -> Result<Vec<(ClaimId, ClaimId)>> {
        let mut successors = Vec::new();
        for part in candidates.chunks_mut(ASKED_TOGETHER) {
            let said = self.reader.what_is_said(part.iter().map(|candidate| &candidate.id))?;
            for (candidate, said) in part.iter_mut().zip(said) {
                let Tally { votes, cosigners, set_aside, successor, .. } =
                    self.reader.tally(candidate.id, said, cache)?;
                (candidate.votes, candidate.cosigners) = (votes, cosigners);
                candidate.set_aside = match set_aside {
                    Some(reason) => Some(reason),
                    None => self.out_of_epoch(candidate.assertion.epoch.as_deref())?,
                };
                successors.extend(successor.map(|new| (candidate.id, new)));
            }
        }
        Ok(successors)
    }

    fn class_of(&mut self, source: &str) -> Result<SourceClass> {
        if let Some((_, class)) = self.classes.iter().find(|(id, _)| id == source) {
            return Ok(*class);
        }
        let class = self.reader.class_of_source(source)?;
        self.classes.push((source.to_owned(), class));
        Ok(class)
    }

    fn out_of_epoch(&mut self, epoch: Option<&str>) -> Result<Option<SetAside>> {
        let Some(claimed) = epoch else { return Ok(None) };
        let out = match &self.epoch {
            Some(asked) => claimed != asked,
            None => self.is_superseded_epoch(claimed)?,
        };
        Ok(out.then_some(SetAside::OutOfEpoch))
    }

    fn is_superseded_epoch(&mut self, name: &str) -> Result<bool> {
        if self.superseded_epochs.is_none() {
            let epochs = self.reader.epochs()?;
            self.superseded_epochs =
                Some(epochs.into_iter().filter_map(|(_, epoch)| epoch.supersedes).collect());
        }
        Ok(self.superseded_epochs.iter().flatten().any(|superseded| superseded == name))
    }
}

/// Walks over questions, each with its candidates.
pub struct QuestionScan<'a, S: KvSnapshot> {
    context: Context<'a, S>,
    rows: S::Iter,
    /// The first candidate of the next question, met while ending the one before.
    pending: Option<(QuestionKey, Candidate)>,
    done: bool,
}

impl<S: KvSnapshot> QuestionScan<'_, S> {
    /// The next question that has a candidate; `None` at the end. After an error every further call ends.
    pub fn next_question(&mut self) -> Result<Option<(QuestionKey, Vec<Candidate>)>> {
        let mut current = self.pending.take().map(|(question, first)| (question, vec![first]));
        while !self.done {
            match self.step(current.as_mut()) {
                Ok(Stepped::Same) => {}
                Ok(Stepped::Other(next)) if current.is_none() => current = Some((next.0, vec![next.1])),
                Ok(Stepped::Other(next)) => {
                    self.pending = Some(*next);
                    break;
                }
                Ok(Stepped::End) => self.done = true,
                Err(error) => {
                    self.done = true;
                    return Err(error);
                }
            }
        }
        if let Some((_, candidates)) = &mut current
            && let Err(error) = self.context.complete(candidates, None)
        {
            (self.done, self.pending) = (true, None);
            return Err(error);
        }
        Ok(current)
    }

    fn step(&mut self, current: Option<&mut (QuestionKey, Vec<Candidate>)>) -> Result<Stepped> {
        if !self.rows.advance()? {
            return Ok(Stepped::End);
        }
        let key = keys::parse_claim(self.rows.key())?;
        if !self.context.reader.admits(Family::Claim, key.position.lsn, self.rows.value())? {
            return Ok(Stepped::Same);
        }
        let candidate = self.context.candidate(key.position, ClaimId(key.id), self.rows.value())?;
        match current {
            Some((question, candidates))
                if question.subject == key.subject && question.predicate == key.predicate =>
            {
                candidates.push(candidate);
                Ok(Stepped::Same)
            }
            _ => {
                let question =
                    QuestionKey { subject: key.subject.to_owned(), predicate: key.predicate.to_owned() };
                Ok(Stepped::Other(Box::new((question, candidate))))
            }
        }
    }
}

enum Stepped {
    Same,
    Other(Box<(QuestionKey, Candidate)>),
    End,
}
