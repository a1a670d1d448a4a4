//! The canonical encoding of an assertion.

use super::reader::Reader;
use super::{CodecError, writer};
use crate::identity::{AgentId, ClaimId, Signature, SignatureBytes};
use crate::model::{
    Assertion, Lifecycle, Micros, NAME_MAX_BYTES, NUMBER_MAX_BYTES, Nano, OBJECT_MAX_BYTES, PARENTS_MAX,
    SIGNATURES_MAX, SourceClass, TIME_MAX_BYTES,
};
use crate::object::{Object, ObjectRef};

/// First byte of the canonical bytes of every record.
pub const CANONICAL_VERSION: u8 = 1;

const ID_BYTES: usize = 32;
const SIGNATURE_BYTES: usize = 96;

mod object_tag {
    pub const TEXT: u8 = 1;
    pub const NUMBER: u8 = 2;
    pub const INTEGER: u8 = 3;
    pub const FALSE: u8 = 4;
    pub const TRUE: u8 = 5;
    pub const TIME: u8 = 6;
    pub const REFERENCE: u8 = 7;
    pub const JSON: u8 = 8;
}

mod bit {
    pub const CONFIDENCE: u64 = 1;
    pub const SOURCE_CLASS: u64 = 1 << 1;
    pub const AUTHOR: u64 = 1 << 2;
    pub const EXCERPT_HASH: u64 = 1 << 3;
    pub const EPOCH: u64 = 1 << 4;
    pub const LIFECYCLE: u64 = 1 << 5;
    pub const VALID_FROM: u64 = 1 << 6;
    pub const VALID_TO: u64 = 1 << 7;
    pub const OBSERVED_AT: u64 = 1 << 8;
    pub const PARENTS: u64 = 1 << 9;
    pub const COUNT: u32 = 10;
}

impl Assertion {
    /// The bytes that the claim's identity covers: everything but the signatures.
    pub fn canonical_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(64 + self.subject.len() + self.predicate.len() + self.source.len());
        self.encode_canonical(&mut out);
        out
    }

    /// Appends [`canonical_bytes`](Assertion::canonical_bytes).
    pub fn encode_canonical(&self, out: &mut Vec<u8>) {
        out.push(CANONICAL_VERSION);
        writer::text(out, &self.subject);
        writer::text(out, &self.predicate);
        encode_object(&self.object, out);
        writer::text(out, &self.source);
        writer::presence(
            out,
            &[
                self.confidence.is_some(),
                self.source_class.is_some(),
                self.author.is_some(),
                self.excerpt_hash.is_some(),
                self.epoch.is_some(),
                self.lifecycle.is_some(),
                self.valid_from.is_some(),
                self.valid_to.is_some(),
                self.observed_at.is_some(),
                !self.parents.is_empty(),
            ],
        );
        if let Some(confidence) = self.confidence {
            writer::nano(out, confidence);
        }
        if let Some(class) = self.source_class {
            out.push(class.number());
        }
        if let Some(author) = self.author {
            out.extend_from_slice(&author.0);
        }
        if let Some(hash) = self.excerpt_hash {
            out.extend_from_slice(&hash);
        }
        if let Some(epoch) = &self.epoch {
            writer::text(out, epoch);
        }
        if let Some(lifecycle) = self.lifecycle {
            out.push(lifecycle.code());
        }
        for instant in [self.valid_from, self.valid_to, self.observed_at].into_iter().flatten() {
            writer::micros(out, instant);
        }
        if !self.parents.is_empty() {
            writer::varint(out, self.parents.len() as u64);
            for parent in &self.parents {
                out.extend_from_slice(&parent.0);
            }
        }
    }

    /// Appends the whole record: the canonical bytes, then the signatures.
    pub fn encode(&self, out: &mut Vec<u8>) {
        self.encode_canonical(out);
        writer::varint(out, self.signatures.len() as u64);
        for signature in &self.signatures {
            out.extend_from_slice(&signature.agent.0);
            out.extend_from_slice(&signature.bytes.0);
        }
    }

    /// Reads one record from the front of `bytes` and moves `bytes` behind it (not on error).
    ///
    /// # Errors
    /// See [`AssertionRef::decode`].
    pub fn decode(bytes: &mut &[u8]) -> Result<Assertion, CodecError> {
        AssertionRef::decode(bytes).map(|record| record.to_assertion())
    }

    /// The claim's id. Encodes the claim; prefer [`ClaimId::of`] where the canonical bytes are at hand.
    pub fn id(&self) -> ClaimId {
        ClaimId::of(&self.canonical_bytes())
    }
}

