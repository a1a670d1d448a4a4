//! What the server says about its storage while it is under load.

use std::{convert::Infallible, time::Duration};

use serde::{Deserialize, Serialize};
use stemedb_api::load::Connection;
use tokio::time::{sleep, timeout};

use super::requests::Server;

const LOOK_EVERY: Duration = Duration::from_secs(1);
const LOOK_WITHIN: Duration = Duration::from_secs(10);

/// The most of each figure, and the last of those that only come to rest.
#[derive(Default, Serialize)]
pub struct Watched {
    /// The most tables at any look.
    sst_files: u64,
    /// The greatest part of the storage operations of the last five minutes that failed.
    error_rate: f64,
    /// At the last look.
    write_amplification: f64,
    looks: u64,
    /// Why the last look saw nothing.
    blind: Option<String>,
    #[serde(skip)]
    connection: Option<Connection>,
}

/// The figures that were seen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Figures {
    pub sst_files: u64,
    pub error_rate: f64,
    pub write_amplification: f64,
}

/// Of `GET /v1/admin/storage/stats`.
#[derive(Deserialize)]
struct Stats {
    sst_file_count: u64,
    write_amplification: f64,
    checks: Vec<Check>,
}

#[derive(Deserialize)]
struct Check {
    name: String,
    value: f64,
}

impl Watched {
    /// Looks again and again.
    pub async fn watch(&mut self, server: &Server) -> Infallible {
        loop {
            self.look(server).await;
            sleep(LOOK_EVERY).await;
        }
    }

    /// Looks once.
    pub async fn look(&mut self, server: &Server) {
        self.blind = match timeout(LOOK_WITHIN, self.ask(server)).await {
            Ok(Ok(stats)) => {
                self.take(&stats);
                None
            }
            Ok(Err(why)) => Some(why),
            Err(_) => Some("it took too long".to_owned()),
        };
        if self.blind.is_some() {
            self.connection = None;
        }
    }

    async fn ask(&mut self, server: &Server) -> Result<Stats, String> {
        let mut request = Vec::new();
        server.get("/v1/admin/storage/stats", &mut request);
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => Connection::open(server.address()).await.map_err(|error| error.to_string())?,
        };
        let reply = connection.ask(&request).await.map_err(|error| error.to_string())?;
        if reply.status != 200 {
            return Err(format!("status {}: {}", reply.status, String::from_utf8_lossy(reply.body)));
        }
        let stats = serde_json::from_slice(reply.body).map_err(|error| error.to_string())?;
        self.connection = Some(connection);
        Ok(stats)
    }

    fn take(&mut self, stats: &Stats) {
        let rate = stats.checks.iter().find(|check| check.name == "error_rate_5m");
        self.looks += 1;
        self.sst_files = self.sst_files.max(stats.sst_file_count);
        self.error_rate = self.error_rate.max(rate.map_or(0.0, |check| check.value));
        self.write_amplification = stats.write_amplification;
    }

    /// What was seen, or why not: what was not seen at the end may have been anything.
    pub fn figures(&self) -> Result<Figures, &str> {
        match &self.blind {
            Some(why) => Err(why.as_str()),
            None if self.looks == 0 => Err("nobody looked"),
            None => Ok(Figures {
                sst_files: self.sst_files,
                error_rate: self.error_rate,
                write_amplification: self.write_amplification,
            }),
        }
    }
}

#[cfg(test)]
impl Watched {
    /// As if somebody had looked once.
    pub fn of(sst_files: u64, error_rate: f64, write_amplification: f64) -> Watched {
        Watched { sst_files, error_rate, write_amplification, looks: 1, ..Watched::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stats(files: u64, rate: f64, amplification: f64) -> Stats {
        let text = format!(
            r#"{{"sst_file_count":{files},"write_amplification":{amplification},"total_bytes":1,
               "checks":[{{"name":"other","value":7}},{{"name":"error_rate_5m","value":{rate},"verdict":"healthy"}}]}}"#
        );
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn the_most_of_each_figure_counts_and_the_last_write_amplification() {
        let mut watched = Watched::default();
        assert_eq!(watched.figures(), Err("nobody looked"));
        watched.take(&stats(4, 0.0, 30.0));
        watched.take(&stats(9, 0.02, 3.0));
        watched.take(&stats(2, 0.01, 2.5));
        let seen = Figures { sst_files: 9, error_rate: 0.02, write_amplification: 2.5 };
        assert_eq!(watched.figures(), Ok(seen));
        watched.blind = Some("gone".to_owned());
        assert_eq!(watched.figures(), Err("gone"));
    }
}
