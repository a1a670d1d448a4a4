//! Servers that are stopped, killed and started again under load, and what clients and proxy saw of it.

use std::{thread, time::Duration};

use super::{
    super::monitoring::daemon,
    access::{self, Line},
    envoy,
    front::{Front, Kind},
    journal,
    load::{Door, Load, Tally},
    pair::{COPY, Pair, WRITER},
};
use crate::steps::Outcome;

/// What happens meanwhile.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Phase {
    /// Nothing.
    Calm,
    /// SIGTERM: a server says that it is not ready, finishes what it has, and ends. It comes back.
    Drained(usize),
    /// `kill -9`. It comes back.
    Killed(usize),
    /// SIGSTOP: its machine takes connections for it, and nobody answers. It goes on after a while.
    Frozen(usize),
}

impl Phase {
    /// All of them, in a good order.
    pub const ALL: [Phase; 5] = [
        Phase::Calm,
        Phase::Drained(COPY),
        Phase::Drained(WRITER),
        Phase::Killed(COPY),
        Phase::Killed(WRITER),
    ];
    /// Those that CI can afford.
    pub const QUICK: [Phase; 3] = [Phase::Calm, Phase::Drained(COPY), Phase::Killed(WRITER)];

    fn which(self) -> Option<usize> {
        match self {
            Phase::Calm => None,
            Phase::Drained(which) | Phase::Killed(which) | Phase::Frozen(which) => Some(which),
        }
    }

    /// As the table has it.
    pub fn name(self) -> String {
        let who = if self.which() == Some(WRITER) { "writer" } else { "copy" };
        match self {
            Phase::Calm => "both there".to_owned(),
            Phase::Drained(_) => format!("{who} drained"),
            Phase::Killed(_) => format!("{who} killed"),
            Phase::Frozen(_) => format!("{who} frozen"),
        }
    }
}

/// What was seen of a phase.
pub struct Seen {
    pub phase: Phase,
    pub tally: Tally,
    /// Questions, and records, that the proxy has sent on more than once.
    pub retried: (usize, usize),
}

/// What was seen of a run.
pub struct Trial {
    pub kind: Kind,
    pub phases: Vec<Seen>,
    /// What is not as it must be.
    pub problems: Vec<String>,
}

/// So many questions are answered in each part of a phase, at least.
const QUESTIONS: usize = 150;
const RECORDS: usize = 10;

/// Puts the pair through these phases behind a proxy. An error means that it could not be found out.
pub fn run(front: &Front, door: Door, pair: &mut Pair, run: &str, phases: &[Phase]) -> Result<Trial, String> {
    let load = Load::start(door, run, phases.len());
    let mut problems = Vec::new();
    for (number, phase) in phases.iter().enumerate() {
        load.phase(number);
        let outcome = one(front, &load, pair, *phase, &mut problems);
        outcome.map_err(|error| format!("{}, {}: {error}", front.kind.name(), phase.name()))?;
    }
    let (tallies, acknowledged) = load.end();
    // What is written down late.
    thread::sleep(Duration::from_millis(500));
    let lines = access::lines(front, &format!("{run}-"))?;
    let mut seen = Vec::new();
    for ((number, phase), tally) in phases.iter().enumerate().zip(tallies) {
        let beginning = format!("{run}-{number}-");
        let own: Vec<&Line> = lines.iter().filter(|line| line.request_id.starts_with(&beginning)).collect();
        let told = judged(front.kind, *phase, &tally, &own, &pair.addresses);
        problems.extend(told.into_iter().map(|problem| format!("{}: {problem}", phase.name())));
        let retried = |is_record: bool| {
            own.iter().filter(|line| line.attempts > 1 && (line.method == "POST") == is_record).count()
        };
        seen.push(Seen { phase: *phase, tally, retried: (retried(false), retried(true)) });
    }
    let unknown = seen.iter().map(|seen| seen.tally.unknown).sum();
    problems.extend(journal::problems(pair, run, &acknowledged, unknown)?);
    if front.kind == Kind::Envoy {
        // The same, as it counts itself.
        let retries = |cluster: &str| envoy::figure(front, &format!("cluster.{cluster}.upstream_rq_retry"));
        let (records, questions) = (retries("stemedb_records")?, retries("stemedb_questions")?);
        let has_failed = phases.iter().any(|phase| matches!(phase, Phase::Killed(_) | Phase::Frozen(_)));
        if records > 0 || (has_failed && questions == 0) {
            problems.push(format!("envoy counts {records} retries of records and {questions} of questions"));
        }
    }
    Ok(Trial { kind: front.kind, phases: seen, problems })
}

fn one(front: &Front, load: &Load, pair: &mut Pair, phase: Phase, problems: &mut Vec<String>) -> Outcome {
    load.lasts(QUESTIONS, RECORDS)?;
    let Some(which) = phase.which() else { return Ok(()) };
    let is_out = || {
        let healthy = "cluster.stemedb_questions.membership_healthy";
        let is_out = || envoy::figure(front, healthy).is_ok_and(|count| count == 1);
        daemon::until("envoy takes it out", Duration::from_secs(10), is_out)
    };
    if let Phase::Frozen(_) = phase {
        pair.signal(which, "-STOP")?;
        let noticed = if front.kind == Kind::Envoy { is_out() } else { Ok(()) };
        let lasts = load.lasts(QUESTIONS, RECORDS);
        pair.signal(which, "-CONT")?;
        problems.extend(noticed.err().map(|error| format!("{}: {error}", phase.name())));
        return lasts.and_then(|()| load.lasts(QUESTIONS, RECORDS));
    }
    let server = pair.take(which)?;
    if let Phase::Drained(_) = phase {
        server.terminate()?;
        if front.kind == Kind::Envoy {
            // It must have noticed while the server still takes connections and answers.
            let noticed = is_out();
            let answers = pair.ask(which, "/livez").is_ok_and(|reply| reply.status == 200);
            if noticed.is_err() || !answers {
                let late = noticed.err().unwrap_or_else(|| "it had stopped answering by then".to_owned());
                problems.push(format!("{}: not taken out while it drains: {late}", phase.name()));
            }
        }
        let log = server.ended(Duration::from_secs(60))?;
        if !log.contains("requests are finished") || log.contains("they are cut") {
            problems.push(format!("{}: it has not finished its requests: {log}", phase.name()));
        }
    } else {
        drop(server);
    }
    load.lasts(QUESTIONS, 0)?;
    pair.serve(which)?;
    let is_back = || pair.answered(which).is_ok_and(|count| count > 10.0);
    daemon::until("it gets questions again", Duration::from_secs(20), is_back)?;
    load.lasts(QUESTIONS, RECORDS)
}

