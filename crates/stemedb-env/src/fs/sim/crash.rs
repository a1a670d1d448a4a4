//! What a power cut leaves: images of the disk, and their enumeration.
//!
//! With `m` pending units at one moment there are `2^m` outcomes. For small `m` all of them are visited; for larger
//! `m` the structured ones (nothing, everything, every prefix, all but one, only one, one file only, the last write
//! torn at each sector, lengths without data, data without names) and a seeded random sample. Outcomes that look
//! the same on the disk are visited once.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::Arc,
};

use super::{
    SimFs,
    content::fold,
    state::{DirState, FileState, NameChange, Node, NodeId, ROOT, State, UnitKey},
    units::{self, Located, PendingUnit, Selection},
};
use crate::{IoOp, Random, random::SeededRandom};

/// The state of the disk after a power cut in which exactly the selected units survived.
pub(super) fn image(state: &State, located: &[Located], selection: &Selection) -> State {
    let selection = units::allowed(state.profile, located, selection);
    let mut dirs: BTreeMap<NodeId, super::state::Names> = BTreeMap::new();
    let mut survivors: BTreeMap<NodeId, Vec<usize>> = BTreeMap::new();
    for (index, unit) in located.iter().enumerate() {
        if !selection.contains(index) {
            continue;
        }
        match unit.key {
            UnitKey::Name(index) => {
                if let Some(unit) = state.names.get(index) {
                    persist(&unit.change, state, &mut dirs);
                }
            }
            // `located` keeps the order of issue within a file.
            UnitKey::File(file, index) => survivors.entry(file).or_default().push(index),
        }
    }

    let mut image = State::new(state.profile);
    image.next_node = state.next_node;
    let mut open = vec![ROOT];
    while let Some(node) = open.pop() {
        match state.nodes.get(&node) {
            Some(Node::Dir(dir)) => {
                let names = dirs.remove(&node).unwrap_or_else(|| Arc::clone(&dir.durable));
                open.extend(names.values().filter(|child| !image.nodes.contains_key(child)));
                let dir = DirState { durable: Arc::clone(&names), visible: names };
                image.nodes.insert(node, Node::Dir(Arc::new(dir)));
            }
            Some(Node::File(file)) if file.pending.is_empty() && !file.ghosts => {
                image.nodes.insert(node, Node::File(Arc::clone(file)));
            }
            Some(Node::File(file)) => {
                let mut durable = file.durable.clone();
                for unit in survivors.get(&node).into_iter().flatten() {
                    if let Some(unit) = file.pending.get(*unit) {
                        unit.change.apply(&mut durable);
                    }
                }
                let file = FileState {
                    visible: durable.clone(),
                    durable,
                    modified: file.modified,
                    ..FileState::default()
                };
                image.nodes.insert(node, Node::File(Arc::new(file)));
            }
            None => {}
        }
    }
    image
}

fn persist(change: &NameChange, state: &State, dirs: &mut BTreeMap<NodeId, super::state::Names>) {
    change.apply(|dir, edit| {
        let names = dirs
            .entry(dir)
            .or_insert_with(|| state.dir(dir).map(|dir| Arc::clone(&dir.durable)).unwrap_or_default());
        edit(Arc::make_mut(names));
    });
}

/// Equal for file systems on which a program finds the same names, lengths and bytes.
pub(super) fn hash(state: &State) -> u128 {
    let mut hasher = blake3::Hasher::new();
    hash_dir(state, ROOT, &mut hasher);
    fold(hasher.finalize().as_bytes())
}

fn hash_dir(state: &State, node: NodeId, hasher: &mut blake3::Hasher) {
    let Ok(dir) = state.dir(node) else { return };
    hasher.update(&(dir.visible.len() as u64).to_le_bytes());
    for (name, child) in dir.visible.iter() {
        hasher.update(&(name.len() as u64).to_le_bytes());
        hasher.update(name.as_bytes());
        match state.nodes.get(child) {
            Some(Node::File(file)) => {
                hasher.update(&[0]);
                file.visible.hash_into(hasher);
            }
            Some(Node::Dir(_)) => {
                hasher.update(&[1]);
                hash_dir(state, *child, hasher);
            }
            None => {
                hasher.update(&[2]);
            }
        }
    }
}

/// How thoroughly the outcomes of one power cut are visited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CrashOptions {
    /// Up to this many pending units every subset is visited; at most 20 is honoured.
    pub exhaustive_units: usize,
    /// Random subsets visited when there are more.
    pub samples: usize,
    /// Seed of the random subsets.
    pub seed: u64,
}

impl Default for CrashOptions {
    fn default() -> Self {
        CrashOptions { exhaustive_units: 12, samples: 64, seed: 0 }
    }
}

/// One outcome of a power cut.
#[derive(Clone, Debug)]
pub struct CrashState {
    /// The disk, as the next start of the program finds it.
    pub fs: SimFs,
    /// Which pending units survived.
    pub selection: Selection,
    /// [`SimFs::image_hash`] of `fs`.
    pub hash: u128,
}

