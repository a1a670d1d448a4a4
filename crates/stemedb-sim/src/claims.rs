//! Random submissions over a small vocabulary, so that claims meet, contradict, repeat and supersede each other.

use stemedb_core::{
    Agent, AgentId, Assertion, ClaimId, Command, Cosign, Epoch, Lifecycle, Micros, Nano, Object, Signature,
    SignatureBytes, Source, SourceClass, Supersession, SupersessionKind, Vote,
};

use crate::Dice;

/// Subjects of claims; one is a prefix of another, and one needs escaping in no format that gets it right.
pub const SUBJECTS: [&str; 5] = ["cas:64-17-5", "cas:64-17-50", "water", "wasser\u{fffd}", "\u{1F9EA}"];
/// Predicates of claims.
pub const PREDICATES: [&str; 3] = ["boiling_point_K", "boiling", "colour"];
/// Epochs that claims name and questions ask for.
pub const EPOCHS: [&str; 3] = ["2019", "2024", "2024b"];
const SOURCES: [&str; 5] = ["IUPAC", "CRC", "Wiki", "nobody", "a blog"];

const DAY_US: i64 = 86_400_000_000;

fn agent(dice: &mut Dice) -> AgentId {
    AgentId([dice.pick(&[1, 2, 3, 4]); 32])
}

/// Whether a signature is right is checked before a submission reaches the engine; here it matters who signed. An agent
/// has one signature per claim, as with Ed25519.
fn signature(agent: AgentId) -> Signature {
    Signature { agent, bytes: SignatureBytes([agent.0[0]; 64]) }
}

fn object(dice: &mut Dice) -> Object {
    match dice.below(12) {
        0 => Object::Number("351.44".into()),
        1 => Object::Number("351.440".into()),
        2 => Object::Integer(351),
        3 => Object::Number("3.51e2".into()),
        4 => Object::Text("about 351".into()),
        5 => Object::Boolean(dice.one_in(2)),
        6 => Object::Time("2024-02-29T12:00:00Z".into()),
        7 => Object::Time("2024-02-29T13:00:00+01:00".into()),
        8 => Object::Reference(dice.pick(&SUBJECTS).into()),
        9 => Object::Json(r#"{"a":1,"b":[2]}"#.into()),
        // Long enough that a handful fills a memtable or a segment.
        10 => Object::Text("x".repeat(usize::try_from(dice.below(3000)).unwrap_or(0))),
        _ => Object::Integer(dice.around_zero(4)),
    }
}

fn assertion(dice: &mut Dice, now_us: i64, known: &[ClaimId]) -> Assertion {
    let (subject, predicate) = (dice.pick(&SUBJECTS), dice.pick(&PREDICATES));
    let mut claim = Assertion::new(subject, predicate, object(dice), dice.pick(&SOURCES));
    if dice.one_in(3) {
        claim.confidence = Some(Nano(dice.pick(&[0, 250_000_000, 900_000_000, 1_000_000_000])));
    }
    if dice.one_in(3) {
        claim.source_class = Some(class(dice));
    }
    if dice.one_in(3) {
        claim.author = Some(agent(dice));
    }
    if dice.one_in(5) {
        claim.epoch = Some(dice.pick(&EPOCHS).into());
    }
    if dice.one_in(6) {
        claim.lifecycle = Some(dice.pick(&Lifecycle::ALL));
    }
    if dice.one_in(3) {
        claim.observed_at = Some(Micros(now_us + dice.around_zero(1000) * DAY_US));
    }
    if dice.one_in(8) {
        claim.valid_from = Some(Micros(now_us + dice.around_zero(3) * DAY_US));
    }
    if dice.one_in(8) {
        claim.valid_to = Some(Micros(now_us + 4 * DAY_US + dice.around_zero(8).abs() * DAY_US));
    }
    if !known.is_empty() && dice.one_in(6) {
        claim.parents = vec![dice.pick(known)];
    }
    if dice.one_in(4) {
        claim.signatures = vec![signature(agent(dice)), signature(agent(dice))];
    }
    claim.normalize();
    claim
}

fn class(dice: &mut Dice) -> SourceClass {
    dice.pick(&SourceClass::ALL)
}

/// A claim that exists, or (rarely) one that does not.
fn claim_id(dice: &mut Dice, known: &[ClaimId]) -> ClaimId {
    if dice.one_in(40) { ClaimId([0xEE; 32]) } else { dice.pick(known) }
}

/// What agents are, and what they set aside.
fn of_agents(dice: &mut Dice, known: &[ClaimId]) -> Command {
    if known.is_empty() || dice.one_in(2) {
        let mut record = Agent::new(agent(dice));
        record.class = (!dice.one_in(4)).then(|| class(dice));
        record.trust = dice.pick(&[None, Some(Nano(0)), Some(Nano(300_000_000)), Some(Nano::ONE)]);
        return Command::Agent(record);
    }
    let (old, new) = (claim_id(dice, known), claim_id(dice, known));
    let mut supersession = match old == new || dice.one_in(3) {
        true => Supersession::retract(old),
        false => Supersession::replace(old, new, SupersessionKind::Refines),
    };
    supersession.agent = (!dice.one_in(3)).then(|| agent(dice));
    Command::Supersede(supersession)
}

fn command(dice: &mut Dice, now_us: i64, known: &[ClaimId], agents: bool) -> Command {
    if agents && dice.one_in(6) {
        return of_agents(dice, known);
    }
    if known.is_empty() {
        return Command::Assert(assertion(dice, now_us, known));
    }
    match dice.below(20) {
        0..=9 => Command::Assert(assertion(dice, now_us, known)),
        10..=13 => {
            let weight = Nano(dice.pick(&[-1_000_000_000, -400_000_000, 300_000_000, 1_000_000_000]));
            let mut vote = Vote::new(claim_id(dice, known), agent(dice), weight);
            vote.reason = dice.one_in(4).then(|| "because".repeat(5));
            Command::Vote(vote)
        }
        14 => Command::Supersede(Supersession::retract(claim_id(dice, known))),
        15 => {
            let (old, new) = (claim_id(dice, known), claim_id(dice, known));
            if old == new {
                return Command::Supersede(Supersession::retract(old));
            }
            Command::Supersede(Supersession::replace(old, new, SupersessionKind::Corrects))
        }
        16 => {
            let mut epoch = Epoch::new(dice.pick(&EPOCHS));
            epoch.supersedes = Some(dice.pick(&EPOCHS).to_owned()).filter(|old| *old != epoch.name);
            Command::Epoch(epoch)
        }
        17 | 18 => Command::Source(Source::new(dice.pick(&SOURCES), class(dice))),
        _ => {
            let Signature { agent, bytes } = signature(agent(dice));
            Command::Cosign(Cosign { claim: claim_id(dice, known), agent, signature: bytes })
        }
    }
}

/// One atomic submission: usually a few commands, sometimes many. With `agents` also what agents are and set aside.
pub fn submission(dice: &mut Dice, now_us: i64, known: &[ClaimId], agents: bool) -> Vec<Command> {
    let commands = match dice.below(12) {
        0 => return long_submission(dice, now_us, known, agents),
        1..=4 => 2 + dice.below(5),
        _ => 1,
    };
    (0..commands).map(|_| command(dice, now_us, known, agents)).collect()
}

/// One atomic submission of many commands, whose frame in the journal is of several sectors.
pub fn long_submission(dice: &mut Dice, now_us: i64, known: &[ClaimId], agents: bool) -> Vec<Command> {
    (0..20 + dice.below(30)).map(|_| command(dice, now_us, known, agents)).collect()
}
