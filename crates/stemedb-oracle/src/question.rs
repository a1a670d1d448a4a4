//! What is asked.

/// One question, with everything that an answer depends on besides the records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Question {
    /// What it is about.
    pub subject: String,
    /// Which property of it.
    pub predicate: String,
    /// One of [`LENSES`](crate::LENSES).
    pub lens: String,
    /// The last LSN that is known.
    pub as_of: u64,
    /// The instant at which validity and age are measured.
    pub evaluated_at_us: i64,
    /// Whether confidences fade with age.
    pub decay: bool,
    /// The epoch asked about; `None` is whatever has not been superseded.
    pub epoch: Option<String>,
    /// Numbers nearer than this are one value: `0.5` is a distance, `0.1%` a part of the anchor.
    pub tolerance: Option<String>,
    /// Sources that never spoke.
    pub without_sources: Vec<String>,
    /// Agents that never wrote, voted or signed.
    pub without_agents: Vec<String>,
    /// Claims of a class above this were never made.
    pub max_class: Option<u8>,
}
