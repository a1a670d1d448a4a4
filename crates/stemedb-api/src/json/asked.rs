//! By which rules an answer was made.

use serde::Serialize;
use stemedb_core::{Lens, identity::hex, lens::fingerprint};

use crate::database::Resolved;

/// The lens by version and hash, and the parameters that are not plain.
#[derive(Serialize)]
pub(super) struct AskedJson {
    /// Of the arithmetic: another version may answer differently from the same claims.
    lens_version: u32,
    /// Of lens, version and parameters.
    lens_hash: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    tolerance: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    without: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_class: Option<u8>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    independent: bool,
}

impl AskedJson {
    pub(super) fn new(resolved: &Resolved) -> AskedJson {
        let params = &resolved.params;
        let left_out = &params.counterfactual;
        let mut without: Vec<String> =
            left_out.without_sources.iter().map(|source| format!("source:{source}")).collect();
        without.extend(left_out.without_agents.iter().map(|agent| format!("agent:{agent}")));
        without.sort_unstable();
        without.dedup();
        AskedJson {
            lens_version: Lens::VERSION,
            lens_hash: hex::text(&fingerprint(resolved.query.lens, params)),
            tolerance: params.tolerance.map(|tolerance| tolerance.to_string()),
            without,
            max_class: left_out.max_class.map(|class| class.number()),
            independent: params.independent,
        }
    }
}
