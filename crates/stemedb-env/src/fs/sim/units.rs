//! What has not reached the disk yet, cut into units that arrive wholly or not at all, and choices among them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::PathBuf,
};

use super::state::{Change, NameChange, Node, NodeId, State, UnitKey};

/// How the simulated disk behaves when the power goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Profile {
    /// Any subset of the pending units survives, whatever their order; sectors of 512 bytes. A lost sector reads as
    /// the old bytes, or as zeros where the file grew.
    #[default]
    Adversarial,
    /// Names survive in the order of issue over the whole file system; within one file a length survives only
    /// with all data before it. Overwritten sectors survive in any subset. As ext4 with `data=ordered` and delayed
    /// allocation: a renamed file may be empty.
    Ext4Like,
    /// As [`Profile::Adversarial`] with sectors of 4096 bytes.
    FourKn,
    /// What was issued before a surviving unit survives too: a disk without reordering.
    Prefix,
    /// As [`Profile::Adversarial`], and every sync answers "done" while its units stay pending. Acknowledged data
    /// can be lost on such a disk; an engine can be asked only to notice.
    Liar,
}

impl Profile {
    /// Size of the unit that the disk writes atomically.
    pub fn sector_bytes(self) -> usize {
        match self {
            Profile::FourKn => 4096,
            Profile::Adversarial | Profile::Ext4Like | Profile::Prefix | Profile::Liar => 512,
        }
    }

    /// Can a rename between two directories be half durable (both names)?
    pub(super) fn tears_renames(self) -> bool {
        !matches!(self, Profile::Ext4Like | Profile::Prefix)
    }
}

/// One pending unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingUnit {
    /// The mutating operation that issued it, counted from 1; units of one operation share it.
    pub operation: u64,
    /// Which file it belongs to; `None` for directory entries. The same number means the same file.
    pub file: Option<u64>,
    /// A visible name of that file, if it has one.
    pub path: Option<PathBuf>,
    /// What it would change.
    pub kind: UnitKind,
}

/// What a pending unit changes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum UnitKind {
    /// Bytes within one sector.
    Data {
        /// First byte in the file.
        offset: u64,
        /// Number of bytes; at most one sector.
        len: usize,
    },
    /// The length of the file, without its data.
    Length {
        /// In bytes.
        len: u64,
    },
    /// A new name.
    Link {
        /// The name within its directory.
        name: String,
    },
    /// A removed name.
    Unlink {
        /// The name within its directory.
        name: String,
    },
    /// An atomic rename.
    Rename {
        /// The old name within its directory.
        from: String,
        /// The new name within its directory.
        to: String,
    },
}

impl UnitKind {
    /// True for file bytes, false for lengths and names.
    pub fn is_data(&self) -> bool {
        matches!(self, UnitKind::Data { .. })
    }
}

/// Which of `m` pending units survive; index `i` is the `i`-th of [`super::SimFs::pending_units`].
#[derive(Clone, PartialEq, Eq)]
pub struct Selection {
    words: Vec<u64>,
    len: usize,
}

impl Selection {
    /// No unit of `len` survives.
    pub fn none(len: usize) -> Selection {
        Selection { words: vec![0; len.div_ceil(64)], len }
    }

    /// Every unit survives.
    pub fn all(len: usize) -> Selection {
        Selection::from_fn(len, |_| true)
    }

    /// The first `kept` units survive.
    pub fn prefix(len: usize, kept: usize) -> Selection {
        Selection::from_fn(len, |index| index < kept)
    }

    /// The units for which `keep` is true survive.
    pub fn from_fn(len: usize, mut keep: impl FnMut(usize) -> bool) -> Selection {
        let mut selection = Selection::none(len);
        for index in 0..len {
            if keep(index) {
                selection.set(index, true);
            }
        }
        selection
    }

    /// How many units there are to choose from.
    pub fn len(&self) -> usize {
        self.len
    }

    /// True when there is nothing to choose from.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Does unit `index` survive? False beyond the end.
    pub fn contains(&self, index: usize) -> bool {
        index < self.len && self.words.get(index / 64).is_some_and(|word| word >> (index % 64) & 1 == 1)
    }

