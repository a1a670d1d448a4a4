//! Ids and signatures are those of the engine: its golden records, made again by the client.
#![cfg(feature = "signing")]

use stemedb_client::{
    AgentKey, Assertion, Cosignature, Lifecycle, Signature, Supersession, SupersessionKind, Value, Vote,
};

const GOLDEN: &str = include_str!("../../stemedb-core/tests/golden/records_v1.txt");

/// What hangs on the bytes of a golden record: its lines behind `command`.
fn golden(name: &str) -> Vec<&'static str> {
    let record = GOLDEN.split("\n\n").find(|record| record.trim_start().starts_with(&format!("# {name}\n")));
    record.unwrap_or_else(|| panic!("no golden record {name:?}")).trim().lines().skip(2).collect()
}

fn claim(object: impl Into<Value>) -> Assertion {
    Assertion::new("cas:50-00-0", "melting_point_K", object, "handbook")
}

fn number() -> Value {
    Value::Number("181.150".to_owned())
}

fn full() -> Assertion {
    Assertion {
        confidence: Some(0.9),
        source_class: Some(1),
        author: Some(AgentKey::from_seed(&[1; 32]).agent().to_string()),
        excerpt_hash: Some("ee".repeat(32)),
        epoch: Some("edition 97".to_owned()),
        lifecycle: Some(Lifecycle::Approved),
        valid_from: Some("1969-12-31T23:59:59.999999Z".to_owned()),
        valid_to: Some("2024-02-29T12:30:45.123456Z".to_owned()),
        observed_at: Some("2023-11-14T22:13:20Z".to_owned()),
        parents: vec!["22".repeat(32), "11".repeat(32)],
        ..claim(number())
    }
}

#[test]
fn every_golden_claim_has_its_id() {
    let claims = [
        ("a claim that says only what it must", claim(number())),
        ("an empty text", claim("")),
        ("a text beyond ASCII", claim("Schmelzpunkt −92 °C\n(Reinstoff)")),
        ("an integer of one byte", claim(-64)),
        ("an integer of ten bytes", claim(i64::MIN)),
        ("false", claim(false)),
        ("true", claim(true)),
        ("a time", claim(Value::time("2024-02-29T23:59:59.5+01:00"))),
        ("a reference", claim(Value::reference("cas:67-56-1"))),
        ("a JSON value", claim(Value::Json(r#"{ "min": 180.9, "max": 182.0 }"#.to_owned()))),
        ("every field of a claim, unsigned", full()),
    ];
    for (name, claim) in claims {
        assert_eq!(format!("id {}", claim.id().unwrap()), golden(name)[0], "{name}");
    }
}

#[test]
fn golden_signatures_are_made_again() {
    let (first, second) = (AgentKey::from_seed(&[1; 32]), AgentKey::from_seed(&[2; 32]));
    let mut claim = full();
    claim.sign(&first).unwrap();
    claim.sign(&second).unwrap();
    claim.sign(&first).unwrap();
    let mut lines: Vec<String> = claim
        .signatures
        .iter()
        .map(|Signature { agent, signature }| format!("signature {agent} {signature}"))
        .collect();
    lines.sort();
    assert_eq!(lines, &golden("the same claim signed by two agents")[1..]);

    let id = claim.id().unwrap();
    let mut vote = Vote::new(&id, "", -0.25);
    vote.reason = Some("cannot be reproduced".to_owned());
    vote.sign(&second).unwrap();
    let signed = |signature: Option<String>| format!("signature {}", signature.unwrap());
    assert_eq!(signed(vote.signature), golden("a vote with reason and signature")[0]);

    let mut correction = Supersession::replace(&id, "33".repeat(32), SupersessionKind::Corrects);
    correction.reason = Some("misread".to_owned());
    correction.sign(&first).unwrap();
    assert_eq!(signed(correction.signature), golden("a correction with reason and signature")[0]);

    let cosignature = Cosignature::new(&AgentKey::from_seed(&[3; 32]), &id).unwrap();
    assert_eq!(signed(Some(cosignature.signature)), golden("a co-signature")[0]);
}

#[test]
fn what_the_server_would_refuse_has_no_id() {
    let member = |claim: Assertion| match claim.id().unwrap_err() {
        stemedb_client::Error::Unsendable { member, .. } => member,
        other => panic!("{other}"),
    };
    assert_eq!(member(Assertion { author: Some("me".to_owned()), ..full() }), "author");
    assert_eq!(member(Assertion { valid_to: Some("tomorrow".to_owned()), ..full() }), "valid_to");
    assert_eq!(member(Assertion { confidence: Some(2.0), ..full() }), "the claim");
    assert_eq!(member(claim(Value::Json("{".to_owned()))), "object");
}
