//! What the writers of an engine commit: every submission is a function of the run's seed and of its place in the work.
//!
//! The source of each claim names its place, so that a submission is known again wherever one of its claims is found:
//! `life/thread/seq/n/of`, the n-th of so many claims.

use stemedb_core::{Assertion, Command, Micros, Object};
use stemedb_env::Lsn;
use stemedb_index::{Submission, claims::Entry};

use crate::{
    content::{EntryId, OpId, dice},
    dice::Dice,
};

const SUBJECTS: u64 = 400;
const MAX_CLAIMS: u64 = 40;
const PREDICATES: [&str; 4] = ["mass", "name", "place", "state"];

/// How many claims this submission has: 1 to 40.
pub fn count(seed: u64, op: OpId) -> u16 {
    let mut dice = dice(seed, op);
    let count = if dice.one_in(3) { 1 } else { dice.between(1, MAX_CLAIMS) };
    u16::try_from(count).unwrap_or(1)
}

/// The claims of one submission, in order.
pub fn claims(seed: u64, op: OpId) -> Vec<Assertion> {
    let of = count(seed, op);
    (0..of).map(|n| claim(seed, op, n, of)).collect()
}

fn claim(seed: u64, op: OpId, n: u16, of: u16) -> Assertion {
    let mut dice = Dice::of(dice(seed, op).number(), 1 + u64::from(n));
    let subject = format!("subject {}", dice.below(SUBJECTS));
    let predicate = PREDICATES.get(usize::try_from(dice.below(4)).unwrap_or(0)).copied().unwrap_or("mass");
    let OpId { life, thread, seq } = op;
    let source = format!("{life}/{thread}/{seq}/{n}/{of}");
    let object = match dice.below(16) {
        0..3 => Object::Integer(i64::try_from(dice.number() >> 1).unwrap_or(0)),
        3 => Object::Boolean(dice.one_in(2)),
        4..15 => Object::Text(text(&mut dice, 200)),
        _ => Object::Text(text(&mut dice, 4_000)),
    };
    let mut claim = Assertion::new(subject, predicate, object, source);
    claim.observed_at = dice.one_in(3).then(|| Micros(i64::try_from(dice.below(1 << 50)).unwrap_or(0)));
    claim.epoch = dice.one_in(5).then(|| format!("epoch {}", dice.below(8)));
    claim
}

/// Up to so many letters and digits that compression cannot shrink away.
fn text(dice: &mut Dice, limit: u64) -> String {
    let length = usize::try_from(dice.below(limit)).unwrap_or(0);
    let mut text = String::with_capacity(length + 16);
    while text.len() < length {
        text.push_str(&format!("{:016x}", dice.number()));
    }
    text.truncate(length);
    text
}

/// The request that commits these claims.
pub fn submission(claims: &[Assertion]) -> Result<Submission, String> {
    let mut submission = Submission::new();
    for claim in claims {
        submission.push(&Command::Assert(claim.clone())).map_err(|error| error.to_string())?;
    }
    Ok(submission)
}

/// Checksum of a submission: what its acknowledgement names.
pub fn hash(claims: &[Assertion]) -> u32 {
    let mut bytes = Vec::new();
    claims.iter().for_each(|claim| Command::Assert(claim.clone()).encode(&mut bytes));
    crc32fast::hash(&bytes)
}

/// Which submission a journal entry is: `None` unless it is the whole one, claim for claim, and nothing else.
pub fn recognise(seed: u64, entry: &[u8]) -> Option<EntryId> {
    let commands = Entry::parse(Lsn(1), entry).and_then(|entry| entry.commands()).ok()?;
    let Some(Command::Assert(first)) = commands.first() else { return None };
    let op = place(&first.source)?;
    let expected = claims(seed, op);
    let is_whole = commands.len() == expected.len();
    let is_equal =
        |(found, claim): (&Command, &Assertion)| matches!(found, Command::Assert(found) if found == claim);
    (is_whole && commands.iter().zip(&expected).all(is_equal)).then_some(EntryId { op, index: 0 })
}

