//! Which sequence has which number.
//!
//! Sequences are numbered by length, and within a length in an order that is fixed but scattered, so that a run that ends
//! early has seen every kind of beginning, every ground and every kind of end.

use std::fmt;

use stemedb_env::fs::sim::{CrashOptions, Profile};

use super::{OPS, Op};
use crate::subject::Shape;

/// A disk, a journal's habits on it, and what has happened before.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Ground {
    /// The disk.
    pub profile: Profile,
    /// Sizes and habits of the journal.
    pub shape: Shape,
    /// Operations before the first one of each sequence.
    pub before: &'static [Op],
}

/// Two segments that may be released, one of them full, and a third with a group in it: what can happen to old segments
/// is then within reach of short sequences.
const AGED: &[Op] = &[Op::Large, Op::Large, Op::Group, Op::Rotate, Op::Small];

impl fmt::Debug for Ground {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let age = if self.before.is_empty() { "new" } else { "aged" };
        write!(f, "{:?} ({:?}, {age})", self.profile, self.shape)
    }
}

/// A sequence, and the ground that it runs on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sequence {
    /// The ground.
    pub ground: Ground,
    /// The steps.
    pub ops: Vec<Op>,
}

/// What a run goes through.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Disks and habits.
    pub grounds: Vec<Ground>,
    /// Longest sequences.
    pub length: u32,
    /// One state in so many is crashed again at every point of its recovery.
    pub nested_every: u64,
}

/// A prime without a common factor with any size of a length, near the golden ratio of 2^32 (Knuth, TAOCP 3, 6.4): steps of
/// it visit everything once, far apart.
const STRIDE: u128 = 2_654_435_761;

impl Plan {
    /// Every sequence up to this length on every honest disk. Files that are written ahead, used again and compressed are
    /// met on the worst one.
    pub fn honest(length: u32) -> Plan {
        const RECYCLES: Shape = Shape { recycles: true, ..Shape::TINY };
        const GROWS: Shape = Shape { prepares: false, packs: false, ..Shape::TINY };
        let new = |profile, shape| Ground { profile, shape, before: &[] };
        let aged = |profile, shape| Ground { profile, shape, before: AGED };
        let grounds = vec![
            new(Profile::Adversarial, Shape::TINY),
            aged(Profile::Adversarial, Shape::TINY),
            aged(Profile::Adversarial, RECYCLES),
            new(Profile::Adversarial, GROWS),
            aged(Profile::Ext4Like, Shape::TINY),
            new(Profile::FourKn, Shape { recycles: true, ..GROWS }),
            aged(Profile::FourKn, Shape::TINY),
            aged(Profile::Prefix, RECYCLES),
        ];
        Plan { grounds, length, nested_every: 120 }
    }

    /// Every sequence up to this length on a disk whose syncs do nothing.
    pub fn lying(length: u32) -> Plan {
        let ground = |before| Ground { profile: Profile::Liar, shape: Shape::TINY, before };
        Plan { grounds: vec![ground(&[]), ground(AGED)], length, nested_every: u64::MAX }
    }

    /// Is it about disks that lie?
    pub fn is_lying(&self) -> bool {
        self.grounds.iter().all(|ground| ground.profile == Profile::Liar)
    }

    fn of_length(&self, length: u32) -> u64 {
        (OPS.len() as u64).saturating_pow(length).saturating_mul(self.grounds.len() as u64)
    }

    /// How many sequences there are.
    pub fn len(&self) -> u64 {
        (1..=self.length).map(|length| self.of_length(length)).fold(0, u64::saturating_add)
    }

    /// True when there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The sequence with this number; `None` beyond the last one.
    pub fn sequence(&self, number: u64) -> Option<Sequence> {
        let mut number = number;
        let mut length = 1;
        while number >= self.of_length(length) {
            number -= self.of_length(length);
            length += 1;
            if length > self.length {
                return None;
            }
        }
        let scattered = u128::from(number) * STRIDE % u128::from(self.of_length(length));
        let mut rest = usize::try_from(scattered).ok()?;
        let ground = *self.grounds.get(rest % self.grounds.len())?;
        rest /= self.grounds.len();
        let mut ops = Vec::new();
        for _ in 0..length {
            ops.push(*OPS.get(rest % OPS.len())?);
            rest /= OPS.len();
        }
        Some(Sequence { ground, ops })
    }

    /// How thoroughly the outcomes of a crash are visited: short sequences more than the many long ones.
    pub fn outcomes(&self, length: usize) -> CrashOptions {
        match length {
            0..=2 => CrashOptions { exhaustive_units: 12, samples: 64, seed: 1 },
            3 => CrashOptions { exhaustive_units: 9, samples: 24, seed: 1 },
            _ => CrashOptions { exhaustive_units: 6, samples: 8, seed: 1 },
        }
    }

    /// Outcomes of a crash inside recovery.
    pub fn nested_outcomes(&self) -> CrashOptions {
        CrashOptions { exhaustive_units: 5, samples: 8, seed: 2 }
    }

    /// Tells plans apart: a progress file of another one must not be continued.
    pub fn fingerprint(&self) -> u64 {
        let shown =
            format!("{:?} {:?} {:?}", self, OPS, (self.outcomes(2), self.outcomes(3), self.outcomes(4)));
        crate::dice::digest(shown.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_sequence_has_one_number() {
        let plan = Plan::honest(2);
        assert_eq!(plan.len(), 8 * (14 + 196));
        let all: BTreeSet<String> =
            (0..plan.len()).map(|n| format!("{:?}", plan.sequence(n).unwrap())).collect();
        assert_eq!(all.len() as u64, plan.len());
        assert_eq!(plan.sequence(plan.len()), None);
    }
}
