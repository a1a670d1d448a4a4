//! The JSON of requests, import lines and answers.
//!
//! Reading is by hand over serde_json's parser, because a derived reader can say *that* a member is wrong, but not which
//! one in a form that a program can use. Every refusal names the member by a JSON pointer and carries a stable code;
//! members that are not known, keys that come twice, and values of the wrong type are refused, never dropped.
//!
//! ```text
//! bytes ─ UTF-8 ─ members (one pass, texts borrowed) ─ record ─ rules of the model ─▶ Command
//! Answer ─────────────────────────────────────────────────────────────────────────▶ JSON
//! ```
//!
//! Numbers keep their text in both directions: what was claimed as `373.150` is answered as `373.150`.

mod agent;
mod answer;
mod asked;
mod change;
mod claim;
mod difference;
mod explain;
mod exported;
mod fragility;
mod history;
mod impact;
mod list;
mod members;
mod object;
mod receipt;
mod records;
mod values;
mod watch;

pub use agent::AgentJson;
pub use answer::{AnswerJson, LayeredJson, SkepticJson};
pub use change::ChangeJson;
pub use claim::ClaimJson;
pub use difference::DifferenceJson;
pub use exported::{RECORD_KINDS, RecordJson, exported};
pub use history::HistoryJson;
pub use impact::ImpactJson;
pub use list::{ClaimPageJson, ConflictPageJson, KnowledgeJson, QuestionPageJson};
pub use members::Member;
pub use object::{ObjectJson, parse_object};
pub use receipt::{ReceiptJson, ServerKeyJson};
pub use records::{
    AGENT_FIELDS, ASSERT_FIELDS, COSIGN_FIELDS, EPOCH_FIELDS, SOURCE_FIELDS, SUPERSEDE_FIELDS, VOTE_FIELDS,
    agent, assertion, cosign, epoch, import_line, source, supersession, vote, vote_by,
};
pub(crate) use values::cells;
#[cfg(feature = "server")]
pub(crate) use values::instant;
#[cfg(feature = "server")]
pub(crate) use watch::watch_at;
pub use watch::{NoticeJson, RegisteredJson, WATCH_FIELDS, WatchJson, WatchPageJson, watch};
pub(crate) use watch::{check as check_watch, check_watch_id};
