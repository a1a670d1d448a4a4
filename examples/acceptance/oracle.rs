//! Through a server: the import, and its answers against the oracle's.

use std::{collections::BTreeMap, time::Instant};

use serde::Deserialize;
use serde_json::value::RawValue;
use stemedb_oracle::{Claim, LENSES, Value, World};

use crate::{Arguments, corpus::Corpus, figures::Figures, http, program::Program};

pub fn measure(program: &Program, arguments: &Arguments, corpus: &Corpus, figures: &mut Figures) {
    let server = program.serve(&arguments.dir.join("served"));
    let url = format!("http://{}", server.address);
    let (claims, sources) = (arguments.claims.to_str().unwrap(), arguments.sources.to_str().unwrap());
    let sent = program.run(&["import", "--url", &url, claims, "--sources", sources]);
    let lines = corpus.len() as u64;
    let seconds = sent.elapsed.as_secs_f64();
    let measured = format!("{seconds:.1} s, {:.0} claims a second", lines as f64 / seconds);
    figures.judge("import through a server", "every line", measured, sent.number("created") == lines);
    figures.note("the server's peak memory", format!("{} MiB", server.peak_mib()));

    let world = World::read_jsonl(corpus.text.as_bytes(), &corpus.sources).unwrap();
    let by_id: BTreeMap<&str, &Claim> =
        world.claims().iter().map(|claim| (claim.id.as_str(), claim)).collect();
    let questions: Vec<(&str, &str)> = world.questions().collect();
    let mut seed = 0x9e37_79b9_7f4a_7c15u64;
    let (mut equal, mut asked, mut contested) = (0, 0, 0);
    let start = Instant::now();
    for _ in 0..arguments.questions.min(questions.len()) {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        let (subject, predicate) = questions[(seed % questions.len() as u64) as usize];
        for lens in LENSES {
            let expected = world.ask(subject, predicate, lens, u64::MAX, 0, false, None);
            let expected = Comparable::of_oracle(&expected, &by_id, lens == "layered");
            let path = format!("/v1/query?subject={}&predicate={predicate}&lens={lens}", encoded(subject));
            let reply = http::get(&server.address, &path).unwrap();
            assert_eq!(reply.status, 200, "{path}: {}", reply.body);
            let answer = Comparable::of_reply(&reply.body);
            asked += 1;
            contested += usize::from(answer.status == "contested");
            if answer == expected {
                equal += 1;
            } else {
                eprintln!("{subject} {predicate} {lens}\n  answered {answer:?}\n  expected {expected:?}");
            }
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    let measured = format!("{equal} of {asked} ({contested} contested) in {seconds:.1} s");
    figures.judge("answers equal to the oracle's", "all", measured, equal == asked && contested > 0);
    server.stop();
}

fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

/// An answer in terms that both sides have: claims are named by source and text of the value, floats are rounded to the
/// nine digits that are printed.
#[derive(Debug, PartialEq)]
struct Comparable {
    value: Option<String>,
    status: String,
    confidence: i64,
    margin: i64,
    conflict: i64,
    considered: usize,
    set_aside: usize,
    winners: Vec<(String, String)>,
    /// Value, support, share.
    values: Vec<(String, i64, i64)>,
    /// Class, value, share, conflict.
    layers: Vec<(u8, String, i64, i64)>,
    cross_class_conflict: i64,
}

fn nano(x: f64) -> i64 {
    (x * 1e9).round() as i64
}

/// A value as JSON.
fn json(value: &Value) -> String {
    match value {
        Value::Text(text) => serde_json::to_string(text).unwrap(),
        Value::Number(text) | Value::Integer(text) | Value::Json(text) => text.clone(),
        Value::Boolean(truth) => truth.to_string(),
        Value::Time(text) | Value::Reference(text) => text.clone(),
    }
}

impl Comparable {
    /// The oracle names layers with every lens, the server where the lens is about them.
    fn of_oracle(
        answer: &stemedb_oracle::Answer,
        by_id: &BTreeMap<&str, &Claim>,
        is_layered: bool,
    ) -> Comparable {
        let claim = |id: &String| (by_id[id.as_str()].source.clone(), json(&by_id[id.as_str()].object));
        let layers = answer.layers.iter().filter(|_| is_layered);
        Comparable {
            value: answer.value.as_ref().map(json),
            status: answer.status.clone(),
            confidence: nano(answer.confidence),
            margin: nano(answer.margin),
            conflict: nano(answer.conflict_score),
            considered: answer.considered,
            set_aside: answer.set_aside.len(),
            winners: answer.winners.iter().map(claim).collect(),
            values: answer
                .values
                .iter()
                .map(|(v, support, share)| (json(v), *support, nano(*share)))
                .collect(),
            layers: layers.map(|(c, v, share, x)| (*c, json(v), nano(*share), nano(*x))).collect(),
            cross_class_conflict: if is_layered { nano(answer.cross_class_conflict) } else { 0 },
        }
    }

    fn of_reply(body: &str) -> Comparable {
        let reply: Reply = serde_json::from_str(body).unwrap();
        let by_id: BTreeMap<&str, &Candidate> =
            reply.candidates.iter().map(|candidate| (candidate.id.as_str(), candidate)).collect();
        let claim = |id: &String| {
            let candidate = by_id[id.as_str()];
            (candidate.source.clone(), candidate.object.get().to_owned())
        };
        Comparable {
            value: reply.value.as_ref().map(|value| value.get().to_owned()),
            winners: reply.winners.iter().map(claim).collect(),
            status: reply.status,
            confidence: nano(reply.confidence),
            margin: nano(reply.margin),
            conflict: nano(reply.conflict_score),
            considered: reply.considered,
            set_aside: reply.set_aside.len(),
            values: reply
                .values
                .iter()
                .map(|v| (v.value.get().to_owned(), nano(v.support), nano(v.share)))
                .collect(),
            layers: reply
                .layers
                .iter()
                .map(|l| (l.class, l.value.get().to_owned(), nano(l.share), nano(l.conflict_score)))
                .collect(),
            cross_class_conflict: nano(reply.cross_class_conflict),
        }
    }
}

#[derive(Deserialize)]
struct Reply {
    value: Option<Box<RawValue>>,
    status: String,
    confidence: f64,
    margin: f64,
    conflict_score: f64,
    considered: usize,
    set_aside: Vec<serde_json::Value>,
    winners: Vec<String>,
    candidates: Vec<Candidate>,
    values: Vec<ValueShare>,
    #[serde(default)]
    layers: Vec<Layer>,
    #[serde(default)]
    cross_class_conflict: f64,
}

#[derive(Deserialize)]
struct Candidate {
    id: String,
    source: String,
    object: Box<RawValue>,
}

#[derive(Deserialize)]
struct ValueShare {
    value: Box<RawValue>,
    share: f64,
    support: f64,
}

#[derive(Deserialize)]
struct Layer {
    class: u8,
    value: Box<RawValue>,
    share: f64,
    conflict_score: f64,
}
