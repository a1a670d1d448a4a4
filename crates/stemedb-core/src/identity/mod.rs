//! Who said what: ids of claims, ids of agents, and the signatures that bind them.

mod hex;
mod ids;

pub use ids::{AgentId, CLAIM_DOMAIN, ClaimId, Signature, SignatureBytes};
