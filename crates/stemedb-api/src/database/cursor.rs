//! The cursor codec, the one place where bincode is used: where a page ended, and at which moment its walk began.
//!
//! The layout is in `docs/formats/cursor.md`.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bincode::{Decode, Encode, config::standard};
use stemedb_core::Micros;
use stemedb_env::{Lsn, frame::DatabaseId};
use stemedb_index::questions::BoardPlace;

use crate::errors::{Code, FieldError};

const VERSION: u8 = 1;
const DOMAIN: &[u8] = b"stemedb cursor v1\0";
const CHECK_BYTES: usize = 8;
/// Longest cursor in bytes: a key and what stands around it.
const MAX_BYTES: usize = 16 << 10;

/// First bytes of a hash over what is listed.
pub(super) type Subject = [u8; 8];

/// A cursor, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cursor {
    pub timeline: u32,
    pub lsn: Lsn,
    pub listing: Subject,
    pub after: Vec<u8>,
    pub inside: Option<(u64, u32)>,
}

type Body = (u32, u64, Subject, Vec<u8>, Option<(u64, u32)>);
type Place = (u64, u64, u32, i64, u32, String, i64);

/// What a listing is recognised by: the hash of its parts.
pub(super) fn subject_of(parts: &[Option<&[u8]>]) -> Subject {
    let mut hash = blake3::Hasher::new_derive_key("stemedb listing v1");
    for part in parts {
        // The length, and one more to tell an empty part from none.
        let len = part.map_or(0, |part| part.len() as u64 + 1);
        hash.update(&len.to_le_bytes());
        hash.update(part.unwrap_or_default());
    }
    let mut subject = Subject::default();
    hash.finalize_xof().fill(&mut subject);
    subject
}

impl Cursor {
    /// The cursor as clients see it.
    pub(super) fn seal(self, database: DatabaseId) -> String {
        let body: Body = (self.timeline, self.lsn.0, self.listing, self.after, self.inside);
        let mut bytes = vec![VERSION];
        bytes.extend(encode(body));
        let check = check(database, &bytes);
        bytes.extend_from_slice(&check);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Reads a cursor that must be of this database, of this timeline and of this listing.
    pub(super) fn open(
        text: &str,
        database: DatabaseId,
        timeline: u32,
        listing: Subject,
    ) -> Result<Cursor, FieldError> {
        let refused = || invalid("is not a cursor of this database");
        if text.len() > MAX_BYTES {
            return Err(refused());
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| refused())?;
        let (sealed, given) = bytes.split_last_chunk::<CHECK_BYTES>().ok_or_else(refused)?;
        let (version, body) = sealed.split_first().ok_or_else(refused)?;
        if *given != check(database, sealed) || *version != VERSION {
            return Err(refused());
        }
        let (of, lsn, subject, after, inside): Body = decode(body).ok_or_else(refused)?;
        if of != timeline {
            let detail = format!("is of timeline {of}; the database is on timeline {timeline} now");
            return Err(FieldError::in_parameter("cursor", Code::WrongTimeline, detail));
        }
        if subject != listing {
            return Err(invalid("is of another listing: give it with the parameters that it was given with"));
        }
        Ok(Cursor { timeline, lsn: Lsn(lsn), listing, after, inside })
    }
}

/// A place on the board, and the instant that its moment was measured at.
pub(super) fn encode_place(place: BoardPlace, evaluated_at: Micros) -> Vec<u8> {
    let BoardPlace { board, revision, score, support, values, question } = place;
    let place: Place = (board, revision, score, support, values, question, evaluated_at.0);
    encode(place)
}

/// Reads [`encode_place`].
pub(super) fn decode_place(bytes: &[u8]) -> Result<(BoardPlace, Micros), FieldError> {
    let (board, revision, score, support, values, question, evaluated_at): Place =
        decode(bytes).ok_or_else(|| invalid("is not a cursor of this database"))?;
    Ok((BoardPlace { board, revision, score, support, values, question }, Micros(evaluated_at)))
}

pub(super) fn invalid(detail: &str) -> FieldError {
    FieldError::in_parameter("cursor", Code::InvalidParameter, detail)
}

fn encode(value: impl Encode) -> Vec<u8> {
    // Writing plain integers and bytes to memory cannot fail.
    bincode::encode_to_vec(value, standard()).unwrap_or_default()
}

fn decode<T: Decode<()>>(bytes: &[u8]) -> Option<T> {
    let config = standard().with_limit::<MAX_BYTES>();
    let (value, read) = bincode::decode_from_slice(bytes, config).ok()?;
    (read == bytes.len()).then_some(value)
}

fn check(database: DatabaseId, sealed: &[u8]) -> [u8; CHECK_BYTES] {
    let mut hash = blake3::Hasher::new();
    hash.update(DOMAIN);
    hash.update(&database.0);
    hash.update(sealed);
    let mut check = [0; CHECK_BYTES];
    hash.finalize_xof().fill(&mut check);
    check
}

/// What the fuzz targets see of cursors: those of one database and listing.
#[cfg(feature = "fuzzing")]
pub mod fuzzing {
    use super::*;

