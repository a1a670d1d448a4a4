//! Random worlds: every lens answers as the oracle does, which shares no code with the engine.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};
use stemedb_api::{
    AsOf, Code, Database, DatabaseOptions, Query,
    core::{
        Agent, AgentId, AgentKey, Assertion, AuthorityPolicy, ClaimId, Command, Cosign, Epoch, Lens,
        Lifecycle, Micros, Nano, Object, Source, SourceClass, Supersession, SupersessionKind, Vote,
    },
    json::{AnswerJson, ObjectJson},
};
use stemedb_env::Lsn;
use stemedb_oracle as oracle;

use crate::support::{Dice, tiny};

const WORLDS: u64 = 300;
const HOUR_US: i64 = 3_600_000_000;

/// One world: a subject of its own in a database that all worlds share.
struct World<'a> {
    database: &'a Database,
    dice: Dice,
    name: u64,
    keys: Vec<AgentKey>,
    agents: Vec<AgentId>,
    claims: Vec<ClaimId>,
    oracle: oracle::World,
    now_us: i64,
}

impl World<'_> {
    fn named(&self, kind: &str, count: u64, dice: u64) -> String {
        format!("w{}/{kind}{}", self.name, dice % count)
    }

    fn object(&mut self) -> Object {
        match self.dice.below(12) {
            0 => Object::Integer(5),
            1 => Object::Number("5.0".into()),
            2 => Object::Number("50e-1".into()),
            3 => Object::Number("-0".into()),
            4 => Object::Integer(0),
            5 => Object::Text("5".into()),
            6 => Object::Time("2024-01-01T00:00:00Z".into()),
            7 => Object::Time("2024-01-01T01:00:00.000+01:00".into()),
            8 => Object::Boolean(true),
            9 => Object::Reference("5".into()),
            10 => Object::Json(r#"{"a":[1.0,"x"]}"#.into()),
            _ => Object::Number("5.000000000000000000001".into()),
        }
    }

    fn time(&mut self) -> i64 {
        // Hours apart, so that instants coincide now and then.
        self.now_us + (self.dice.below(24 * 400) as i64 - 24 * 300) * HOUR_US
    }

    fn assertion(&mut self) -> Assertion {
        let object = self.object();
        let sources = self.dice.next();
        let source = self.named("s", 4, sources);
        let predicate = if self.dice.chance(90) { "p" } else { "q" };
        let mut claim = Assertion::new(format!("w{}", self.name), predicate, object, source);
        let dice = &mut self.dice;
        if dice.chance(40) {
            claim.confidence = Some(Nano(dice.below(11) as i64 * 100_000_000));
        }
        if dice.chance(40) {
            claim.source_class = Some(SourceClass::new(dice.below(6) as u8).unwrap());
        }
        if dice.chance(30) {
            claim.author = Some(*dice.pick(&self.agents));
        }
        if dice.chance(20) {
            claim.lifecycle = Some(*dice.pick(&Lifecycle::ALL));
        }
        if dice.chance(30) {
            let name = dice.next();
            claim.epoch = Some(format!("w{}/e{}", self.name, name % 3));
        }
        if self.dice.chance(40) {
            claim.observed_at = Some(Micros(self.time()));
        }
        if self.dice.chance(15) {
            claim.valid_from = Some(Micros(self.time()));
        }
        if self.dice.chance(15) {
            let from = claim.valid_from.map_or(i64::MIN, |from| from.0);
            let to = self.time();
            claim.valid_to = (to > from).then_some(Micros(to));
        }
        if !self.claims.is_empty() && self.dice.chance(25) {
            claim.parents = vec![*self.dice.pick(&self.claims)];
        }
        if self.dice.chance(20) {
            let key = self.dice.pick(&self.keys).clone();
            claim.sign(&key);
        }
        claim
    }

    fn command(&mut self) -> Command {
        let kind = self.dice.below(100);
        if self.claims.is_empty() || kind < 50 {
            return Command::Assert(self.assertion());
        }
        let claim = *self.dice.pick(&self.claims);
        match kind {
            50..70 => {
                let agent = *self.dice.pick(&self.agents);
                let weight = Nano((self.dice.below(21) as i64 - 10) * 100_000_000);
                Command::Vote(Vote::new(claim, agent, weight))
            }
            70..78 => {
                let new = *self.dice.pick(&self.claims);
                Command::Supersede(if new == claim || self.dice.chance(40) {
                    Supersession::retract(claim)
                } else {
                    Supersession::replace(claim, new, SupersessionKind::Refines)
                })
            }
            78..84 => {
                let (name, old) = (self.dice.below(4), self.dice.below(3));
                let mut epoch = Epoch::new(format!("w{}/e{name}", self.name));
                epoch.supersedes = (name != old).then(|| format!("w{}/e{old}", self.name));
                Command::Epoch(epoch)
            }
            84..89 => {
                let mut agent = Agent::new(*self.dice.pick(&self.agents));
                agent.trust =
                    *self.dice.pick(&[None, Some(Nano(0)), Some(Nano(700_000_000)), Some(Nano::ONE)]);
                Command::Agent(agent)
            }
            89..94 => {
                let id = self.dice.next();
                let class = SourceClass::new(self.dice.below(6) as u8).unwrap();
                Command::Source(Source::new(self.named("s", 4, id), class))
            }
            _ => {
                let key = self.dice.pick(&self.keys).clone();
                Command::Cosign(Cosign::new(&key, claim))
            }
        }
    }

    /// Commits a few commands as one entry, and tells the oracle what was new.
    fn step(&mut self) {
        let count = 1 + self.dice.below(5);
        let known = self.claims.len();
        let mut commands: Vec<Command> = (0..count).map(|_| self.command()).collect();
        // Half of the time something is said twice.
        if self.dice.chance(30) {
            let again = self.dice.pick(&commands).clone();
            commands.push(again);
        }
        let outcomes = match self.database.submit(&commands) {
            Ok(outcomes) => outcomes,
            // Nothing of it was applied.
            Err(error) if error.code() == Code::SupersessionCycle => return,
            Err(error) => panic!("{error}"),
        };
        let lsn = self.database.published_lsn();
        let recorded = self.database.reader(None).unwrap().recorded_at(lsn).unwrap().map_or(0, |at| at.0);
        for (command, outcome) in commands.into_iter().zip(outcomes) {
            let (lsn, ordinal) = (outcome.position.lsn.0, outcome.position.ordinal);
            match command {
                Command::Assert(claim) if outcome.created => {
                    self.claims.push(claim.id());
                    self.oracle.assert(oracle_claim(&claim, lsn, ordinal, recorded));
                }
                // Signatures on a claim that was there already.
                Command::Assert(claim) => {
                    for signature in &claim.signatures {
                        let (claim, agent) = (claim.id().to_string(), signature.agent.to_string());
                        let lsn = self.database.published_lsn().0;
                        self.oracle.cosign(oracle::Cosign { lsn, ordinal: u32::MAX, claim, agent });
                    }
                }
                _ if !outcome.created => {}
                Command::Vote(vote) => self.oracle.vote(oracle::Vote {
                    lsn,
                    ordinal,
                    claim: vote.assertion.to_string(),
                    agent: vote.agent.to_string(),
                    weight_nano: vote.weight.0,
                }),
                Command::Supersede(change) => self.oracle.supersede(oracle::Supersession {
                    lsn,
                    ordinal,
                    old: change.old.to_string(),
                    new: change.new.map(|id| id.to_string()),
                }),
                Command::Epoch(epoch) => {
                    let (name, supersedes) = (epoch.name, epoch.supersedes);
                    self.oracle.epoch(oracle::Epoch { lsn, ordinal, name, supersedes });
                }
                Command::Source(source) => {
                    let class = source.class.number();
                    self.oracle.source(oracle::Source { lsn, ordinal, id: source.id, class });
                }
                Command::Cosign(cosign) => {
                    let (claim, agent) = (cosign.claim.to_string(), cosign.agent.to_string());
                    self.oracle.cosign(oracle::Cosign { lsn, ordinal, claim, agent });
                }
                Command::Agent(agent) => {
                    let trust_nano = agent.trust.map(|trust| trust.0);
                    let id = agent.id.to_string();
                    self.oracle.agent(oracle::Agent { lsn, ordinal, id, trust_nano });
                }
            }
        }
        assert!(self.claims.len() >= known);
    }
}

