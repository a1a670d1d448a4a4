//! Every kind of record, drawn.

use std::collections::BTreeSet;

use stemedb_core::{
    Agent, AgentId, Assertion, ClaimId, Command, Cosign, Epoch, Lifecycle, Micros, Nano, Object, Signature,
    SignatureBytes, Source, SourceClass, Supersession, SupersessionKind, Vote,
};

use super::{corpus::Said, told};
use crate::Dice;

pub const DAY_US: i64 = 86_400_000_000;
const AGENTS: u64 = 24;
pub const EPOCHS: [&str; 6] = ["1990", "2006", "2014", "2019", "2024", "2024b"];
const NANOS: [i64; 6] = [0, 250_000_000, 333_333_333, 500_000_000, 900_000_000, 1_000_000_000];

/// Draws records about the claims that questions will find.
pub struct Records<'a> {
    pub dice: &'a mut Dice,
    pub now_us: i64,
    pub sources: &'a [String],
    /// One record in so many is about something that all questions depend on.
    pub rare: u64,
    /// What the questions are about.
    pub known: &'a [Assertion],
}

impl Records<'_> {
    /// A claim as its source said it; every second time with more than that.
    pub fn claim(&mut self, said: &Said) -> Command {
        let object = told::object(&said.object);
        let mut claim = Assertion::new(&*said.subject, &*said.predicate, object, &*said.source);
        if self.dice.one_in(2) {
            self.embellish(&mut claim);
        }
        claim.normalize();
        Command::Assert(claim)
    }

    fn embellish(&mut self, claim: &mut Assertion) {
        if self.dice.one_in(3) {
            claim.confidence = Some(Nano(self.dice.pick(&NANOS)));
        }
        if self.dice.one_in(4) {
            claim.source_class = class(self.dice, 6);
        }
        if self.dice.one_in(3) {
            claim.author = Some(agent(self.dice));
        }
        if self.dice.one_in(6) {
            claim.epoch = Some(self.dice.pick(&EPOCHS).into());
        }
        if self.dice.one_in(8) {
            claim.lifecycle = Some(self.dice.pick(&Lifecycle::ALL));
        }
        if self.dice.one_in(3) {
            claim.observed_at = Some(Micros(self.now_us - self.days(2_000)));
        }
        if self.dice.one_in(10) {
            claim.valid_from = Some(Micros(self.now_us + self.days(200) - 60 * DAY_US));
        }
        if self.dice.one_in(10) {
            let from = claim.valid_from.map_or(self.now_us, |from| from.0);
            claim.valid_to = Some(Micros(from + DAY_US + self.days(200)));
        }
        // It may have ended before.
        let from = claim.valid_from;
        claim.valid_to = claim.valid_to.filter(|to| from.is_none_or(|from| from < *to));
        if self.dice.one_in(6) {
            claim.parents = self.some_known().into_iter().collect();
        }
        if self.dice.one_in(5) {
            claim.signatures = vec![signature(agent(self.dice))];
        }
    }

    fn days(&mut self, below: u64) -> i64 {
        // Quarters, so that instants coincide now and then.
        i64::try_from(self.dice.below(4 * below)).unwrap_or(0) * (DAY_US / 4)
    }

    fn some(&mut self) -> Option<&Assertion> {
        // Half of the time one of the newest, so that much happens to some.
        let count = self.known.len();
        let within = if self.dice.one_in(2) { count.min(40) } else { count };
        self.known.get(count.checked_sub(1 + self.dice.size(within))?)
    }

    fn some_known(&mut self) -> Option<ClaimId> {
        self.some().map(Assertion::id)
    }

    /// Three of four sources with a class.
    pub fn first_sources(&mut self) -> Vec<Command> {
        let mut commands = Vec::new();
        for id in self.sources {
            if !self.dice.one_in(4)
                && let Some(class) = class(self.dice, 6)
            {
                commands.push(Command::Source(Source::new(id.clone(), class)));
            }
        }
        commands
    }

    /// Commands of one submission that may be refused.
    pub fn supersessions(&mut self) -> Vec<Command> {
        let mut commands = Vec::new();
        for _ in 0..=self.dice.below(2) {
            let Some(old) = self.some().cloned() else { break };
            let kinds = [SupersessionKind::Corrects, SupersessionKind::Refines];
            // Mostly by a claim about the same.
            let count = self.known.len();
            let near = self.known.iter().rev().take(400).find(|other| {
                other.subject == old.subject && other.predicate == old.predicate && other.id() != old.id()
            });
            let new = near.or_else(|| self.known.get(self.dice.size(count))).map(Assertion::id);
            let mut change = match new {
                Some(new) if new != old.id() && !self.dice.one_in(3) => {
                    Supersession::replace(old.id(), new, self.dice.pick(&kinds))
                }
                _ => Supersession::retract(old.id()),
            };
            change.agent = old.author.filter(|_| self.dice.one_in(2)).or_else(|| Some(agent(self.dice)));
            commands.push(Command::Supersede(change));
        }
        commands
    }

    /// Any other command.
    pub fn command(&mut self) -> Option<Command> {
        if self.dice.one_in(self.rare) {
            return self.of_everybody();
        }
        Some(match self.dice.below(100) {
            0..35 => {
                let weight = self.dice.pick(&[-1_000_000_000, -400_000_000, 1, 300_000_000, 1_000_000_000]);
                Command::Vote(Vote::new(self.some_known()?, agent(self.dice), Nano(weight)))
            }
            35..48 => {
                let Signature { agent, bytes } = signature(agent(self.dice));
                Command::Cosign(Cosign { claim: self.some_known()?, agent, signature: bytes })
            }
            _ => Command::Assert(self.again()?),
        })
    }

    /// What all questions depend on: an epoch, a source, an agent.
    fn of_everybody(&mut self) -> Option<Command> {
        Some(match self.dice.below(3) {
            0 => {
                let name = self.dice.pick(&EPOCHS);
                let mut epoch = Epoch::new(name);
                // The other epochs stay what they are: else everything that belongs to one would soon be out of it.
                let old = self.dice.pick(&EPOCHS[..3]);
                epoch.supersedes = Some(old).filter(|old| *old != name).map(str::to_owned);
                Command::Epoch(epoch)
            }
            1 => {
                let id = self.sources.get(self.dice.size(self.sources.len()))?.clone();
                Command::Source(Source::new(id, class(self.dice, 6)?))
            }
            _ => {
                let mut record = Agent::new(agent(self.dice));
                record.class = class(self.dice, 7);
                record.trust = Some(Nano(self.dice.pick(&NANOS))).filter(|_| !self.dice.one_in(6));
                Command::Agent(record)
            }
        })
    }

    /// A claim about what another claim is about.
    fn again(&mut self) -> Option<Assertion> {
        let old = self.some()?.clone();
        let parent = old.id();
        let mut claim = old;
        match self.dice.below(10) {
            // The next stage of the same statement.
            0..2 => {
                claim.lifecycle = Some(self.dice.pick(&Lifecycle::ALL));
                claim.observed_at = Some(Micros(self.now_us - self.days(20)));
                claim.signatures.clear();
            }
            // The same, word for word, signed by somebody more.
            2 => claim.signatures.push(signature(agent(self.dice))),
            // By somebody else.
            3..5 => {
                claim.source = self.sources.get(self.dice.size(self.sources.len()))?.clone();
                claim.author = None;
                claim.signatures.clear();
            }
            // Derived from it.
            5..7 => {
                claim.parents = BTreeSet::from_iter([Some(parent), self.some_known()].into_iter().flatten())
                    .into_iter()
                    .collect();
                claim.author = Some(agent(self.dice));
                claim.signatures.clear();
            }
            // Nearly the same value, or the same in other words.
            7..9 => {
                claim.object = nudged(&claim.object, self.dice);
                claim.source = self.sources.get(self.dice.size(self.sources.len()))?.clone();
                claim.signatures.clear();
            }
            _ => self.embellish(&mut claim),
        }
        claim.normalize();
        Some(claim)
    }
}

