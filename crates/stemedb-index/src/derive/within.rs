//! The part of a derivation that meets a span of keys.

use std::ops::RangeInclusive;

use stemedb_lsm::{Op, WriteBatch};

/// True if an operation touches a key of the span. A removed range does if it has a key in common with it.
fn meets(op: &Op<'_>, keys: &RangeInclusive<&[u8]>) -> bool {
    match op {
        Op::Put { key, .. } | Op::Delete { key } => keys.contains(key),
        // Its end is not part of a range.
        Op::DeleteRange { start, end } => {
            keys.start() <= keys.end() && start <= keys.end() && end > keys.start()
        }
    }
}

/// Appends an operation if it meets the span.
pub(super) fn push_if_within(op: &Op<'_>, keys: &RangeInclusive<&[u8]>, rows: &mut WriteBatch) {
    if !meets(op, keys) {
        return;
    }
    match op {
        Op::Put { key, value } => rows.put(key, value),
        Op::Delete { key } => rows.delete(key),
        Op::DeleteRange { start, end } => rows.delete_range(start, end),
    }
}
