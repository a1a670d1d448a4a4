//! Reading claims: a question is one short scan.

use stemedb_core::{
    Assertion, AssertionRef, ClaimId, Command, CommandRef, Cosign, Epoch, Nano, Source, SourceClass,
    Supersession, Vote,
    lens::{Candidate, LiveVote, SetAside},
};
use stemedb_env::{Lsn, Micros};
use stemedb_lsm::{Direction, KeyRange, KvIter, KvSnapshot};

use super::derivation::{parse_entry_value, parse_stamped};
use crate::{
    Error, Result,
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
    as_of: Lsn,
}

impl<S: KvSnapshot> ClaimReader<S> {
    /// Reads what the snapshot shows.
    pub fn new(snapshot: S) -> ClaimReader<S> {
        let as_of = snapshot.lsn();
        ClaimReader { snapshot, as_of }
    }

    /// Reads what was known at an LSN that the snapshot has reached.
    pub fn as_of(snapshot: S, lsn: Lsn) -> Result<ClaimReader<S>> {
        let newest = snapshot.lsn();
        if lsn > newest {
            return Err(Error::NotReached { wanted: lsn, newest });
        }
        Ok(ClaimReader { snapshot, as_of: lsn })
    }

    /// The LSN that answers are as of.
    pub fn lsn(&self) -> Lsn {
        self.as_of
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
        let (mut low, mut high) = (0, self.as_of.0);
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
        if position.lsn > self.as_of {
            return Ok(None);
        }
        // The posting without its claim is damage; it must never look like "not found".
        let value = self.snapshot.get(&keys::claim(subject, predicate, position, &id.0))?;
        let value = value.ok_or(Error::BadValue { family: Family::ById })?;
        let (recorded_at, command) = parse_stamped(Family::Claim, &value)?;
        Ok(Some(StoredClaim { id, position, recorded_at, assertion: decode_assertion(command)? }))
    }

    /// All candidates of a question, newest first, each with its votes, cosigners, class and, if it has been set
    /// aside, why. `epoch` names the epoch that is asked about; `None` = whatever has not been superseded.
    ///
    /// Cost: one range scan, plus three filtered probes a claim and one a source.
    pub fn candidates(&self, subject: &str, predicate: &str, epoch: Option<&str>) -> Result<Vec<Candidate>> {
        let mut rows =
            self.snapshot.scan(&KeyRange::prefix(keys::claim_prefix(subject, predicate)), Direction::Forward);
        let mut context = Context::new(self, epoch);
        let mut candidates = Vec::new();
        while rows.advance()? {
            let key = keys::parse_claim(rows.key())?;
            if key.position.lsn <= self.as_of {
                candidates.push(context.candidate(key.position, ClaimId(key.id), rows.value())?);
            }
        }
        Ok(candidates)
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
            |key, command| {
                let (_, at) = keys::parse_id_agent(Family::Vote, key)?;
                if let Command::Vote(vote) = command
                    && at.lsn <= self.as_of
                {
                    votes.push((at, vote));
                }
                Ok(())
            },
        )?;
        Ok(votes)
    }

    /// Every supersession of a claim, oldest first.
    pub fn supersessions(&self, id: ClaimId) -> Result<Vec<(Position, Supersession)>> {
        let mut found = Vec::new();
        let range = KeyRange::prefix(keys::id_prefix(Family::Superseded, &id.0));
        self.each_command(Family::Superseded, range, |key, command| {
            let at = keys::parse_superseded(key)?;
            if let Command::Supersede(supersession) = command
                && at.lsn <= self.as_of
            {
                found.push((at, supersession));
            }
            Ok(())
        })?;
        Ok(found)
    }

    /// Every signature that was added to a claim after it was asserted, by agent.
    pub fn cosignatures(&self, id: ClaimId) -> Result<Vec<(Position, Cosign)>> {
        let mut found = Vec::new();
        let range = KeyRange::prefix(keys::id_prefix(Family::Cosigned, &id.0));
        self.each_command(Family::Cosigned, range, |key, command| {
            let (_, at) = keys::parse_id_agent(Family::Cosigned, key)?;
            if let Command::Cosign(cosign) = command
                && at.lsn <= self.as_of
            {
                found.push((at, cosign));
            }
            Ok(())
        })?;
        Ok(found)
    }

    /// The newest record of a source.
    pub fn source(&self, id: &str) -> Result<Option<(Position, Source)>> {
        let mut rows =
            self.snapshot.scan(&KeyRange::prefix(keys::named_prefix(Family::Source, id)), Direction::Forward);
        while rows.advance()? {
            let (_, at) = keys::parse_named(Family::Source, rows.key())?;
            if at.lsn > self.as_of {
                continue;
            }
            return match decode(Family::Source, rows.value())? {
                Command::Source(source) => Ok(Some((at, source))),
                _ => Err(Error::BadValue { family: Family::Source }),
            };
        }
        Ok(None)
    }

    /// Every epoch record, by name, newest first.
    pub fn epochs(&self) -> Result<Vec<(Position, Epoch)>> {
        let mut found = Vec::new();
        let range = KeyRange { prefix_bytes: 0, ..KeyRange::prefix(keys::family_prefix(Family::Epoch)) };
        self.each_command(Family::Epoch, range, |key, command| {
            let (_, at) = keys::parse_named(Family::Epoch, key)?;
            if let Command::Epoch(epoch) = command
                && at.lsn <= self.as_of
            {
                found.push((at, epoch));
            }
            Ok(())
        })?;
        Ok(found)
    }

    fn each_command(
        &self,
        family: Family,
        range: KeyRange,
        mut visit: impl FnMut(&[u8], Command) -> Result<()>,
    ) -> Result<()> {
        let mut rows = self.snapshot.scan(&range, Direction::Forward);
        while rows.advance()? {
            let command = decode(family, rows.value())?;
            visit(rows.key(), command)?;
        }
        Ok(())
    }
}

