//! A standby in the copy's place, under load: it shares the questions, takes no record before it is promoted, and all of them afterwards.
//!
//! ```text
//! clients ── TLS ──▶ proxy ──▶ writer ──▶ archive      then the writer is stopped, the standby promoted,
//!                      └─────▶ standby ◀──┘            and the old writer comes back and is fenced
//! ```
//!
//! Envoy finds the next writer by itself (`/readyz`); in nginx the two addresses change places, as an operator would do it.

use std::{thread, time::Duration};

use super::{
    super::monitoring::daemon,
    Stage,
    access::{self, Line},
    envoy,
    front::{Front, Kind},
    journal,
    load::{Load, READERS, Tally},
    pair::{COPY, Pair, WRITER},
};

/// The lines of `deploy/envoy/stemedb.yaml` that are for a standby, as they are shipped and as they are meant.
pub const LINES: (&str, &str) = (
    "      # - priority: 1\n      #   lb_endpoints:\n      #   - endpoint: ",
    "      - priority: 1\n        lb_endpoints:\n        - endpoint: ",
);

/// What happens, one after the other.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    Both,
    StandbyDrained,
    WriterStopped,
    Promoted,
    Fenced,
}

const PHASES: [(Phase, &str); 5] = [
    (Phase::Both, "both there"),
    (Phase::StandbyDrained, "standby drained"),
    (Phase::WriterStopped, "writer stopped"),
    (Phase::Promoted, "promoted"),
    (Phase::Fenced, "old one fenced"),
];

/// In each part of a phase, at least.
const QUESTIONS: usize = 150;
const RECORDS: usize = 10;

