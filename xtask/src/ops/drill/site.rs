//! Servers of one scenario, with the target that they archive into and keep backups in.

use std::{
    fmt::Write as _,
    fs,
    path::PathBuf,
    process::{Command, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use super::super::{scripts::Ran, units::fresh};
use crate::{
    http,
    server::{PROGRAM, Server},
    steps::Outcome,
};

/// Far longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(90);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Where a scenario takes place.
pub struct Site {
    /// The program.
    pub program: PathBuf,
    /// Variables by which the target is reached.
    pub variables: Vec<(&'static str, String)>,
    /// Where everybody archives.
    pub target: String,
    /// The objects of the target, as files.
    pub objects: PathBuf,
    /// Data and logs.
    pub folder: PathBuf,
    /// Between two times at which what is durable is sent.
    pub interval: Duration,
    /// Claims that are there before anything happens.
    pub claims: usize,
    /// Numbers of logs.
    pub started: AtomicUsize,
}

/// Waits until something is so.
pub fn until(what: &str, mut is_so: impl FnMut() -> Result<bool, String>) -> Outcome {
    let start = Instant::now();
    while !is_so()? {
        if start.elapsed() > PATIENCE {
            return Err(format!("never: {what}"));
        }
        thread::sleep(LOOK_EVERY);
    }
    Ok(())
}

/// What a server says of itself.
pub fn health(server: &Server) -> Result<Value, String> {
    http::json("GET", &format!("{}/v1/health", server.url), "")
}

/// Everything durable has counted as archived.
pub fn archived(server: &Server) -> Outcome {
    until("everything is archived", || {
        let health = health(server)?;
        Ok(health["archive"]["lsn"] == health["durable_lsn"] && health["archive"]["failing"] == false)
    })
}

/// A standby has everything that a writer has.
pub fn followed(writer: &Server, standby: &Server) -> Outcome {
    let wanted = health(writer)?["durable_lsn"].as_u64();
    until("the standby has everything", || Ok(health(standby)?["published_lsn"].as_u64() >= wanted))
}

impl Site {
    /// An empty folder for it.
    pub fn prepare(&self) -> Outcome {
        fresh(&self.folder)
    }

    /// The folder of a server's data.
    pub fn data(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn serve(
        &self,
        name: &str,
        role: [&str; 2],
        variables: &[(&'static str, String)],
    ) -> Result<Server, String> {
        let mut serve = Command::new(&self.program);
        let seconds = self.interval.as_secs().to_string();
        serve
            .args(["serve", "--init", "--bind", "127.0.0.1:0", "--archive-interval-seconds", &seconds])
            .args(role)
            .args(["--backup-to", &self.target, "--data-dir"])
            .arg(self.data(name))
            .envs(variables.iter().cloned());
        let number = self.started.fetch_add(1, Ordering::Relaxed);
        Server::spawn(&mut serve, &self.folder.join(format!("{name}-{number}.log")))
    }

    /// A server that archives.
    pub fn writer(&self, name: &str) -> Result<Server, String> {
        self.serve(name, ["--archive-to", &self.target], &self.variables)
    }

    /// The same with other variables.
    pub fn writer_with(&self, name: &str, variables: &[(&'static str, String)]) -> Result<Server, String> {
        self.serve(name, ["--archive-to", &self.target], variables)
    }

    /// A server that follows.
    pub fn standby(&self, name: &str) -> Result<Server, String> {
        self.serve(name, ["--standby", &self.target], &self.variables)
    }

    /// A writer with its first claims, all of them archived and in a backup.
    pub fn loaded(&self) -> Result<Server, String> {
        let writer = self.writer("writer")?;
        let mut lines = String::new();
        for number in 0..self.claims {
            let (subject, source) = (number % 5_000, number % 50);
            let _ = writeln!(
                lines,
                r#"{{"subject":"loaded-{subject}","predicate":"p","object":{number},"source":"drill-{source}"}}"#
            );
        }
        let file = self.folder.join("claims.jsonl");
        fs::write(&file, lines).map_err(|error| error.to_string())?;
        self.ok(&["import", "--url", &writer.url, &file.to_string_lossy()])?;
        self.ok(&["backup", "create", "--url", &writer.url])?;
        archived(&writer)?;
        Ok(writer)
    }

    /// Calls the program with the target's variables, perhaps with others in their place.
    pub fn call(&self, arguments: &[&str], variables: &[(&'static str, String)]) -> Result<Ran, String> {
        let mut command = Command::new(&self.program);
        command.args(arguments).env_remove(PROGRAM);
        command.envs(self.variables.iter().cloned()).envs(variables.iter().cloned()).stdin(Stdio::null());
        Ran::of(&mut command)
    }

    /// Calls the program, which must succeed.
    pub fn ok(&self, arguments: &[&str]) -> Result<Ran, String> {
        let ran = self.call(arguments, &[])?;
        if ran.is_ok { Ok(ran) } else { Err(format!("{}: {ran:?}", arguments.join(" "))) }
    }

    /// `drill` of the target with more options; what its report says, whether it passed or not.
    pub fn drill(&self, more: &[&str]) -> Result<Value, String> {
        let report = self.folder.join("report");
        let shown = report.to_string_lossy();
        let arguments = [&["drill", "--from", &self.target, "--report", &*shown], more].concat();
        let ran = self.call(&arguments, &[])?;
        let json = report.join("drill.json");
        let text = fs::read(&json).map_err(|error| format!("{}: {error}: {ran:?}", json.display()))?;
        let told: Value = serde_json::from_slice(&text).map_err(|error| error.to_string())?;
        match told["passed"].as_bool() == Some(ran.is_ok) {
            true => Ok(told),
            false => Err(format!("the report and the exit code disagree: {ran:?}")),
        }
    }

    /// A drill that must pass with everything it compares being the same; a sentence of it.
    pub fn passes(&self, server: &Server) -> Result<String, String> {
        let told = self.drill(&["--url", &server.url])?;
        let compared = told["compared"].as_array().map(Vec::as_slice).unwrap_or_default();
        let of_server = compared.iter().any(|one| one["what"] == "the server's state root");
        if told["passed"] != true || !of_server || compared.iter().any(|one| one["same"] != true) {
            return Err(format!("the drill did not pass: {told}"));
        }
        let number = |name: &str| told[name].as_f64().unwrap_or(f64::NAN);
        let root = told["state_root"].as_str().unwrap_or_default();
        Ok(format!(
            "`drill` restores {} rows up to LSN {} from the target: state root `{root:.12}…`, the server's, RPO {:.2} s, RTO {:.2} s",
            told["rows"],
            told["lsn"],
            number("rpo_seconds"),
            number("rto_seconds"),
        ))
    }
}
