//! What can be said to the database: one enum over all records, and its bytes in the journal.

use crate::canonical::{AssertionRef, CodecError, SourceRef};
use crate::model::{Agent, Assertion, Cosign, Epoch, ModelError, Source, Supersession, Vote};

mod tag {
    pub const ASSERT: u8 = 1;
    pub const VOTE: u8 = 2;
    pub const SUPERSEDE: u8 = 3;
    pub const EPOCH: u8 = 4;
    pub const SOURCE: u8 = 5;
    pub const COSIGN: u8 = 6;
    pub const AGENT: u8 = 7;
}

/// One thing said to the database. A journal entry holds a batch of them; the n-th is command `(lsn, n)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// A claim.
    Assert(Assertion),
    /// A weight on a claim.
    Vote(Vote),
    /// A claim set aside.
    Supersede(Supersession),
    /// An epoch opened.
    Epoch(Epoch),
    /// What is known about a source.
    Source(Source),
    /// A further signature on a claim.
    Cosign(Cosign),
    /// What is known about an agent.
    Agent(Agent),
}

impl Command {
    /// Appends the command: one tag byte, then the record. Self-delimiting: commands can follow each other.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Command::Assert(assertion) => {
                out.push(tag::ASSERT);
                assertion.encode(out);
            }
            Command::Vote(vote) => {
                out.push(tag::VOTE);
                vote.encode(out);
            }
            Command::Supersede(supersession) => {
                out.push(tag::SUPERSEDE);
                supersession.encode(out);
            }
            Command::Epoch(epoch) => {
                out.push(tag::EPOCH);
                epoch.encode(out);
            }
            Command::Source(source) => {
                out.push(tag::SOURCE);
                source.encode(out);
            }
            Command::Cosign(cosign) => {
                out.push(tag::COSIGN);
                cosign.encode(out);
            }
            Command::Agent(agent) => {
                out.push(tag::AGENT);
                agent.encode(out);
            }
        }
    }

    /// Reads one command from the front of `bytes` and moves `bytes` behind it (not on error).
    ///
    /// # Errors
    /// Bytes that [`encode`](Command::encode) would not produce for the command they describe.
    pub fn decode(bytes: &mut &[u8]) -> Result<Command, CodecError> {
        Ok(match CommandRef::decode(bytes)? {
            CommandRef::Assert(assertion) => Command::Assert(assertion.to_assertion()),
            CommandRef::Vote(vote) => Command::Vote(vote),
            CommandRef::Supersede(supersession) => Command::Supersede(supersession),
            CommandRef::Epoch(epoch) => Command::Epoch(epoch),
            CommandRef::Source(source) => Command::Source(source.to_source()),
            CommandRef::Cosign(cosign) => Command::Cosign(cosign),
            CommandRef::Agent(agent) => Command::Agent(agent),
        })
    }

    /// Reads a command that is all of `bytes`.
    ///
    /// # Errors
    /// As [`decode`](Command::decode), and [`CodecError::TrailingBytes`].
    pub fn decode_exact(mut bytes: &[u8]) -> Result<Command, CodecError> {
        let command = Command::decode(&mut bytes)?;
        if bytes.is_empty() { Ok(command) } else { Err(CodecError::TrailingBytes { len: bytes.len() }) }
    }

    /// Checks every rule of the model.
    ///
    /// # Errors
    /// The first field that breaks a rule.
    pub fn validate(&self) -> Result<(), ModelError> {
        match self {
            Command::Assert(assertion) => assertion.validate(),
            Command::Vote(vote) => vote.validate(),
            Command::Supersede(supersession) => supersession.validate(),
            Command::Epoch(epoch) => epoch.validate(),
            Command::Source(source) => source.validate(),
            Command::Cosign(_) => Ok(()),
            Command::Agent(agent) => agent.validate(),
        }
    }
}

/// A [`Command`] whose claim or source, by far the most frequent records, is borrowed from the encoded bytes.
#[derive(Clone, Debug)]
pub enum CommandRef<'a> {
    /// See [`Command::Assert`].
    Assert(AssertionRef<'a>),
    /// See [`Command::Vote`].
    Vote(Vote),
    /// See [`Command::Supersede`].
    Supersede(Supersession),
    /// See [`Command::Epoch`].
    Epoch(Epoch),
    /// See [`Command::Source`].
    Source(SourceRef<'a>),
    /// See [`Command::Cosign`].
    Cosign(Cosign),
    /// See [`Command::Agent`].
    Agent(Agent),
}

impl<'a> CommandRef<'a> {
    /// Reads one command from the front of `bytes` and moves `bytes` behind it (not on error).
    ///
    /// # Errors
    /// See [`Command::decode`].
    pub fn decode(bytes: &mut &'a [u8]) -> Result<CommandRef<'a>, CodecError> {
        let Some((kind, mut rest)) = bytes.split_first() else {
            return Err(CodecError::Truncated { field: "/command", needed: 1, left: 0 });
        };
        let command = match *kind {
            tag::ASSERT => CommandRef::Assert(AssertionRef::decode(&mut rest)?),
            tag::VOTE => CommandRef::Vote(Vote::decode(&mut rest)?),
            tag::SUPERSEDE => CommandRef::Supersede(Supersession::decode(&mut rest)?),
            tag::EPOCH => CommandRef::Epoch(Epoch::decode(&mut rest)?),
            tag::SOURCE => CommandRef::Source(SourceRef::decode(&mut rest)?),
            tag::COSIGN => CommandRef::Cosign(Cosign::decode(&mut rest)?),
            tag::AGENT => CommandRef::Agent(Agent::decode(&mut rest)?),
            other => return Err(CodecError::UnknownCode { field: "/command", code: u64::from(other) }),
        };
        *bytes = rest;
        Ok(command)
    }
}
