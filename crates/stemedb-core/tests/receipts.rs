//! Receipts: their bytes are fixed, every bit of them counts, and nothing else is read.
//!
//! `golden/receipts_v1.txt` holds receipts with every field. If a change makes that test fail, the change is wrong; only a new
//! version may have other bytes. Nothing here writes the file.
#![allow(clippy::unwrap_used)] // A test may fail by panicking, in its helpers too.

use proptest::prelude::*;
use stemedb_core::{
    AgentId, AgentKey, ClaimId, CodecError, Micros, Nano, Object, Receipt, SignedReceipt, SourceClass,
    receipt::{
        ClaimStanding, LatestUsed, ReceiptAnswer, ReceiptClaim, ReceiptLayer, ReceiptQuestion, ReceiptState,
        ReceiptValue,
    },
};

const GOLDEN: &str = include_str!("golden/receipts_v1.txt");

fn key() -> AgentKey {
    AgentKey::from_seed(&[7; 32])
}

fn figures(named: &[(&str, i64)]) -> Vec<(String, Nano)> {
    named.iter().map(|(name, amount)| ((*name).to_owned(), Nano(*amount))).collect()
}

/// Nothing is claimed.
fn empty() -> Receipt {
    Receipt {
        server: AgentId([0; 32]),
        database: [0xdb; 16],
        timeline: 1,
        derivation: 1,
        state: ReceiptState { lsn: 0, rows: 0, root: [0; 32] },
        made_at: Micros(0),
        question: ReceiptQuestion {
            subject: "s".to_owned(),
            predicate: "p".to_owned(),
            lens: "consensus".to_owned(),
            lens_version: 1,
            lens_hash: [0x11; 32],
            parameters: Vec::new(),
            as_of: 0,
            evaluated_at: Micros(-1),
        },
        latest_used: None,
        answer: ReceiptAnswer {
            status: "unknown".to_owned(),
            value: None,
            figures: Vec::new(),
            values: Vec::new(),
            winners: Vec::new(),
            layers: Vec::new(),
        },
        claims: Vec::new(),
    }
}

