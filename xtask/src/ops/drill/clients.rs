//! Clients that record as long as they are let, and remember what they were told.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use serde_json::Value;

use super::site::until;
use crate::{
    http::{Connection, Request},
    server::Server,
};

/// As many at once.
const CLIENTS: usize = 4;
/// Between two claims of one.
const REST: Duration = Duration::from_millis(5);
/// A reply may be silent for so long.
const PATIENCE: Duration = Duration::from_secs(15);

/// A claim that was acknowledged.
#[derive(Clone, Debug)]
pub struct Acknowledged {
    pub id: String,
    pub lsn: u64,
    pub at: Instant,
}

/// What they were told.
#[derive(Clone, Debug, Default)]
pub struct Told {
    pub acknowledged: Vec<Acknowledged>,
    /// The last entry that the server has said to be archived.
    pub counted: u64,
    /// The longest that it has said to be behind with that.
    pub lag: Duration,
    /// Refusals by their codes.
    pub refusals: BTreeMap<String, usize>,
}

/// Clients of one server.
pub struct Clients {
    told: Arc<Mutex<Told>>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

fn locked(told: &Mutex<Told>) -> MutexGuard<'_, Told> {
    told.lock().unwrap_or_else(|held| held.into_inner())
}

fn address(server: &Server) -> String {
    server.url.trim_start_matches("http://").to_owned()
}

/// Records one claim on an open connection.
fn say(
    connection: &mut Connection<std::net::TcpStream>,
    subject: &str,
    n: usize,
) -> Result<(u16, Value), String> {
    let body = format!(r#"{{"subject":"{subject}","predicate":"p","object":{n},"source":"drill"}}"#);
    let headers = [("Content-Type", "application/json")];
    let request = Request { method: "POST", target: "/v1/assert", headers: &headers, body: &body };
    let reply = connection.ask(&request).map_err(|error| error.to_string())?;
    let json = serde_json::from_str(&reply.body).map_err(|error| format!("{error}: {}", reply.body))?;
    Ok((reply.status, json))
}

/// Records one claim over a connection of its own.
pub fn say_once(server: &Server, subject: &str) -> Result<(u16, Value), String> {
    let mut connection =
        Connection::open(&address(server), PATIENCE).map_err(|error| format!("{}: {error}", server.url))?;
    say(&mut connection, subject, 1)
}

impl Clients {
    /// They begin. `name` keeps their claims apart from those of others.
    pub fn begin(server: &Server, name: &str) -> Clients {
        let (told, stop) = (Arc::<Mutex<Told>>::default(), Arc::<AtomicBool>::default());
        let mut threads: Vec<JoinHandle<()>> = (0..CLIENTS)
            .map(|client| {
                let (told, stop) = (Arc::clone(&told), Arc::clone(&stop));
                let (address, name) = (address(server), format!("{name}-{client}"));
                thread::spawn(move || record(&address, &name, &told, &stop))
            })
            .collect();
        let (of_watch, ends) = (Arc::clone(&told), Arc::clone(&stop));
        let url = server.url.clone();
        threads.push(thread::spawn(move || watch(&url, &of_watch, &ends)));
        Clients { told, stop, threads }
    }

    /// What they were told so far.
    pub fn so_far(&self) -> Told {
        locked(&self.told).clone()
    }

    /// Lets them go on for a while.
    pub fn run_for(&self, time: Duration) -> Told {
        thread::sleep(time);
        self.so_far()
    }

    /// Waits until they are refused with a code.
    pub fn until_refused(&self, code: &str) -> Result<Told, String> {
        until(&format!("clients are refused with {code}"), || {
            Ok(locked(&self.told).refusals.contains_key(code))
        })?;
        Ok(self.so_far())
    }

    /// Ends them; every claim has its outcome then.
    pub fn end(self) -> Told {
        self.stop.store(true, Ordering::SeqCst);
        // One that panicked has told what it knew.
        self.threads.into_iter().for_each(|thread| drop(thread.join()));
        locked(&self.told).clone()
    }
}

/// One client: until it is stopped, or the server is gone.
fn record(address: &str, name: &str, told: &Mutex<Told>, stop: &AtomicBool) {
    let Ok(mut connection) = Connection::open(address, PATIENCE) else { return };
    for n in 0.. {
        if stop.load(Ordering::SeqCst) {
            return;
        }
        // Without a reply nobody knows: it was not acknowledged.
        let Ok((status, json)) = say(&mut connection, name, n) else { return };
        let at = Instant::now();
        match (status, json["id"].as_str(), json["lsn"].as_u64()) {
            (201, Some(id), Some(lsn)) => {
                locked(told).acknowledged.push(Acknowledged { id: id.to_owned(), lsn, at });
            }
            _ => {
                let code = json["code"].as_str().unwrap_or("none").to_owned();
                *locked(told).refusals.entry(code).or_default() += 1;
            }
        }
        thread::sleep(REST);
    }
}

/// What the server says of its archive.
fn watch(url: &str, told: &Mutex<Told>, stop: &AtomicBool) {
    while !stop.load(Ordering::SeqCst) {
        let Ok(health) = crate::http::json("GET", &format!("{url}/v1/health"), "") else { return };
        let archive = &health["archive"];
        if let Some(lsn) = archive["lsn"].as_u64() {
            let mut told = locked(told);
            told.counted = told.counted.max(lsn);
            let lag = Duration::from_millis(archive["lag_ms"].as_u64().unwrap_or(0));
            told.lag = told.lag.max(lag);
        }
        thread::sleep(Duration::from_millis(25));
    }
}

/// What became of what was acknowledged.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Kept {
    /// How many were acknowledged.
    pub acknowledged: usize,
    /// How many of them had counted as archived.
    pub counted: usize,
    /// Of those, how many are not there: a broken promise.
    pub lost_counted: usize,
    /// Of the others, how many are not there.
    pub lost: usize,
    /// From the first of those that are lost to the last that was acknowledged.
    pub rpo: Duration,
}

