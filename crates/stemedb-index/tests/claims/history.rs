//! A random history of submissions, told to a store (through admission and derivation) and to the oracle.

use stemedb_core::{
    Agent, AgentId, Assertion, AuthorityPolicy, ClaimId, Command, Cosign, Epoch, Lifecycle, Micros, Nano,
    Object, Signature, SignatureBytes, Source, SourceClass, Supersession, SupersessionKind, Vote,
};
use stemedb_env::{Lsn, Random, random::SeededRandom};
use stemedb_index::{Admit, Claims, Derive, Error, Outcome, Result, Submission, claims::InFlightClaims};
use stemedb_lsm::{KvStore, WriteBatch};
use stemedb_oracle as oracle;

/// What the engine does with a journal, without one: admit, derive, apply, publish.
pub struct Ledger<S> {
    pub store: S,
    /// Entries by LSN, from 1.
    pub entries: Vec<Vec<u8>>,
    in_flight: InFlightClaims,
    /// Entries that were admitted and not applied yet.
    unapplied: Vec<(Lsn, Vec<u8>)>,
}

impl<S: KvStore> Ledger<S> {
    pub fn new(store: S) -> Ledger<S> {
        Ledger { store, entries: Vec::new(), in_flight: InFlightClaims::default(), unapplied: Vec::new() }
    }

    /// Admits without applying: the submission stays in flight.
    pub fn admit(&mut self, submission: Submission, now: i64) -> Result<Vec<Outcome>> {
        let lsn = Lsn(self.entries.len() as u64 + 1);
        let view = self.store.snapshot();
        let admitted = Claims.admit(submission, &view, &mut self.in_flight, lsn, stemedb_env::Micros(now))?;
        if let Some(entry) = admitted.entry {
            self.entries.push(entry.clone());
            self.unapplied.push((lsn, entry));
        }
        Ok(admitted.reply)
    }

    /// Gives up what was admitted and not applied: its LSNs will be given to others.
    pub fn abandon(&mut self) {
        if let Some((first, _)) = self.unapplied.first() {
            Claims.abandon(&mut self.in_flight, *first);
            self.entries.truncate(usize::try_from(first.0).unwrap() - 1);
            self.unapplied.clear();
        }
    }

    pub fn apply(&mut self) {
        for (lsn, entry) in self.unapplied.drain(..) {
            let mut rows = WriteBatch::new();
            Claims.derive(lsn, &entry, &mut rows).unwrap();
            self.store.apply(&rows, lsn).unwrap();
            self.store.publish(lsn);
            Claims.retire(&mut self.in_flight, lsn);
        }
    }

    pub fn commit(&mut self, submission: Submission, now: i64) -> Result<Vec<Outcome>> {
        let reply = self.admit(submission, now)?;
        self.apply();
        Ok(reply)
    }

    pub fn one(&mut self, command: Command, now: i64) -> Result<Outcome> {
        self.commit(Submission::of(&command).unwrap(), now).map(|outcomes| outcomes[0])
    }
}

pub struct Dice(SeededRandom);

impl Dice {
    pub fn new(seed: u64) -> Dice {
        Dice(SeededRandom::new(seed))
    }

    pub fn below(&self, limit: u64) -> u64 {
        self.0.next_u64() % limit
    }

    pub fn one_in(&self, n: u64) -> bool {
        self.below(n) == 0
    }

    pub fn pick<T: Copy>(&self, from: &[T]) -> T {
        from[usize::try_from(self.below(from.len() as u64)).unwrap()]
    }
}

pub const DAY_US: i64 = 86_400_000_000;
pub const SUBJECTS: [&str; 3] = ["cas:64-17-5", "cas:64-17-50", "water"];
pub const PREDICATES: [&str; 2] = ["boiling_point_K", "boiling"];
const SOURCES: [&str; 4] = ["IUPAC", "CRC", "Wiki", "nobody"];
const EPOCHS: [&str; 3] = ["2019", "2024", "2024b"];

fn agent(dice: &Dice) -> AgentId {
    AgentId([dice.pick(&[1, 2, 3, 4]); 32])
}

fn signature(agent: AgentId) -> Signature {
    // Whether a signature is right is checked before admission; here only who signed matters.
    Signature { agent, bytes: SignatureBytes([agent.0[0]; 64]) }
}

fn object(dice: &Dice) -> Object {
    match dice.below(8) {
        0 => Object::Number("351.44".into()),
        1 => Object::Number("351.440".into()),
        2 => Object::Integer(351),
        3 => Object::Number("3.51e2".into()),
        4 => Object::Text("about 351".into()),
        5 => Object::Boolean(true),
        6 => Object::Number("78.2".into()),
        _ => Object::Number("352".into()),
    }
}

