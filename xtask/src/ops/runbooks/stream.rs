//! Writers beside every scenario: what the server has acknowledged must be there at its end, and what it has refused must not.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use serde_json::Value;

use super::{
    failover::{self, Acknowledged},
    http::{get, send},
};
use crate::http::Reply;

pub use super::failover::Objectives;

/// So many at once: a write that waits behind another one is part of what is looked at.
const WRITERS: usize = 4;
/// Between two writes of a writer.
const REST: Duration = Duration::from_millis(40);
/// Refusals that mean that nothing was applied: docs/errors/README.md.
const DEFINITE: [&str; 5] = ["storage_full", "read_only", "overloaded", "lock_timeout", "standby"];
/// So many of them are looked for.
const REFUSED_LOOKED_FOR: usize = 100;

/// What the writers were told so far.
#[derive(Default)]
struct Told {
    acknowledged: Vec<Acknowledged>,
    /// By timeline, the last entry that its writer has said to be archived.
    counted: BTreeMap<u64, u64>,
    /// Subjects of writes that were definitely refused.
    refused: Vec<String>,
    /// Other outcomes by code: nobody knows whether they are there.
    unknown: BTreeMap<String, usize>,
    refusals: BTreeMap<String, usize>,
    wrong: Vec<String>,
}

/// Claims that were acknowledged, and writers that go on asserting more.
pub struct Stream {
    told: Arc<Mutex<Told>>,
    stop: Arc<AtomicBool>,
    writers: Vec<JoinHandle<()>>,
}

impl Stream {
    /// Loads so many claims, in one import.
    pub fn load(claims: usize) -> Result<Stream, String> {
        let stream = Stream { told: Arc::default(), stop: Arc::default(), writers: Vec::new() };
        if claims == 0 {
            return Ok(stream);
        }
        let mut lines = String::new();
        for number in 0..claims {
            let _ = writeln!(
                lines,
                r#"{{"subject":"loaded-{number}","predicate":"p","object":{number},"source":"runbooks"}}"#
            );
        }
        let reply = send("POST", "/v1/import?verdicts=all", "application/x-ndjson", &lines);
        let reply = reply.map_err(|error| format!("loading claims: {error}"))?;
        let ids: Vec<Acknowledged> =
            reply.body.lines().filter_map(|line| acknowledged(line, &reply)).collect();
        if reply.status != 200 || ids.len() != claims {
            return Err(format!(
                "{} of {claims} claims were loaded ({}): {}",
                ids.len(),
                reply.status,
                reply.body
            ));
        }
        stream.told.lock().unwrap_or_else(|held| held.into_inner()).acknowledged = ids;
        Ok(stream)
    }

