//! What is done to the servers, and what has to come of it.
//!
//! Each scenario has a place in the target of its own, clients that record all the time, and ends with every acknowledged claim being looked
//! for.

use std::{
    fs,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use super::{
    clients::{Clients, Kept, say_once},
    site::{Site, archived, followed, health, until},
};
use crate::{http, server::Server};

/// What a scenario has come to.
#[derive(Clone, Debug)]
pub struct Found {
    /// Its name.
    pub name: &'static str,
    /// What was done.
    pub injected: &'static str,
    /// What was seen, in the order in which it was: errors as they were told, repairs.
    pub seen: Vec<String>,
    /// What became of what was acknowledged.
    pub kept: Kept,
    /// For how long, and what it was that took so long.
    pub rto: Duration,
    /// From where to where `rto` is.
    pub rto_is: &'static str,
}

/// A scenario.
pub type Scenario = fn(&Site) -> Result<Found, String>;

/// Those that any target can have.
pub const ALL: &[(&str, Scenario)] = &[
    ("lost disk", lost_disk),
    ("corrupt SST", corrupt_table),
    ("lost bucket prefix", lost_prefix),
    ("two primaries", two_primaries),
    ("wrong key", wrong_key),
];

fn expect(is_so: bool, otherwise: impl FnOnce() -> String) -> Result<(), String> {
    if is_so { Ok(()) } else { Err(otherwise()) }
}

fn promote(site: &Site, standby: &Server) -> Result<String, String> {
    let ran = site.ok(&["promote", "--url", &standby.url])?;
    let lines = ran.out.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
    Ok(lines.collect::<Vec<_>>().join("; "))
}

/// The first claim that a server takes.
fn takes(server: &Server, subject: &str) -> Result<(), String> {
    until("it records again", || Ok(say_once(server, subject)?.0 == 201))
}

/// A line of a server's own words.
fn error_of(text: &str) -> String {
    let line = text.lines().find(|line| line.starts_with("error")).unwrap_or(text).trim();
    line.trim_start_matches("error: ").to_owned()
}

fn lost_disk(site: &Site) -> Result<Found, String> {
    let writer = site.loaded()?;
    let standby = site.standby("standby")?;
    let clients = Clients::begin(&writer, "disk");
    let mut seen = Vec::new();
    clients.run_for(site.interval);
    seen.push(site.passes(&writer)?);
    // Late in an interval: what was acknowledged since its beginning is not archived.
    let before = clients.so_far().counted;
    until("a step of the archive", || Ok(clients.so_far().counted > before))?;
    thread::sleep(site.interval.mul_f64(0.8));
    writer.stop()?;
    let gone = Instant::now();
    let told = clients.end();
    fs::remove_dir_all(site.data("writer")).map_err(|error| error.to_string())?;
    seen.push(format!("the server is gone; {} claims were acknowledged", told.acknowledged.len()));
    seen.push(format!("`promote`: {}", promote(site, &standby)?));
    takes(&standby, "after-disk")?;
    let rto = gone.elapsed();
    let kept = told.kept_at(&standby)?;
    // Whoever has no standby has the target, and restores.
    let restored = site.drill(&[])?;
    let lsn = restored["lsn"].as_u64().unwrap_or(0);
    expect(restored["passed"] == true && lsn >= told.counted, || {
        format!("up to {} had counted, and this is restored: {restored}", told.counted)
    })?;
    let seconds = restored["rto_seconds"].as_f64().unwrap_or(f64::NAN);
    seen.push(format!(
        "without a standby: `drill` restores LSN {lsn} of the {} that counted, in {seconds:.2} s",
        told.counted
    ));
    archived(&standby)?;
    Ok(Found {
        name: "lost disk",
        injected: "the writer is killed under load, late in an interval, and its folder removed; a standby is promoted",
        seen,
        kept,
        rto,
        rto_is: "from the kill to the first claim that the standby records",
    })
}

/// The largest table of a server.
fn largest_table(data: &Path) -> Result<PathBuf, String> {
    let failed = |error: std::io::Error| format!("{}: {error}", data.display());
    let mut tables = Vec::new();
    for entry in fs::read_dir(data.join("kv")).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|end| end == "sst") {
            tables.push((fs::metadata(&path).map_err(failed)?.len(), path));
        }
    }
    tables.into_iter().max().map(|(_, path)| path).ok_or_else(|| "there is no table".to_owned())
}

