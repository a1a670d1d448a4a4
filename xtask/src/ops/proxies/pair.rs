//! Two real servers: the one that is written to, and a copy of its folder that nobody writes to, or a standby that follows it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use super::super::monitoring::daemon;
use crate::{
    http::{Connection, Reply, Request},
    server::Server,
    steps::Outcome,
};

/// The server that is written to.
pub const WRITER: usize = 0;
/// The other one.
pub const COPY: usize = 1;
/// Claims that both have: one about each of so many subjects.
pub const CLAIMS: u64 = 500;
/// Longer than the pause between two looks of a health check and what one may take: `deploy/envoy/stemedb.yaml` names it.
const DRAIN_WAIT: &str = "3";
const PATIENCE: Duration = Duration::from_secs(30);

/// The servers; a place is empty while its server is away.
pub struct Pair {
    program: PathBuf,
    folder: PathBuf,
    /// What a standby follows, if there is one in the copy's place.
    archive: Option<PathBuf>,
    servers: [Option<Server>; 2],
    /// Where each answers, whether it is there or not.
    pub addresses: [String; 2],
    /// An API key that both know, good for reading and writing; with a standby for everything.
    pub key: String,
}

impl Pair {
    /// Makes both in `folder`, and starts them. The copy is that of a database nobody has open: the same claims, keys and timeline.
    pub fn start(program: &Path, folder: &Path) -> Result<Pair, String> {
        let mut pair = Pair::made(program, folder, None)?;
        let [one, two] = ["writer", "copy"].map(|name| folder.join(name));
        quietly(Command::new("cp").arg("--archive").arg(&one).arg(&two))?;
        pair.serve(WRITER)?;
        pair.serve(COPY)?;
        Ok(pair)
    }

    /// The same with a standby in the copy's place. It has the writer's API keys, which are in no archive.
    pub fn with_standby(program: &Path, folder: &Path) -> Result<Pair, String> {
        let mut pair = Pair::made(program, folder, Some(folder.join("archive")))?;
        pair.serve(WRITER)?;
        // It makes its folder by itself, and takes none that is there.
        pair.serve(COPY)?;
        let standby = pair.take(COPY)?;
        standby.terminate()?;
        standby.ended(PATIENCE)?;
        let [from, to] = ["writer", "copy"].map(|name| folder.join(name).join("keys"));
        fs::create_dir_all(&to).map_err(|error| format!("{}: {error}", to.display()))?;
        quietly(Command::new("cp").arg("--archive").arg(from.join("api.keys")).arg(&to))?;
        pair.serve(COPY)?;
        Ok(pair)
    }

    /// The writer's folder.
    fn made(program: &Path, folder: &Path, archive: Option<PathBuf>) -> Result<Pair, String> {
        let shown = |error: std::io::Error| format!("{}: {error}", folder.display());
        let claim = |number| {
            format!(
                "{{\"subject\":\"s{number}\",\"predicate\":\"p\",\"object\":{number},\"source\":\"x\"}}\n"
            )
        };
        let (lines, key) = (folder.join("claims.jsonl"), folder.join("load.key"));
        fs::write(&lines, (0..CLAIMS).map(claim).collect::<String>()).map_err(shown)?;
        let one = folder.join("writer");
        quietly(Command::new(program).arg("import").arg("--data-dir").arg(&one).arg(&lines))?;
        let mut create = Command::new(program);
        let scopes = if archive.is_some() { "read,write,admin" } else { "read,write" };
        create.args(["keys", "create", "--scopes", scopes, "--label", "load", "--data-dir"]).arg(&one);
        quietly(create.arg("--out").arg(&key))?;
        let address = || daemon::free_port().map(|port| format!("127.0.0.1:{port}"));
        Ok(Pair {
            program: program.to_path_buf(),
            folder: folder.to_path_buf(),
            archive,
            servers: [None, None],
            addresses: [address()?, address()?],
            key: fs::read_to_string(&key).map_err(shown)?.trim().to_owned(),
        })
    }

    /// Starts one of them again, where it was.
    pub fn serve(&mut self, which: usize) -> Outcome {
        let name = ["writer", "copy"][which];
        let mut command = Command::new(&self.program);
        command
            .args(["serve", "--bind", &self.addresses[which], "--data-dir"])
            .arg(self.folder.join(name))
            .args(["--tls-terminated-by-proxy", "--trusted-proxies", "127.0.0.1"])
            .args(["--drain-wait-seconds", DRAIN_WAIT])
            // All of the load is one caller's; and it is not the disk that is looked at.
            .args(["--rate-limits", "reads=off,writes=off", "--disk-full", "0"]);
        if let Some(archive) = &self.archive {
            let flag = if which == WRITER { "--archive-to" } else { "--standby" };
            command.arg(flag).arg(archive).args(["--archive-interval-seconds", "1"]);
        }
        self.servers[which] = Some(Server::spawn(&mut command, &self.folder.join(format!("{name}.log")))?);
        Ok(())
    }

    /// Takes one out, to be stopped; to drop it is `kill -9`.
    pub fn take(&mut self, which: usize) -> Result<Server, String> {
        self.servers[which].take().ok_or_else(|| "that server is away".to_owned())
    }

    /// Sends one of them a signal.
    pub fn signal(&self, which: usize, signal: &str) -> Outcome {
        let server = self.servers[which].as_ref().ok_or("that server is away")?;
        quietly(Command::new("kill").args([signal, &server.id().to_string()]))
    }

    /// Asks one of them, past the proxy.
    pub fn ask(&self, which: usize, target: &str) -> Result<Reply, String> {
        self.request(which, ("GET", target))
    }

    /// Makes the standby the writer.
    pub fn promote(&self) -> Outcome {
        let reply = self.request(COPY, ("POST", "/v1/admin/promote"))?;
        match reply.status == 200 && reply.body.contains("\"promoted\":true") {
            true => Ok(()),
            false => Err(format!("the standby is not promoted: {reply:?}")),
        }
    }

    fn request(&self, which: usize, (method, target): (&str, &str)) -> Result<Reply, String> {
        let bearer = format!("Bearer {}", self.key);
        let request = Request { method, target, headers: &[("Authorization", &bearer)], body: "" };
        let reply = Connection::open(&self.addresses[which], PATIENCE).and_then(|mut it| it.ask(&request));
        reply.map_err(|error| format!("{}{target}: {error}", self.addresses[which]))
    }

    /// Questions that one of them has answered since its start.
    pub fn answered(&self, which: usize) -> Result<f64, String> {
        let series = "stemedb_http_requests_total{method=\"GET\",path=\"/v1/query\",status=\"200\"}";
        let reply = self.ask(which, "/metrics")?;
        let value = reply.body.lines().find_map(|line| line.strip_prefix(series)?.trim().parse().ok());
        Ok(value.unwrap_or_default())
    }

    /// The audit log of one of them.
    pub fn audit(&self, which: usize) -> PathBuf {
        self.folder.join(["writer", "copy"][which]).join("audit.log")
    }
}

/// Runs a command that says nothing unless it fails.
pub fn quietly(command: &mut Command) -> Outcome {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output().map_err(|error| format!("{name}: {error}"))?;
    match output.status.success() {
        true => Ok(()),
        false => {
            Err(format!("{name} ended with {}: {}", output.status, String::from_utf8_lossy(&output.stderr)))
        }
    }
}
