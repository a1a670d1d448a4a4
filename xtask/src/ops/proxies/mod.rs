//! nginx and Envoy with what is shipped for them (`deploy/nginx`, `deploy/envoy`), before two real servers, under load.
//!
//! ```text
//! clients ── TLS ──▶ proxy ──▶ writer      questions: both; records: this one, and never sent on twice
//!   (load)             └─────▶ copy        questions
//! ```
//!
//! A server is drained and killed and comes back: no question fails, and no record is applied twice ([`trial`]). Single requests show
//! what is let in and what the server is told ([`checks`]); the servers' limits are those of the configurations ([`limits`]); servers that
//! refuse are heard ([`refusals`]); a standby in the copy's place becomes the writer ([`standby`]). Whole: configurations in which one line is another one, and each must be noticed.

mod access;
mod authority;
mod checks;
mod envoy;
mod front;
mod journal;
mod limits;
mod load;
mod nginx;
mod pair;
mod refusals;
mod standby;
mod trial;

use std::{
    fs,
    path::{Path, PathBuf},
};

use self::{
    authority::Authority,
    front::{Front, Kind, Site},
    load::{Door, Tally},
    pair::{COPY, Pair, WRITER},
    refusals::Refuser,
    standby::Seen,
    trial::{Phase, Trial},
};
use super::Depth;
use crate::{server, steps::Outcome};

/// A configuration that is worse in one line, what happens then, and a part of what must be said of it.
struct Worse {
    what: &'static str,
    kind: Kind,
    from: &'static str,
    to: &'static str,
    phase: Phase,
    told: &'static str,
}

const WORSE: &[Worse] = &[
    Worse {
        what: "no question is asked again",
        kind: Kind::Nginx,
        from: "proxy_next_upstream error timeout http_502 http_503 http_504;",
        to: "proxy_next_upstream off;",
        phase: Phase::Killed(COPY),
        told: "questions failed",
    },
    Worse {
        what: "records are sent on to the copy when the writer is away",
        kind: Kind::Nginx,
        from: "    zone stemedb_records 64k;\n",
        to: "    zone stemedb_records 64k;\n    server 127.0.0.1:18181 backup;\n",
        phase: Phase::Killed(WRITER),
        told: "records were sent on twice",
    },
    Worse {
        what: "no question is asked again",
        kind: Kind::Envoy,
        from: "retry_on: connect-failure,refused-stream,reset,gateway-error",
        to: "retry_on: cancelled",
        phase: Phase::Killed(COPY),
        told: "questions failed",
    },
    Worse {
        what: "the health check does not ask whether it drains",
        kind: Kind::Envoy,
        from: "7b226e616d65223a226e6f745f647261696e696e67222c226f6b223a747275657d",
        to: "7b226e616d65223a2270726f6772657373222c226f6b223a747275657d",
        phase: Phase::Drained(COPY),
        told: "not taken out while it drains",
    },
    Worse {
        what: "a client may ask for retries of what it records",
        kind: Kind::Envoy,
        from: "address_prefix: 255.255.255.255, prefix_len: 32",
        to: "address_prefix: 127.0.0.0, prefix_len: 8",
        phase: Phase::Killed(WRITER),
        told: "records were sent on twice",
    },
    Worse {
        what: "records are sent on again",
        kind: Kind::Envoy,
        from: "              - match: { prefix: / }\n                route: { cluster: stemedb_records,",
        to: "              - match: { prefix: / }\n                route: { cluster: stemedb_questions, retry_policy: *again,",
        phase: Phase::Killed(WRITER),
        told: "records were sent on twice",
    },
];

/// Servers that are asked though they have failed.
const LAST_RESORT: &str =
    "    server 127.0.0.1:18180 max_fails=0 backup;\n    server 127.0.0.1:18181 max_fails=0 backup;\n";

/// How long a server that does not answer is waited for: a minute in what is shipped (nginx), and 25 s (Envoy).
const IMPATIENT: [&[(&str, &str)]; 2] = [
    &[("proxy_read_timeout 60s;", "proxy_read_timeout 3s;")],
    &[("per_try_timeout: 25s", "per_try_timeout: 3s")],
];

struct Stage<'a> {
    root: &'a Path,
    folder: PathBuf,
    authority: Authority,
    envoy: Option<PathBuf>,
}

impl Stage<'_> {
    fn front(
        &self,
        kind: Kind,
        addresses: &[String; 2],
        changes: &[(&str, &str)],
        are_ready: bool,
    ) -> Result<Front, String> {
        let folder = self.folder.join(kind.name());
        let (root, authority) = (self.root, &self.authority);
        let site = Site { root, folder: &folder, authority, addresses, changes };
        match kind {
            Kind::Nginx => nginx::start(&site),
            Kind::Envoy => {
                let program = self.envoy.as_deref().ok_or("Envoy is not part of the quick run")?;
                envoy::start(&site, program, are_ready)
            }
        }
    }

    /// Changes the addresses of an nginx that runs.
    fn readdressed(&self, front: &Front, addresses: &[String; 2]) -> Outcome {
        let (root, authority) = (self.root, &self.authority);
        nginx::readdress(&Site { root, folder: &front.folder, authority, addresses, changes: &[] }, front)
    }

    fn door(&self, front: &Front, key: &str) -> Door {
        Door { port: front.port, trusted: self.authority.trusted(), key: key.to_owned() }
    }
}

