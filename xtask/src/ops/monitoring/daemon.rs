//! Real Prometheus, Alertmanager and node_exporter, each on a port of its own and over a new folder.

use std::{
    fs,
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use super::http;

/// Until a program listens.
const PATIENCE: Duration = Duration::from_secs(30);

/// A program that is ended with this value.
pub struct Daemon {
    child: Child,
    /// Where it answers, without a slash at its end.
    pub url: String,
    log: PathBuf,
}

impl Daemon {
    /// Starts it and waits until it listens on `port`. Its log is `NAME.log` in `folder`.
    pub fn start(name: &str, folder: &Path, port: u16, command: &mut Command) -> Result<Daemon, String> {
        let log = folder.join(format!("{name}.log"));
        let file = fs::File::create(&log).map_err(|error| format!("{}: {error}", log.display()))?;
        let both = file.try_clone().map_err(|error| error.to_string())?;
        command.current_dir(folder).stdin(Stdio::null()).stdout(both).stderr(file);
        let child = command.spawn().map_err(|error| format!("{name}: {error}"))?;
        let mut daemon = Daemon { child, url: format!("http://127.0.0.1:{port}"), log };
        let start = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            let has_ended = daemon.child.try_wait().map_err(|error| error.to_string())?;
            if has_ended.is_some() || start.elapsed() > PATIENCE {
                return Err(format!("{name} does not listen: {}", daemon.told()));
            }
            thread::sleep(Duration::from_millis(50));
        }
        Ok(daemon)
    }

    /// What it has logged.
    pub fn told(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port that nobody listens on.
pub fn free_port() -> Result<u16, String> {
    let listener = TcpListener::bind("127.0.0.1:0").map_err(|error| error.to_string())?;
    listener.local_addr().map(|address| address.port()).map_err(|error| error.to_string())
}

/// node_exporter, with its textfile collector reading `texts`.
pub fn node_exporter(folder: &Path, texts: &Path) -> Result<Daemon, String> {
    let port = free_port()?;
    let mut command = Command::new("/usr/bin/prometheus-node-exporter");
    command
        .arg(format!("--web.listen-address=127.0.0.1:{port}"))
        .arg(format!("--collector.textfile.directory={}", texts.display()));
    Daemon::start("node-exporter", folder, port, &mut command)
}

/// Alertmanager with this configuration.
pub fn alertmanager(folder: &Path, configuration: &str) -> Result<Daemon, String> {
    let port = free_port()?;
    write(folder, "alertmanager.yml", configuration)?;
    let mut command = Command::new("/usr/bin/prometheus-alertmanager");
    command
        .args(["--config.file=alertmanager.yml", "--storage.path=alertmanager", "--cluster.listen-address="])
        .arg(format!("--web.listen-address=127.0.0.1:{port}"));
    Daemon::start("alertmanager", folder, port, &mut command)
}

/// Prometheus with this configuration; where it keeps its series is removed before.
pub fn prometheus(folder: &Path, configuration: &str) -> Result<Daemon, String> {
    let port = free_port()?;
    write(folder, "prometheus.yml", configuration)?;
    let _ = fs::remove_dir_all(folder.join("series"));
    let mut command = Command::new("/usr/bin/prometheus");
    command
        .args(["--config.file=prometheus.yml", "--storage.tsdb.path=series", "--log.level=warn"])
        .arg(format!("--web.listen-address=127.0.0.1:{port}"));
    Daemon::start("prometheus", folder, port, &mut command)
}

/// Writes a file into a folder.
pub fn write(folder: &Path, name: &str, text: &str) -> Result<(), String> {
    let path = folder.join(name);
    fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))
}

/// The values that an expression has now: of a vector one for each series, of a scalar one.
pub fn values(prometheus: &str, expr: &str) -> Result<Vec<f64>, String> {
    let url = format!("{prometheus}/api/v1/query?query={}", http::escaped(expr));
    let reply = http::json("GET", &url, "")?;
    let data = &reply["data"];
    let number = |pair: &Value| pair[1].as_str().and_then(|text| text.parse::<f64>().ok());
    let found = match data["resultType"].as_str() {
        Some("scalar") => number(&data["result"]).into_iter().collect(),
        _ => {
            let series = data["result"].as_array().map(Vec::as_slice).unwrap_or_default();
            series.iter().filter_map(|series| number(&series["value"])).collect()
        }
    };
    Ok(found)
}

/// Waits until something is so; says what was waited for.
pub fn until(what: &str, limit: Duration, mut is_so: impl FnMut() -> bool) -> Result<(), String> {
    let start = Instant::now();
    while !is_so() {
        if start.elapsed() > limit {
            return Err(format!("not within {} s: {what}", limit.as_secs()));
        }
        thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}
