//! Which sequence has which number.
//!
//! Sequences are numbered by length, and within a length in an order that is fixed but scattered, so that a run that ends
//! early has seen every kind of beginning, every profile and every kind of end.

use stemedb_env::fs::sim::{CrashOptions, Profile};

use super::{OPS, Op};
use crate::subject::Shape;

/// A sequence, and the disk that it runs on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sequence {
    /// The disk.
    pub profile: Profile,
    /// The steps.
    pub ops: Vec<Op>,
}

/// What a run goes through.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The disks.
    pub profiles: Vec<Profile>,
    /// Longest sequences.
    pub length: u32,
    /// Sizes of the journals.
    pub shape: Shape,
    /// One state in so many is crashed again at every point of its recovery.
    pub nested_every: u64,
}

/// A prime without a common factor with any size of a length, near the golden ratio of 2^32 (Knuth, TAOCP 3, 6.4): steps of
/// it visit everything once, far apart.
const STRIDE: u128 = 2_654_435_761;

impl Plan {
    /// Every sequence up to this length on every honest disk.
    pub fn honest(length: u32) -> Plan {
        Plan {
            profiles: vec![Profile::Adversarial, Profile::Ext4Like, Profile::FourKn, Profile::Prefix],
            length,
            shape: Shape::TINY,
            nested_every: 120,
        }
    }

    /// Every sequence up to this length on a disk whose syncs do nothing.
    pub fn lying(length: u32) -> Plan {
        Plan { profiles: vec![Profile::Liar], nested_every: u64::MAX, ..Plan::honest(length) }
    }

    fn of_length(&self, length: u32) -> u64 {
        (OPS.len() as u64).saturating_pow(length).saturating_mul(self.profiles.len() as u64)
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
        let profile = *self.profiles.get(rest % self.profiles.len())?;
        rest /= self.profiles.len();
        let mut ops = Vec::new();
        for _ in 0..length {
            ops.push(*OPS.get(rest % OPS.len())?);
            rest /= OPS.len();
        }
        Some(Sequence { profile, ops })
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
        assert_eq!(plan.len(), 4 * (14 + 196));
        let all: BTreeSet<String> =
            (0..plan.len()).map(|n| format!("{:?}", plan.sequence(n).unwrap())).collect();
        assert_eq!(all.len() as u64, plan.len());
        assert_eq!(plan.sequence(plan.len()), None);
    }
}
