//! The records of the database and their rules.
//!
//! Records are plain structs with public fields. Nothing is checked while one is being built; `validate` checks all
//! rules at once and names the first field that breaks one.

mod agent;
mod assertion;
mod class;
mod cosign;
mod epoch;
mod error;
mod micros;
mod nano;
mod source;
mod supersession;
pub(crate) mod text;
mod vote;

pub use agent::Agent;
pub use assertion::Assertion;
pub use class::{Lifecycle, SourceClass};
pub use cosign::Cosign;
pub use epoch::{Epoch, is_out_of_epoch};
pub use error::{ModelError, Problem};
pub use micros::Micros;
pub use nano::Nano;
pub use source::Source;
pub use supersession::{Supersession, SupersessionKind};
pub use text::{
    NAME_MAX_BYTES, NUMBER_MAX_BYTES, OBJECT_MAX_BYTES, PARENTS_MAX, REASON_MAX_BYTES, SIGNATURES_MAX,
    TIME_MAX_BYTES, URI_MAX_BYTES,
};
pub use vote::Vote;
