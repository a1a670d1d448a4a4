//! No field of a signed record can be changed, moved or re-attributed without being found out.
#![allow(clippy::unwrap_used)] // A test may fail by panicking, in its helpers too.

use std::collections::BTreeSet;

use stemedb_core::identity::{
    CLAIM_DOMAIN, CLAIM_SIGNATURE_DOMAIN, SUPERSESSION_SIGNATURE_DOMAIN, VOTE_SIGNATURE_DOMAIN, sign_claim,
    verify_batch, verify_claim,
};
use stemedb_core::{
    AgentId, AgentKey, Assertion, ClaimId, Command, Cosign, Lifecycle, Micros, Nano, Object, Signature,
    SignatureBytes, SignatureError, SignaturePolicy, SourceClass, Standing, Supersession, SupersessionKind,
    Vote,
};

fn key(seed: u8) -> AgentKey {
    AgentKey::from_seed(&[seed; 32])
}

fn full_claim() -> Assertion {
    let mut claim =
        Assertion::new("cas:50-00-0", "melting_point_K", Object::Text("181 K".to_owned()), "handbook");
    claim.confidence = Some(Nano(900_000_000));
    claim.source_class = SourceClass::new(1).ok();
    claim.author = Some(key(1).agent());
    claim.excerpt_hash = Some([9; 32]);
    claim.epoch = Some("edition 97".to_owned());
    claim.lifecycle = Some(Lifecycle::Approved);
    claim.valid_from = Some(Micros(1_000));
    claim.valid_to = Some(Micros(2_000));
    claim.observed_at = Some(Micros(1_500));
    claim.parents = vec![ClaimId([3; 32]), ClaimId([5; 32])];
    claim
}

/// Moves the last byte of one text to the front of another.
fn shift(from: &mut String, to: &mut String) {
    to.insert(0, from.pop().unwrap());
}

fn text(object: &mut Object) -> &mut String {
    match object {
        Object::Text(text) => text,
        other => panic!("{other:?}"),
    }
}