fn assertion(dice: &Dice, now: i64, known: &[ClaimId]) -> Assertion {
    let mut claim =
        Assertion::new(dice.pick(&SUBJECTS), dice.pick(&PREDICATES), object(dice), dice.pick(&SOURCES));
    if dice.one_in(3) {
        claim.confidence = Some(Nano(dice.pick(&[0, 250_000_000, 900_000_000, 1_000_000_000])));
    }
    if dice.one_in(3) {
        claim.source_class = SourceClass::new(u8::try_from(dice.below(6)).unwrap()).ok();
    }
    if dice.one_in(3) {
        claim.author = Some(agent(dice));
    }
    if dice.one_in(5) {
        claim.epoch = Some(dice.pick(&EPOCHS).into());
    }
    if dice.one_in(6) {
        claim.lifecycle = Some(dice.pick(&[Lifecycle::Rejected, Lifecycle::Approved, Lifecycle::Deprecated]));
    }
    if dice.one_in(3) {
        claim.observed_at = Some(Micros(now - i64::try_from(dice.below(4000)).unwrap() * DAY_US / 4));
    }
    if dice.one_in(8) {
        claim.valid_from = Some(Micros(now + DAY_US));
    }
    if dice.one_in(8) {
        claim.valid_to = Some(Micros(now + 5 * DAY_US));
    }
    if !known.is_empty() && dice.one_in(6) {
        claim.parents = vec![dice.pick(known)];
    }
    if dice.one_in(4) {
        claim.signatures = vec![signature(agent(dice))];
    }
    claim.normalize();
    claim
}

fn by_somebody(dice: &Dice, mut supersession: Supersession) -> Supersession {
    supersession.agent = dice.one_in(2).then(|| agent(dice));
    supersession
}

pub fn command(dice: &Dice, now: i64, known: &[ClaimId]) -> Command {
    if known.is_empty() {
        return Command::Assert(assertion(dice, now, known));
    }
    match dice.below(22) {
        0..=9 => Command::Assert(assertion(dice, now, known)),
        10..=13 => {
            let weight = Nano(dice.pick(&[-1_000_000_000, -400_000_000, 300_000_000, 1_000_000_000]));
            Command::Vote(Vote::new(dice.pick(known), agent(dice), weight))
        }
        14 => Command::Supersede(by_somebody(dice, Supersession::retract(dice.pick(known)))),
        15 => {
            let (old, new) = (dice.pick(known), dice.pick(known));
            if old == new {
                return Command::Supersede(Supersession::retract(old));
            }
            let replace = Supersession::replace(old, new, SupersessionKind::Corrects);
            Command::Supersede(by_somebody(dice, replace))
        }
        16 => {
            let mut epoch = Epoch::new(dice.pick(&EPOCHS));
            epoch.supersedes = Some(dice.pick(&EPOCHS).to_owned()).filter(|old| *old != epoch.name);
            Command::Epoch(epoch)
        }
        17 | 18 => {
            let class = SourceClass::new(u8::try_from(dice.below(6)).unwrap()).unwrap();
            Command::Source(Source::new(dice.pick(&SOURCES), class))
        }
        19 | 20 => {
            let mut record = Agent::new(agent(dice));
            record.class = SourceClass::new(u8::try_from(dice.below(7)).unwrap()).ok();
            record.trust =
                [None, Some(Nano(0)), Some(Nano(300_000_000)), Some(Nano::ONE)][dice.below(4) as usize];
            Command::Agent(record)
        }
        _ => {
            let signature = signature(agent(dice));
            Command::Cosign(Cosign {
                claim: dice.pick(known),
                agent: signature.agent,
                signature: signature.bytes,
            })
        }
    }
}

