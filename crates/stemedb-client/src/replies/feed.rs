//! What was recorded, in order.

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::value::RawValue;

use crate::{
    error::Error,
    records::{Agent, Assertion, Cosignature, Epoch, Source, Supersession, Vote},
    transport::not_understood,
};

/// One change, as the feed tells it.
#[derive(Clone, Debug, Deserialize)]
#[non_exhaustive]
pub struct Change {
    /// The entry.
    pub lsn: u64,
    /// Its place in the entry.
    pub ordinal: u32,
    /// How many changes the entry has: they were recorded together.
    pub of: u32,
    /// When it was recorded.
    pub recorded_at: String,
    /// `assert`, `vote`, `supersede`, `epoch`, `source`, `cosign` or `agent`.
    pub kind: String,
    /// The id of a claim.
    pub id: Option<String>,
    record: Box<RawValue>,
}

/// What a change records.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum ChangeRecord {
    /// A claim.
    Assertion(Assertion),
    /// A vote.
    Vote(Vote),
    /// A supersession.
    Supersession(Supersession),
    /// An epoch.
    Epoch(Epoch),
    /// A source.
    Source(Source),
    /// A co-signature.
    Cosignature(Cosignature),
    /// An agent.
    Agent(Agent),
    /// A kind that came after this client was made; its JSON.
    Other(String),
}

impl Change {
    /// What it records.
    ///
    /// # Errors
    /// [`Error::NotUnderstood`].
    pub fn record(&self) -> Result<ChangeRecord, Error> {
        Ok(match self.kind.as_str() {
            "assert" => ChangeRecord::Assertion(self.read()?),
            "vote" => ChangeRecord::Vote(self.read()?),
            "supersede" => ChangeRecord::Supersession(self.read()?),
            "epoch" => ChangeRecord::Epoch(self.read()?),
            "source" => ChangeRecord::Source(self.read()?),
            "cosign" => ChangeRecord::Cosignature(self.read()?),
            "agent" => ChangeRecord::Agent(self.read()?),
            _ => ChangeRecord::Other(self.record.get().to_owned()),
        })
    }

    fn read<T: DeserializeOwned>(&self) -> Result<T, Error> {
        serde_json::from_str(self.record.get()).map_err(|error| not_understood("/v1/feed", error))
    }
}
