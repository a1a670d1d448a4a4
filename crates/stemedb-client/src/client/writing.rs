//! Routes that record something.
//!
//! All of them may be repeated: what was recorded before is answered with `created: false`.

use serde::Serialize;

use super::{Client, body_of};
use crate::{
    error::Error,
    records::{Agent, Assertion, Epoch, Source, Supersession, Vote},
    replies::Recorded,
    transport::Call,
};

impl Client {
    /// Records a claim. The same claim again changes nothing.
    ///
    /// # Errors
    /// [`Error`]; as all methods.
    pub fn assert(&self, claim: &Assertion) -> Result<Recorded, Error> {
        self.record("/v1/assert", claim)
    }

    /// Records a vote.
    ///
    /// # Errors
    /// `unknown_claim` where the claim does not exist.
    pub fn vote(&self, vote: &Vote) -> Result<Recorded, Error> {
        self.record("/v1/vote", vote)
    }

    /// Sets a claim aside.
    ///
    /// # Errors
    /// `authority_too_low`, `supersession_cycle`, `unknown_claim`.
    pub fn supersede(&self, supersession: &Supersession) -> Result<Recorded, Error> {
        self.record("/v1/supersede", supersession)
    }

    /// Opens an epoch.
    ///
    /// # Errors
    /// [`Error`].
    pub fn epoch(&self, epoch: &Epoch) -> Result<Recorded, Error> {
        self.record("/v1/epoch", epoch)
    }

    /// Records what is known about a source.
    ///
    /// # Errors
    /// [`Error`].
    pub fn source(&self, source: &Source) -> Result<Recorded, Error> {
        self.record("/v1/source", source)
    }

    /// Records what is known about an agent.
    ///
    /// # Errors
    /// [`Error`].
    pub fn agent(&self, agent: &Agent) -> Result<Recorded, Error> {
        self.record("/v1/agent", agent)
    }

    fn record(&self, path: &str, record: &impl Serialize) -> Result<Recorded, Error> {
        self.json(&Call::send("POST", path, body_of(record)?))
    }
}