/// What was seen: a line a phase, for the table, and what is not as it must be.
pub struct Seen {
    pub kind: Kind,
    /// With the questions, and the records, that the proxy has sent on more than once.
    pub phases: Vec<(&'static str, Tally, (usize, usize))>,
    pub problems: Vec<String>,
}

/// Goes through all of it. An error means that it could not be found out.
pub fn run(stage: &Stage<'_>, kind: Kind, pair: &mut Pair) -> Result<Seen, String> {
    let changes = match kind {
        Kind::Nginx => &[][..],
        Kind::Envoy => &[LINES][..],
    };
    let front = stage.front(kind, &pair.addresses, changes, true)?;
    let run = format!("{}standby", kind.name());
    let load = Load::start(stage.door(&front, &pair.key), &run, PHASES.len());
    for (number, (phase, name)) in PHASES.into_iter().enumerate() {
        load.phase(number);
        // What is judged by phases must not be under way when one begins.
        thread::sleep(Duration::from_millis(300));
        one(stage, &front, &load, pair, phase)
            .map_err(|error| format!("{} and a standby, {name}: {error}\n{}", kind.name(), front.told()))?;
    }
    let (tallies, acknowledged) = load.end();
    thread::sleep(Duration::from_millis(500));
    let lines = access::lines(&front, &format!("{run}-"))?;
    let mut seen = Seen { kind, phases: Vec::new(), problems: Vec::new() };
    for ((number, (phase, name)), tally) in PHASES.into_iter().enumerate().zip(tallies) {
        let beginning = format!("{run}-{number}-");
        let own: Vec<&Line> = lines.iter().filter(|line| line.request_id.starts_with(&beginning)).collect();
        let told = judged(kind, phase, &tally, &own, &pair.addresses);
        seen.problems.extend(told.into_iter().map(|problem| format!("with a standby, {name}: {problem}")));
        let retried = |is_record: bool| {
            own.iter().filter(|line| line.attempts > 1 && is_of_record(line) == is_record).count()
        };
        let retried = (retried(false), retried(true));
        seen.phases.push((name, tally, retried));
    }
    let unknown = seen.phases.iter().map(|(_, tally, _)| tally.unknown).sum();
    seen.problems.extend(journal::problems_of_standby(pair, &run, &acknowledged, unknown)?);
    Ok(seen)
}

fn one(stage: &Stage<'_>, front: &Front, load: &Load, pair: &mut Pair, phase: Phase) -> Result<(), String> {
    let end = |pair: &mut Pair, which: usize| {
        let server = pair.take(which)?;
        server.terminate()?;
        server.ended(Duration::from_secs(60)).map(drop)
    };
    match phase {
        Phase::Both => {}
        Phase::StandbyDrained => {
            end(pair, COPY)?;
            load.lasts(QUESTIONS, RECORDS)?;
            pair.serve(COPY)?;
            let is_back = || pair.answered(COPY).is_ok_and(|count| count > 10.0);
            daemon::until("the standby gets questions again", Duration::from_secs(20), is_back)?;
        }
        Phase::WriterStopped => {
            // It archives what it has acknowledged before it ends.
            end(pair, WRITER)?;
            return load.lasts(QUESTIONS, 0);
        }
        Phase::Promoted => {
            load.promoted();
            pair.promote()?;
            if front.kind == Kind::Nginx {
                let [old, new] = pair.addresses.clone();
                stage.readdressed(front, &[new, old])?;
            } else {
                // Nobody was ready for records while the writer was away.
                let ready = "cluster.stemedb_records.membership_healthy";
                let has_found = || envoy::figure(front, ready).is_ok_and(|count| count == 1);
                daemon::until("envoy finds the next writer", Duration::from_secs(10), has_found)?;
            }
        }
        Phase::Fenced => {
            pair.serve(WRITER)?;
            let reply = pair.ask(WRITER, "/readyz")?;
            if reply.status != 503 {
                return Err(format!("the old writer is not fenced: {reply:?}"));
            }
            let is_asked = || pair.answered(WRITER).is_ok_and(|count| count > 30.0);
            daemon::until("the old writer gets questions", Duration::from_secs(20), is_asked)?;
        }
    }
    load.lasts(QUESTIONS, RECORDS)
}

fn is_of_record(line: &Line) -> bool {
    line.method == "POST"
}

fn judged(kind: Kind, phase: Phase, tally: &Tally, lines: &[&Line], addresses: &[String; 2]) -> Vec<String> {
    let mut problems = Vec::new();
    let mut must = |is_so: bool, what: String| {
        if !is_so {
            problems.push(what);
        }
    };
    // An nginx that is given other addresses closes the connections that its clients keep: each may lose one question.
    let closed = if kind == Kind::Nginx && phase == Phase::Promoted { READERS } else { 0 };
    must(tally.failed <= closed, format!("{} questions failed: {:?}", tally.failed, tally.notes));
    must(tally.again == 0, format!("{} records were sent twice: {:?}", tally.again, tally.notes));
    let in_doubt = tally.refused + tally.unknown;
    let has_writer = matches!(phase, Phase::Both | Phase::StandbyDrained | Phase::Fenced);
    must(!has_writer || in_doubt == 0, format!("{in_doubt} records failed: {:?}", tally.notes));
    let twice = lines.iter().filter(|line| is_of_record(line) && line.attempts > 1).count();
    must(twice == 0, format!("{twice} records were sent on twice"));
    let (writer, other) = match phase {
        Phase::Promoted | Phase::Fenced => (COPY, WRITER),
        _ => (WRITER, COPY),
    };
    let taken = |line: &&&Line| is_of_record(line) && (has_writer || line.status == 201);
    let records = |which: usize| {
        lines.iter().filter(taken).filter(|line| line.upstreams.contains(&addresses[which])).count()
    };
    let astray = records(other);
    must(astray == 0, format!("{astray} records went to the one that is not the writer"));
    let is_quiet = phase == Phase::WriterStopped;
    must(is_quiet || records(writer) >= RECORDS, format!("{} records reached the writer", records(writer)));
    if matches!(phase, Phase::Both | Phase::Fenced) {
        for address in addresses {
            let of_it = |line: &&&Line| !is_of_record(line) && line.upstreams.contains(address);
            let asked = lines.iter().filter(of_it).count();
            must(asked > 20, format!("{address} gets {asked} questions"));
        }
    }
    let met = lines.iter().filter(|line| !is_of_record(line) && line.attempts > 1).count();
    let is_known = kind == Kind::Envoy && phase == Phase::StandbyDrained;
    must(!is_known || met == 0, format!("{met} questions met a standby that had drained"));
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(method: &str, status: u64, attempts: usize, upstream: &str) -> Line {
        let upstreams = vec![upstream.to_owned()];
        Line { request_id: String::new(), method: method.to_owned(), status, attempts, upstreams }
    }

    fn problems(phase: Phase, tally: &Tally, more: &[Line]) -> String {
        let mut lines: Vec<Line> = more.to_vec();
        for _ in 0..30 {
            lines.extend([line("GET", 200, 1, "w"), line("GET", 200, 1, "s")]);
        }
        let addresses = ["w".to_owned(), "s".to_owned()];
        judged(Kind::Envoy, phase, tally, &lines.iter().collect::<Vec<_>>(), &addresses).join("; ")
    }

    #[test]
    fn each_thing_that_must_not_be_is_told() {
        let good = Tally::default();
        let records = |upstream: &str| vec![line("POST", 201, 1, upstream); RECORDS];
        assert_eq!(problems(Phase::Both, &good, &records("w")), "");
        assert_eq!(problems(Phase::Promoted, &good, &records("s")), "");
        assert!(problems(Phase::Promoted, &good, &records("w")).contains("not the writer"));
        assert!(problems(Phase::Both, &good, &[]).contains("0 records reached"));
        // Refused by the standby while nobody is ready, and not before.
        let stray = [line("POST", 503, 1, "s")];
        let refused = Tally { refused: 1, ..Tally::default() };
        assert_eq!(problems(Phase::WriterStopped, &refused, &stray), "");
        let all = [records("w"), stray.to_vec()].concat();
        assert!(problems(Phase::Both, &refused, &all).contains("1 records failed"));
        assert!(problems(Phase::Both, &good, &all).contains("not the writer"));
        let twice = [records("w"), vec![line("POST", 201, 2, "w")]].concat();
        assert!(problems(Phase::Both, &good, &twice).contains("sent on twice"));
        let failed = Tally { failed: 1, ..Tally::default() };
        assert!(problems(Phase::WriterStopped, &failed, &[]).contains("1 questions failed"));
        let met = [records("w"), vec![line("GET", 200, 2, "w")]].concat();
        assert!(problems(Phase::StandbyDrained, &good, &met).contains("had drained"));
        let alone: Vec<Line> = records("w").into_iter().chain(vec![line("GET", 200, 1, "w"); 30]).collect();
        let addresses = ["w".to_owned(), "s".to_owned()];
        let told = judged(Kind::Envoy, Phase::Both, &good, &alone.iter().collect::<Vec<_>>(), &addresses);
        assert_eq!(told, ["s gets 0 questions"]);
    }
}
