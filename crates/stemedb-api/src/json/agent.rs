//! What is known about an agent, in JSON.

use serde::Serialize;

use super::claim::rfc3339;
use crate::database::AgentKnown;

/// The answer to `GET /v1/agents/{id}`. An agent about whom nothing was recorded has the rank and trust of an unknown one.
#[derive(Debug, Serialize)]
pub struct AgentJson {
    id: String,
    /// Whether there is a record.
    recorded: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    /// As it counts: recorded, else 5.
    class: u8,
    /// As it counts: recorded, else 0.5.
    trust: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    lsn: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ordinal: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    recorded_at: Option<String>,
    /// The LSN whose knowledge answered.
    as_of: u64,
}

impl AgentJson {
    /// The JSON of an agent.
    pub fn new(known: &AgentKnown) -> AgentJson {
        let agent = known.agent();
        let place = known.record.as_ref().map(|(_, at, recorded_at)| (at, recorded_at));
        AgentJson {
            id: known.id.to_string(),
            recorded: known.record.is_some(),
            class: agent.rank().number(),
            trust: agent.trusted().to_f64(),
            name: agent.name,
            lsn: place.map(|(at, _)| at.lsn.0),
            ordinal: place.map(|(at, _)| at.ordinal),
            recorded_at: place.map(|(_, recorded_at)| rfc3339(*recorded_at)),
            as_of: known.lsn.0,
        }
    }
}
