//! The same work for two servers, by turns: this one, and PostgreSQL behind a minimal axum server (`benches/peers`, `pg-server`).
//!
//! Both hold the same claims, and are asked the same questions in the same order; what they answer is compared before anything is
//! measured. Everybody stays up between his turns, and every round begins with another one. A ratio is of one round, and what is
//! required is required of the middle one.

use std::{fmt::Write as _, fs, path::Path, rc::Rc, time::Duration};

use serde_json::{Value, json};
use stemedb_api::load::{Connection, Seen, Work, closed, percentile_ms};
use tokio::runtime::Runtime;

use crate::{
    Failure,
    report::verdict,
    requests::Prepared,
    server::{Ground, Server},
};

/// Times the other's rate, in the middle of the rounds.
const GOAL: f64 = 2.0;
/// Questions whose answers are compared.
const COMPARED: usize = 500;
const WARM_UP: Duration = Duration::from_secs(2);
/// Between two turns: what one has left to the disk is not the next one's.
const REST: Duration = Duration::from_secs(1);
/// Of what they were made from when, not of what they say.
const OF_THE_MOMENT: [&str; 2] = ["evaluated_at", "recorded_at"];

/// What is to be done.
pub struct How<'a> {
    pub program: &'a Path,
    pub folder: &'a Path,
    pub connections: usize,
    pub length: Duration,
    pub rounds: usize,
}

/// A server with its turns.
struct Contender {
    name: &'static str,
    server: Server,
    records: bool,
    /// The number of its next assert.
    next: u64,
    questions: Vec<Turn>,
    asserts: Vec<Turn>,
}

/// One turn.
#[derive(Clone, Debug)]
struct Turn {
    per_second: f64,
    p50_ms: f64,
    p99_ms: f64,
    bad: u64,
}

impl Turn {
    fn of(seen: &Seen) -> Turn {
        let at = |share| percentile_ms(&seen.good, share).unwrap_or(0.0);
        Turn {
            per_second: seen.good.len() as f64 / seen.took.as_secs_f64(),
            p50_ms: at(0.5),
            p99_ms: at(0.99),
            bad: seen.failed + seen.refused.len() as u64,
        }
    }
}

/// What came of it.
#[derive(Debug)]
pub struct Beside {
    connections: usize,
    compared: usize,
    /// Name, work, and the turns.
    rows: Vec<(&'static str, &'static str, Vec<Turn>)>,
}

const OURS: &str = "StemeDB";
const UNCACHED: &str = "StemeDB, no answer kept";
const OTHER: &str = "PostgreSQL behind axum";

/// Starts everybody, compares, measures.
pub fn run(how: &How<'_>, ground: &Ground, runtime: &Runtime) -> Result<Beside, Failure> {
    let (claims, other, copy) =
        (how.folder.join("claims.jsonl"), how.folder.join("pg"), how.folder.join("copy"));
    ground.write(&claims)?;
    fs::create_dir(&other)?;
    copy_folder(&ground.dir, &copy)?;
    let contender = |name, server, records| Contender {
        name,
        server,
        records,
        next: 0,
        questions: Vec::new(),
        asserts: Vec::new(),
    };
    let mut all = vec![
        contender(OURS, Server::start(&copy, &[], None)?, true),
        contender(OTHER, Server::start_other(how.program, &claims, &other)?, true),
        // The other has no answers by heart; only its pages are in memory.
        contender(UNCACHED, Server::start(&ground.dir, &["--cache-mib", "0"], None)?, false),
    ];
    let (questions, asserts) = (Rc::new(ground.questions()), Rc::new(ground.asserts()));
    let compared = runtime.block_on(compare(&all, &questions))?;
    let drive = |of: &Contender, length| {
        runtime.block_on(closed(&of.server.address, &questions, how.connections, 0..u64::MAX, length))
    };
    for of in &all {
        drive(of, WARM_UP)?;
    }
    for round in 0..how.rounds {
        let count = all.len();
        all.rotate_left(usize::from(round > 0) % count);
        for of in &mut all {
            std::thread::sleep(REST);
            eprintln!("round {}: {}, questions", round + 1, of.name);
            let seen = drive(of, how.length)?;
            of.questions.push(Turn::of(&seen));
        }
        for of in all.iter_mut().filter(|of| of.records) {
            std::thread::sleep(REST);
            eprintln!("round {}: {}, asserts", round + 1, of.name);
            let numbers = of.next..u64::MAX;
            let seen = runtime.block_on(closed(
                &of.server.address,
                &asserts,
                how.connections,
                numbers,
                how.length,
            ))?;
            of.next += seen.offered;
            of.asserts.push(Turn::of(&seen));
        }
    }
    let mut rows = Vec::new();
    all.sort_by_key(|of| [OURS, UNCACHED, OTHER].iter().position(|name| *name == of.name));
    for of in &all {
        rows.push((of.name, "questions", of.questions.clone()));
    }
    for of in all.iter().filter(|of| of.records) {
        rows.push((of.name, "asserts", of.asserts.clone()));
    }
    Ok(Beside { connections: how.connections, compared, rows })
}