/// Tells the oracle a command that was recorded.
pub fn tell(world: &mut oracle::World, command: &Command, outcome: &Outcome, recorded_at_us: i64) {
    let (lsn, ordinal) = (outcome.position.lsn.0, outcome.position.ordinal);
    match command {
        Command::Assert(claim) => {
            world.assert(oracle::Claim {
                id: outcome.id.unwrap().to_string(),
                lsn,
                ordinal,
                recorded_at_us,
                subject: claim.subject.clone(),
                predicate: claim.predicate.clone(),
                object: value(&claim.object),
                source: claim.source.clone(),
                confidence_nano: claim.confidence.map(|nano| nano.0),
                source_class: claim.source_class.map(SourceClass::number),
                author: claim.author.map(|agent| agent.to_string()),
                epoch: claim.epoch.clone(),
                lifecycle: claim.lifecycle.map(|lifecycle| lifecycle.to_string()),
                valid_from_us: claim.valid_from.map(|time| time.0),
                valid_to_us: claim.valid_to.map(|time| time.0),
                observed_at_us: claim.observed_at.map(|time| time.0),
                parents: claim.parents.iter().map(ToString::to_string).collect(),
                signers: claim.signatures.iter().map(|signature| signature.agent.to_string()).collect(),
            });
        }
        Command::Vote(vote) => world.vote(oracle::Vote {
            lsn,
            ordinal,
            claim: vote.assertion.to_string(),
            agent: vote.agent.to_string(),
            weight_nano: vote.weight.0,
        }),
        Command::Supersede(supersession) => world.supersede(oracle::Supersession {
            lsn,
            ordinal,
            old: supersession.old.to_string(),
            new: supersession.new.map(|id| id.to_string()),
        }),
        Command::Epoch(epoch) => world.epoch(oracle::Epoch {
            lsn,
            ordinal,
            name: epoch.name.clone(),
            supersedes: epoch.supersedes.clone(),
        }),
        Command::Source(source) => {
            world.source(oracle::Source {
                lsn,
                ordinal,
                id: source.id.clone(),
                class: source.class.number(),
            });
        }
        Command::Cosign(cosign) => world.cosign(oracle::Cosign {
            lsn,
            ordinal,
            claim: cosign.claim.to_string(),
            agent: cosign.agent.to_string(),
        }),
        Command::Agent(agent) => world.agent(oracle::Agent {
            lsn,
            ordinal,
            id: agent.id.to_string(),
            trust_nano: agent.trust.map(|trust| trust.0),
        }),
    }
}

pub fn value(object: &Object) -> oracle::Value {
    match object {
        Object::Text(text) => oracle::Value::Text(text.clone()),
        Object::Number(text) => oracle::Value::Number(text.clone()),
        Object::Integer(integer) => oracle::Value::Integer(integer.to_string()),
        Object::Boolean(truth) => oracle::Value::Boolean(*truth),
        Object::Time(text) => oracle::Value::Time(text.clone()),
        Object::Reference(text) => oracle::Value::Reference(text.clone()),
        Object::Json(text) => oracle::Value::Json(text.clone()),
    }
}

/// The same random history in a store and in the oracle.
pub struct History<S> {
    pub ledger: Ledger<S>,
    pub world: oracle::World,
    pub dice: Dice,
    pub known: Vec<ClaimId>,
    /// Recorded time by LSN, from 1.
    pub recorded: Vec<i64>,
    authority: AuthorityPolicy,
    /// Submissions that superseded what they may not.
    pub refused: usize,
}

impl<S: KvStore> History<S> {
    pub fn random(store: S, seed: u64, submissions: usize) -> History<S> {
        let mut history = History {
            ledger: Ledger::new(store),
            world: oracle::World::default(),
            dice: Dice::new(seed),
            known: Vec::new(),
            recorded: Vec::new(),
            authority: if seed.is_multiple_of(2) { AuthorityPolicy::Off } else { AuthorityPolicy::Enforce },
            refused: 0,
        };
        for _ in 0..submissions {
            history.step();
        }
        history
    }

    pub fn step(&mut self) {
        let now = self.recorded.last().copied().unwrap_or(DAY_US * 20_000);
        let now = now + i64::try_from(self.dice.below(3)).unwrap() * DAY_US;
        let commands: Vec<Command> =
            (0..=self.dice.below(4)).map(|_| command(&self.dice, now, &self.known)).collect();
        let mut submission = Submission::new().under(self.authority);
        for command in &commands {
            submission.push(command).unwrap();
        }
        let before = self.ledger.entries.len();
        let outcomes = match self.ledger.commit(submission, now) {
            Ok(outcomes) => outcomes,
            Err(Error::AuthorityTooLow { .. } | Error::SupersessionCycle { .. }) => {
                assert_eq!(self.ledger.entries.len(), before);
                self.refused += 1;
                return;
            }
            Err(error) => panic!("{error}"),
        };
        if self.ledger.entries.len() > before {
            self.recorded.push(now);
        }
        for (command, outcome) in commands.iter().zip(&outcomes) {
            if outcome.created {
                tell(&mut self.world, command, outcome, now);
            } else if let Command::Assert(claim) = command {
                // Signatures that came again with a known claim count as cosignatures of this entry.
                let lsn = self.ledger.entries.len() as u64;
                for signature in claim.signatures.iter().filter(|_| outcome.cosigned > 0) {
                    let (claim, agent) = (outcome.id.unwrap().to_string(), signature.agent.to_string());
                    self.world.cosign(oracle::Cosign { lsn, ordinal: 0, claim, agent });
                }
            }
            self.known.extend(outcome.id.filter(|id| outcome.created && !self.known.contains(id)));
        }
    }
}