fn oracle_claim(claim: &Assertion, lsn: u64, ordinal: u32, recorded_at_us: i64) -> oracle::Claim {
    oracle::Claim {
        id: claim.id().to_string(),
        lsn,
        ordinal,
        recorded_at_us,
        subject: claim.subject.clone(),
        predicate: claim.predicate.clone(),
        object: match claim.object.clone() {
            Object::Text(text) => oracle::Value::Text(text),
            Object::Number(text) => oracle::Value::Number(text),
            Object::Integer(integer) => oracle::Value::Integer(integer.to_string()),
            Object::Boolean(truth) => oracle::Value::Boolean(truth),
            Object::Time(text) => oracle::Value::Time(text),
            Object::Reference(text) => oracle::Value::Reference(text),
            Object::Json(text) => oracle::Value::Json(text),
        },
        source: claim.source.clone(),
        confidence_nano: claim.confidence.map(|nano| nano.0),
        source_class: claim.source_class.map(|class| class.number()),
        author: claim.author.map(|author| author.to_string()),
        epoch: claim.epoch.clone(),
        lifecycle: claim.lifecycle.map(|stage| stage.name().to_owned()),
        valid_from_us: claim.valid_from.map(|at| at.0),
        valid_to_us: claim.valid_to.map(|at| at.0),
        observed_at_us: claim.observed_at.map(|at| at.0),
        parents: claim.parents.iter().map(ToString::to_string).collect(),
        signers: claim.signatures.iter().map(|signature| signature.agent.to_string()).collect(),
    }
}

