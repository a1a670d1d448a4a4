//! The bytes of version 1 are fixed for ever: ids hang on them.
//!
//! `golden/records_v1.txt` holds one record of every kind and every field. If a change makes this test fail, the
//! change is wrong; only a new version may have other bytes. Nothing here writes the file.
#![allow(clippy::unwrap_used)] // A test may fail by panicking, in its helpers too.

use stemedb_core::{
    Agent, AgentId, AgentKey, Assertion, ClaimId, Command, Cosign, Epoch, Lifecycle, Micros, Nano, Object,
    Source, SourceClass, Supersession, SupersessionKind, Vote,
};

const GOLDEN: &str = include_str!("golden/records_v1.txt");

fn key(seed: u8) -> AgentKey {
    AgentKey::from_seed(&[seed; 32])
}

fn claim(object: Object) -> Assertion {
    Assertion::new("cas:50-00-0", "melting_point_K", object, "handbook")
}

fn records() -> Vec<(&'static str, Command)> {
    let mut records = Vec::new();
    let number = Object::Number("181.150".to_owned());
    records.push(("a claim that says only what it must", Command::Assert(claim(number.clone()))));
    let objects = [
        ("an empty text", Object::Text(String::new())),
        ("a text beyond ASCII", Object::Text("Schmelzpunkt −92 °C\n(Reinstoff)".to_owned())),
        ("an integer of one byte", Object::Integer(-64)),
        ("an integer of ten bytes", Object::Integer(i64::MIN)),
        ("false", Object::Boolean(false)),
        ("true", Object::Boolean(true)),
        ("a time", Object::Time("2024-02-29T23:59:59.5+01:00".to_owned())),
        ("a reference", Object::Reference("cas:67-56-1".to_owned())),
        ("a JSON value", Object::Json(r#"{"max":182.0,"min":180.9}"#.to_owned())),
    ];
    records.extend(objects.map(|(name, object)| (name, Command::Assert(claim(object)))));

    let mut full = claim(number);
    full.confidence = Some(Nano(900_000_000));
    full.source_class = SourceClass::new(1).ok();
    full.author = Some(key(1).agent());
    full.excerpt_hash = Some([0xee; 32]);
    full.epoch = Some("edition 97".to_owned());
    full.lifecycle = Some(Lifecycle::Approved);
    full.valid_from = Some(Micros(-1));
    full.valid_to = Some(Micros(1_709_209_845_123_456));
    full.observed_at = Some(Micros(1_700_000_000_000_000));
    full.parents = vec![ClaimId([0x11; 32]), ClaimId([0x22; 32])];
    let unsigned = Command::Assert(full.clone());
    full.sign(&key(1));
    full.sign(&key(2));
    let id = full.id();
    records.push(("every field of a claim, unsigned", unsigned));
    records.push(("the same claim signed by two agents", Command::Assert(full)));

    let mut vote = Vote::new(id, key(2).agent(), Nano(-250_000_000));
    records.push(("a vote", Command::Vote(vote.clone())));
    vote.reason = Some("cannot be reproduced".to_owned());
    vote.sign(&key(2));
    records.push(("a vote with reason and signature", Command::Vote(vote)));

    records.push(("a retraction", Command::Supersede(Supersession::retract(id))));
    let mut correction = Supersession::replace(id, ClaimId([0x33; 32]), SupersessionKind::Corrects);
    correction.reason = Some("misread".to_owned());
    correction.sign(&key(1));
    records.push(("a correction with reason and signature", Command::Supersede(correction)));

    records.push(("an epoch", Command::Epoch(Epoch::new("edition 97"))));
    let mut epoch = Epoch::new("edition 98");
    epoch.supersedes = Some("edition 97".to_owned());
    (epoch.from, epoch.to) = (Some(Micros(0)), Some(Micros(1)));
    records.push(("every field of an epoch", Command::Epoch(epoch)));

    records.push(("a source", Command::Source(Source::new("handbook", SourceClass::ANECDOTAL))));
    let mut source = Source::new("handbook", SourceClass::REGULATORY);
    source.title = Some("Handbook, 97th edition".to_owned());
    source.uri = Some("https://example.org/handbook".to_owned());
    source.content_hash = Some([0xcc; 32]);
    records.push(("every field of a source", Command::Source(source)));

    records.push(("a co-signature", Command::Cosign(Cosign::new(&key(3), id))));

    records.push(("an agent", Command::Agent(Agent::new(AgentId([0xaa; 32])))));
    let mut agent = Agent::new(AgentId([0xaa; 32]));
    agent.name = Some("Prüfstelle 4".to_owned());
    agent.class = SourceClass::new(2).ok();
    agent.trust = Some(Nano(750_000_000));
    records.push(("every field of an agent", Command::Agent(agent)));
    records
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len() / 2).map(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap()).collect()
}

/// One record as it stands in the file: its name, its bytes, and what hangs on them.
fn entry(name: &str, command: &Command) -> String {
    let mut bytes = Vec::new();
    command.encode(&mut bytes);
    let mut entry = format!("# {name}\ncommand {}\n", hex(&bytes));
    match command {
        Command::Assert(claim) => {
            entry += &format!("id {}\n", claim.id());
            for signature in &claim.signatures {
                entry += &format!("signature {} {}\n", signature.agent, signature.bytes);
            }
        }
        Command::Vote(Vote { signature: Some(bytes), .. })
        | Command::Supersede(Supersession { signature: Some(bytes), .. })
        | Command::Cosign(Cosign { signature: bytes, .. }) => entry += &format!("signature {bytes}\n"),
        _ => {}
    }
    entry
}

#[test]
fn every_record_encodes_to_its_golden_bytes() {
    let entries: Vec<String> = records().iter().map(|(name, command)| entry(name, command)).collect();
    let text = entries.join("\n");
    assert!(text == GOLDEN, "the bytes changed; they are now:\n{text}");
}

#[test]
fn golden_bytes_decode_to_their_records() {
    let lines: Vec<&str> = GOLDEN.lines().filter_map(|line| line.strip_prefix("command ")).collect();
    let records = records();
    assert_eq!(lines.len(), records.len());
    for (line, (name, command)) in lines.iter().zip(&records) {
        assert_eq!(Command::decode_exact(&unhex(line)).as_ref(), Ok(command), "{name}");
        assert_eq!(command.validate(), Ok(()), "{name}");
    }
}