/// An encoded assertion, taken apart without copying.
///
/// Everything is checked that makes the encoding the only one of its record; the meaning of texts (control
/// characters, the grammar of a number) was checked before they were encoded, and is checked again only by
/// [`Assertion::validate`].
#[derive(Clone, Copy, Debug)]
pub struct AssertionRef<'a> {
    /// See [`Assertion::subject`].
    pub subject: &'a str,
    /// See [`Assertion::predicate`].
    pub predicate: &'a str,
    /// See [`Assertion::object`].
    pub object: ObjectRef<'a>,
    /// See [`Assertion::source`].
    pub source: &'a str,
    /// See [`Assertion::confidence`].
    pub confidence: Option<Nano>,
    /// See [`Assertion::source_class`].
    pub source_class: Option<SourceClass>,
    /// See [`Assertion::author`].
    pub author: Option<AgentId>,
    /// See [`Assertion::excerpt_hash`].
    pub excerpt_hash: Option<&'a [u8; 32]>,
    /// See [`Assertion::epoch`].
    pub epoch: Option<&'a str>,
    /// See [`Assertion::lifecycle`].
    pub lifecycle: Option<Lifecycle>,
    /// See [`Assertion::valid_from`].
    pub valid_from: Option<Micros>,
    /// See [`Assertion::valid_to`].
    pub valid_to: Option<Micros>,
    /// See [`Assertion::observed_at`].
    pub observed_at: Option<Micros>,
    /// The bytes that the claim's identity covers.
    pub canonical: &'a [u8],
    parents: &'a [[u8; ID_BYTES]],
    signatures: &'a [[u8; SIGNATURE_BYTES]],
}

impl<'a> AssertionRef<'a> {
    /// Reads one record from the front of `bytes` and moves `bytes` behind it (not on error). Allocates nothing.
    ///
    /// # Errors
    /// Bytes that are cut off, above a bound, not UTF-8, or not the only encoding of their record.
    pub fn decode(bytes: &mut &'a [u8]) -> Result<AssertionRef<'a>, CodecError> {
        let whole = *bytes;
        let mut reader = Reader::new(whole);
        match reader.byte("/version")? {
            CANONICAL_VERSION => {}
            other => return Err(CodecError::UnknownCode { field: "/version", code: u64::from(other) }),
        }
        let subject = reader.text("/subject", NAME_MAX_BYTES)?;
        let predicate = reader.text("/predicate", NAME_MAX_BYTES)?;
        let object = decode_object(&mut reader)?;
        let source = reader.text("/source", NAME_MAX_BYTES)?;
        let present = reader.presence("/presence", bit::COUNT)?;
        let mut record = AssertionRef {
            subject,
            predicate,
            object,
            source,
            confidence: None,
            source_class: None,
            author: None,
            excerpt_hash: None,
            epoch: None,
            lifecycle: None,
            valid_from: None,
            valid_to: None,
            observed_at: None,
            canonical: &[],
            parents: &[],
            signatures: &[],
        };
        if present != 0 {
            record.decode_optional(&mut reader, present)?;
        }
        record.canonical = whole.get(..whole.len() - reader.rest().len()).unwrap_or(whole);
        let signatures = reader.count("/signatures", SIGNATURES_MAX)?;
        (record.signatures, _) = reader.take("/signatures", signatures * SIGNATURE_BYTES)?.as_chunks();
        if !record.signatures.is_sorted_by(|a, b| a[..ID_BYTES] < b[..ID_BYTES]) {
            return Err(CodecError::NotSorted { field: "/signatures" });
        }
        *bytes = reader.rest();
        Ok(record)
    }

    fn decode_optional(&mut self, reader: &mut Reader<'a>, present: u64) -> Result<(), CodecError> {
        if present & bit::CONFIDENCE != 0 {
            self.confidence = Some(reader.nano("/confidence", Nano::ZERO)?);
        }
        if present & bit::SOURCE_CLASS != 0 {
            self.source_class = Some(class(reader, "/source_class")?);
        }
        if present & bit::AUTHOR != 0 {
            self.author = Some(AgentId(reader.array("/author")?));
        }
        if present & bit::EXCERPT_HASH != 0 {
            self.excerpt_hash = reader.take("/excerpt_hash", 32)?.first_chunk();
        }
        if present & bit::EPOCH != 0 {
            self.epoch = Some(reader.text("/epoch", NAME_MAX_BYTES)?);
        }
        if present & bit::LIFECYCLE != 0 {
            let code = reader.byte("/lifecycle")?;
            let unknown = CodecError::UnknownCode { field: "/lifecycle", code: u64::from(code) };
            self.lifecycle = Some(Lifecycle::from_code(code).ok_or(unknown)?);
        }
        if present & bit::VALID_FROM != 0 {
            self.valid_from = Some(reader.micros("/valid_from")?);
        }
        if present & bit::VALID_TO != 0 {
            self.valid_to = Some(reader.micros("/valid_to")?);
        }
        if present & bit::OBSERVED_AT != 0 {
            self.observed_at = Some(reader.micros("/observed_at")?);
        }
        if present & bit::PARENTS != 0 {
            let parents = reader.count("/parents", PARENTS_MAX)?;
            if parents == 0 {
                return Err(CodecError::EmptyPresent { field: "/parents" });
            }
            (self.parents, _) = reader.take("/parents", parents * ID_BYTES)?.as_chunks();
            if !self.parents.is_sorted_by(|a, b| a < b) {
                return Err(CodecError::NotSorted { field: "/parents" });
            }
        }
        Ok(())
    }

    /// The claim's id: one hash over [`canonical`](AssertionRef::canonical).
    pub fn id(&self) -> ClaimId {
        ClaimId::of(self.canonical)
    }

    /// See [`Assertion::parents`].
    pub fn parents(&self) -> impl ExactSizeIterator<Item = ClaimId> + use<'a> {
        self.parents.iter().map(|id| ClaimId(*id))
    }

