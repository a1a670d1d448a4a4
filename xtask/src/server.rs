//! The program `stemedb-api`, built, and servers over databases of their own.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::steps;

/// Names a program that is taken instead of one built here, such as one that was packaged.
pub const PROGRAM: &str = "STEMEDB_API_PROGRAM";

/// Where cargo puts what it builds.
pub fn target(root: &Path) -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |dir| root.join(dir))
}

/// Builds the program unless [`PROGRAM`] names one. Cost: minutes where nothing is built yet.
pub fn program(root: &Path) -> Result<PathBuf, String> {
    if let Some(named) = std::env::var_os(PROGRAM) {
        let named = PathBuf::from(named);
        return if named.is_file() { Ok(named) } else { Err(format!("{PROGRAM}: no {}", named.display())) };
    }
    let mut build = Command::new("cargo");
    build.args(["build", "--locked", "--quiet", "--package", "stemedb-api"]).current_dir(root);
    steps::command(&mut build)?;
    Ok(target(root).join("debug/stemedb-api"))
}

/// A server that is ended with this value.
pub struct Server {
    child: Child,
    /// Where it answers, without a slash at its end.
    pub url: String,
    log: PathBuf,
}

impl Server {
    /// Starts one on a port that is free, over a new database at `db` in `folder`, with a backup target at `backups` and its log at
    /// `server.log` beside it. `options` are more of those of `serve`.
    pub fn start(program: &Path, folder: &Path, options: &[&str]) -> Result<Server, String> {
        for name in ["db", "backups"] {
            let old = folder.join(name);
            if old.exists() {
                fs::remove_dir_all(&old).map_err(|error| format!("{}: {error}", old.display()))?;
            }
        }
        let mut command = Command::new(program);
        command
            .args(["serve", "--init", "--bind", "127.0.0.1:0"])
            .arg("--data-dir")
            .arg(folder.join("db"))
            .arg("--backup-to")
            .arg(folder.join("backups"))
            .args(options);
        Server::spawn(&mut command, &folder.join("server.log"))
    }

    /// Starts a `serve` that is spelled out, with its log in a file; returns once it answers.
    pub fn spawn(command: &mut Command, log: &Path) -> Result<Server, String> {
        let told = fs::File::create(log).map_err(|error| format!("{}: {error}", log.display()))?;
        // A variable that begins so and is none of its own is refused.
        command.env_remove(PROGRAM);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(told);
        let mut child =
            command.spawn().map_err(|error| format!("{}: {error}", command.get_program().display()))?;
        let mut said = String::new();
        if let Some(stdout) = child.stdout.take() {
            BufReader::new(stdout).read_line(&mut said).map_err(|error| error.to_string())?;
        }
        let mut server = Server { child, url: String::new(), log: log.to_path_buf() };
        match said.trim().strip_prefix("listening on ") {
            Some(url) => server.url = url.to_owned(),
            None => return Err(format!("the server said {said:?}; its log: {}", server.told())),
        }
        Ok(server)
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has logged.
    pub fn told(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Tells it to stop, as a service manager does.
    pub fn terminate(&self) -> Result<(), String> {
        let mut kill = Command::new("kill");
        let status = kill.args(["-TERM", &self.child.id().to_string()]).status();
        let status = status.map_err(|error| format!("kill: {error}"))?;
        if status.success() { Ok(()) } else { Err("the server is gone already".to_owned()) }
    }

    /// Waits until it has ended by itself, without a failure; gives its log.
    pub fn ended(mut self, limit: Duration) -> Result<String, String> {
        let start = Instant::now();
        while start.elapsed() < limit {
            match self.child.try_wait() {
                Ok(None) => thread::sleep(Duration::from_millis(20)),
                Ok(Some(status)) if status.success() => return Ok(self.told()),
                Ok(Some(status)) => {
                    return Err(format!("the server ended with {status}; its log: {}", self.told()));
                }
                Err(error) => return Err(error.to_string()),
            }
        }
        Err(format!("the server did not stop within {} s; its log: {}", limit.as_secs(), self.told()))
    }

    /// Ends it; gives its log. An error if it has ended before.
    pub fn stop(mut self) -> Result<String, String> {
        match self.child.try_wait() {
            Ok(None) => Ok(self.told()),
            Ok(Some(status)) => Err(format!("the server ended with {status}; its log: {}", self.told())),
            Err(error) => Err(error.to_string()),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
