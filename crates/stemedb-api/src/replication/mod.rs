//! More than one server of one past: the journal archived as it is written, a standby that follows the archive, and promotion.
//!
//! ```text
//! writer   commit ─▶ journal ─▶ ranges of frames ─▶ archive ─▶ standby: its own journal ─▶ reads
//!                                                     │ epoch N: the writer's turn
//! promote                                             │ epoch N + 1: the standby's ─ reads the archive to its end ─▶ writes
//!          fenced ◀── sees epoch N + 1 after a range ──┘
//! ```
//!
//! Nothing here knows HTTP. What can go wrong, and why nothing is lost: `docs/design/standby.md`.

mod archiving;
mod follow;
mod standby;

pub use archiving::{Archiving, ArchivingOptions};
pub use follow::Follower;
pub use standby::{Promotion, Standby, StandbyOptions, claim_restored, followed, prepare};