type Change<T> = (&'static str, fn(&mut T));

const CLAIM_CHANGES: &[Change<Assertion>] = &[
    ("subject", |c| c.subject.push('x')),
    ("predicate", |c| c.predicate.make_ascii_uppercase()),
    ("object", |c| text(&mut c.object).push(' ')),
    ("type of the object", |c| c.object = Object::Reference("181 K".to_owned())),
    ("type of the object", |c| c.object = Object::Json("181 K".to_owned())),
    ("type of the object", |c| c.object = Object::Time("181 K".to_owned())),
    ("type of the object", |c| c.object = Object::Number("181 K".to_owned())),
    ("object", |c| c.object = Object::Integer(181)),
    ("object", |c| c.object = Object::Number("181".to_owned())),
    ("spelling of the object", |c| c.object = Object::Number("181.0".to_owned())),
    ("object", |c| c.object = Object::Integer(-181)),
    ("object", |c| c.object = Object::Boolean(true)),
    ("object", |c| c.object = Object::Boolean(false)),
    ("source", |c| c.source = "Handbook".to_owned()),
    ("confidence", |c| c.confidence = Some(Nano(900_000_001))),
    ("confidence said or not", |c| c.confidence = None),
    ("confidence said or not", |c| c.confidence = Some(Nano::ONE)),
    ("source class", |c| c.source_class = SourceClass::new(0).ok()),
    ("source class said or not", |c| c.source_class = None),
    ("author", |c| c.author = Some(key(2).agent())),
    ("author said or not", |c| c.author = None),
    ("excerpt hash", |c| c.excerpt_hash = Some([8; 32])),
    ("excerpt hash said or not", |c| c.excerpt_hash = None),
    ("author and excerpt hash exchanged", |c| {
        let author = c.author.map(|agent| agent.0);
        c.author = c.excerpt_hash.map(AgentId);
        c.excerpt_hash = author;
    }),
    ("author as excerpt hash", |c| c.excerpt_hash = c.author.take().map(|agent| agent.0)),
    ("excerpt hash as author", |c| c.author = c.excerpt_hash.take().map(AgentId)),
    ("epoch", |c| c.epoch = Some("edition 98".to_owned())),
    ("epoch said or not", |c| c.epoch = None),
    ("lifecycle", |c| c.lifecycle = Some(Lifecycle::Deprecated)),
    ("lifecycle said or not", |c| c.lifecycle = None),
    ("valid from", |c| c.valid_from = Some(Micros(1_001))),
    ("valid from said or not", |c| c.valid_from = None),
    ("valid to", |c| c.valid_to = Some(Micros(2_001))),
    ("valid to said or not", |c| c.valid_to = None),
    ("observed at", |c| c.observed_at = Some(Micros(-1_500))),
    ("observed at said or not", |c| c.observed_at = None),
    ("instants exchanged", |c| std::mem::swap(&mut c.valid_from, &mut c.observed_at)),
    ("instants exchanged", |c| std::mem::swap(&mut c.valid_to, &mut c.observed_at)),
    ("parents", |c| c.parents[0] = ClaimId([4; 32])),
    ("a parent less", |c| c.parents.truncate(1)),
    ("a parent more", |c| c.parents.push(ClaimId([6; 32]))),
    ("no parents", |c| c.parents.clear()),
    ("subject to predicate", |c| shift(&mut c.subject, &mut c.predicate)),
    ("predicate to object", |c| shift(&mut c.predicate, text(&mut c.object))),
    ("object to source", |c| shift(text(&mut c.object), &mut c.source)),
    ("source to epoch", |c| shift(&mut c.source, c.epoch.get_or_insert_default())),
    ("subject and predicate exchanged", |c| std::mem::swap(&mut c.subject, &mut c.predicate)),
    ("subject and source exchanged", |c| std::mem::swap(&mut c.subject, &mut c.source)),
    ("object and source exchanged", |c| std::mem::swap(text(&mut c.object), &mut c.source)),
];

#[test]
fn each_change_of_a_claim_changes_its_id_and_voids_its_signature() {
    let mut claim = full_claim();
    claim.sign(&key(1));
    let signature = claim.signatures[0];
    assert_eq!(verify_claim(&claim.id(), &signature), Ok(()));

    let mut ids = BTreeSet::from([claim.id()]);
    for (field, change) in CLAIM_CHANGES {
        let mut changed = claim.clone();
        change(&mut changed);
        assert!(ids.insert(changed.id()), "{field}: an id twice");
        let refused = Err(SignatureError::Invalid { agent: key(1).agent() });
        assert_eq!(verify_claim(&changed.id(), &signature), refused, "{field}");
        assert_eq!(
            SignaturePolicy::Optional.check(&Command::Assert(changed)).err(),
            refused.err(),
            "{field}"
        );
    }
}

#[test]
fn each_change_of_a_vote_voids_its_signature() {
    let mut vote = Vote::new(ClaimId([1; 32]), key(1).agent(), Nano(500_000_000));
    vote.reason = Some("seen it".to_owned());
    vote.sign(&key(1));
    assert_eq!(vote.verify(), Ok(()));
    let changes: [Change<Vote>; 8] = [
        ("assertion", |v| v.assertion = ClaimId([2; 32])),
        ("agent", |v| v.agent = key(2).agent()),
        ("weight", |v| v.weight = Nano(500_000_001)),
        ("sign of the weight", |v| v.weight = Nano(-500_000_000)),
        ("reason", |v| v.reason = Some("seen It".to_owned())),
        ("empty reason", |v| v.reason = Some(String::new())),
        ("reason said or not", |v| v.reason = None),
        ("assertion and agent exchanged", |v| std::mem::swap(&mut v.assertion.0, &mut v.agent.0)),
    ];
    for (field, change) in changes {
        let mut changed = vote.clone();
        change(&mut changed);
        assert!(changed.verify().is_err(), "{field}");
        assert!(SignaturePolicy::Optional.check(&Command::Vote(changed)).is_err(), "{field}");
    }
}

#[test]
fn each_change_of_a_supersession_voids_its_signature() {
    let mut record = Supersession::replace(ClaimId([1; 32]), ClaimId([2; 32]), SupersessionKind::Corrects);
    record.reason = Some("misread".to_owned());
    record.sign(&key(1));
    assert_eq!(record.verify(), Ok(()));
    let changes: [Change<Supersession>; 10] = [
        ("old", |s| s.old = ClaimId([3; 32])),
        ("new", |s| s.new = Some(ClaimId([3; 32]))),
        ("new said or not", |s| s.new = None),
        ("old and new exchanged", |s| {
            *s = Supersession { old: ClaimId([2; 32]), new: Some(s.old), ..s.clone() }
        }),
        ("kind", |s| s.kind = SupersessionKind::Refines),
        ("a retraction", |s| *s = Supersession { new: None, kind: SupersessionKind::Retracts, ..s.clone() }),
        ("reason", |s| s.reason = Some("misreaD".to_owned())),
        ("reason said or not", |s| s.reason = None),
        ("agent", |s| s.agent = Some(key(2).agent())),
        ("agent said or not", |s| s.agent = None),
    ];
    for (field, change) in changes {
        let mut changed = record.clone();
        change(&mut changed);
        assert!(changed.verify().is_err(), "{field}");
        assert!(SignaturePolicy::Optional.check(&Command::Supersede(changed)).is_err(), "{field}");
    }
}

/// Each bit of the encoding of a signed command, flipped: refused as bytes, refused by the check, or (of a claim
/// whose signature list was cut to none) unsigned, which the strictest policy refuses.
#[test]
fn each_flipped_bit_of_a_signed_command_is_refused() {
    let mut claim = full_claim();
    claim.sign(&key(1));
    let mut vote = Vote::new(ClaimId([1; 32]), key(1).agent(), Nano(500_000_000));
    vote.reason = Some("seen it".to_owned());
    vote.sign(&key(1));
    let mut retraction = Supersession::retract(ClaimId([1; 32]));
    retraction.reason = Some("misread".to_owned());
    retraction.sign(&key(1));
    let cosign = Cosign::new(&key(1), ClaimId([1; 32]));

    let commands = [
        Command::Assert(claim),
        Command::Vote(vote),
        Command::Supersede(retraction),
        Command::Cosign(cosign),
    ];
    for command in commands {
        assert_eq!(SignaturePolicy::Required.check(&command), Ok(Standing::Verified));
        let mut bytes = Vec::new();
        command.encode(&mut bytes);
        // Bits of the tag byte may name another kind of record; that is another command, not a changed one.
        for bit in 8..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            if let Ok(changed) = Command::decode_exact(&flipped) {
                assert!(SignaturePolicy::Required.check(&changed).is_err(), "bit {bit} of {command:?}");
            }
        }
    }
}