fn judged(kind: Kind, phase: Phase, tally: &Tally, lines: &[&Line], addresses: &[String; 2]) -> Vec<String> {
    let mut problems = Vec::new();
    let mut must = |is_so: bool, what: String| {
        if !is_so {
            problems.push(what);
        }
    };
    must(tally.failed == 0, format!("{} questions failed: {:?}", tally.failed, tally.notes));
    must(tally.again == 0, format!("{} records were sent twice: {:?}", tally.again, tally.notes));
    let in_doubt = tally.refused + tally.unknown;
    let is_writer_there = phase.which() != Some(WRITER);
    must(!is_writer_there || in_doubt == 0, format!("{in_doubt} records failed: {:?}", tally.notes));
    // All requests stand in the proxy's log under the ids that clients gave them.
    let sent = tally.asked + tally.recorded + tally.again + in_doubt;
    must(lines.len() == sent, format!("{sent} requests were sent, and {} are in the log", lines.len()));
    let is_record = |line: &&&Line| line.method == "POST";
    let retried = lines.iter().filter(|line| line.attempts > 1);
    let (records, questions): (Vec<&&Line>, Vec<&&Line>) = retried.partition(is_record);
    must(records.is_empty(), format!("{} records were sent on twice: {:?}", records.len(), records.first()));
    match phase {
        Phase::Killed(_) | Phase::Frozen(_) => {
            must(!questions.is_empty(), "no question was asked again".to_owned())
        }
        // A health check takes a server out before it refuses anybody.
        Phase::Drained(_) if kind == Kind::Envoy => must(
            questions.is_empty(),
            format!("{} questions met a server that had drained: {:?}", questions.len(), questions.first()),
        ),
        _ => {}
    }
    let of_record = lines.iter().filter(is_record).flat_map(|line| &line.upstreams);
    let strays = of_record.filter(|address| **address == addresses[COPY]).count();
    must(strays == 0, format!("{strays} records were sent to the copy"));
    if phase == Phase::Calm {
        for address in addresses {
            let answered = lines.iter().filter(|line| !is_record(line) && line.upstreams.contains(address));
            must(answered.count() > 20, format!("{address} gets no questions"));
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(method: &str, attempts: usize, upstream: &str) -> Line {
        Line {
            request_id: String::new(),
            method: method.to_owned(),
            status: 200,
            attempts,
            upstreams: vec![upstream.to_owned()],
        }
    }

    fn problems(kind: Kind, phase: Phase, tally: &Tally, lines: &[Line]) -> String {
        let addresses = ["w".to_owned(), "c".to_owned()];
        judged(kind, phase, tally, &lines.iter().collect::<Vec<_>>(), &addresses).join("; ")
    }

    #[test]
    fn each_thing_that_must_not_be_is_told() {
        let killed = Phase::Killed(WRITER);
        let tally = Tally { asked: 1, recorded: 1, unknown: 1, ..Tally::default() };
        let good = || vec![line("GET", 2, "c"), line("POST", 1, "w"), line("POST", 1, "w")];
        assert_eq!(problems(Kind::Nginx, killed, &tally, &good()), "");
        // A copy that is away is no reason for a record to fail.
        assert!(problems(Kind::Nginx, Phase::Killed(COPY), &tally, &good()).contains("1 records failed"));
        let failed = Tally { failed: 1, ..tally.clone() };
        assert!(problems(Kind::Nginx, killed, &failed, &good()).contains("1 questions failed"));
        let again = Tally { again: 1, recorded: 0, ..tally.clone() };
        assert!(problems(Kind::Nginx, killed, &again, &good()).contains("sent twice"));
        assert!(problems(Kind::Nginx, killed, &tally, &good()[..2]).contains("are in the log"));
        let twice = [line("GET", 2, "c"), line("POST", 2, "w"), line("POST", 1, "w")];
        assert!(problems(Kind::Nginx, killed, &tally, &twice).contains("sent on twice"));
        let stray = [line("GET", 2, "c"), line("POST", 1, "c"), line("POST", 1, "w")];
        assert!(problems(Kind::Nginx, killed, &tally, &stray).contains("sent to the copy"));
        let once = [line("GET", 1, "c"), line("POST", 1, "w"), line("POST", 1, "w")];
        assert!(problems(Kind::Nginx, killed, &tally, &once).contains("no question was asked again"));
        let drained = Phase::Drained(WRITER);
        assert_eq!(problems(Kind::Nginx, drained, &tally, &good()), "");
        assert!(problems(Kind::Envoy, drained, &tally, &good()).contains("had drained"));
        assert!(problems(Kind::Envoy, Phase::Calm, &tally, &once).contains("w gets no questions"));
    }
}