/// Every field.
fn full() -> Receipt {
    let claim = |lsn, ordinal, standing| ReceiptClaim {
        id: ClaimId([lsn as u8; 32]),
        lsn,
        ordinal,
        recorded_at: Micros(1_700_000_000_000_000 + lsn as i64),
        source: format!("source {lsn}"),
        class: SourceClass::new((lsn % 6) as u8).unwrap(),
        standing,
    };
    let counted = |value, confidence| ClaimStanding::Counted {
        value,
        figures: figures(&[
            ("confidence", confidence),
            ("score", confidence / 2),
            ("trust", 500_000_000),
            ("votes", -250_000_000),
        ]),
    };
    let value =
        |object, support| ReceiptValue { object, figures: figures(&[("share", 1), ("support", support)]) };
    Receipt {
        timeline: 3,
        derivation: 2,
        state: ReceiptState { lsn: 300, rows: 123_456, root: [0xab; 32] },
        made_at: Micros(1_800_000_000_000_001),
        question: ReceiptQuestion {
            subject: "cas:50-00-0".to_owned(),
            predicate: "Schmelzpunkt °C".to_owned(),
            lens: "layered".to_owned(),
            parameters: vec![("decay".to_owned(), "true".to_owned()), ("epoch".to_owned(), String::new())],
            as_of: 299,
            evaluated_at: Micros(1_790_000_000_000_000),
            ..empty().question
        },
        latest_used: Some(LatestUsed { lsn: 298, recorded_at: Micros(1_700_000_000_000_298) }),
        answer: ReceiptAnswer {
            status: "contested".to_owned(),
            value: Some(Object::Number("181.150".to_owned())),
            figures: figures(&[("confidence", 500_000_000), ("margin", 0), ("total_support", 3_000_000_000)]),
            values: vec![
                value(Object::Number("181.150".to_owned()), 2_000_000_000),
                value(Object::Text("unbekannt".to_owned()), 1_000_000_000),
            ],
            winners: vec![2, 0],
            layers: vec![
                ReceiptLayer {
                    class: SourceClass::new(1).unwrap(),
                    value: 0,
                    figures: figures(&[("support", 1_000_000_000)]),
                    winners: vec![2],
                },
                ReceiptLayer {
                    class: SourceClass::new(4).unwrap(),
                    value: 1,
                    figures: Vec::new(),
                    winners: vec![0],
                },
            ],
        },
        claims: vec![
            claim(298, 7, counted(0, 900_000_000)),
            claim(298, 6, ClaimStanding::SetAside("retracted".to_owned())),
            claim(1, 0, counted(1, 1_000_000_000)),
        ],
        ..empty()
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn receipts_encode_to_their_golden_bytes_and_back() {
    let mut text = String::new();
    for (name, receipt) in [("nothing is claimed", empty()), ("every field", full())] {
        let signed = SignedReceipt::sign(receipt, &key()).unwrap();
        let bytes = signed.to_bytes();
        assert_eq!(SignedReceipt::decode(&bytes), Ok(signed.clone()));
        assert_eq!(signed.verify(), Ok(key().agent()));
        let (canonical, signature) = (hex(signed.canonical()), signed.signature());
        text +=
            &format!("# {name}\ncanonical {canonical}\nid {}\nsignature {signature}\n", hex(&signed.id()));
    }
    assert!(text == GOLDEN, "the bytes changed; they are now:\n{text}");
}

#[test]
fn a_receipt_with_any_bit_changed_is_refused() {
    let bytes = SignedReceipt::sign(full(), &key()).unwrap().to_bytes();
    let whole = |bytes: &[u8]| SignedReceipt::decode(bytes).is_ok_and(|signed| signed.verify().is_ok());
    assert!(whole(&bytes));
    for at in 0..8 * bytes.len() {
        let mut changed = bytes.clone();
        changed[at / 8] ^= 1 << (at % 8);
        assert!(!whole(&changed), "bit {at} of {}", 8 * bytes.len());
    }
    for len in 0..bytes.len() {
        assert!(SignedReceipt::decode(&bytes[..len]).is_err(), "cut off at {len}");
    }
    let longer = [&bytes[..], &[0]].concat();
    assert_eq!(SignedReceipt::decode(&longer), Err(CodecError::TrailingBytes { len: 1 }));
}

#[test]
fn a_receipt_signed_by_somebody_else_names_somebody_else() {
    let forged = SignedReceipt::sign(full(), &AgentKey::from_seed(&[8; 32])).unwrap();
    assert_ne!(forged.verify().unwrap(), key().agent());
    assert_eq!(forged.receipt().server, forged.verify().unwrap());
    // The other key's signature under the first key's name.
    let mut bytes = forged.to_bytes();
    bytes[1..33].copy_from_slice(&key().agent().0);
    assert!(SignedReceipt::decode(&bytes).unwrap().verify().is_err());
}

#[test]
fn what_would_not_be_read_back_is_not_signed() {
    type Change = fn(&mut Receipt);
    let changes: [(&str, Change); 14] = [
        ("/question/as_of", |receipt| receipt.question.as_of = 301),
        ("/latest_used/lsn", |receipt| {
            receipt.latest_used = Some(LatestUsed { lsn: 300, recorded_at: Micros(0) })
        }),
        ("/claims/lsn", |receipt| receipt.claims[0].lsn = 300),
        ("/claims", |receipt| receipt.claims.swap(0, 1)),
        ("/claims", |receipt| receipt.claims[1].ordinal = 7),
        ("/claims/value", |receipt| {
            receipt.claims[0].standing = ClaimStanding::Counted { value: 2, figures: Vec::new() };
        }),
        ("/answer/winners", |receipt| receipt.answer.winners = vec![1]),
        ("/answer/winners", |receipt| receipt.answer.winners = vec![3]),
        ("/answer/layers/winners", |receipt| receipt.answer.layers[0].winners = vec![1]),
        ("/answer/layers/value", |receipt| receipt.answer.layers[0].value = 2),
        ("/answer/layers", |receipt| receipt.answer.layers.swap(0, 1)),
        ("/question/parameters", |receipt| receipt.question.parameters.swap(0, 1)),
        ("/answer/figures", |receipt| receipt.answer.figures.swap(0, 1)),
        ("/answer/status", |receipt| receipt.answer.status = String::new()),
    ];
    for (field, change) in changes {
        let mut receipt = full();
        change(&mut receipt);
        let error = SignedReceipt::sign(receipt, &key()).unwrap_err();
        assert!(error.to_string().starts_with(&format!("{field}:")), "{field}: {error}");
    }
}

#[test]
fn a_count_without_its_items_allocates_nothing_for_them() {
    let mut bytes = empty().canonical_bytes();
    // claims, winners and layers are the last three counts.
    let end = bytes.len() - 3;
    bytes.truncate(end);
    bytes.extend_from_slice(&[0xff, 0xff, 0x3f]);
    assert!(matches!(
        Receipt::decode(&mut bytes.as_slice()),
        Err(CodecError::Truncated { field: "/claims/id", .. })
    ));
    bytes.truncate(end);
    bytes.extend_from_slice(&[0xff, 0xff, 0x7f]);
    assert!(matches!(
        Receipt::decode(&mut bytes.as_slice()),
        Err(CodecError::TooLong { field: "/claims", .. })
    ));
}

proptest! {
    #[test]
    fn bytes_that_are_read_are_those_that_would_be_written(
        changes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut bytes = full().canonical_bytes();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let mut rest = bytes.as_slice();
        if let Ok(receipt) = Receipt::decode(&mut rest) {
            let read = bytes.len() - rest.len();
            prop_assert_eq!(receipt.canonical_bytes(), &bytes[..read]);
        }
    }

    #[test]
    fn no_bytes_make_the_decoder_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = SignedReceipt::decode(&bytes);
        let mut begun = full().canonical_bytes();
        begun.truncate(bytes.len());
        begun.extend_from_slice(&bytes);
        let _ = SignedReceipt::decode(&begun);
    }
}
