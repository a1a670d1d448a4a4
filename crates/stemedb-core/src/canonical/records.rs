//! The canonical encodings of votes, supersessions, epochs, sources, co-signatures and agents.

use super::assertion::class;
use super::reader::Reader;
use super::{CANONICAL_VERSION, CodecError, writer};
use crate::identity::{AgentId, ClaimId, SignatureBytes};
use crate::model::{
    Agent, Cosign, Epoch, NAME_MAX_BYTES, Nano, REASON_MAX_BYTES, Source, SourceClass, Supersession,
    SupersessionKind, URI_MAX_BYTES, Vote,
};

fn check_version(reader: &mut Reader<'_>) -> Result<(), CodecError> {
    match reader.byte("/version")? {
        CANONICAL_VERSION => Ok(()),
        other => Err(CodecError::UnknownCode { field: "/version", code: u64::from(other) }),
    }
}

/// One byte of presence, then the signature: behind the canonical bytes, which it covers.
fn encode_signature(signature: &Option<SignatureBytes>, out: &mut Vec<u8>) {
    writer::presence(out, &[signature.is_some()]);
    if let Some(signature) = signature {
        out.extend_from_slice(&signature.0);
    }
}

fn decode_signature(reader: &mut Reader<'_>) -> Result<Option<SignatureBytes>, CodecError> {
    match reader.presence("/signature", 1)? {
        0 => Ok(None),
        _ => reader.array("/signature").map(|bytes| Some(SignatureBytes(bytes))),
    }
}

impl Vote {
    /// Appends the bytes that the vote's signature covers: everything but the signature.
    pub fn encode_canonical(&self, out: &mut Vec<u8>) {
        out.push(CANONICAL_VERSION);
        out.extend_from_slice(&self.assertion.0);
        out.extend_from_slice(&self.agent.0);
        writer::nano(out, self.weight);
        writer::presence(out, &[self.reason.is_some()]);
        if let Some(reason) = &self.reason {
            writer::text(out, reason);
        }
    }

    /// Appends the whole record.
    pub fn encode(&self, out: &mut Vec<u8>) {
        self.encode_canonical(out);
        encode_signature(&self.signature, out);
    }

    /// Reads one record from the front of `bytes` and moves `bytes` behind it (not on error).
    ///
    /// # Errors
    /// Bytes that are not the only encoding of a vote.
    pub fn decode(bytes: &mut &[u8]) -> Result<Vote, CodecError> {
        let mut reader = Reader::new(bytes);
        check_version(&mut reader)?;
        let assertion = ClaimId(reader.array("/assertion")?);
        let agent = AgentId(reader.array("/agent")?);
        let weight = reader.nano("/weight", Nano::MINUS_ONE)?;
        let reason = match reader.presence("/presence", 1)? {
            0 => None,
            _ => Some(reader.text("/reason", REASON_MAX_BYTES)?.to_owned()),
        };
        let signature = decode_signature(&mut reader)?;
        *bytes = reader.rest();
        Ok(Vote { assertion, agent, weight, reason, signature })
    }
}

impl Supersession {
    /// Appends the bytes that the supersession's signature covers: everything but the signature.
    pub fn encode_canonical(&self, out: &mut Vec<u8>) {
        out.push(CANONICAL_VERSION);
        out.extend_from_slice(&self.old.0);
        out.push(self.kind.code());
        writer::presence(out, &[self.new.is_some(), self.reason.is_some(), self.agent.is_some()]);
        if let Some(new) = &self.new {
            out.extend_from_slice(&new.0);
        }
        if let Some(reason) = &self.reason {
            writer::text(out, reason);
        }
        if let Some(agent) = &self.agent {
            out.extend_from_slice(&agent.0);
        }
    }

    /// Appends the whole record.
    pub fn encode(&self, out: &mut Vec<u8>) {
        self.encode_canonical(out);
        encode_signature(&self.signature, out);
    }

    /// Reads one record from the front of `bytes` and moves `bytes` behind it (not on error).
    ///
    /// # Errors
    /// Bytes that are not the only encoding of a supersession.
    pub fn decode(bytes: &mut &[u8]) -> Result<Supersession, CodecError> {
        let mut reader = Reader::new(bytes);
        check_version(&mut reader)?;
        let old = ClaimId(reader.array("/old")?);
        let code = reader.byte("/kind")?;
        let unknown = CodecError::UnknownCode { field: "/kind", code: u64::from(code) };
        let kind = SupersessionKind::from_code(code).ok_or(unknown)?;
        let present = reader.presence("/presence", 3)?;
        let new = if present & 1 != 0 { Some(ClaimId(reader.array("/new")?)) } else { None };
        let reason =
            if present & 2 != 0 { Some(reader.text("/reason", REASON_MAX_BYTES)?.to_owned()) } else { None };
        let agent = if present & 4 != 0 { Some(AgentId(reader.array("/agent")?)) } else { None };
        let signature = decode_signature(&mut reader)?;
        *bytes = reader.rest();
        Ok(Supersession { old, new, kind, reason, agent, signature })
    }
}