/// Iterator over the distinct outcomes of a power cut at one moment.
pub struct CrashStates {
    fs: SimFs,
    state: State,
    located: Vec<Located>,
    plan: Plan,
    seen: BTreeSet<u128>,
    considered: u64,
}

enum Plan {
    /// Subsets as bit masks, from none to all.
    Every {
        next: u64,
        end: u64,
    },
    Listed(std::vec::IntoIter<Selection>),
}

impl std::fmt::Debug for CrashStates {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CrashStates")
            .field("units", &self.located.len())
            .field("considered", &self.considered)
            .field("distinct", &self.seen.len())
            .finish_non_exhaustive()
    }
}

impl CrashStates {
    pub(super) fn new(fs: SimFs, state: State, options: &CrashOptions) -> CrashStates {
        let located = units::collect(&state);
        let m = located.len();
        let plan = if m <= options.exhaustive_units.min(20) {
            Plan::Every { next: 0, end: 1 << m }
        } else {
            Plan::Listed(structured(&units::describe(&state, &located), options).into_iter())
        };
        CrashStates { fs, state, located, plan, seen: BTreeSet::new(), considered: 0 }
    }

    /// Selections looked at so far, with those that gave an image seen before.
    pub fn considered(&self) -> u64 {
        self.considered
    }

    /// Distinct images returned so far.
    pub fn distinct(&self) -> u64 {
        self.seen.len() as u64
    }
}

impl Iterator for CrashStates {
    type Item = CrashState;

    fn next(&mut self) -> Option<CrashState> {
        loop {
            let selection = match &mut self.plan {
                Plan::Every { next, end } if *next < *end => {
                    let mask = *next;
                    *next += 1;
                    Selection::from_fn(self.located.len(), |index| mask >> index & 1 == 1)
                }
                Plan::Every { .. } => return None,
                Plan::Listed(list) => list.next()?,
            };
            self.considered += 1;
            let image = image(&self.state, &self.located, &selection);
            let hash = hash(&image);
            if self.seen.insert(hash) {
                let selection = units::allowed(self.state.profile, &self.located, &selection);
                return Some(CrashState { fs: self.fs.with_state(image), selection, hash });
            }
        }
    }
}

/// The outcomes worth visiting when there are too many for all: about `3 m + samples`.
fn structured(units: &[PendingUnit], options: &CrashOptions) -> Vec<Selection> {
    let m = units.len();
    let mut list: Vec<Selection> = (0..=m).map(|kept| Selection::prefix(m, kept)).collect();
    list.extend((0..m).map(|lost| Selection::from_fn(m, |index| index != lost)));
    list.extend((0..m).map(|only| Selection::from_fn(m, |index| index == only)));

    let files: BTreeSet<Option<u64>> = units.iter().map(|unit| unit.file).collect();
    for file in &files {
        let of_file = |index: usize| units.get(index).is_some_and(|unit| unit.file == *file);
        list.push(Selection::from_fn(m, of_file));
        list.push(Selection::from_fn(m, |index| !of_file(index)));
    }
    let is_data = |index: usize| units.get(index).is_some_and(|unit| unit.kind.is_data());
    let is_name = |index: usize| units.get(index).is_some_and(|unit| unit.file.is_none());
    list.push(Selection::from_fn(m, is_data));
    list.push(Selection::from_fn(m, is_name));
    list.push(Selection::from_fn(m, |index| !is_data(index)));
    list.push(Selection::from_fn(m, |index| !is_name(index)));

    // The last write torn from the front; the prefixes have torn it from the back.
    let last = units.iter().rev().find(|unit| unit.kind.is_data()).map(|unit| unit.operation);
    let torn = |index: usize| is_data(index) && units.get(index).map(|unit| unit.operation) == last;
    for cut in (0..m).filter(|index| torn(*index)) {
        list.push(Selection::from_fn(m, |index| index > cut || !torn(index)));
    }

    let random = SeededRandom::new(options.seed ^ m as u64);
    for _ in 0..options.samples {
        // Sparse, balanced and dense subsets lead to different parts of recovery.
        let chance = [32, 128, 224][(random.next_u64() % 3) as usize];
        list.push(Selection::from_fn(m, |_| random.next_u64() % 256 < chance));
    }
    list
}

/// What a simulated file system had just done at a crash point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// The call.
    pub op: IoOp,
    /// Its path, as the caller named it.
    pub path: PathBuf,
}

/// The whole file system at the gap after one mutating operation, recorded while a workload ran.
#[derive(Clone, Debug)]
pub struct CrashPoint {
    /// How many mutating operations had been done.
    pub mutations: u64,
    /// The last of them; `None` at the start and where only the note changed.
    pub operation: Option<Operation>,
    /// The latest [`SimFs::note`]: usually how much the workload had seen acknowledged.
    pub note: u64,
    /// The file system at that moment, with its pending units; free to be used and changed.
    pub fs: SimFs,
}
