//! Long work that a request begins and does not wait for.
//!
//! ```text
//! POST ─▶ begin ─▶ 202 with a number ─▶ a thread of its own: progress · result or problem
//!           └ the same kind runs: its number · the same Idempotency-Key: its number
//! GET  ─▶ what is known about a number; the newest ended jobs are kept
//! ```
//!
//! One registry for every kind: compactions and verifications that were asked for, backups, archivings. It keeps no thread and no
//! database; each job does, while it runs.

mod record;
mod registry;

pub(crate) use record::JobJson;
pub use record::{JobKind, JobRecord, JobState};
pub use registry::Jobs;
pub(crate) use registry::{Begun, JobFailure, Refused, Running};