    /// See [`Assertion::signatures`].
    pub fn signatures(&self) -> impl ExactSizeIterator<Item = Signature> + use<'a> {
        self.signatures.iter().map(|bytes| {
            let (mut agent, mut signature) = ([0; 32], [0; 64]);
            agent.copy_from_slice(&bytes[..ID_BYTES]);
            signature.copy_from_slice(&bytes[ID_BYTES..]);
            Signature { agent: AgentId(agent), bytes: SignatureBytes(signature) }
        })
    }

    /// The record with texts of its own. Costs one allocation per text and per list that is not empty.
    pub fn to_assertion(&self) -> Assertion {
        Assertion {
            subject: self.subject.to_owned(),
            predicate: self.predicate.to_owned(),
            object: self.object.to_object(),
            source: self.source.to_owned(),
            confidence: self.confidence,
            source_class: self.source_class,
            author: self.author,
            excerpt_hash: self.excerpt_hash.copied(),
            epoch: self.epoch.map(str::to_owned),
            lifecycle: self.lifecycle,
            valid_from: self.valid_from,
            valid_to: self.valid_to,
            observed_at: self.observed_at,
            parents: self.parents().collect(),
            signatures: self.signatures().collect(),
        }
    }
}

pub(crate) fn class(reader: &mut Reader<'_>, field: &'static str) -> Result<SourceClass, CodecError> {
    SourceClass::new(reader.byte(field)?).map_err(|_| CodecError::OutOfRange { field })
}

pub(crate) fn encode_object(object: &Object, out: &mut Vec<u8>) {
    let (tag, text) = match object {
        Object::Text(text) => (object_tag::TEXT, text),
        Object::Number(text) => (object_tag::NUMBER, text),
        Object::Time(text) => (object_tag::TIME, text),
        Object::Reference(text) => (object_tag::REFERENCE, text),
        Object::Json(text) => (object_tag::JSON, text),
        Object::Integer(integer) => {
            out.push(object_tag::INTEGER);
            return writer::signed(out, *integer);
        }
        Object::Boolean(truth) => {
            return out.push(if *truth { object_tag::TRUE } else { object_tag::FALSE });
        }
    };
    out.push(tag);
    writer::text(out, text);
}

pub(crate) fn decode_object<'a>(reader: &mut Reader<'a>) -> Result<ObjectRef<'a>, CodecError> {
    const FIELD: &str = "/object";
    Ok(match reader.byte(FIELD)? {
        object_tag::TEXT => ObjectRef::Text(reader.text(FIELD, OBJECT_MAX_BYTES)?),
        object_tag::NUMBER => ObjectRef::Number(reader.text(FIELD, NUMBER_MAX_BYTES)?),
        object_tag::INTEGER => ObjectRef::Integer(reader.signed(FIELD)?),
        object_tag::FALSE => ObjectRef::Boolean(false),
        object_tag::TRUE => ObjectRef::Boolean(true),
        object_tag::TIME => ObjectRef::Time(reader.text(FIELD, TIME_MAX_BYTES)?),
        object_tag::REFERENCE => ObjectRef::Reference(reader.text(FIELD, NAME_MAX_BYTES)?),
        object_tag::JSON => ObjectRef::Json(reader.text(FIELD, OBJECT_MAX_BYTES)?),
        tag => return Err(CodecError::UnknownCode { field: FIELD, code: u64::from(tag) }),
    })
}
