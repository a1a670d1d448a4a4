//! Who said what: ids of claims, ids of agents, and the signatures that bind them.

mod authority;
pub mod hex;
mod ids;
mod policy;
mod signature;

pub use authority::{AuthorityPolicy, AuthorityTooLow, Retiring};
pub use ids::{AgentId, CLAIM_DOMAIN, ClaimId, Signature, SignatureBytes};
pub use policy::{SignaturePolicy, Standing};
pub use signature::{
    AgentKey, CLAIM_SIGNATURE_DOMAIN, SUPERSESSION_SIGNATURE_DOMAIN, SignatureError, VOTE_SIGNATURE_DOMAIN,
    sign_claim, verify_batch, verify_claim,
};
pub(crate) use signature::{parse_key, verify_message};
