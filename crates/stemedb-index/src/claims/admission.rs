//! What of a submission is new: decided in commit order, against the view and the groups in flight.
//!
//! Asserting a claim again, repeating a vote or registering the same source twice changes nothing and is not journaled.
//! The first one wins and keeps its place.

use std::{
    collections::{BTreeMap, VecDeque},
    ops::Range,
};

use stemedb_core::{ClaimId, Command, CommandRef, Cosign, Supersession};
use stemedb_env::{Lsn, Micros};
use stemedb_lsm::{Direction, KeyRange, KvIter, KvSnapshot};

use super::{
    Claims, Outcome, Submission,
    derivation::parse_stamped,
    entry::EntryBuilder,
    submission::{Item, What},
};
use crate::{
    Error, Result,
    derive::{Admit, Admitted},
    keys::{self, Family, Position},
};

/// What was admitted but is not in the view yet.
#[derive(Debug, Default)]
pub struct InFlightClaims {
    claims: BTreeMap<ClaimId, InFlightClaim>,
    /// Other records by their key without its position: newest last.
    pub(super) records: BTreeMap<Vec<u8>, Vec<(Position, Vec<u8>)>>,
    /// What each entry added, oldest entry first.
    added: VecDeque<(Lsn, Added)>,
    /// The commands of each submission that became an entry, as they were encoded, oldest entry first.
    submitted: VecDeque<(Lsn, Vec<u8>)>,
}

/// Where a claim stands: in the journal, and in the submission that brought it.
#[derive(Clone, Debug)]
struct InFlightClaim {
    position: Position,
    range: Range<usize>,
}

#[derive(Debug)]
enum Added {
    Claim(ClaimId),
    Record(Vec<u8>),
}

impl InFlightClaims {
    fn add_claim(&mut self, id: ClaimId, position: Position, range: Range<usize>) {
        self.claims.insert(id, InFlightClaim { position, range });
        self.added.push_back((position.lsn, Added::Claim(id)));
    }

    /// The encoded command of a claim of an earlier entry.
    fn command(&self, claim: &InFlightClaim) -> Option<&[u8]> {
        let at = self.submitted.binary_search_by_key(&claim.position.lsn, |(lsn, _)| *lsn).ok()?;
        self.submitted.get(at)?.1.get(claim.range.clone())
    }

    fn add_record(&mut self, slot: Vec<u8>, at: Position, bytes: Vec<u8>) {
        self.records.entry(slot.clone()).or_default().push((at, bytes));
        self.added.push_back((at.lsn, Added::Record(slot)));
    }

    fn forget(&mut self, lsn: Lsn, added: Added) {
        match added {
            Added::Claim(id) => {
                self.claims.remove(&id);
            }
            Added::Record(slot) => {
                if let Some(records) = self.records.get_mut(&slot) {
                    records.retain(|(at, _)| at.lsn != lsn);
                    if records.is_empty() {
                        self.records.remove(&slot);
                    }
                }
            }
        }
    }

    fn retire(&mut self, upto: Lsn) {
        while self.added.front().is_some_and(|(lsn, _)| *lsn <= upto) {
            if let Some((lsn, added)) = self.added.pop_front() {
                self.forget(lsn, added);
            }
        }
        while self.submitted.front().is_some_and(|(lsn, _)| *lsn <= upto) {
            self.submitted.pop_front();
        }
    }

    /// Forgets what the entries from `first` on added: they are the newest ones.
    fn undo_from(&mut self, first: Lsn) {
        while self.added.back().is_some_and(|(lsn, _)| *lsn >= first) {
            if let Some((lsn, added)) = self.added.pop_back() {
                self.forget(lsn, added);
            }
        }
        while self.submitted.back().is_some_and(|(lsn, _)| *lsn >= first) {
            self.submitted.pop_back();
        }
    }
}

impl Admit for Claims {
    type Request = Submission;
    type Reply = Vec<Outcome>;
    type InFlight = InFlightClaims;

    fn cost_bytes(request: &Submission) -> usize {
        request.encoded_bytes()
    }

    fn admit<S: KvSnapshot>(
        &self,
        request: Submission,
        view: &S,
        in_flight: &mut InFlightClaims,
        lsn: Lsn,
        now: Micros,
    ) -> Result<Admitted<Vec<Outcome>>> {
        let entry = EntryBuilder::new(now, request.encoded_bytes());
        let mut admission = Admission { view, in_flight: &mut *in_flight, lsn, entry, request: &request };
        let decided = request
            .items()
            .map(|(item, bytes)| match &item.what {
                What::Claim { id, signed } => admission.claim(*id, *signed, item, bytes),
                What::Other(command) => admission.other(command, item, bytes),
            })
            .collect::<Result<Vec<Outcome>>>();
        let entry = admission.entry;
        match decided.and_then(|reply| Ok(Admitted { entry: entry.finish()?, reply })) {
            Ok(admitted) => {
                if admitted.entry.is_some() {
                    in_flight.submitted.push_back((lsn, request.into_bytes()));
                }
                Ok(admitted)
            }
            Err(error) => {
                in_flight.undo_from(lsn);
                Err(error)
            }
        }
    }