#[test]
fn each_flipped_bit_of_key_signature_or_id_is_refused() {
    let claim = ClaimId([0x5a; 32]);
    let signature = sign_claim(&key(1), &claim);
    assert_eq!(verify_claim(&claim, &signature), Ok(()));
    for bit in 0..256 {
        let mut other = claim;
        other.0[bit / 8] ^= 1 << (bit % 8);
        assert!(verify_claim(&other, &signature).is_err(), "bit {bit} of the id");
        let mut forged = signature;
        forged.agent.0[bit / 8] ^= 1 << (bit % 8);
        assert!(verify_claim(&claim, &forged).is_err(), "bit {bit} of the key");
    }
    for bit in 0..512 {
        let mut forged = signature;
        forged.bytes.0[bit / 8] ^= 1 << (bit % 8);
        assert!(verify_claim(&claim, &forged).is_err(), "bit {bit} of the signature");
    }
}

#[test]
fn a_key_of_small_order_signs_nothing() {
    // The neutral point as key and commitment: the equation holds for every message, strict verification refuses.
    let mut neutral = [0; 32];
    neutral[0] = 1;
    let mut bytes = [0; 64];
    bytes[0] = 1;
    let forged = Signature { agent: AgentId(neutral), bytes: SignatureBytes(bytes) };
    assert!(verify_claim(&ClaimId([7; 32]), &forged).is_err());
    assert!(verify_batch(&[(ClaimId([7; 32]), forged)]).is_err());
}

#[test]
fn a_scalar_beyond_the_group_order_is_refused() {
    let claim = ClaimId([7; 32]);
    let mut signature = sign_claim(&key(1), &claim);
    // s + L: the same scalar modulo the order of the group (RFC 8032, section 5.1).
    let order: [u8; 32] = [
        0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0,
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
    ];
    let mut carry = 0;
    for (byte, add) in signature.bytes.0[32..].iter_mut().zip(order) {
        let sum = u16::from(*byte) + u16::from(add) + carry;
        (*byte, carry) = (sum as u8, sum >> 8);
    }
    assert!(verify_claim(&claim, &signature).is_err());
}

