//! One encoding per record, one record per encoding, and nothing that panics.
#![allow(clippy::unwrap_used)] // A test may fail by panicking, in its helpers too.

mod strategies;

use proptest::collection::vec;
use proptest::prelude::*;
use stemedb_core::{Assertion, AssertionRef, ClaimId, CodecError, Command, CommandRef, Object};

fn encode(command: &Command) -> Vec<u8> {
    let mut bytes = Vec::new();
    command.encode(&mut bytes);
    bytes
}

/// Whatever decodes must have been the encoding of what it decoded to.
fn refused_or_canonical(bytes: &[u8]) -> Result<bool, TestCaseError> {
    let mut rest = bytes;
    match Command::decode(&mut rest) {
        Ok(command) => {
            prop_assert_eq!(&encode(&command)[..], &bytes[..bytes.len() - rest.len()]);
            Ok(true)
        }
        Err(_) => {
            prop_assert_eq!(rest.len(), bytes.len(), "an error must not move the input");
            Ok(false)
        }
    }
}

/// One way to damage an encoding.
#[derive(Clone, Debug)]
enum Damage {
    Flip(prop::sample::Index, u8),
    Set(prop::sample::Index, u8),
    Insert(prop::sample::Index, u8),
    Remove(prop::sample::Index),
    Truncate(prop::sample::Index),
    Swap(prop::sample::Index, prop::sample::Index),
}

fn damage() -> impl Strategy<Value = Damage> {
    let at = any::<prop::sample::Index>;
    prop_oneof![
        (at(), 0_u8..8).prop_map(|(at, bit)| Damage::Flip(at, bit)),
        (at(), any::<u8>()).prop_map(|(at, byte)| Damage::Set(at, byte)),
        (at(), any::<u8>()).prop_map(|(at, byte)| Damage::Insert(at, byte)),
        at().prop_map(Damage::Remove),
        at().prop_map(Damage::Truncate),
        (at(), at()).prop_map(|(a, b)| Damage::Swap(a, b)),
    ]
}

