//! One atomic request, checked and encoded by the caller before it enters the commit queue.

use std::ops::Range;

use stemedb_core::{AuthorityPolicy, ClaimId, Command, ModelError};

use crate::keys::Position;

/// Commands that are journaled together or not at all.
///
/// Validation, encoding and hashing happen here, on the caller's thread, so that the serial part of a commit stays short.
#[derive(Clone, Debug, Default)]
pub struct Submission {
    bytes: Vec<u8>,
    items: Vec<Item>,
    authority: AuthorityPolicy,
}

/// One command of a submission.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub range: Range<usize>,
    pub what: What,
}

/// What the admission must know of a command without decoding it.
#[derive(Clone, Debug)]
pub(super) enum What {
    /// A claim: its id, and whether it carries signatures.
    Claim { id: ClaimId, signed: bool },
    /// Anything else is rare enough to be kept whole.
    Other(Box<Command>),
}

impl Submission {
    /// No commands yet.
    pub fn new() -> Submission {
        Submission::default()
    }

    /// One command.
    pub fn of(command: &Command) -> Result<Submission, ModelError> {
        let mut submission = Submission::new();
        submission.push(command)?;
        Ok(submission)
    }

    /// The same commands, whose supersessions are held to this policy instead of the default one.
    #[must_use]
    pub fn under(mut self, authority: AuthorityPolicy) -> Submission {
        self.authority = authority;
        self
    }

    /// Adds a command after validating it; returns the claim's id if it is one.
    pub fn push(&mut self, command: &Command) -> Result<Option<ClaimId>, ModelError> {
        command.validate()?;
        let start = self.bytes.len();
        command.encode(&mut self.bytes);
        let range = start..self.bytes.len();
        let (what, id) = match command {
            Command::Assert(assertion) => {
                // The canonical bytes follow the command's tag and end where the signatures begin.
                let id = assertion_id(self.bytes.get(range.clone()).unwrap_or_default())
                    .unwrap_or_else(|| assertion.id());
                (What::Claim { id, signed: !assertion.signatures.is_empty() }, Some(id))
            }
            other => (What::Other(Box::new(other.clone())), None),
        };
        self.items.push(Item { range, what });
        Ok(id)
    }

    /// Number of commands.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// True without commands.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Encoded size.
    pub fn encoded_bytes(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn authority(&self) -> AuthorityPolicy {
        self.authority
    }

    /// The encoded commands.
    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// The encoded command of a range that [`Submission::items`] gave.
    pub(super) fn bytes_at(&self, range: Range<usize>) -> &[u8] {
        self.bytes.get(range).unwrap_or_default()
    }

    /// The first `count` commands, and those after them, each as a submission of its own.
    pub fn split(&self, count: usize) -> (Submission, Submission) {
        let part = |items: &[Item]| {
            let mut part = Submission::new().under(self.authority);
            for item in items {
                let start = part.bytes.len();
                part.bytes.extend_from_slice(self.bytes.get(item.range.clone()).unwrap_or_default());
                part.items.push(Item { range: start..part.bytes.len(), what: item.what.clone() });
            }
            part
        };
        let (first, rest) = self.items.split_at(count.min(self.items.len()));
        (part(first), part(rest))
    }

    pub(super) fn items(&self) -> impl Iterator<Item = (&Item, &[u8])> {
        self.items.iter().map(|item| (item, self.bytes.get(item.range.clone()).unwrap_or_default()))
    }
}

fn assertion_id(command: &[u8]) -> Option<ClaimId> {
    match stemedb_core::CommandRef::decode(&mut &*command) {
        Ok(stemedb_core::CommandRef::Assert(assertion)) => Some(ClaimId::of(assertion.canonical)),
        _ => None,
    }
}

/// What became of one command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The claim's id, for claims.
    pub id: Option<ClaimId>,
    /// Where it stands in the journal: for something that was there already, where it stood before.
    pub position: Position,
    /// False when exactly this was recorded before.
    pub created: bool,
    /// Signatures that were added to a claim that was there already.
    pub cosigned: u32,
}