fn copy_folder(from: &Path, to: &Path) -> Result<(), Failure> {
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let name = to.join(entry.file_name());
        match entry.file_type()?.is_dir() {
            true => copy_folder(&entry.path(), &name)?,
            false => fs::copy(entry.path(), name).map(|_| ())?,
        }
    }
    Ok(())
}

/// Everybody gives the same answers as the first.
async fn compare(all: &[Contender], questions: &Prepared) -> Result<usize, Failure> {
    let each = (questions.0.len() / COMPARED).max(1);
    let mut expected: Vec<Value> = Vec::new();
    for of in all {
        let mut connection = Connection::open(&of.server.address).await?;
        let mut found = Vec::new();
        let mut request = Vec::new();
        for number in (0..questions.0.len()).step_by(each) {
            request.clear();
            questions.request(number as u64, &mut request);
            let reply = connection.ask(&request).await?;
            if reply.status != 200 {
                let said = String::from_utf8_lossy(reply.body);
                return Err(format!("{}: status {}: {said}", of.name, reply.status).into());
            }
            found.push(timeless(serde_json::from_slice(reply.body)?));
        }
        if expected.is_empty() {
            expected.clone_from(&found);
        }
        if let Some((wanted, found)) = expected.iter().zip(&found).find(|(wanted, found)| wanted != found) {
            return Err(format!("{} answers {found:#}\nbut {} {wanted:#}", of.name, all[0].name).into());
        }
    }
    Ok(expected.len())
}

/// An answer without what hangs on the clock.
fn timeless(mut value: Value) -> Value {
    match &mut value {
        Value::Object(members) => {
            members.retain(|name, _| !OF_THE_MOMENT.contains(&name.as_str()));
            members.values_mut().for_each(|member| *member = timeless(member.take()));
        }
        Value::Array(items) => items.iter_mut().for_each(|item| *item = timeless(item.take())),
        _ => {}
    }
    value
}

fn middle(of: impl Iterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = of.collect();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(0.0)
}

impl Beside {
    /// Of each round: how many times the other's rate.
    fn ratios(&self, name: &str, work: &str) -> Vec<f64> {
        let turns = |name: &str| {
            self.rows
                .iter()
                .find(|row| row.0 == name && row.1 == work)
                .map_or(&[][..], |row| row.2.as_slice())
        };
        turns(name).iter().zip(turns(OTHER)).map(|(ours, other)| ours.per_second / other.per_second).collect()
    }

    fn row_is_good(&self, name: &str, work: &str, turns: &[Turn]) -> bool {
        let is_whole = !turns.is_empty() && turns.iter().all(|turn| turn.bad == 0);
        is_whole && (name == OTHER || middle(self.ratios(name, work).into_iter()) >= GOAL)
    }

    /// Whether both works are done as much faster as is required, also where no answer is kept.
    pub fn is_good(&self) -> bool {
        self.rows.iter().all(|(name, work, turns)| self.row_is_good(name, work, turns))
    }

    pub fn markdown(&self) -> String {
        let mut page = format!(
            "\n## Beside PostgreSQL\n\nThe same claims, questions and asserts for this server and for PostgreSQL behind a minimal axum server \
             that does the same work (`benches/peers/src/pg_server`): one prepared statement a question over a Unix socket with a pool, the \
             same lens, the same JSON; one INSERT an assert, `synchronous_commit=on`. {} connections, by turns in the same run; medians of the \
             rounds. {} answers were compared and are equal.\n\n\
             | server | work | good a second | p50, ms | p99, ms | times PostgreSQL | in the rounds | |\n\
             |---|---|---:|---:|---:|---:|---|---|\n",
            self.connections, self.compared
        );
        for (name, work, turns) in &self.rows {
            let of = |figure: fn(&Turn) -> f64| middle(turns.iter().map(figure));
            let (per_second, p50, p99) =
                (of(|turn| turn.per_second), of(|turn| turn.p50_ms), of(|turn| turn.p99_ms));
            let ratios = if *name == OTHER { Vec::new() } else { self.ratios(name, work) };
            let shown: Vec<String> = ratios.iter().map(|ratio| format!("{ratio:.2}")).collect();
            let median = match ratios.is_empty() {
                true => String::new(),
                false => format!("{:.2} ×", middle(ratios.iter().copied())),
            };
            let judged = if *name == OTHER { "" } else { verdict(self.row_is_good(name, work, turns)) };
            let _ = writeln!(
                page,
                "| {name} | {work} | {per_second:.0} | {p50:.2} | {p99:.2} | {median} | {} | {judged} |",
                shown.join(", ")
            );
        }
        let _ =
            write!(page, "\nGoal: {GOAL} × in both, also where StemeDB keeps no answer (`--cache-mib 0`).\n");
        page
    }

    pub fn json(&self) -> Value {
        let turn = |turn: &Turn| json!({"per_second": turn.per_second, "p50_ms": turn.p50_ms, "p99_ms": turn.p99_ms, "not_good": turn.bad});
        let rows: Vec<Value> = self
            .rows
            .iter()
            .map(|(name, work, turns)| {
                let turns: Vec<Value> = turns.iter().map(turn).collect();
                json!({"server": name, "work": work, "turns": turns, "ratios": self.ratios(name, work)})
            })
            .collect();
        json!({"connections": self.connections, "answers_compared": self.compared, "rows": rows})
    }
}