impl Epoch {
    /// Appends the whole record.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(CANONICAL_VERSION);
        writer::text(out, &self.name);
        writer::presence(out, &[self.supersedes.is_some(), self.from.is_some(), self.to.is_some()]);
        if let Some(supersedes) = &self.supersedes {
            writer::text(out, supersedes);
        }
        for instant in [self.from, self.to].into_iter().flatten() {
            writer::micros(out, instant);
        }
    }

    /// Reads one record from the front of `bytes` and moves `bytes` behind it (not on error).
    ///
    /// # Errors
    /// Bytes that are not the only encoding of an epoch.
    pub fn decode(bytes: &mut &[u8]) -> Result<Epoch, CodecError> {
        let mut reader = Reader::new(bytes);
        check_version(&mut reader)?;
        let name = reader.text("/name", NAME_MAX_BYTES)?.to_owned();
        let present = reader.presence("/presence", 3)?;
        let supersedes = if present & 1 != 0 {
            Some(reader.text("/supersedes", NAME_MAX_BYTES)?.to_owned())
        } else {
            None
        };
        let from = if present & 2 != 0 { Some(reader.micros("/from")?) } else { None };
        let to = if present & 4 != 0 { Some(reader.micros("/to")?) } else { None };
        *bytes = reader.rest();
        Ok(Epoch { name, supersedes, from, to })
    }
}

impl Source {
    /// Appends the whole record.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(CANONICAL_VERSION);
        writer::text(out, &self.id);
        out.push(self.class.number());
        writer::presence(out, &[self.title.is_some(), self.uri.is_some(), self.content_hash.is_some()]);
        for text in [&self.title, &self.uri].into_iter().flatten() {
            writer::text(out, text);
        }
        if let Some(hash) = &self.content_hash {
            out.extend_from_slice(hash);
        }
    }

    /// Reads one record from the front of `bytes` and moves `bytes` behind it (not on error).
    ///
    /// # Errors
    /// Bytes that are not the only encoding of a source.
    pub fn decode(bytes: &mut &[u8]) -> Result<Source, CodecError> {
        SourceRef::decode(bytes).map(|source| source.to_source())
    }
}

/// A [`Source`] whose texts are borrowed from the encoded bytes: an answer asks for the class of many, and for nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceRef<'a> {
    /// See [`Source::id`].
    pub id: &'a str,
    /// See [`Source::class`].
    pub class: SourceClass,
    /// See [`Source::title`].
    pub title: Option<&'a str>,
    /// See [`Source::uri`].
    pub uri: Option<&'a str>,
    /// See [`Source::content_hash`].
    pub content_hash: Option<[u8; 32]>,
}

impl<'a> SourceRef<'a> {
    /// Reads one record from the front of `bytes` and moves `bytes` behind it (not on error). Allocates nothing.
    ///
    /// # Errors
    /// Bytes that are not the only encoding of a source.
    pub fn decode(bytes: &mut &'a [u8]) -> Result<SourceRef<'a>, CodecError> {
        let mut reader = Reader::new(bytes);
        check_version(&mut reader)?;
        let id = reader.text("/id", NAME_MAX_BYTES)?;
        let class = class(&mut reader, "/class")?;
        let present = reader.presence("/presence", 3)?;
        let title = if present & 1 != 0 { Some(reader.text("/title", NAME_MAX_BYTES)?) } else { None };
        let uri = if present & 2 != 0 { Some(reader.text("/uri", URI_MAX_BYTES)?) } else { None };
        let content_hash = if present & 4 != 0 { Some(reader.array("/content_hash")?) } else { None };
        *bytes = reader.rest();
        Ok(SourceRef { id, class, title, uri, content_hash })
    }

    /// The record with texts of its own.
    pub fn to_source(&self) -> Source {
        let SourceRef { id, class, title, uri, content_hash } = *self;
        Source {
            id: id.to_owned(),
            class,
            title: title.map(str::to_owned),
            uri: uri.map(str::to_owned),
            content_hash,
        }
    }
}

impl Cosign {
    /// Appends the whole record.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(CANONICAL_VERSION);
        out.extend_from_slice(&self.claim.0);
        out.extend_from_slice(&self.agent.0);
        out.extend_from_slice(&self.signature.0);
    }

    /// Reads one record from the front of `bytes` and moves `bytes` behind it (not on error).
    ///
    /// # Errors
    /// Bytes that are not the only encoding of a co-signature.
    pub fn decode(bytes: &mut &[u8]) -> Result<Cosign, CodecError> {
        let mut reader = Reader::new(bytes);
        check_version(&mut reader)?;
        let claim = ClaimId(reader.array("/claim")?);
        let agent = AgentId(reader.array("/agent")?);
        let signature = SignatureBytes(reader.array("/signature")?);
        *bytes = reader.rest();
        Ok(Cosign { claim, agent, signature })
    }
}

impl Agent {
    /// Appends the whole record.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(CANONICAL_VERSION);
        out.extend_from_slice(&self.id.0);
        writer::presence(out, &[self.name.is_some(), self.class.is_some(), self.trust.is_some()]);
        if let Some(name) = &self.name {
            writer::text(out, name);
        }
        if let Some(class) = self.class {
            out.push(class.number());
        }
        if let Some(trust) = self.trust {
            writer::nano(out, trust);
        }
    }

    /// Reads one record from the front of `bytes` and moves `bytes` behind it (not on error).
    ///
    /// # Errors
    /// Bytes that are not the only encoding of an agent.
    pub fn decode(bytes: &mut &[u8]) -> Result<Agent, CodecError> {
        let mut reader = Reader::new(bytes);
        check_version(&mut reader)?;
        let id = AgentId(reader.array("/id")?);
        let present = reader.presence("/presence", 3)?;
        let name =
            if present & 1 != 0 { Some(reader.text("/name", NAME_MAX_BYTES)?.to_owned()) } else { None };
        let class = if present & 2 != 0 { Some(class(&mut reader, "/class")?) } else { None };
        let trust = if present & 4 != 0 { Some(reader.nano("/trust", Nano::ZERO)?) } else { None };
        *bytes = reader.rest();
        Ok(Agent { id, name, class, trust })
    }
}
