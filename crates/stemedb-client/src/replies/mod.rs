//! What the server answers. Members that came after this client was made are left out, names are kept as they are said.

mod admin;
mod answer;
mod claim;
mod difference;
mod feed;
mod health;
mod listing;
mod watch;

pub use self::{
    admin::{
        ApiKey, ApiKeys, Job, JobProblem, LogLevel, Scrub, ServerKey, SlowQueries, SlowQuery, StorageCheck,
        StorageEvent, StorageEvents, StorageStats,
    },
    answer::{
        Answer, Candidate, Disagreement, Fragility, Known, Layer, Layers, Receipt, Removal, SetAside,
        Tainted, ValueSupport, VoteOn,
    },
    claim::{AgentKnown, Chain, History, Impact, Lineage, Link, Near, Recorded, Remark, StoredAssertion},
    difference::{AnswerChange, Brief, Difference, QuestionChange, QuestionRef},
    feed::{Change, ChangeRecord},
    health::{Check, Health, Readiness, View},
    listing::{Conflict, Knowledge, QuestionSummary},
    watch::{Notice, RegisteredWatch, Registration, Watch, WatchesAdded},
};
pub(crate) use self::{
    admin::{JobList, ListedKeys},
    listing::{ClaimPage, ConflictPage, QuestionPage},
    watch::WatchPage,
};
