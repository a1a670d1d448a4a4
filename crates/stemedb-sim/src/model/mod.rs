//! What must be: every entry so far, what a submission adds to them, and the oracle over all of it.
//!
//! The admission rules are written here once more, over plain maps and without a view: a claim is new if its id is; a vote, source,
//! epoch, agent or cosignature is new unless the newest of its kind says the same; a supersession is new unless any says the same,
//! and then it must be allowed.

mod rules;
mod tell;

use std::collections::{BTreeMap, BTreeSet};

use stemedb_core::{AgentId, AuthorityPolicy, ClaimId, Command, Cosign, Signature, SourceClass};
use stemedb_env::{Lsn, Micros};
use stemedb_hybrid::StateRoot;
use stemedb_index::{Claims, Derive, Outcome, Position};
use stemedb_lsm::{Direction, KeyRange, KvIter, KvSnapshot, KvStore, MemStore, WriteBatch};
use stemedb_oracle::World;
pub use tell::value;

use crate::{Invariant, Violation};

/// What one journal entry must hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    /// Its commands' canonical bytes, in order.
    pub commands: Vec<Vec<u8>>,
    /// When it was recorded.
    pub recorded_at: Micros,
}

/// Records of which not the id but the newest, or every one, decides what is new.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Slot {
    Vote(ClaimId, AgentId),
    Superseded(ClaimId),
    Epoch(String),
    Source(String),
    Cosigned(ClaimId, AgentId),
    Agent(AgentId),
}

#[derive(Clone, Debug)]
struct Known {
    position: Position,
    signers: BTreeSet<AgentId>,
    class: Option<SourceClass>,
    source: String,
    author: Option<AgentId>,
}

/// What a submission will do.
#[derive(Clone, Debug, Default)]
pub struct Prediction {
    /// One per command.
    pub outcomes: Vec<Outcome>,
    /// What of it is new.
    new: Vec<Command>,
    claims: BTreeMap<ClaimId, Known>,
    records: BTreeMap<Slot, Vec<(Position, Vec<u8>)>>,
}

impl Prediction {
    /// Canonical bytes of what is new.
    pub fn commands(&self) -> Vec<Vec<u8>> {
        self.new.iter().map(bytes_of).collect()
    }

    /// True if the submission adds nothing.
    pub fn is_empty(&self) -> bool {
        self.new.is_empty()
    }
}

fn bytes_of(command: &Command) -> Vec<u8> {
    let mut bytes = Vec::new();
    command.encode(&mut bytes);
    bytes
}

/// Everything acknowledged so far.
#[derive(Debug, Default)]
pub struct Model {
    /// Entries from LSN 1 on.
    pub entries: Vec<Expected>,
    /// The oracle, told every command of every entry.
    pub world: World,
    /// What supersessions are held to.
    pub authority: AuthorityPolicy,
    claims: BTreeMap<ClaimId, Known>,
    /// Ids in the order in which they were first asserted.
    pub ids: Vec<ClaimId>,
    records: BTreeMap<Slot, Vec<(Position, Vec<u8>)>>,
    /// The fold of all entries.
    reference: MemStore,
}

impl Model {
    /// Nothing yet, of a database with this policy.
    pub fn under(authority: AuthorityPolicy) -> Model {
        Model { authority, ..Model::default() }
    }

    /// The last LSN.
    pub fn last_lsn(&self) -> Lsn {
        Lsn(self.entries.len() as u64)
    }

    /// When the last entry was recorded.
    pub fn last_recorded(&self) -> Micros {
        self.entries.last().map_or(Micros(i64::MIN), |entry| entry.recorded_at)
    }

    /// What a submission will do now; `None` if it must be refused: it names a claim that does not exist, or supersedes what it
    /// may not.
    pub fn predict(&self, submission: &[Command]) -> Option<Prediction> {
        let mut draft = Prediction::default();
        for command in submission {
            let outcome = self.decide(&mut draft, command)?;
            draft.outcomes.push(outcome);
        }
        Some(draft)
    }

    fn decide(&self, draft: &mut Prediction, command: &Command) -> Option<Outcome> {
        match command {
            Command::Assert(claim) => {
                let id = claim.id();
                let Some(known) = self.find(draft, id).cloned() else {
                    let position = self.here(draft);
                    let signers = claim.signatures.iter().map(|signature| signature.agent).collect();
                    draft.new.push(command.clone());
                    let (class, author) = (claim.source_class, claim.author);
                    let source = claim.source.clone();
                    draft.claims.insert(id, Known { position, signers, class, source, author });
                    return Some(Outcome { id: Some(id), position, created: true, cosigned: 0 });
                };
                let mut cosigned = 0;
                for Signature { agent, bytes } in &claim.signatures {
                    let cosign = Cosign { claim: id, agent: *agent, signature: *bytes };
                    let is_new = !known.signers.contains(agent)
                        && self.newest(draft, Slot::Cosigned(id, *agent), &Command::Cosign(cosign)).created;
                    cosigned += u32::from(is_new);
                }
                Some(Outcome { id: Some(id), position: known.position, created: false, cosigned })
            }
            Command::Vote(vote) => {
                self.find(draft, vote.assertion)?;
                Some(self.newest(draft, Slot::Vote(vote.assertion, vote.agent), command))
            }
            Command::Supersede(supersession) => {
                self.find(draft, supersession.old)?;
                if let Some(new) = supersession.new {
                    self.find(draft, new)?;
                }
                let slot = Slot::Superseded(supersession.old);
                let bytes = bytes_of(command);
                let same = self.slot(draft, &slot).find(|(_, other)| *other == bytes).map(|(at, _)| *at);
                Some(match same {
                    Some(position) => Outcome { id: None, position, created: false, cosigned: 0 },
                    None if !self.allows(draft, supersession) => return None,
                    None => self.add(draft, slot, command),
                })
            }
            Command::Epoch(epoch) => Some(self.newest(draft, Slot::Epoch(epoch.name.clone()), command)),
            Command::Source(source) => Some(self.newest(draft, Slot::Source(source.id.clone()), command)),
            Command::Cosign(cosign) => {
                let known = self.find(draft, cosign.claim)?;
                if known.signers.contains(&cosign.agent) {
                    return Some(Outcome { id: None, position: known.position, created: false, cosigned: 0 });
                }
                Some(self.newest(draft, Slot::Cosigned(cosign.claim, cosign.agent), command))
            }
            Command::Agent(agent) => Some(self.newest(draft, Slot::Agent(agent.id), command)),
        }
    }

