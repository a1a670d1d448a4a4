//! Where merges that have begun will put their tables.
//!
//! An output may reach over a gap between two inputs. Whoever adds tables of newer rows meanwhile (an ingest) asks here how
//! deep they may lie without meeting it.

use parking_lot::{Mutex, MutexGuard};

/// Where one merge writes.
#[derive(Clone, Debug)]
pub(crate) struct Claim {
    pub(crate) smallest: Vec<u8>,
    pub(crate) largest: Vec<u8>,
    /// The least of the levels of its outputs.
    pub(crate) level: usize,
}

/// The claims of all merges under way. Locked while a merge is chosen, so that it either sees a table or is seen by whoever
/// adds it.
#[derive(Debug, Default)]
pub(crate) struct Claims {
    list: Mutex<Vec<Claim>>,
}

impl Claims {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Vec<Claim>> {
        self.list.lock()
    }
}

/// The deepest level at or above `level` at which newer rows between two keys meet no output of these merges.
pub(crate) fn deepest_beside(claims: &[Claim], smallest: &[u8], largest: &[u8], level: usize) -> usize {
    claims
        .iter()
        .filter(|claim| claim.smallest.as_slice() <= largest && claim.largest.as_slice() >= smallest)
        .map(|claim| claim.level.saturating_sub(1))
        .fold(level, usize::min)
}
