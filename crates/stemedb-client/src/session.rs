//! Reading what was written: the newest position that was seen.

use std::sync::{Arc, Mutex, PoisonError};

use crate::position::Position;

/// The newest position that a client has seen in replies. Whoever asks with it is never answered from before it.
///
/// Clones are one and the same. To carry it to another process, send [`position`](Session::position) as text and give it to
/// [`observe`](Session::observe) there.
#[derive(Clone, Debug, Default)]
pub struct Session(Arc<Mutex<Option<Position>>>);

impl Session {
    /// Nothing seen yet.
    pub fn new() -> Session {
        Session::default()
    }

    /// The newest position that was seen.
    pub fn position(&self) -> Option<Position> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a position into account; an older one changes nothing.
    pub fn observe(&self, position: Position) {
        let mut newest = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *newest = (*newest).max(Some(position));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_newer_positions_count_and_clones_share_them() {
        let session = Session::new();
        let at = |timeline, lsn| Position { timeline, lsn };
        session.clone().observe(at(1, 5));
        session.observe(at(1, 3));
        assert_eq!(session.position(), Some(at(1, 5)));
        session.observe(at(2, 1));
        assert_eq!(session.position(), Some(at(2, 1)));
    }
}