    /// Lets the writers begin. `name` keeps their claims apart from those of others.
    pub fn begin(&mut self, name: &str) {
        for writer in 0..WRITERS {
            let (told, stop, name) = (Arc::clone(&self.told), Arc::clone(&self.stop), name.to_owned());
            self.writers.push(thread::spawn(move || {
                let mut number = 0;
                while !stop.load(Ordering::Relaxed) {
                    write(&format!("{name}-{writer}-{number}"), &told);
                    number += 1;
                    thread::sleep(REST);
                }
            }));
        }
        let (told, stop) = (Arc::clone(&self.told), Arc::clone(&self.stop));
        self.writers.push(thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                if let Some((timeline, lsn)) = get("/v1/health").ok().and_then(|reply| archived(&reply.body))
                {
                    let mut told = told.lock().unwrap_or_else(|held| held.into_inner());
                    let counted = told.counted.entry(timeline).or_default();
                    *counted = lsn.max(*counted);
                }
                thread::sleep(REST);
            }
        }));
    }

    /// Ends the writers; every write has its outcome when this returns.
    pub fn end(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for writer in self.writers.drain(..) {
            let _ = writer.join();
        }
    }

    /// Looks whether everything acknowledged is there and nothing refused is, as far as the objectives do not allow a loss. Returns a
    /// line about it.
    pub fn examine(&mut self, objectives: Objectives) -> Result<String, String> {
        self.end();
        let told = self.told.lock().unwrap_or_else(|held| held.into_inner());
        let mut wrong = told.wrong.clone();
        let mut lost = Vec::new();
        for claim in &told.acknowledged {
            let id = &claim.id;
            match get(&format!("/v1/assertions/{id}")) {
                Ok(reply) if reply.status == 200 => {}
                Ok(reply) if reply.status == 404 && objectives.rpo.is_some() => lost.push(claim),
                Ok(reply) => wrong.push(format!("acknowledged, and now {}: {id}", reply.status)),
                Err(error) => wrong.push(format!("acknowledged, and now {error}: {id}")),
            }
            if wrong.len() > 20 {
                break;
            }
        }
        for subject in told.refused.iter().take(REFUSED_LOOKED_FOR) {
            let reply = get(&format!("/v1/query?subject={subject}&predicate=p"));
            let reply = reply.map_err(|error| format!("a question: {error}"))?;
            if !reply.body.contains("\"considered\":0") {
                wrong.push(format!("refused, and now there: {subject}: {}", reply.body));
            }
        }
        let failover = failover::measure(objectives, &told.acknowledged, &lost, &told.counted, &mut wrong);
        if !wrong.is_empty() {
            return Err(format!("LOST OR WRONG:\n  {}", wrong.join("\n  ")));
        }
        let list = |of: &BTreeMap<String, usize>| {
            let words: Vec<String> = of.iter().map(|(code, count)| format!("{count} {code}")).collect();
            if words.is_empty() { "none".to_owned() } else { words.join(", ") }
        };
        let all = told.acknowledged.len();
        let are_there = if lost.is_empty() { "are all there" } else { "are there but for those below" };
        let (refused, unknown) = (list(&told.refusals), list(&told.unknown));
        Ok(format!("{all} acknowledged claims {are_there}; refused: {refused}; unknown: {unknown}{failover}"))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.end();
    }
}

/// What a line of a reply acknowledges.
fn acknowledged(line: &str, reply: &Reply) -> Option<Acknowledged> {
    let line: Value = serde_json::from_str(line).ok()?;
    let timeline = reply.header("stemedb-lsn").and_then(|text| text.split_once('.')?.0.parse().ok());
    let id = line["id"].as_str()?.to_owned();
    Some(Acknowledged { id, timeline, lsn: line["lsn"].as_u64(), at: Instant::now() })
}

/// The timeline of a writer and the last entry that counts as archived there.
fn archived(health: &str) -> Option<(u64, u64)> {
    let health: Value = serde_json::from_str(health).ok()?;
    Some((health["timeline"].as_u64()?, health["archive"]["lsn"].as_u64()?))
}

fn write(subject: &str, told: &Mutex<Told>) {
    let body = format!(r#"{{"subject":"{subject}","predicate":"p","object":1,"source":"runbooks"}}"#);
    let outcome = send("POST", "/v1/assert", "application/json", &body);
    let mut told = told.lock().unwrap_or_else(|held| held.into_inner());
    let reply = match outcome {
        Ok(reply) => reply,
        // Connections that are refused, cut or too slow: not acknowledged, and perhaps there.
        Err(error) => return *told.unknown.entry(error.kind().to_string()).or_default() += 1,
    };
    if matches!(reply.status, 200 | 201) {
        match acknowledged(&reply.body, &reply) {
            Some(claim) => told.acknowledged.push(claim),
            None => told.wrong.push(format!("acknowledged without an id: {}", reply.body)),
        }
        return;
    }
    let problem: Value = serde_json::from_str(&reply.body).unwrap_or_default();
    let code = problem["code"].as_str().unwrap_or_default().to_owned();
    // A failed write is never a success, and never a client's fault.
    if reply.status < 500 || code.is_empty() {
        told.wrong.push(format!("a write was answered with {}: {}", reply.status, reply.body));
    }
    if DEFINITE.contains(&code.as_str()) {
        told.refused.push(subject.to_owned());
        *told.refusals.entry(code).or_default() += 1;
    } else {
        *told.unknown.entry(code).or_default() += 1;
    }
}
