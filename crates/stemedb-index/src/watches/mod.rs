//! Watched answers: who asked to be told when an answer crosses a line, and what there is to tell.
//!
//! ```text
//! entry m ─ touched questions ─▶ watches of these ─ answer at m-1, answer at m ─ a line between them? ─▶ Notice
//!            └ a hash lookup a command                └ each at the clock of its own entry
//! ```
//!
//! The notices of a watch are a pure function of the journal and of the watch: `state(m)` is what its lens says at entry `m` with
//! the clock at the instant at which `m` was recorded, and there is a notice for every `m` after the watch's own position
//! where `state(m)` and `state(m - 1)` lie on different sides of one of its lines. So nothing is kept about what was
//! told, and a [`Follower`] that begins at any position gives from there on what another one gives that came from the beginning.

mod follower;
mod hooks;
mod notice;
mod watch;

pub use follower::{FollowCounts, Follower};
pub use notice::{Brief, Crossed, Notice};
pub use watch::{Registered, WATCH_ID_MAX_BYTES, Watch};