/// Changes bytes in the middle half of a file, in place.
fn damage(path: &Path) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("{}: {error}", path.display());
    let mut bytes = fs::read(path).map_err(failed)?;
    let (from, to) = (bytes.len() / 4, bytes.len() / 4 * 3);
    bytes[from..to].iter_mut().step_by(256).for_each(|byte| *byte ^= 0x10);
    let file = fs::OpenOptions::new().write(true).open(path).map_err(failed)?;
    std::os::unix::fs::FileExt::write_all_at(&file, &bytes, 0).map_err(failed)?;
    file.sync_all().map_err(failed)
}

/// A job that reads every file back; what it has come to.
fn verified(server: &Server) -> Result<Value, String> {
    let begun = http::json("POST", &format!("{}/v1/admin/storage/verify", server.url), "{}")?;
    let url = format!("{}/v1/admin/jobs/{}", server.url, begun["job"]);
    let mut job = Value::Null;
    until("every file is read", || {
        job = http::json("GET", &url, "")?;
        Ok(job["state"] != "running")
    })?;
    Ok(job)
}

fn events(server: &Server, after: u64) -> Result<(u64, Vec<Value>), String> {
    let told = http::json("GET", &format!("{}/v1/admin/storage/events?after={after}", server.url), "")?;
    let events = told["events"].as_array().cloned().unwrap_or_default();
    Ok((told["newest"].as_u64().unwrap_or(after), events))
}