/// A value of the oracle, in the JSON of answers.
fn value_json(value: &oracle::Value) -> Json {
    let object = match value.clone() {
        oracle::Value::Text(text) => Object::Text(text),
        oracle::Value::Number(text) => Object::Number(text),
        oracle::Value::Integer(text) => Object::Integer(text.parse().unwrap()),
        oracle::Value::Boolean(truth) => Object::Boolean(truth),
        oracle::Value::Time(text) => Object::Time(text),
        oracle::Value::Reference(text) => Object::Reference(text),
        oracle::Value::Json(text) => Object::Json(text),
    };
    serde_json::to_value(serde_json::value::to_raw_value(&ObjectJson(object.as_ref())).unwrap()).unwrap()
}

/// What the oracle answers, in the JSON of answers, restricted to what it knows.
fn expected(answer: &oracle::Answer, lens: Lens) -> Json {
    let mut set_aside: Vec<Json> =
        answer.set_aside.iter().map(|(id, reason)| json!({"id": id, "reason": reason})).collect();
    set_aside.sort_by_key(|one| one["id"].to_string());
    let values: Vec<Json> = answer
        .values
        .iter()
        .map(|(value, support, share)| json!({"value": value_json(value), "support": *support as f64 / 1e9, "share": share}))
        .collect();
    let mut json = json!({
        "value": answer.value.as_ref().map(value_json),
        "winners": answer.winners,
        "confidence": answer.confidence,
        "margin": answer.margin,
        "conflict_score": answer.conflict_score,
        "status": answer.status,
        "considered": answer.considered,
        "values": values,
        "set_aside": set_aside,
    });
    if lens == Lens::Layered {
        let layers: Vec<Json> = answer
            .layers
            .iter()
            .map(|(class, value, share, conflict)| {
                json!({"class": class, "value": value_json(value), "share": share, "conflict_score": conflict})
            })
            .collect();
        json["layers"] = layers.into();
        json["cross_class_conflict"] = answer.cross_class_conflict.into();
    }
    json
}