impl Told {
    /// Looks for each of them at a server.
    pub fn kept_at(&self, server: &Server) -> Result<Kept, String> {
        let mut connection = Connection::open(&address(server), PATIENCE)
            .map_err(|error| format!("{}: {error}", server.url))?;
        let mut is_there = |claim: &Acknowledged| -> Result<bool, String> {
            let target = format!("/v1/assertions/{}", claim.id);
            let request = Request { method: "GET", target: &target, ..Request::default() };
            let reply = connection.ask(&request).map_err(|error| format!("{target}: {error}"))?;
            match reply.status {
                200 => Ok(true),
                404 => Ok(false),
                other => Err(format!("{target}: {other}: {}", reply.body)),
            }
        };
        let found = self.acknowledged.iter().map(&mut is_there).collect::<Result<Vec<bool>, String>>()?;
        Ok(self.judged(&found))
    }

    fn judged(&self, found: &[bool]) -> Kept {
        let mut kept = Kept { acknowledged: self.acknowledged.len(), ..Kept::default() };
        let last = self.acknowledged.iter().map(|claim| claim.at).max();
        for (claim, is_there) in self.acknowledged.iter().zip(found) {
            let has_counted = claim.lsn <= self.counted;
            kept.counted += usize::from(has_counted);
            if !is_there {
                *(if has_counted { &mut kept.lost_counted } else { &mut kept.lost }) += 1;
                let age = last.map_or(Duration::ZERO, |last| last.saturating_duration_since(claim.at));
                kept.rpo = kept.rpo.max(age);
            }
        }
        kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_had_counted_may_not_be_lost_and_the_rest_costs_its_time() {
        let begin = Instant::now();
        let claim = |lsn: u64, second| Acknowledged {
            id: lsn.to_string(),
            lsn,
            at: begin + Duration::from_secs(second),
        };
        let told = Told {
            acknowledged: vec![claim(1, 0), claim(2, 1), claim(3, 4), claim(4, 6)],
            counted: 2,
            ..Told::default()
        };
        let whole = Kept { acknowledged: 4, counted: 2, ..Kept::default() };
        assert_eq!(told.judged(&[true; 4]), whole);
        let late = Kept { lost: 2, rpo: Duration::from_secs(2), ..whole.clone() };
        assert_eq!(told.judged(&[true, true, false, false]), late);
        let broken = Kept { lost_counted: 1, rpo: Duration::from_secs(5), ..whole };
        assert_eq!(told.judged(&[true, false, true, true]), broken);
    }
}