fn class(dice: &mut Dice, below: u64) -> Option<SourceClass> {
    SourceClass::new(u8::try_from(dice.below(below)).ok()?).ok()
}

/// One of the agents.
pub fn agent(dice: &mut Dice) -> AgentId {
    let number = dice.below(AGENTS);
    let mut id = [0x40; 32];
    id[31] = u8::try_from(number).unwrap_or(0);
    AgentId(id)
}

/// Whether a signature is right is checked before the engine sees it; here only who signed matters.
fn signature(agent: AgentId) -> Signature {
    Signature { agent, bytes: SignatureBytes([agent.0[31]; 64]) }
}

fn nudged(object: &Object, dice: &mut Dice) -> Object {
    let text = match object {
        Object::Number(text) => text.clone(),
        Object::Integer(number) => number.to_string(),
        Object::Text(text) => return Object::Text(format!("{text}{}", [" ", "?", "."][dice.size(3)])),
        other => return other.clone(),
    };
    if text.contains(['e', 'E']) {
        return Object::Number(text);
    }
    let is_broken = text.contains('.');
    Object::Number(match dice.below(4) {
        // The same number.
        0 if is_broken => format!("{text}0"),
        0 | 1 => format!("{text}e0"),
        // A little more.
        _ if is_broken => format!("{text}{}", 1 + dice.below(9)),
        _ => format!("{text}.{}", 1 + dice.below(9)),
    })
}