/// The same members of what the database answers.
fn found(answer: &Json, shape: &Json) -> Json {
    let mut json = serde_json::Map::new();
    for name in shape.as_object().unwrap().keys() {
        let mut member = answer[name].clone();
        for item in member.as_array_mut().into_iter().flatten() {
            let Some(item) = item.as_object_mut() else { continue };
            // What the oracle does not say.
            for unknown in ["by", "sources", "claims", "voices"] {
                item.remove(unknown);
            }
            if name == "layers" {
                for unknown in ["support", "considered", "winners"] {
                    item.remove(unknown);
                }
            }
        }
        if name == "set_aside" {
            member.as_array_mut().unwrap().sort_by_key(|one| one["id"].to_string());
        }
        json.insert(name.clone(), member);
    }
    Json::Object(json)
}

#[test]
fn every_lens_answers_as_the_oracle_does_on_random_worlds() {
    // Who may supersede what is not for the oracle to judge.
    let options = DatabaseOptions { supersession_authority: AuthorityPolicy::Off, ..tiny() };
    let dir = tempfile::tempdir().unwrap();
    let database = Database::create(dir.path().join("db"), options).unwrap();
    let now_us = 1_750_000_000_000_000;
    let mut seen: BTreeMap<String, u64> = BTreeMap::new();
    for name in 0..WORLDS {
        // Agents of its own: what is recorded about one holds in every world.
        let seed = |n: u8| [&name.to_be_bytes()[..], &[n; 24][..]].concat().try_into().unwrap();
        let keys: Vec<AgentKey> = (1..=4).map(|n| AgentKey::from_seed(&seed(n))).collect();
        let agents: Vec<AgentId> = keys.iter().map(AgentKey::agent).collect();
        let mut world = World {
            database: &database,
            dice: Dice(name ^ 0x5eed),
            name,
            keys: keys.clone(),
            agents: agents.clone(),
            claims: Vec::new(),
            oracle: oracle::World::default(),
            now_us,
        };
        let first = database.published_lsn().0;
        for _ in 0..4 + world.dice.below(6) {
            world.step();
        }
        let last = database.published_lsn().0;
        for lens in Lens::ALL {
            for round in 0..3 {
                let as_of = if round == 0 { last } else { first + world.dice.below(last - first + 1) };
                let evaluated_at = Micros(world.time());
                let decay = world.dice.chance(50);
                let epoch = world.dice.chance(30).then(|| format!("w{name}/e{}", world.dice.below(3)));
                let query = Query {
                    as_of: Some(AsOf::Lsn(Lsn(as_of))),
                    epoch: epoch.clone(),
                    decay,
                    evaluated_at: Some(evaluated_at),
                    ..Query::new(format!("w{name}"), "p", lens)
                };
                let context = format!("world {name}, {query:?}");
                let resolved = database.query(query).unwrap();
                let answer = serde_json::to_string(&AnswerJson::new(&resolved, true)).unwrap();
                let answer: Json = serde_json::from_str(&answer).unwrap();
                let by_oracle = world.oracle.ask(
                    &format!("w{name}"),
                    "p",
                    lens.name(),
                    as_of,
                    evaluated_at.0,
                    decay,
                    epoch.as_deref(),
                );
                let expected = expected(&by_oracle, lens);
                assert_eq!(found(&answer, &expected), expected, "{context}");
                let mut tainted: Vec<(String, String)> = answer["candidates"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .filter_map(|one| Some((one["id"].as_str()?.into(), one["tainted_by"].as_str()?.into())))
                    .collect();
                tainted.sort();
                *seen.entry("tainted".to_owned()).or_default() += tainted.len() as u64;
                let mut by_oracle_tainted = by_oracle.tainted.clone();
                by_oracle_tainted.sort();
                assert_eq!(tainted, by_oracle_tainted, "{context}");
                *seen.entry(by_oracle.status.clone()).or_default() += 1;
                for (_, reason) in by_oracle.set_aside {
                    *seen.entry(reason).or_default() += 1;
                }
            }
        }
    }
    // The worlds are varied enough to have shown everything that an answer can be.
    for kind in [
        "unknown",
        "unanimous",
        "agreed",
        "contested",
        "retracted",
        "superseded",
        "rejected",
        "out_of_epoch",
        "not_yet_valid",
        "no_longer_valid",
        "tainted",
    ] {
        assert!(seen.get(kind).is_some_and(|times| *times > 20), "{kind}: {seen:?}");
    }
}
