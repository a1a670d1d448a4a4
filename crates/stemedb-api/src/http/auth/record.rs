//! What is known about a key. The secret is not part of it.

use stemedb_core::{AgentId, Micros};

use super::{KeyId, KeysError, Scopes};

/// Longest label, in bytes.
const LABEL_MAX_BYTES: usize = 200;

/// A key that is to be made.
#[derive(Clone, Debug)]
pub struct NewKey {
    /// What it is for, for people.
    pub label: String,
    /// What it may do.
    pub scopes: Scopes,
    /// Whose claims and votes it records, if it is bound to an agent.
    pub agent: Option<AgentId>,
    /// When it ends by itself.
    pub expires_at: Option<Micros>,
}

impl NewKey {
    pub(super) fn check(&self, now: Micros) -> Result<(), KeysError> {
        if self.label.len() > LABEL_MAX_BYTES || self.label.chars().any(char::is_control) {
            return Err(KeysError::Label { max: LABEL_MAX_BYTES });
        }
        match self.expires_at {
            Some(at) if at <= now => Err(KeysError::NeverGood),
            _ => Ok(()),
        }
    }
}

/// A key as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRecord {
    /// Its public part.
    pub id: KeyId,
    /// The hash of the secret. Comparing hashes takes the same time wherever they differ.
    pub hash: blake3::Hash,
    /// What it is for.
    pub label: String,
    /// What it may do.
    pub scopes: Scopes,
    /// Whose records it makes.
    pub agent: Option<AgentId>,
    /// When it was made.
    pub created_at: Micros,
    /// When it ends by itself.
    pub expires_at: Option<Micros>,
    /// When it was revoked.
    pub revoked_at: Option<Micros>,
}

/// Whether a key is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyState {
    /// It is.
    Active,
    /// Its time is over.
    Expired,
    /// It was revoked.
    Revoked,
}

impl KeyState {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            KeyState::Active => "active",
            KeyState::Expired => "expired",
            KeyState::Revoked => "revoked",
        }
    }
}

impl KeyRecord {
    /// Whether it is good at an instant.
    pub fn state(&self, now: Micros) -> KeyState {
        match (self.revoked_at, self.expires_at) {
            (Some(_), _) => KeyState::Revoked,
            (None, Some(at)) if at <= now => KeyState::Expired,
            _ => KeyState::Active,
        }
    }
}