/// The command in a row.
pub(crate) fn decode(family: Family, value: &[u8]) -> Result<Command> {
    let (_, command) = parse_stamped(family, value)?;
    Command::decode_exact(command).map_err(|_| Error::BadValue { family })
}

fn decode_assertion(command: &[u8]) -> Result<Assertion> {
    match CommandRef::decode(&mut &*command) {
        Ok(CommandRef::Assert(claim)) => Ok(claim.to_assertion()),
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
    let (_, mut command) = parse_stamped(Family::Claim, value)?;
    match CommandRef::decode(&mut command) {
        Ok(CommandRef::Assert(claim)) => Ok(claim),
        _ => Err(Error::BadValue { family: Family::Claim }),
    }
}

/// What candidates of one question share: looked up once.
struct Context<'a, S> {
    reader: &'a ClaimReader<S>,
    epoch: Option<String>,
    classes: Vec<(String, SourceClass)>,
    /// Names of epochs that some record supersedes; read when the first claim with an epoch turns up.
    superseded_epochs: Option<Vec<String>>,
}

impl<'a, S: KvSnapshot> Context<'a, S> {
    fn new(reader: &'a ClaimReader<S>, epoch: Option<&str>) -> Context<'a, S> {
        Context { reader, epoch: epoch.map(str::to_owned), classes: Vec::new(), superseded_epochs: None }
    }

    fn candidate(&mut self, position: Position, id: ClaimId, value: &[u8]) -> Result<Candidate> {
        let (recorded_at, command) = parse_stamped(Family::Claim, value)?;
        let assertion = decode_assertion(command)?;
        let class = match assertion.source_class {
            Some(class) => class,
            None => self.class_of(&assertion.source)?,
        };
        let mut votes: Vec<LiveVote> = Vec::new();
        for (_, vote) in self.reader.votes(id)? {
            // Each agent's newest comes first: the others are history.
            if votes.last().is_none_or(|last| last.agent != vote.agent) {
                votes.push(LiveVote { agent: vote.agent, weight: vote.weight });
            }
        }
        let mut cosigners: Vec<_> =
            self.reader.cosignatures(id)?.into_iter().map(|(_, cosign)| cosign.agent).collect();
        cosigners.dedup();
        let set_aside = self.set_aside(id, &assertion)?;
        Ok(Candidate {
            id,
            lsn: position.lsn.0,
            ordinal: position.ordinal,
            recorded_at: stemedb_core::Micros(recorded_at.0),
            assertion,
            class,
            trust: Nano::HALF,
            cosigners,
            votes,
            set_aside,
        })
    }

    fn class_of(&mut self, source: &str) -> Result<SourceClass> {
        if let Some((_, class)) = self.classes.iter().find(|(id, _)| id == source) {
            return Ok(*class);
        }
        let class = self.reader.source(source)?.map_or(SourceClass::ANECDOTAL, |(_, record)| record.class);
        self.classes.push((source.to_owned(), class));
        Ok(class)
    }

    fn set_aside(&mut self, id: ClaimId, assertion: &Assertion) -> Result<Option<SetAside>> {
        let supersessions = self.reader.supersessions(id)?;
        if supersessions.iter().any(|(_, supersession)| supersession.new.is_none()) {
            return Ok(Some(SetAside::Retracted));
        }
        if !supersessions.is_empty() {
            return Ok(Some(SetAside::Superseded));
        }
        let Some(claimed) = assertion.epoch.as_deref() else { return Ok(None) };
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
        Ok(current)
    }

    fn step(&mut self, current: Option<&mut (QuestionKey, Vec<Candidate>)>) -> Result<Stepped> {
        if !self.rows.advance()? {
            return Ok(Stepped::End);
        }
        let key = keys::parse_claim(self.rows.key())?;
        if key.position.lsn > self.context.reader.as_of {
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