impl Damage {
    fn apply(&self, bytes: &mut Vec<u8>) {
        if bytes.is_empty() {
            return;
        }
        let len = bytes.len();
        match self {
            Damage::Flip(at, bit) => bytes[at.index(len)] ^= 1 << bit,
            Damage::Set(at, byte) => bytes[at.index(len)] = *byte,
            Damage::Insert(at, byte) => bytes.insert(at.index(len), *byte),
            Damage::Remove(at) => drop(bytes.remove(at.index(len))),
            Damage::Truncate(at) => bytes.truncate(at.index(len)),
            Damage::Swap(a, b) => bytes.swap(a.index(len), b.index(len)),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn a_valid_command_decodes_to_itself(command in strategies::command(), tail in vec(any::<u8>(), 0..9)) {
        prop_assert_eq!(command.validate(), Ok(()));
        let mut bytes = encode(&command);
        prop_assert_eq!(Command::decode_exact(&bytes), Ok(command.clone()));
        // Self-delimiting: what follows does not matter and is left alone.
        bytes.extend(&tail);
        let mut rest = &bytes[..];
        prop_assert_eq!(Command::decode(&mut rest), Ok(command));
        prop_assert_eq!(rest, &tail[..]);
    }

    #[test]
    fn every_shorter_encoding_is_truncated(command in strategies::command(), at in any::<prop::sample::Index>()) {
        let bytes = encode(&command);
        let cut = &bytes[..at.index(bytes.len())];
        let truncated = matches!(Command::decode_exact(cut), Err(CodecError::Truncated { .. }));
        prop_assert!(truncated);
    }

    #[test]
    fn damaged_encodings_are_refused_or_canonical(
        command in strategies::command(),
        damages in vec(damage(), 1..4),
    ) {
        let mut bytes = encode(&command);
        damages.iter().for_each(|damage| damage.apply(&mut bytes));
        refused_or_canonical(&bytes)?;
    }

    #[test]
    fn random_bytes_are_refused_or_canonical(mut bytes in vec(any::<u8>(), 0..200), kind in 0_u8..9) {
        refused_or_canonical(&bytes)?;
        // With a plausible head the decoder gets further.
        bytes.splice(0..0, [kind, 1]);
        refused_or_canonical(&bytes)?;
    }

    #[test]
    fn the_identity_is_a_slice_of_the_encoding(assertion in strategies::assertion()) {
        let canonical = assertion.canonical_bytes();
        let bytes = encode(&Command::Assert(assertion.clone()));
        let mut rest = &bytes[..];
        let Ok(CommandRef::Assert(record)) = CommandRef::decode(&mut rest) else {
            return Err(TestCaseError::fail("not an assertion"));
        };
        prop_assert_eq!(record.canonical, &canonical[..]);
        prop_assert_eq!(record.canonical, &bytes[1..=canonical.len()]);
        prop_assert_eq!(record.id(), assertion.id());
        prop_assert_eq!(record.to_assertion(), assertion);
    }

    #[test]
    fn signatures_are_no_part_of_the_identity(assertion in strategies::assertion()) {
        let mut unsigned = assertion.clone();
        unsigned.signatures.clear();
        prop_assert_eq!(unsigned.id(), assertion.id());
    }

    #[test]
    fn different_claims_have_different_identities(a in strategies::assertion(), b in strategies::assertion()) {
        let same = Assertion { signatures: vec![], ..a.clone() } == Assertion { signatures: vec![], ..b.clone() };
        prop_assert_eq!(same, a.canonical_bytes() == b.canonical_bytes());
        prop_assert_eq!(same, a.id() == b.id());
    }
}

/// `subject`, `predicate`, text `object` and `source` of one letter each, nothing else.
const SMALLEST: &[u8] = &[1, 1, 1, b's', 1, b'p', 1, 1, b'o', 1, b'x', 0, 0];

#[test]
fn the_smallest_claim_is_thirteen_bytes_written_by_hand() {
    let claim = Assertion::new("s", "p", Object::Text("o".to_owned()), "x");
    assert_eq!(encode(&Command::Assert(claim.clone())), SMALLEST);
    assert_eq!(claim.id(), ClaimId::of(&SMALLEST[1..12]));
}

/// Replaces the bytes of `SMALLEST` from `at` on and decodes.
fn patched(at: usize, patch: &[u8]) -> Result<Command, CodecError> {
    let mut bytes = SMALLEST.to_vec();
    bytes.truncate(at);
    bytes.extend(patch);
    Command::decode_exact(&bytes)
}

#[test]
fn each_second_way_to_write_a_record_is_refused() {
    assert!(patched(2, &SMALLEST[2..]).is_ok());
    let long_length = patched(2, &[0x81, 0x00, b's', 1, b'p', 1, 1, b'o', 1, b'x', 0, 0]);
    assert_eq!(long_length, Err(CodecError::Varint { field: "/subject" }));
    assert_eq!(patched(11, &[0x80, 0x00, 0]), Err(CodecError::Varint { field: "/presence" }));
    let beyond_64_bits = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02];
    assert_eq!(patched(11, &beyond_64_bits), Err(CodecError::Varint { field: "/presence" }));
    assert_eq!(
        patched(11, &[0x80, 0x08, 0]),
        Err(CodecError::UnknownCode { field: "/presence", code: 1 << 10 })
    );
    // Parents marked as present, but none; then two that are not ascending.
    assert_eq!(patched(11, &[0x80, 0x04, 0, 0]), Err(CodecError::EmptyPresent { field: "/parents" }));
    let mut equal_parents = vec![0x80, 0x04, 2];
    equal_parents.extend([7; 64]);
    equal_parents.push(0);
    assert_eq!(patched(11, &equal_parents), Err(CodecError::NotSorted { field: "/parents" }));
    let mut one_agent_twice = vec![0, 2];
    one_agent_twice.extend([7; 192]);
    assert_eq!(patched(11, &one_agent_twice), Err(CodecError::NotSorted { field: "/signatures" }));
    assert_eq!(patched(11, &[0, 0, 0]), Err(CodecError::TrailingBytes { len: 1 }));
}

#[test]
fn unknown_codes_and_values_out_of_range_are_refused() {
    let unknown = |field, code| Err(CodecError::UnknownCode { field, code });
    assert_eq!(patched(0, &[0]), unknown("/command", 0));
    assert_eq!(patched(0, &[8]), unknown("/command", 8));
    assert_eq!(patched(1, &[2]), unknown("/version", 2));
    assert_eq!(patched(6, &[9]), unknown("/object", 9));
    assert_eq!(patched(11, &[0x20, 5, 0]), unknown("/lifecycle", 5));
    assert_eq!(patched(11, &[0x02, 6, 0]), Err(CodecError::OutOfRange { field: "/source_class" }));
    let too_sure = 1_000_000_001_u32.to_be_bytes();
    let mut confidence = vec![0x01];
    confidence.extend(too_sure);
    assert_eq!(patched(11, &confidence), Err(CodecError::OutOfRange { field: "/confidence" }));
    assert_eq!(patched(2, &[1, 0xff]), Err(CodecError::NotUtf8 { field: "/subject" }));
}

/// An agent with these presence bits and what follows them.
fn agent(rest: &[u8]) -> Result<Command, CodecError> {
    let bytes = [&[7, 1][..], &[0x5a; 32], rest].concat();
    Command::decode_exact(&bytes)
}

#[test]
fn an_agent_has_one_encoding_and_keeps_its_ranges() {
    assert!(agent(&[0]).is_ok());
    assert_eq!(agent(&[8]), Err(CodecError::UnknownCode { field: "/presence", code: 8 }));
    assert_eq!(agent(&[0x80, 0x00]), Err(CodecError::Varint { field: "/presence" }));
    assert!(agent(&[2, 5]).is_ok());
    assert_eq!(agent(&[2, 6]), Err(CodecError::OutOfRange { field: "/class" }));
    let trust = |nano: i32| agent(&[&[4][..], &nano.to_be_bytes()].concat());
    assert!(trust(0).is_ok() && trust(1_000_000_000).is_ok());
    for beyond in [-1, 1_000_000_001] {
        assert_eq!(trust(beyond), Err(CodecError::OutOfRange { field: "/trust" }));
    }
    assert_eq!(agent(&[1, 2, b'x']), Err(CodecError::Truncated { field: "/name", needed: 2, left: 1 }));
    assert_eq!(agent(&[0, 0]), Err(CodecError::TrailingBytes { len: 1 }));
}

#[test]
fn lengths_are_refused_before_anything_is_allocated_for_them() {
    let huge = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
    let too_long = |field, max| Err(CodecError::TooLong { field, len: u64::MAX, max });
    assert_eq!(patched(2, &huge), too_long("/subject", 512));
    assert_eq!(patched(7, &huge), too_long("/object", 65_536));
    assert_eq!(patched(12, &huge), too_long("/signatures", 64));
    // Within the bound, but not there.
    assert_eq!(
        patched(7, &[0x80, 0x08]),
        Err(CodecError::Truncated { field: "/object", needed: 1024, left: 0 })
    );
    assert_eq!(
        patched(12, &[64]),
        Err(CodecError::Truncated { field: "/signatures", needed: 64 * 96, left: 0 })
    );
}

#[test]
fn a_borrowed_claim_points_into_the_bytes_it_came_from() {
    let mut rest = &SMALLEST[1..];
    let record = AssertionRef::decode(&mut rest).unwrap();
    assert!(rest.is_empty());
    assert!(std::ptr::eq(record.subject.as_ptr(), &SMALLEST[3]));
    assert!(std::ptr::eq(record.canonical.as_ptr(), &SMALLEST[1]));
}
