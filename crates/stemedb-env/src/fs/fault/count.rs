//! What was called, and what was made to fail.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use super::FaultClass;
use crate::IoOp;

/// How often faults were injected, per class and call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FaultCounts {
    pub(super) hits: BTreeMap<(FaultClass, IoOp), u64>,
}

impl FaultCounts {
    /// Hits of a class on one kind of call.
    pub fn hits(&self, class: FaultClass, op: IoOp) -> u64 {
        self.hits.get(&(class, op)).copied().unwrap_or(0)
    }

    /// Hits of a class on any call. A run that meant to inject a class and shows 0 has proved nothing.
    pub fn class(&self, class: FaultClass) -> u64 {
        self.hits.iter().filter(|((found, _), _)| *found == class).map(|(_, hits)| hits).sum()
    }

    /// All hits.
    pub fn total(&self) -> u64 {
        self.hits.values().sum()
    }

    /// Every class and call with at least one hit, in a fixed order.
    pub fn iter(&self) -> impl Iterator<Item = (FaultClass, IoOp, u64)> + '_ {
        self.hits.iter().map(|((class, op), hits)| (*class, *op, *hits))
    }

    /// Adds the hits of another run.
    pub fn add(&mut self, other: &FaultCounts) {
        for (key, hits) in &other.hits {
            *self.hits.entry(*key).or_insert(0) += hits;
        }
    }
}

/// Calls of one kind on one path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CallCount {
    /// How many, failed ones too.
    pub calls: u64,
    /// Bytes that reads and writes moved.
    pub bytes: u64,
}

/// What was called how often, per kind and path. The path of a handle is the one it was opened under.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallCounts {
    pub(super) counts: BTreeMap<(IoOp, PathBuf), CallCount>,
}

impl CallCounts {
    /// The sum over all paths that contain `path_part`; the empty text is in every path.
    pub fn of(&self, op: IoOp, path_part: &str) -> CallCount {
        self.counts
            .iter()
            .filter(|((found, path), _)| *found == op && path.to_string_lossy().contains(path_part))
            .fold(CallCount::default(), |sum, (_, count)| CallCount {
                calls: sum.calls + count.calls,
                bytes: sum.bytes + count.bytes,
            })
    }

    /// Reads of files whose path contains `path_part`.
    pub fn reads(&self, path_part: &str) -> u64 {
        self.of(IoOp::Read, path_part).calls
    }

    /// Writes of files whose path contains `path_part`.
    pub fn writes(&self, path_part: &str) -> u64 {
        self.of(IoOp::Write, path_part).calls
    }

    /// Syncs of files whose path contains `path_part`.
    pub fn syncs(&self, path_part: &str) -> u64 {
        self.of(IoOp::SyncData, path_part).calls
    }

    /// Every call and path, in a fixed order.
    pub fn iter(&self) -> impl Iterator<Item = (IoOp, &Path, CallCount)> + '_ {
        self.counts.iter().map(|((op, path), count)| (*op, path.as_path(), *count))
    }
}