    fn retire(&self, in_flight: &mut InFlightClaims, lsn: Lsn) {
        in_flight.retire(lsn);
    }

    fn abandon(&self, in_flight: &mut InFlightClaims, lsn: Lsn) {
        in_flight.undo_from(lsn);
    }
}

/// One submission being decided.
pub(super) struct Admission<'a, S> {
    pub(super) view: &'a S,
    pub(super) in_flight: &'a mut InFlightClaims,
    lsn: Lsn,
    entry: EntryBuilder,
    pub(super) request: &'a Submission,
}

impl<S: KvSnapshot> Admission<'_, S> {
    fn here(&self) -> Position {
        Position { lsn: self.lsn, ordinal: self.entry.next_ordinal() }
    }

    /// Where a claim was first asserted, if it was.
    fn find(&self, id: ClaimId) -> Result<Option<Position>> {
        if let Some(claim) = self.in_flight.claims.get(&id) {
            return Ok(Some(claim.position));
        }
        match self.view.get(&keys::by_id(&id.0))? {
            Some(value) => Ok(Some(keys::parse_by_id_value(&value)?.0)),
            None => Ok(None),
        }
    }

    /// The encoded command of a claim that is in flight, of this submission or of one before.
    pub(super) fn command_in_flight(&self, id: ClaimId) -> Option<&[u8]> {
        let claim = self.in_flight.claims.get(&id)?;
        if claim.position.lsn == self.lsn {
            return Some(self.request.bytes_at(claim.range.clone()));
        }
        self.in_flight.command(claim)
    }

    fn must_exist(&self, field: &'static str, id: ClaimId) -> Result<()> {
        match self.find(id)? {
            Some(_) => Ok(()),
            None => Err(Error::UnknownClaim { field, id: id.to_string() }),
        }
    }

    fn claim(&mut self, id: ClaimId, signed: bool, item: &Item, bytes: &[u8]) -> Result<Outcome> {
        if let Some(position) = self.find(id)? {
            let cosigned = if signed { self.cosign_again(id, position, bytes)? } else { 0 };
            return Ok(Outcome { id: Some(id), position, created: false, cosigned });
        }
        let position = self.here();
        self.entry.push(bytes);
        self.in_flight.add_claim(id, position, item.range.clone());
        if signed {
            // A second submission in flight must see who signed already; the view cannot say it yet.
            for (agent, command) in signatures_of(self.lsn, position, id, bytes)? {
                let slot = keys::id_agent_prefix(Family::Cosigned, &id.0, &agent);
                self.in_flight.add_record(slot, position, command);
            }
        }
        Ok(Outcome { id: Some(id), position, created: true, cosigned: 0 })
    }

    /// The same claim with signatures that it did not have: each becomes a cosignature.
    fn cosign_again(&mut self, id: ClaimId, first: Position, bytes: &[u8]) -> Result<u32> {
        let mut added = 0;
        for (agent, command) in signatures_of(self.lsn, first, id, bytes)? {
            if self.signed_from_the_start(id, &agent)? {
                continue;
            }
            let slot = keys::id_agent_prefix(Family::Cosigned, &id.0, &agent);
            if !self.record(slot, &command)?.created {
                continue;
            }
            added += 1;
        }
        Ok(added)
    }

    fn signed_from_the_start(&self, id: ClaimId, agent: &[u8; 32]) -> Result<bool> {
        let Some(place) = self.view.get(&keys::by_id(&id.0))? else { return Ok(false) };
        let (at, subject, predicate) = keys::parse_by_id_value(&place)?;
        let Some(value) = self.view.get(&keys::claim(subject, predicate, at, &id.0))? else {
            return Ok(false);
        };
        let (_, mut command) = parse_stamped(Family::Claim, &value)?;
        match CommandRef::decode(&mut command) {
            Ok(CommandRef::Assert(claim)) => {
                Ok(claim.signatures().any(|signature| signature.agent.0 == *agent))
            }
            _ => Err(Error::BadValue { family: Family::Claim }),
        }
    }

    fn other(&mut self, command: &Command, item: &Item, bytes: &[u8]) -> Result<Outcome> {
        match command {
            // Claims have their own way; `Submission::push` never keeps one whole.
            Command::Assert(assertion) => {
                self.claim(assertion.id(), !assertion.signatures.is_empty(), item, bytes)
            }
            Command::Vote(vote) => {
                self.must_exist("/assertion", vote.assertion)?;
                self.record(keys::id_agent_prefix(Family::Vote, &vote.assertion.0, &vote.agent.0), bytes)
            }
            Command::Supersede(supersession) => {
                self.must_exist("/old", supersession.old)?;
                if let Some(new) = supersession.new {
                    self.must_exist("/new", new)?;
                }
                self.supersession(supersession, bytes)
            }
            Command::Epoch(epoch) => self.record(keys::named_prefix(Family::Epoch, &epoch.name), bytes),
            Command::Source(source) => self.record(keys::named_prefix(Family::Source, &source.id), bytes),
            Command::Cosign(cosign) => {
                self.must_exist("/claim", cosign.claim)?;
                if self.signed_from_the_start(cosign.claim, &cosign.agent.0)? {
                    let position = self.find(cosign.claim)?.unwrap_or_default();
                    return Ok(Outcome { id: None, position, created: false, cosigned: 0 });
                }
                self.record(keys::id_agent_prefix(Family::Cosigned, &cosign.claim.0, &cosign.agent.0), bytes)
            }
            Command::Agent(agent) => self.record(keys::agent_prefix(&agent.id.0), bytes),
        }
    }

    /// A record of which the newest counts: it is new unless the newest one is the same.
    fn record(&mut self, slot: Vec<u8>, bytes: &[u8]) -> Result<Outcome> {
        if let Some(position) = self.newest_if_same(&slot, bytes)? {
            return Ok(Outcome { id: None, position, created: false, cosigned: 0 });
        }
        Ok(self.journal(slot, bytes))
    }

    fn newest_if_same(&self, slot: &[u8], bytes: &[u8]) -> Result<Option<Position>> {
        if let Some((at, newest)) = self.in_flight.records.get(slot).and_then(|records| records.last()) {
            return Ok((newest == bytes).then_some(*at));
        }
        let mut rows = self.view.scan(&KeyRange::prefix(slot), Direction::Forward);
        if !rows.advance()? {
            return Ok(None);
        }
        let family = Family::of(slot).unwrap_or(Family::Entry);
        let (_, newest) = parse_stamped(family, rows.value())?;
        let suffix = rows.key().get(slot.len()..).and_then(|suffix| suffix.try_into().ok());
        let at = Position::from_newest_first(suffix.ok_or(Error::BadKey { family })?);
        Ok((newest == bytes).then_some(at))
    }

    /// A supersession of which all count: it is new unless any one is the same. Only a new one is held to the rules: repeating
    /// what was recorded changes nothing, whoever may do it today.
    fn supersession(&mut self, supersession: &Supersession, bytes: &[u8]) -> Result<Outcome> {
        let slot = keys::id_prefix(Family::Superseded, &supersession.old.0);
        let in_flight = self.in_flight.records.get(&slot).into_iter().flatten();
        let mut same = in_flight.filter(|(_, other)| other == bytes).map(|(at, _)| *at).next();
        let mut rows = self.view.scan(&KeyRange::prefix(slot.as_slice()), Direction::Forward);
        while same.is_none() && rows.advance()? {
            if parse_stamped(Family::Superseded, rows.value())?.1 == bytes {
                same = Some(keys::parse_superseded(rows.key())?);
            }
        }
        match same {
            Some(position) => Ok(Outcome { id: None, position, created: false, cosigned: 0 }),
            None => {
                self.check_authority(supersession)?;
                self.check_no_cycle(supersession)?;
                Ok(self.journal(slot, bytes))
            }
        }
    }

    fn journal(&mut self, slot: Vec<u8>, bytes: &[u8]) -> Outcome {
        let position = self.here();
        self.entry.push(bytes);
        self.in_flight.add_record(slot, position, bytes.to_vec());
        Outcome { id: None, position, created: true, cosigned: 0 }
    }
}

/// The signatures of an encoded assertion, each as the bytes of a cosignature command.
fn signatures_of(lsn: Lsn, at: Position, id: ClaimId, bytes: &[u8]) -> Result<Vec<([u8; 32], Vec<u8>)>> {
    let problem = crate::error::EntryProblem::BadCommand { ordinal: at.ordinal };
    let Ok(CommandRef::Assert(claim)) = CommandRef::decode(&mut &*bytes) else {
        return Err(Error::BadEntry { lsn, problem });
    };
    let cosignature = |signature: stemedb_core::Signature| {
        let mut command = Vec::new();
        Command::Cosign(Cosign { claim: id, agent: signature.agent, signature: signature.bytes })
            .encode(&mut command);
        (signature.agent.0, command)
    };
    Ok(claim.signatures().map(cosignature).collect())
}
