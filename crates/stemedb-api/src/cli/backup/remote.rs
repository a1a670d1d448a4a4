//! A job that a server does: begun, watched, and told of.

use std::{io::Write, time::Duration};

use serde_json::Value;
use stemedb_env::Env;

use crate::cli::{
    Failure,
    client::{Client, Content, ServerUrl},
    progress::Progress,
};

/// Between two looks at a job.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// A job that has ended, well or not.
pub struct Ended {
    /// As the server tells of it.
    job: Value,
    /// How long it was waited for.
    pub seconds: f64,
}

impl Ended {
    /// What it says of what it has done; null where it says nothing.
    pub fn result(&self) -> &Value {
        &self.job["result"]
    }

    /// Why it has not done what it was to do.
    pub fn problem(&self) -> Option<&str> {
        if self.job["state"] == "done" {
            return None;
        }
        Some(self.job["problem"]["detail"].as_str().unwrap_or("the server ended before the job did"))
    }
}

/// Begins a job with a request and waits for its end.
pub fn ended(client: &mut Client, path: &str, body: &Value) -> Result<Ended, Failure> {
    let env = Env::real();
    let content = Content { media_type: "application/json", body: body.to_string().into() };
    let mut job = parsed(&client.post(path, content)?)?;
    let number = job["job"].as_u64().ok_or_else(|| Failure::new("the server's reply names no job"))?;
    let place = format!("/v1/admin/jobs/{number}");
    let mut shown = Progress::start(&env, "bytes");
    while job["state"] == "running" {
        let bytes = |name: &str| job[name].as_u64().unwrap_or(0);
        shown.at(bytes("done_bytes"), Some((bytes("done_bytes"), bytes("total_bytes"))));
        env.clock.sleep(LOOK_EVERY);
        job = parsed(&client.get(&place)?)?;
    }
    Ok(Ended { job, seconds: shown.finish().as_secs_f64() })
}

/// Begins a backup or an archiving, waits for its end, and prints its result as JSON.
pub fn run(url: &ServerUrl, path: &str, body: &Value) -> Result<(), Failure> {
    let mut client = Client::new(url)?;
    let ended = ended(&mut client, path, body)?;
    if let Some(problem) = ended.problem() {
        return Err(Failure::new(problem).hint("running the same command again sends only what is missing"));
    }
    let status = parsed(&client.get("/v1/admin/backup/status")?)?;
    let target = status["target"].as_str().unwrap_or_default();
    writeln!(anstream::stdout(), "{:#}\ninto {target} in {:.1} s", ended.result(), ended.seconds)?;
    Ok(())
}

fn parsed(reply: &[u8]) -> Result<Value, Failure> {
    serde_json::from_slice(reply).map_err(|error| Failure::new(error).context("the server's reply"))
}
