//! Random records for the property tests: valid ones, with every optional field sometimes there.
#![allow(dead_code)] // Every test file uses its own part.

pub mod lens;

use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;
use stemedb_core::{
    Agent, AgentId, Assertion, ClaimId, Command, Cosign, Epoch, Lifecycle, Micros, Nano, Object, Signature,
    SignatureBytes, Source, SourceClass, Supersession, SupersessionKind, Vote,
};

pub fn name() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z:/.0-9]{1,20}", "[^\\p{Cc}]{1,40}", "[a-c]{200,512}"]
}

pub fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[^\\x00]{0,60}", "[ -~\\n\\t]{0,300}"]
}

pub fn number() -> impl Strategy<Value = String> {
    prop_oneof!["-?(0|[1-9][0-9]{0,20})(\\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?", "-?[0-9]\\.[0-9]{1,3}"]
}

pub fn time() -> impl Strategy<Value = String> {
    "(19|20)[0-9]{2}-(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,9})?(Z|[+-](0[0-9]|1[0-4]):[0-5][0-9])"
}

pub fn object() -> impl Strategy<Value = Object> {
    prop_oneof![
        text().prop_map(Object::Text),
        number().prop_map(Object::Number),
        any::<i64>().prop_map(Object::Integer),
        (-200_i64..200).prop_map(Object::Integer),
        any::<bool>().prop_map(Object::Boolean),
        time().prop_map(Object::Time),
        name().prop_map(Object::Reference),
        vec(text(), 0..4)
            .prop_map(|texts| { Object::from_json(&serde_json::to_string(&texts).unwrap()).unwrap() }),
    ]
}

pub fn claim_id() -> impl Strategy<Value = ClaimId> {
    any::<[u8; 32]>().prop_map(ClaimId)
}

pub fn agent() -> impl Strategy<Value = AgentId> {
    any::<[u8; 32]>().prop_map(AgentId)
}

pub fn signature_bytes() -> impl Strategy<Value = SignatureBytes> {
    any::<([u8; 32], [u8; 32])>().prop_map(|(r, s)| {
        let mut bytes = [0; 64];
        bytes[..32].copy_from_slice(&r);
        bytes[32..].copy_from_slice(&s);
        SignatureBytes(bytes)
    })
}

fn signature() -> impl Strategy<Value = Signature> {
    (agent(), signature_bytes()).prop_map(|(agent, bytes)| Signature { agent, bytes })
}

pub fn micros() -> impl Strategy<Value = Micros> {
    prop_oneof![any::<i64>(), 0_i64..2_000_000_000_000_000].prop_map(Micros)
}

/// Two optional bounds, in order.
fn interval() -> impl Strategy<Value = (Option<Micros>, Option<Micros>)> {
    (of(micros()), of(micros())).prop_map(|bounds| match bounds {
        (Some(from), Some(to)) if to == from => (Some(from), None),
        (Some(from), Some(to)) if to < from => (Some(to), Some(from)),
        bounds => bounds,
    })
}

pub fn class() -> impl Strategy<Value = SourceClass> {
    (0_u8..6).prop_map(|number| SourceClass::new(number).unwrap())
}

pub fn assertion() -> impl Strategy<Value = Assertion> {
    let what = (name(), name(), object(), name());
    let who = (of((0_i64..=1_000_000_000).prop_map(Nano)), of(class()), of(agent()), of(any::<[u8; 32]>()));
    let lifecycle = (0_usize..5).prop_map(|stage| Lifecycle::ALL[stage]);
    let when = (of(name()), of(lifecycle), interval(), of(micros()));
    let lists = (vec(claim_id(), 0..5), vec(signature(), 0..4));
    (what, who, when, lists).prop_map(|(what, who, when, lists)| {
        let mut assertion = Assertion::new(what.0, what.1, what.2, what.3);
        (assertion.confidence, assertion.source_class, assertion.author, assertion.excerpt_hash) = who;
        (
            assertion.epoch,
            assertion.lifecycle,
            (assertion.valid_from, assertion.valid_to),
            assertion.observed_at,
        ) = when;
        (assertion.parents, assertion.signatures) = lists;
        assertion.normalize();
        assertion
    })
}

pub fn weight() -> impl Strategy<Value = Nano> {
    prop_oneof![Just(Nano::ONE), Just(Nano::MINUS_ONE), (-1_000_000_000_i64..=1_000_000_000).prop_map(Nano)]
}

fn vote() -> impl Strategy<Value = Vote> {
    (claim_id(), agent(), weight(), of(text()), of(signature_bytes())).prop_map(
        |(assertion, agent, weight, reason, signature)| Vote { assertion, agent, weight, reason, signature },
    )
}

fn supersession() -> impl Strategy<Value = Supersession> {
    let kind = prop_oneof![
        Just(SupersessionKind::Replaces),
        Just(SupersessionKind::Corrects),
        Just(SupersessionKind::Refines),
    ];
    let change = of((claim_id(), kind));
    (claim_id(), change, of(text()), of((agent(), of(signature_bytes())))).prop_map(
        |(old, change, reason, signer)| {
            let mut record = match change {
                Some((new, kind)) => Supersession::replace(old, new, kind),
                None => Supersession::retract(old),
            };
            record.reason = reason;
            record.agent = signer.map(|(agent, _)| agent);
            record.signature = signer.and_then(|(_, signature)| signature);
            record
        },
    )
}

fn epoch() -> impl Strategy<Value = Epoch> {
    (name(), of("old [a-z]{1,9}"), interval()).prop_map(|(name, supersedes, (from, to))| Epoch {
        name,
        supersedes,
        from,
        to,
    })
}

fn source() -> impl Strategy<Value = Source> {
    (name(), class(), of(name()), of("https://[a-z./]{1,900}"), of(any::<[u8; 32]>()))
        .prop_map(|(id, class, title, uri, content_hash)| Source { id, class, title, uri, content_hash })
}

fn cosign() -> impl Strategy<Value = Cosign> {
    (claim_id(), agent(), signature_bytes()).prop_map(|(claim, agent, signature)| Cosign {
        claim,
        agent,
        signature,
    })
}

fn agent_record() -> impl Strategy<Value = Agent> {
    (agent(), of(name()), of(class()), of((0_i64..=1_000_000_000).prop_map(Nano)))
        .prop_map(|(id, name, class, trust)| Agent { id, name, class, trust })
}

pub fn command() -> impl Strategy<Value = Command> {
    prop_oneof![
        3 => assertion().prop_map(Command::Assert),
        1 => vote().prop_map(Command::Vote),
        1 => supersession().prop_map(Command::Supersede),
        1 => epoch().prop_map(Command::Epoch),
        1 => source().prop_map(Command::Source),
        1 => cosign().prop_map(Command::Cosign),
        1 => agent_record().prop_map(Command::Agent),
    ]
}