#[test]
fn a_batch_names_the_first_signature_it_refuses() {
    let mut signed: Vec<(ClaimId, Signature)> = (0..20_u8)
        .map(|n| {
            let claim = ClaimId([n; 32]);
            (claim, sign_claim(&key(n % 3), &claim))
        })
        .collect();
    assert_eq!(verify_batch(&signed), Ok(()));
    signed[17].1 = signed[16].1;
    signed[11].1.agent = key(9).agent();
    assert_eq!(verify_batch(&signed), Err((11, SignatureError::Invalid { agent: key(9).agent() })));
    signed.remove(11);
    assert_eq!(verify_batch(&signed), Err((16, SignatureError::Invalid { agent: key(1).agent() })));
}

#[test]
fn domains_keep_kinds_of_records_apart() {
    let domains =
        [CLAIM_DOMAIN, CLAIM_SIGNATURE_DOMAIN, VOTE_SIGNATURE_DOMAIN, SUPERSESSION_SIGNATURE_DOMAIN];
    for (i, a) in domains.iter().enumerate() {
        for (j, b) in domains.iter().enumerate() {
            assert!(i == j || !a.starts_with(b), "a domain is the beginning of another");
        }
    }
    // A claim's signature shown as that of a vote on the same claim.
    let claim = ClaimId([7; 32]);
    let mut vote = Vote::new(claim, key(1).agent(), Nano::ONE);
    vote.signature = Some(sign_claim(&key(1), &claim).bytes);
    assert!(vote.verify().is_err());
}

#[test]
fn policies_ask_for_what_they_say() {
    use SignaturePolicy::{Off, Optional, Required};
    let unsigned = Assertion::new("s", "p", Object::Integer(1), "x");
    let check = |policy: SignaturePolicy, claim: &Assertion| policy.check(&Command::Assert(claim.clone()));
    assert_eq!(check(Off, &unsigned), Ok(Standing::Unsigned));
    assert_eq!(check(Optional, &unsigned), Ok(Standing::Unsigned));
    assert_eq!(check(Required, &unsigned), Err(SignatureError::Missing));

    let mut signed = unsigned.clone();
    signed.sign(&key(2));
    signed.sign(&key(1));
    signed.sign(&key(2));
    assert_eq!((signed.signatures.len(), signed.validate()), (2, Ok(())));
    assert_eq!(check(Off, &signed), Ok(Standing::NotChecked));
    assert_eq!(check(Optional, &signed), Ok(Standing::Verified));
    assert_eq!(check(Required, &signed), Ok(Standing::Verified));

    // One bad signature among good ones is one too many.
    let mut forged = signed.clone();
    forged.signatures[1].bytes.0[0] ^= 1;
    assert_eq!(check(Off, &forged), Ok(Standing::NotChecked));
    assert!(check(Optional, &forged).is_err());

    // Others cannot sign for the author.
    let mut by_others = unsigned.clone();
    by_others.author = Some(key(3).agent());
    by_others.sign(&key(1));
    assert_eq!(check(Optional, &by_others), Ok(Standing::Verified));
    assert_eq!(check(Required, &by_others), Err(SignatureError::MissingAuthor { agent: key(3).agent() }));
    by_others.sign(&key(3));
    assert_eq!(check(Required, &by_others), Ok(Standing::Verified));

    let vote = Command::Vote(Vote::new(ClaimId([1; 32]), key(1).agent(), Nano::ONE));
    assert_eq!(Optional.check(&vote), Ok(Standing::Unsigned));
    assert_eq!(Required.check(&vote), Err(SignatureError::Missing));
    for policy in SignaturePolicy::ALL {
        assert_eq!(policy.to_string().parse(), Ok(policy));
    }
}

#[test]
fn a_key_prints_no_secret() {
    let seed = [0x7e; 32];
    let printed = format!("{:?}", AgentKey::from_seed(&seed));
    assert_eq!(printed, format!("AgentKey({})", AgentKey::from_seed(&seed).agent()));
    assert!(!printed.contains("7e7e7e7e"));
}