/// Both proxies; nginx alone, and fewer phases, where it is to be quick.
pub fn part(root: &Path, depth: Depth) -> Outcome {
    nginx::install()?;
    let is_whole = depth == Depth::Whole;
    let envoy = if is_whole { Some(envoy::install(root)?) } else { None };
    let program = server::program(root)?;
    let folder = server::target(root).join("ops-proxies");
    let shown = |error: std::io::Error| format!("{}: {error}", folder.display());
    if folder.exists() {
        fs::remove_dir_all(&folder).map_err(shown)?;
    }
    fs::create_dir_all(&folder).map_err(shown)?;
    limits::check(root, &program)?;
    let stage = Stage { root, authority: Authority::new(&folder)?, folder: folder.clone(), envoy };
    let mut pair = Pair::start(&program, &folder)?;
    let (kinds, phases): (&[Kind], &[Phase]) = match is_whole {
        true => (&[Kind::Nginx, Kind::Envoy], &Phase::ALL),
        false => (&[Kind::Nginx], &Phase::QUICK),
    };
    let mut trials = Vec::new();
    for kind in kinds {
        let refusers = [Refuser::start()?, Refuser::start()?];
        let front =
            stage.front(*kind, &[0, 1].map(|which: usize| refusers[which].address.clone()), &[], false)?;
        refusals::check(&front, &stage.door(&front, ""), &refusers)?;
        drop(front);
        let front = stage.front(*kind, &pair.addresses, &[], true)?;
        let door = stage.door(&front, &pair.key);
        checks::run(&front, &stage.authority, &door, &pair)?;
        let trial = trial::run(&front, door, &mut pair, kind.name(), phases);
        trials.push(trial.map_err(|error| format!("{error}\n{}", front.told()))?);
        checks::renewal(root, &front, &stage.authority)?;
    }
    for kind in kinds.iter().filter(|_| is_whole) {
        let front = stage.front(*kind, &pair.addresses, IMPATIENT[*kind as usize], true)?;
        let (door, run) = (stage.door(&front, &pair.key), format!("{}frozen", kind.name()));
        let trial = trial::run(&front, door, &mut pair, &run, &[Phase::Frozen(COPY)]);
        trials.push(trial.map_err(|error| format!("{error}\n{}", front.told()))?);
    }
    let mut standbys = Vec::new();
    for kind in kinds.iter().filter(|_| is_whole) {
        let folder = folder.join(format!("standby-{}", kind.name()));
        fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        standbys.push(standby::run(&stage, *kind, &mut Pair::with_standby(&program, &folder)?)?);
    }
    print!("{}", table(&trials, &standbys));
    let told = trials.iter().map(|trial| (trial.kind, &trial.problems));
    let told = told.chain(standbys.iter().map(|seen| (seen.kind, &seen.problems)));
    let problems: Vec<String> = told
        .flat_map(|(kind, told)| told.iter().map(move |problem| format!("{}, {problem}", kind.name())))
        .collect();
    if !problems.is_empty() {
        return Err(format!("\n{}", problems.join("\n")));
    }
    drop(pair);
    if is_whole { worse(&stage, &program) } else { Ok(()) }
}

/// Configurations that must be found bad. Their servers are their own: some of them write to both.
fn worse(stage: &Stage<'_>, program: &Path) -> Outcome {
    let refusers = [Refuser::start()?, Refuser::start()?];
    let addresses = [0, 1].map(|which: usize| refusers[which].address.clone());
    let front = stage.front(Kind::Nginx, &addresses, &[(LAST_RESORT, "")], false)?;
    match refusals::check(&front, &stage.door(&front, ""), &refusers) {
        Err(told) if told.contains("No server answers") => {
            println!("nginx, made worse (nobody is asked when both have refused): noticed");
        }
        other => {
            return Err(format!("nginx asks nobody when both have refused, and nobody says so: {other:?}"));
        }
    }
    drop(front);
    for (number, case) in WORSE.iter().enumerate() {
        let folder = stage.folder.join(format!("worse-{number}"));
        fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let mut pair = Pair::start(program, &folder)?;
        let front = stage.front(case.kind, &pair.addresses, &[(case.from, case.to)], true)?;
        let door = stage.door(&front, &pair.key);
        let seen = trial::run(&front, door, &mut pair, "worse", &[case.phase]);
        let told = match seen {
            Ok(trial) => trial.problems,
            Err(error) => vec![error],
        };
        if !told.iter().any(|problem| problem.contains(case.told)) {
            let (kind, what) = (case.kind.name(), case.what);
            return Err(format!("{kind}: {what}, and nobody says \"{}\": {told:?}", case.told));
        }
        println!("{}, made worse ({}): noticed, \"{}\"", case.kind.name(), case.what, case.told);
    }
    Ok(())
}

fn table(trials: &[Trial], standbys: &[Seen]) -> String {
    let mut text = format!(
        "\n{:<6} {:<15} {:>9} {:>7} {:>11}   {:>8} {:>8} {:>9} {:>13} {:>11}\n",
        "proxy",
        "phase",
        "questions",
        "failed",
        "asked again",
        "recorded",
        "refused",
        "in doubt",
        "sent on again",
        "known twice"
    );
    let mut line = |kind: Kind, phase: &str, tally: &Tally, (questions, records): (usize, usize)| {
        text += &format!(
            "{:<6} {:<15} {:>9} {:>7} {:>11}   {:>8} {:>8} {:>9} {:>13} {:>11}\n",
            kind.name(),
            phase,
            tally.asked,
            tally.failed,
            questions,
            tally.recorded,
            tally.refused,
            tally.unknown,
            records,
            tally.again
        );
    };
    for trial in trials {
        trial.phases.iter().for_each(|seen| line(trial.kind, &seen.phase.name(), &seen.tally, seen.retried));
    }
    for standby in standbys {
        standby.phases.iter().for_each(|(name, tally, retried)| line(standby.kind, name, tally, *retried));
    }
    text
}