fn corrupt_table(site: &Site) -> Result<Found, String> {
    let writer = site.loaded()?;
    let clients = Clients::begin(&writer, "table");
    clients.run_for(site.interval);
    let mut seen = Vec::new();
    let (before, _) = events(&writer, 0)?;
    damage(&largest_table(&site.data("writer"))?)?;
    let damaged = Instant::now();
    let mut problem = None;
    until("it is mended", || {
        let job = verified(&writer)?;
        let is_whole = job["state"] == "done";
        if !is_whole && problem.is_none() {
            problem =
                Some(format!("`{}`: {}", text(&job["problem"]["code"]), text(&job["problem"]["detail"])));
        }
        let (_, events) = events(&writer, before)?;
        Ok(is_whole && !events.is_empty())
    })?;
    let rto = damaged.elapsed();
    if let Some(problem) = problem {
        seen.push(format!("`verify` of the server: {problem}"));
    }
    let (_, told) = events(&writer, before)?;
    let mut kinds: Vec<&str> = Vec::new();
    for event in &told {
        let kind = text(&event["kind"]);
        if !kinds.contains(&kind) && !["flush", "compaction"].contains(&kind) {
            kinds.push(kind);
            seen.push(format!("event `{kind}`: {}", text(&event["text"])));
        }
    }
    expect(!kinds.is_empty(), || format!("nothing was noticed: {told:?}"))?;
    let told = clients.end();
    archived(&writer)?;
    seen.push(site.passes(&writer)?);
    let kept = told.kept_at(&writer)?;
    writer.stop()?;
    Ok(Found {
        name: "corrupt SST",
        injected: "bytes all over the largest table of the running server are changed on its disk",
        seen,
        kept,
        rto,
        rto_is: "from the damage to a verification of every file that finds none; claims are recorded meanwhile",
    })
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn remove(site: &Site, prefix: &str) -> Result<(), String> {
    let path = site.objects.join(prefix);
    fs::remove_dir_all(&path).map_err(|error| format!("{}: {error}", path.display()))
}

fn lost_prefix(site: &Site) -> Result<Found, String> {
    let writer = site.loaded()?;
    let standby = site.standby("standby")?;
    let clients = Clients::begin(&writer, "prefix");
    clients.run_for(site.interval);
    let mut seen = Vec::new();

    remove(site, "blobs")?;
    let lost = Instant::now();
    let failed = site.drill(&[])?;
    expect(failed["passed"] == false && text(&failed["problem"]).contains("is missing in"), || {
        format!("the parts of backups are gone, and the drill says: {failed}")
    })?;
    seen.push(format!("`blobs/` is gone. `drill`: {}", text(&failed["problem"])));
    // Backups are named by the second.
    thread::sleep(Duration::from_millis(1_100));
    site.ok(&["backup", "create", "--url", &writer.url])?;
    let whole = site.passes(&writer)?;
    seen.push(format!("`backup create` sends it again, and is restored to prove it; {whole}"));
    let of_backups = lost.elapsed();

    let before = clients.so_far();
    remove(site, "wal-archive")?;
    remove(site, "epoch")?;
    let lost = Instant::now();
    // It notices unless the writer sends what follows before it looks again: then it lacks nothing.
    let looks = Instant::now();
    while health(&standby)?["standby"]["failing"] != true && looks.elapsed() < site.interval {
        thread::sleep(Duration::from_millis(20));
    }
    let standby_says = standby.told();
    let why = standby_says.lines().rev().find_map(|line| {
        let told: Value = serde_json::from_str(line).ok()?;
        text(&told["message"])
            .split("following the archive fails, and is tried again: ")
            .nth(1)
            .map(str::to_owned)
    });
    seen.push(match why {
        Some(why) => format!("`wal-archive/` and `epoch/` are gone. The standby: {why}"),
        None => "`wal-archive/` and `epoch/` are gone. The standby has everything, and follows what comes"
            .to_owned(),
    });
    let wait = (site.interval.as_secs() + 2).to_string();
    let failed = site.drill(&["--url", &writer.url, "--archived-within-seconds", &wait])?;
    expect(failed["passed"] == false, || format!("the archive is gone, and the drill says: {failed}"))?;
    seen.push(format!("`drill` with the server: {}", text(&failed["problem"])));
    until("the epoch is put back", || Ok(writer.told().contains("the epochs were lost")))?;
    seen.push("the writer puts its epoch back with its next step, so that a promotion fences it".to_owned());
    let told = clients.end();
    expect(told.acknowledged.len() > before.acknowledged.len(), || {
        "nobody could record meanwhile".to_owned()
    })?;
    // What it has of the journal it sends when it is started.
    writer.terminate()?;
    writer.ended(Duration::from_secs(60))?;
    let writer = site.writer("writer")?;
    archived(&writer)?;
    // What lies before the newest segment it archives whole, as soon as the view has it.
    until("the target has everything again", || Ok(site.drill(&["--url", &writer.url])?["passed"] == true))?;
    followed(&writer, &standby)?;
    until("the standby follows", || Ok(health(&standby)?["standby"]["failing"] == false))?;
    let rto = of_backups.max(lost.elapsed());
    seen.push(format!(
        "a restart of the writer sends the journal again, and the standby follows; {}",
        site.passes(&writer)?
    ));
    let kept = told.kept_at(&standby)?;
    Ok(Found {
        name: "lost bucket prefix",
        injected: "`blobs/`, and later `wal-archive/` and `epoch/`, are removed from the target under load",
        seen,
        kept,
        rto,
        rto_is: "from the longer loss to the target having everything again; claims are recorded meanwhile, but for a restart",
    })
}

fn two_primaries(site: &Site) -> Result<Found, String> {
    let writer = site.loaded()?;
    let standbys = [site.standby("standby-1")?, site.standby("standby-2")?];
    let clients = Clients::begin(&writer, "two");
    clients.run_for(site.interval);
    let before = clients.so_far().counted;
    until("a step of the archive", || Ok(clients.so_far().counted > before))?;
    let mut seen = Vec::new();
    let asked = Instant::now();
    // Two people, each with another standby, and the writer alive and under load.
    let promoted: Vec<Result<String, String>> = thread::scope(|scope| {
        let both: Vec<_> =
            standbys.iter().map(|standby| scope.spawn(move || promote(site, standby))).collect();
        both.into_iter()
            .map(|thread| thread.join().unwrap_or_else(|_| Err("a promotion panicked".to_owned())))
            .collect()
    });
    let (winner, loser, refused) = match (&promoted[0], &promoted[1]) {
        (Ok(_), Err(refused)) => (&standbys[0], &standbys[1], refused),
        (Err(refused), Ok(_)) => (&standbys[1], &standbys[0], refused),
        both => return Err(format!("of two promotions one must win: {both:?}")),
    };
    takes(winner, "after-two")?;
    let rto = asked.elapsed();
    seen.push(format!(
        "one promotion: {}",
        promoted.iter().find_map(|one| one.as_ref().ok()).map_or("", |said| said)
    ));
    let refused = refused.split("error: ").nth(1).unwrap_or(refused);
    seen.push(format!("the other: {}", refused.split("\\n").next().unwrap_or(refused)));
    expect(refused.contains("another server was promoted") || refused.contains("the newest is"), || {
        format!("the other promotion failed for another reason: {refused}")
    })?;
    let (status, told) = say_once(loser, "loser")?;
    expect((status, text(&told["code"])) == (503, "standby"), || format!("the loser takes claims: {told}"))?;
    clients.until_refused("fenced")?;
    let fenced = asked.elapsed();
    let told = clients.end();
    let health_of_old = health(&writer)?;
    expect(health_of_old["role"] == "fenced", || format!("the old writer: {health_of_old}"))?;
    seen.push(format!(
        "the old writer after {:.1} s: 503 `fenced`, {}",
        fenced.as_secs_f64(),
        text(&health_of_old["refusing_writes"])
    ));
    let kept = told.kept_at(winner)?;
    writer.terminate()?;
    writer.ended(Duration::from_secs(60))?;
    let back = site.writer("writer")?;
    let (status, told) = say_once(&back, "back")?;
    expect((status, text(&told["code"])) == (503, "fenced"), || {
        format!("started again it takes claims: {told}")
    })?;
    seen.push("started again it is fenced before it listens".to_owned());
    archived(winner)?;
    Ok(Found {
        name: "two primaries",
        injected: "two standbys are promoted at the same moment, while the writer is alive and under load",
        seen,
        kept,
        rto,
        rto_is: "from the promotions to the first claim that the next writer records",
    })
}

fn wrong_key(site: &Site) -> Result<Found, String> {
    let writer = site.loaded()?;
    let standby = site.standby("standby")?;
    writer.terminate()?;
    writer.ended(Duration::from_secs(60))?;
    let mut seen = Vec::new();
    let mut wrong = site.variables.clone();
    wrong
        .iter_mut()
        .filter(|(name, _)| *name == "AWS_SECRET_ACCESS_KEY")
        .for_each(|(_, value)| value.push('x'));
    let ran = site.call(&["drill", "--from", &site.target], &wrong)?;
    expect(!ran.is_ok && ran.err.contains("SignatureDoesNotMatch"), || format!("with a wrong key: {ran:?}"))?;
    seen.push(format!("`drill`: {}", shortened(&error_of(&ran.err))));
    let writer = site.writer_with("writer", &wrong)?;
    let clients = Clients::begin(&writer, "key");
    let told = clients.run_for(site.interval * 2 + Duration::from_secs(1));
    let health_of = health(&writer)?;
    expect(health_of["archive"]["failing"] == true && health_of["writable"] == true, || {
        format!("with a wrong key: {health_of}")
    })?;
    seen.push(format!(
        "the writer records, and nothing counts: `/v1/health` says that archiving fails, {:.1} s behind; `stemedb_archive_lag_seconds` is what the alert looks at",
        told.lag.as_secs_f64()
    ));
    let told = clients.end();
    writer.terminate()?;
    let log = writer.ended(Duration::from_secs(120))?;
    expect(log.contains("not everything is in the archive"), || {
        format!("it does not say so at its end: {log}")
    })?;
    seen.push("stopped, it says that not everything is in the archive".to_owned());
    let started = Instant::now();
    let writer = site.writer("writer")?;
    archived(&writer)?;
    let rto = started.elapsed();
    followed(&writer, &standby)?;
    seen.push(format!(
        "with the right key it sends what it owes, and the standby has it; {}",
        site.passes(&writer)?
    ));
    let kept = told.kept_at(&standby)?;
    Ok(Found {
        name: "wrong key",
        injected: "the writer is started with a secret that is not the bucket's",
        seen,
        kept,
        rto,
        rto_is: "from the start with the right key to everything being archived",
    })
}

/// What a service says has pages of XML.
fn shortened(text: &str) -> String {
    let line: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let code = line.split("<Code>").nth(1).and_then(|rest| rest.split("</Code>").next());
    let head = line.split(": ").take(2).collect::<Vec<_>>().join(": ");
    match code {
        Some(code) => format!("{head}: … `{code}`"),
        None => line,
    }
}