fn place(source: &str) -> Option<OpId> {
    let mut words = source.split('/');
    let op = OpId {
        life: words.next()?.parse().ok()?,
        thread: words.next()?.parse().ok()?,
        seq: words.next()?.parse().ok()?,
    };
    Some(op)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{history::History, protocol::Line};

    const SEED: u64 = 9;

    fn op(seq: u32) -> OpId {
        OpId { life: 3, thread: 0, seq }
    }

    /// As the engine lays entries out.
    fn entry(claims: &[Assertion]) -> Vec<u8> {
        let mut bytes = vec![1];
        bytes.extend_from_slice(&77i64.to_be_bytes());
        bytes.extend_from_slice(&u32::try_from(claims.len()).unwrap().to_be_bytes());
        claims.iter().for_each(|claim| Command::Assert(claim.clone()).encode(&mut bytes));
        bytes
    }

    fn entries(ops: &[u32]) -> Vec<Vec<u8>> {
        ops.iter().map(|&seq| entry(&claims(SEED, op(seq)))).collect()
    }

    /// Submissions 0..count, acknowledged at LSNs 1..=count.
    fn acknowledged(count: u32) -> History {
        let mut history = History::of_engine(SEED);
        history.begins(3, 1);
        for seq in 0..count {
            let hash = hash(&claims(SEED, op(seq)));
            history.record(3, &Line::Acked { thread: 0, seq, lsn: u64::from(seq) + 1, hash }).unwrap();
        }
        history
    }

    #[test]
    fn content_follows_from_its_place_alone_and_is_valid() {
        let mut counts = Vec::new();
        for seq in 0..60 {
            let made = claims(SEED, op(seq));
            assert_eq!(made, claims(SEED, op(seq)));
            assert_ne!(made, claims(SEED + 1, op(seq)));
            assert_eq!(submission(&made).unwrap().len(), made.len());
            assert_eq!(recognise(SEED, &entry(&made)), Some(EntryId { op: op(seq), index: 0 }));
            counts.push(made.len());
        }
        assert!(counts.contains(&1) && counts.iter().any(|&count| count > 20));
    }

    #[test]
    fn half_a_submission_a_changed_claim_and_another_order_are_not_recognised() {
        let large = (0..).map(op).find(|&op| count(SEED, op) > 3).unwrap();
        let made = claims(SEED, large);
        assert_eq!(recognise(SEED, &entry(&made[..made.len() - 1])), None);
        assert_eq!(recognise(SEED, &entry(&made[1..])), None);
        let mut changed = made.clone();
        changed[2].subject.push('x');
        assert_eq!(recognise(SEED, &entry(&changed)), None);
        let mut exchanged = made.clone();
        exchanged.swap(0, 1);
        assert_eq!(recognise(SEED, &entry(&exchanged)), None);
        assert_eq!(recognise(SEED, b"no entry"), None);
    }

    #[test]
    fn what_was_acknowledged_and_the_submission_under_way_may_be_there_and_nothing_else() {
        let history = acknowledged(5);
        let verdict = history.compare(1, entries(&[0, 1, 2, 3, 4]));
        assert!(verdict.problems.is_empty() && verdict.checked == 5, "{:?}", verdict.problems);
        assert!(history.compare(1, entries(&[0, 1, 2, 3, 4, 5])).problems.is_empty());
        // One that was never handed in, one too many, one lost, two exchanged.
        assert!(!history.compare(1, entries(&[0, 1, 2, 3, 4, 6])).problems.is_empty());
        assert!(!history.compare(1, entries(&[0, 1, 2, 3, 4, 4])).problems.is_empty());
        assert_eq!(history.compare(1, entries(&[0, 1, 2, 3])).lost, 1);
        assert_eq!(history.compare(1, entries(&[0, 1, 3, 2, 4])).lost, 2);
    }

    #[test]
    fn what_an_examination_has_shown_must_stay() {
        let mut history = acknowledged(2);
        let shown = history.compare(1, entries(&[0, 1, 2]));
        history.go_on_from(&shown);
        assert_eq!(history.compare(1, entries(&[0, 1])).lost, 1);
    }
}
