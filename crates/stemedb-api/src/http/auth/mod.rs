//! Who may do what: keys, scopes, peers, and the gate that every route stands behind.
//!
//! ```text
//! table of routes ─ each with its Access ─▶ gate ─▶ handler
//!                                            │
//!   peer (socket, trusted proxies) ──────────┤
//!   Authorization: Bearer stemedb_… ─ store ─┘─▶ Principal: a key, this machine, or nobody
//! ```
//!
//! The gate is put around each route by itself and knows its access from the table, whatever path an application mounts
//! the router at. Where it cannot know the peer (no `ConnectInfo`), nobody counts as this machine.
//!
//! The threat model, and how keys are made, exchanged and withdrawn: `docs/operations/security.md`. The file:
//! `docs/formats/api-keys.md`.

pub(super) mod admin;
mod decide;
mod error;
mod file;
mod mode;
mod peer;
mod record;
mod scope;
mod store;
mod token;

pub use admin::KeyJson;
pub(super) use decide::{Principal, decide};
pub use error::KeysError;
pub use mode::{AuthMode, AuthOptions};
pub(super) use peer::Peer;
pub use record::{KeyRecord, KeyState, NewKey};
pub use scope::{Access, Scope, Scopes};
pub use store::{KEYS_MAX, KeyStore};
pub use token::{KeyId, Token};