    const DATABASE: DatabaseId = DatabaseId([7; 16]);
    const TIMELINE: u32 = 1;
    const LISTING: Subject = [3; 8];

    /// Opens a cursor, and gives it as it would be sealed.
    pub fn open_cursor(text: &str) -> Result<String, FieldError> {
        let cursor = Cursor::open(text, DATABASE, TIMELINE, LISTING)?;
        if let Ok((place, evaluated_at)) = decode_place(&cursor.after) {
            assert_eq!(decode_place(&encode_place(place.clone(), evaluated_at)), Ok((place, evaluated_at)));
        }
        Ok(cursor.seal(DATABASE))
    }

    /// These bytes with the check that makes them a cursor, if they are one.
    pub fn forged_cursor(bytes: &[u8]) -> String {
        let sealed = [bytes, &check(DATABASE, bytes)].concat();
        URL_SAFE_NO_PAD.encode(sealed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATABASE: DatabaseId = DatabaseId([7; 16]);

    fn cursor() -> Cursor {
        let listing = subject_of(&[Some(b"claims"), None, Some(b"")]);
        Cursor { timeline: 3, lsn: Lsn(1 << 40), listing, after: vec![1, 0, 255], inside: Some((5, 6)) }
    }

    #[test]
    fn a_cursor_is_read_as_it_was_written() {
        let text = cursor().seal(DATABASE);
        assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'));
        assert_eq!(Cursor::open(&text, DATABASE, 3, cursor().listing), Ok(cursor()));
        let place = BoardPlace {
            board: u64::MAX,
            revision: 2,
            score: 999_999_999,
            support: -5,
            values: 7,
            question: "s\0p".into(),
        };
        let bytes = encode_place(place.clone(), Micros(-1));
        assert_eq!(decode_place(&bytes), Ok((place, Micros(-1))));
    }

    #[test]
    fn the_bytes_of_a_cursor_are_those_of_the_page() {
        let sealed = URL_SAFE_NO_PAD.decode(cursor().seal(DATABASE)).unwrap();
        let mut expected = vec![1, 3];
        // An integer above 2^32 in bincode's standard configuration: 253, then 8 bytes.
        expected.push(253);
        expected.extend((1_u64 << 40).to_le_bytes());
        expected.extend(cursor().listing);
        expected.extend([3, 1, 0, 255]);
        expected.extend([1, 5, 6]);
        let check = blake3::hash(&[DOMAIN, &DATABASE.0, &expected].concat());
        expected.extend(&check.as_bytes()[..8]);
        assert_eq!(sealed, expected);
    }

    #[test]
    fn every_changed_character_is_noticed() {
        let text = cursor().seal(DATABASE);
        let code = |text: &str, database, timeline, listing| {
            Cursor::open(text, database, timeline, listing).map_err(|error| error.code)
        };
        let listing = cursor().listing;
        for at in 0..text.len() {
            for other in ["A", "B", "_", "=", "\u{e9}"] {
                let mut changed = text.clone();
                changed.replace_range(at..=at, other);
                if changed != text {
                    let refused = code(&changed, DATABASE, 3, listing);
                    // The last character has bits that stand for nothing.
                    assert!(refused == Err(Code::InvalidParameter), "{at} {other}");
                }
            }
            assert_eq!(code(&text[..at], DATABASE, 3, listing), Err(Code::InvalidParameter));
        }
        assert_eq!(code(&text, DatabaseId([8; 16]), 3, listing), Err(Code::InvalidParameter));
        assert_eq!(code(&text, DATABASE, 3, [0; 8]), Err(Code::InvalidParameter));
        assert_eq!(code(&text, DATABASE, 4, listing), Err(Code::WrongTimeline));
        assert_eq!(code(&"A".repeat(20_000), DATABASE, 3, listing), Err(Code::InvalidParameter));
    }

    #[test]
    fn parts_of_a_listing_do_not_run_into_each_other() {
        let subject = |parts: &[Option<&[u8]>]| subject_of(parts);
        assert_ne!(subject(&[Some(b"ab"), Some(b"c")]), subject(&[Some(b"a"), Some(b"bc")]));
        assert_ne!(subject(&[None, Some(b"a")]), subject(&[Some(b"a"), None]));
        assert_ne!(subject(&[Some(b"")]), subject(&[None]));
    }
}
