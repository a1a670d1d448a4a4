//! JSON that proves itself: `{"body": …, "blake3": …}`.

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::value::RawValue;

use super::{BackupTarget, Content, Error, Hex, Result};

/// No document is longer: one that is belongs to somebody else, and is not read into memory.
const DOCUMENT_MAX_BYTES: u64 = 256 << 20;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Envelope<'a> {
    #[serde(borrow)]
    body: &'a RawValue,
    blake3: Hex<32>,
}

/// The bytes of a document.
pub fn encode<T: Serialize>(body: &T) -> Result<Vec<u8>> {
    let body = serde_json::to_string(body)
        .map_err(|error| Error::Refused(format!("a document cannot be written: {error}")))?;
    let digest = Hex::from(blake3::hash(body.as_bytes()));
    Ok(format!("{{\"body\":{body},\"blake3\":\"{digest}\"}}").into_bytes())
}

/// A document's body, if its digest holds and it has no member that is not known; else what is wrong.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> std::result::Result<T, String> {
    let envelope: Envelope<'_> =
        serde_json::from_slice(bytes).map_err(|error| format!("it is no document: {error}"))?;
    let body = envelope.body.get();
    if Hex::from(blake3::hash(body.as_bytes())) != envelope.blake3 {
        return Err("its digest does not match".to_owned());
    }
    serde_json::from_str(body).map_err(|error| format!("its content is not known: {error}"))
}

/// Reads a document; `None` if there is none.
pub fn get<T: DeserializeOwned>(target: &dyn BackupTarget, name: &str) -> Result<Option<T>> {
    let Some(bytes) = target.get(name, DOCUMENT_MAX_BYTES)? else { return Ok(None) };
    decode(&bytes).map(Some).map_err(|problem| damaged(target, name, problem))
}

/// Stores a document, in the place of another.
pub fn put<T: Serialize>(target: &dyn BackupTarget, name: &str, body: &T) -> Result<()> {
    target.put(name, Content::Bytes(&encode(body)?))
}

/// Stores a document unless there is one; true if it is new.
pub fn put_if_absent<T: Serialize>(target: &dyn BackupTarget, name: &str, body: &T) -> Result<bool> {
    target.put_if_absent(name, Content::Bytes(&encode(body)?))
}

/// The error of a damaged object.
pub fn damaged(target: &dyn BackupTarget, name: &str, problem: impl Into<String>) -> Error {
    Error::Damaged { name: name.to_owned(), target: target.describe(), problem: problem.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_changed_bit_and_every_cut_is_noticed() {
        let body = vec![("a".to_owned(), 1u64), ("é\"".to_owned(), 2)];
        let bytes = encode(&body).unwrap();
        assert_eq!(decode::<Vec<(String, u64)>>(&bytes).unwrap(), body);
        for at in 0..bytes.len() {
            assert!(decode::<Vec<(String, u64)>>(&bytes[..at]).is_err(), "length {at}");
            for bit in 0..8 {
                let mut changed = bytes.clone();
                changed[at] ^= 1 << bit;
                assert!(decode::<Vec<(String, u64)>>(&changed).is_err(), "byte {at} bit {bit}");
            }
        }
    }
}
