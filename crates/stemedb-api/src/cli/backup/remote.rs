//! A job that a server does: begun, watched, and told of.

use std::{io::Write, time::Duration};

use stemedb_env::Env;

use crate::cli::{
    Failure,
    client::{Client, Content, ServerUrl},
    progress::Progress,
};

/// Between two looks at a job.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Begins a job with a request, waits for its end, and prints its result as JSON.
pub fn run(url: &ServerUrl, path: &str, body: &serde_json::Value) -> Result<(), Failure> {
    let env = Env::real();
    let mut client = Client::new(url)?;
    let content = Content { media_type: "application/json", body: body.to_string().into() };
    let begun = parsed(&client.post(path, content)?)?;
    let mut shown = Progress::start(&env, "bytes");
    let status = loop {
        let status = parsed(&client.get("/v1/admin/backup/status")?)?;
        if status["job"] != begun["job"] {
            return Err(Failure::new(
                "another job has begun since: this one's result is in the server's log",
            ));
        }
        if status["state"] != "running" {
            break status;
        }
        let number = |name: &str| status[name].as_u64().unwrap_or(0);
        shown.at(number("done_bytes"), Some((number("done_bytes"), number("total_bytes"))));
        env.clock.sleep(LOOK_EVERY);
    };
    let seconds = shown.finish().as_secs_f64();
    let result = &status["result"];
    if status["state"] != "done" {
        let cause = result["error"].as_str().unwrap_or("it failed");
        return Err(Failure::new(cause).hint("running the same command again sends only what is missing"));
    }
    let target = status["target"].as_str().unwrap_or_default();
    writeln!(anstream::stdout(), "{result:#}\ninto {target} in {seconds:.1} s")?;
    Ok(())
}

fn parsed(reply: &[u8]) -> Result<serde_json::Value, Failure> {
    serde_json::from_slice(reply).map_err(|error| Failure::new(error).context("the server's reply"))
}
