//! How little must be taken away to change an answer, in JSON.

use serde::Serialize;
use stemedb_core::lens::{Fragility, Removable};

use super::ObjectJson;

#[derive(Serialize)]
pub(super) struct FragilityJson<'a> {
    /// The size of a smallest set that changes the answer; null where the bounds do not meet.
    exact: Option<usize>,
    at_least: usize,
    at_most: usize,
    /// A set of `at_most` that changes it.
    removals: Vec<RemovableJson<'a>>,
    /// The value without them.
    becomes: Option<ObjectJson<'a>>,
    /// The status without them.
    status: &'static str,
    /// How many sets were tried.
    tried: usize,
}

#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum RemovableJson<'a> {
    Source { source: &'a str },
    Agent { agent: String },
    Vote { assertion: String, agent: String },
}

impl<'a> FragilityJson<'a> {
    pub(super) fn new(fragility: &'a Fragility) -> FragilityJson<'a> {
        let removal = |one: &'a Removable| match one {
            Removable::Source(source) => RemovableJson::Source { source },
            Removable::Agent(agent) => RemovableJson::Agent { agent: agent.to_string() },
            Removable::Vote { claim, agent } => {
                RemovableJson::Vote { assertion: claim.to_string(), agent: agent.to_string() }
            }
        };
        FragilityJson {
            exact: fragility.exact(),
            at_least: fragility.at_least,
            at_most: fragility.removals.len(),
            removals: fragility.removals.iter().map(removal).collect(),
            becomes: fragility.becomes.as_ref().map(|value| ObjectJson(value.as_ref())),
            status: fragility.status.name(),
            tried: fragility.tried,
        }
    }
}
