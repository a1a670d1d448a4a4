//! What is known about an agent.

use stemedb_core::{Agent, AgentId, Micros};
use stemedb_env::Lsn;
use stemedb_index::Position;

use super::{AsOf, Database};
use crate::errors::Result;

/// What is known about an agent at a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentKnown {
    /// The agent.
    pub id: AgentId,
    /// Its newest record, where that stands and when it was recorded; `None` if nothing was recorded.
    pub record: Option<(Agent, Position, Micros)>,
    /// The LSN whose knowledge answered.
    pub lsn: Lsn,
}

impl AgentKnown {
    /// The agent as it counts: its record, or one that says nothing.
    pub fn agent(&self) -> Agent {
        self.record.as_ref().map_or_else(|| Agent::new(self.id), |(agent, ..)| agent.clone())
    }
}

impl Database {
    /// What is known about an agent now, or was known at a moment.
    ///
    /// # Errors
    /// As [`Database::reader`], and where the store fails.
    pub fn agent_known(&self, id: AgentId, as_of: Option<AsOf>) -> Result<AgentKnown> {
        let reader = self.reader(as_of)?;
        let record = match reader.agent(id)? {
            None => None,
            Some((at, agent)) => {
                let missing = stemedb_index::Error::BadKey { family: stemedb_index::Family::Entry };
                let recorded_at = reader.recorded_at(at.lsn)?.ok_or(missing)?;
                Some((agent, at, Micros(recorded_at.0)))
            }
        };
        Ok(AgentKnown { id, record, lsn: reader.lsn() })
    }
}