    /// Decides about one unit. Ignored beyond the end.
    pub fn set(&mut self, index: usize, survives: bool) {
        if index >= self.len {
            return;
        }
        if let Some(word) = self.words.get_mut(index / 64) {
            let bit = 1 << (index % 64);
            *word = if survives { *word | bit } else { *word & !bit };
        }
    }

    /// How many units survive.
    pub fn count(&self) -> usize {
        self.words.iter().map(|word| word.count_ones() as usize).sum()
    }
}

impl fmt::Debug for Selection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}: ", self.count(), self.len)?;
        if self.count() == self.len {
            return f.write_str("all");
        }
        f.debug_set().entries((0..self.len).filter(|index| self.contains(*index))).finish()
    }
}

/// A pending unit with the place where it stands.
pub(super) struct Located {
    pub(super) key: UnitKey,
    pub(super) operation: u64,
    /// Within its file it may survive only after all ordered ones before it, under [`Profile::Ext4Like`].
    ordered: bool,
}

/// All pending units: by operation, names before files, within a file in the order of issue.
pub(super) fn collect(state: &State) -> Vec<Located> {
    let mut found = Vec::new();
    for (index, unit) in state.names.iter().enumerate() {
        found.push(Located { key: UnitKey::Name(index), operation: unit.operation, ordered: true });
    }
    for (id, node) in &state.nodes {
        let Node::File(file) = node else { continue };
        for (index, unit) in file.pending.iter().enumerate() {
            let ordered = match unit.change {
                Change::Data { extends, .. } => extends,
                Change::Grow { .. } | Change::SetLen { .. } => true,
            };
            found.push(Located { key: UnitKey::File(*id, index), operation: unit.operation, ordered });
        }
    }
    found.sort_by_key(|unit| (unit.operation, unit.key));
    found
}

/// The nearest choice below `selection` that the profile allows.
pub(super) fn allowed(profile: Profile, units: &[Located], selection: &Selection) -> Selection {
    match profile {
        Profile::Adversarial | Profile::FourKn | Profile::Liar => selection.clone(),
        Profile::Prefix => {
            let kept = (0..units.len()).take_while(|index| selection.contains(*index)).count();
            Selection::prefix(units.len(), kept)
        }
        Profile::Ext4Like => {
            let mut allowed = selection.clone();
            let mut names_cut = false;
            let mut files_cut: BTreeSet<NodeId> = BTreeSet::new();
            for (index, unit) in units.iter().enumerate().filter(|(_, unit)| unit.ordered) {
                match unit.key {
                    UnitKey::Name(_) => {
                        names_cut |= !selection.contains(index);
                        allowed.set(index, !names_cut);
                    }
                    UnitKey::File(file, _) => {
                        if !selection.contains(index) {
                            files_cut.insert(file);
                        }
                        allowed.set(index, !files_cut.contains(&file));
                    }
                }
            }
            allowed
        }
    }
}

/// The public description of each unit, in the order of [`collect`].
pub(super) fn describe(state: &State, units: &[Located]) -> Vec<PendingUnit> {
    let mut paths: BTreeMap<NodeId, PathBuf> = BTreeMap::new();
    for (path, node) in state.visible() {
        paths.entry(node).or_insert(path);
    }
    units
        .iter()
        .filter_map(|unit| {
            let (file, kind) = match unit.key {
                UnitKey::Name(index) => {
                    let kind = match &state.names.get(index)?.change {
                        NameChange::Link { name, .. } => UnitKind::Link { name: name.to_string() },
                        NameChange::Unlink { name, .. } => UnitKind::Unlink { name: name.to_string() },
                        NameChange::Rename { from, to, .. } => {
                            UnitKind::Rename { from: from.to_string(), to: to.to_string() }
                        }
                    };
                    (None, kind)
                }
                UnitKey::File(node, index) => {
                    let kind = match &state.file(node).ok()?.pending.get(index)?.change {
                        Change::Data { offset, start, end, .. } => {
                            UnitKind::Data { offset: *offset, len: end - start }
                        }
                        Change::Grow { len } | Change::SetLen { len } => UnitKind::Length { len: *len },
                    };
                    (Some(node), kind)
                }
            };
            let path = file.and_then(|file| paths.get(&file).cloned());
            Some(PendingUnit { operation: unit.operation, file, path, kind })
        })
        .collect()
}