    fn here(&self, draft: &Prediction) -> Position {
        Position { lsn: self.last_lsn().next(), ordinal: u32::try_from(draft.new.len()).unwrap_or(u32::MAX) }
    }

    fn find<'a>(&'a self, draft: &'a Prediction, id: ClaimId) -> Option<&'a Known> {
        draft.claims.get(&id).or_else(|| self.claims.get(&id))
    }

    /// Records of a slot, the newest first.
    fn slot<'a>(
        &'a self,
        draft: &'a Prediction,
        slot: &Slot,
    ) -> impl Iterator<Item = &'a (Position, Vec<u8>)> {
        let of = |records: &'a BTreeMap<Slot, Vec<(Position, Vec<u8>)>>| {
            records.get(slot).into_iter().flatten().rev()
        };
        of(&draft.records).chain(of(&self.records))
    }

    fn newest(&self, draft: &mut Prediction, slot: Slot, command: &Command) -> Outcome {
        let bytes = bytes_of(command);
        let newest = self.slot(draft, &slot).next();
        match newest.filter(|(_, other)| *other == bytes).map(|(at, _)| *at) {
            Some(position) => Outcome { id: None, position, created: false, cosigned: 0 },
            None => self.add(draft, slot, command),
        }
    }

    fn add(&self, draft: &mut Prediction, slot: Slot, command: &Command) -> Outcome {
        let position = self.here(draft);
        draft.new.push(command.clone());
        draft.records.entry(slot).or_default().push((position, bytes_of(command)));
        Outcome { id: None, position, created: true, cosigned: 0 }
    }

    /// Takes in what a submission added, as the next entry. Does nothing if it added nothing.
    pub fn accept(&mut self, prediction: Prediction, recorded_at: Micros) -> Result<(), Violation> {
        if prediction.is_empty() {
            return Ok(());
        }
        let lsn = self.last_lsn().next();
        let commands = prediction.commands();
        for (ordinal, command) in (0..).zip(&prediction.new) {
            tell::tell(&mut self.world, command, Position { lsn, ordinal }, recorded_at);
            if let Command::Assert(claim) = command {
                self.ids.push(claim.id());
            }
        }
        self.claims.extend(prediction.claims);
        for (slot, records) in prediction.records {
            self.records.entry(slot).or_default().extend(records);
        }
        self.fold(lsn, &commands, recorded_at)?;
        self.entries.push(Expected { commands, recorded_at });
        Ok(())
    }

    fn fold(&self, lsn: Lsn, commands: &[Vec<u8>], recorded_at: Micros) -> Result<(), Violation> {
        let broken = |error: &dyn std::fmt::Display| {
            Violation::new(Invariant::Prefix, format!("entry {lsn} cannot be derived: {error}"))
        };
        let entry = entry_bytes(commands, recorded_at);
        let mut rows = WriteBatch::new();
        Claims.derive(lsn, &entry, &mut rows).map_err(|error| broken(&error))?;
        self.reference.apply(&rows, lsn).map_err(|error| broken(&error))?;
        self.reference.publish(lsn);
        Ok(())
    }

    /// Content hash of the fold of all entries.
    pub fn root(&self) -> StateRoot {
        let mut root = StateRoot::empty();
        let mut rows = self.reference.snapshot().scan(&KeyRange::all(), Direction::Forward);
        // A map in memory has nothing that could fail.
        while rows.advance().unwrap_or(false) {
            root.add(rows.key(), rows.value());
        }
        root
    }

    /// Where a claim stands.
    pub fn position(&self, id: ClaimId) -> Option<Position> {
        self.claims.get(&id).map(|known| known.position)
    }
}

/// The bytes of a journal entry, from its description: layout 1, recorded time, count, commands.
fn entry_bytes(commands: &[Vec<u8>], recorded_at: Micros) -> Vec<u8> {
    let mut entry = vec![1];
    entry.extend_from_slice(&recorded_at.0.to_be_bytes());
    entry.extend_from_slice(&u32::try_from(commands.len()).unwrap_or(u32::MAX).to_be_bytes());
    commands.iter().for_each(|command| entry.extend_from_slice(command));
    entry
}
