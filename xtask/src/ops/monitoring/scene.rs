//! A live server on a disk of its own, and the machine beside it as node_exporter sees it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use super::{
    daemon::{self, Daemon},
    debian,
    disk::Disk,
    exporter, http,
};
use crate::{
    server::{self, Server},
    steps::Outcome,
};

const DISK_BYTES: u64 = 2 << 30;

/// The server and what is around it. Fields are dropped in this order: who uses the disk before the disk.
pub struct Scene {
    server: Option<Server>,
    /// Of the machine.
    pub node: Daemon,
    pub disk: Disk,
    pub folder: PathBuf,
    root: PathBuf,
    program: PathBuf,
    port: u16,
    options: &'static [&'static str],
}

impl Scene {
    /// Starts a server with these options, over a new database, in a folder of this name below the target folder.
    pub fn new(root: &Path, name: &str, options: &'static [&'static str]) -> Result<Scene, String> {
        debian::install()?;
        let program = server::program(root)?;
        let folder = server::target(root).join("monitoring").join(name);
        let disk = Disk::new(&folder, DISK_BYTES)?;
        for part in ["texts", "block", "backups", "alertmanager"] {
            let _ = fs::remove_dir_all(folder.join(part));
            let _ = fs::remove_file(folder.join(part));
        }
        for part in ["texts", "block"] {
            fs::create_dir_all(folder.join(part)).map_err(|error| error.to_string())?;
        }
        let node = daemon::node_exporter(&folder, &folder.join("texts"))?;
        let (root, port) = (root.to_path_buf(), daemon::free_port()?);
        let mut scene = Scene { server: None, node, disk, folder, root, program, port, options };
        scene.io_errors("0x0")?;
        scene.serve()?;
        Ok(scene)
    }

    /// Starts the server again.
    pub fn serve(&mut self) -> Outcome {
        let mut command = Command::new("bash");
        // A limit on the size of files is how its disk is made to fail: then the system must not end it for that, and its log must not
        // be a file that it writes itself.
        command
            .args(["-c", "trap '' XFSZ; exec \"$@\" 2> >(exec cat >&2)", "bash"])
            .arg(&self.program)
            .args(["serve", "--init", "--memory-mib", "8", "--cache-mib", "8"])
            .args(["--bind", &format!("127.0.0.1:{}", self.port)])
            .arg("--data-dir")
            .arg(self.disk.dir().join("db"))
            .arg("--backup-to")
            .arg(self.folder.join("backups"))
            .args(self.options);
        self.server = Some(Server::spawn(&mut command, &self.folder.join("server.log"))?);
        Ok(())
    }

    /// Ends it as a machine's failure would.
    pub fn kill(&mut self) {
        self.server = None;
    }

    /// Its process; an error if there is none.
    pub fn process(&self) -> Result<u32, String> {
        self.server.as_ref().map(Server::id).ok_or_else(|| "no server".to_owned())
    }

    /// What it has logged.
    pub fn told(&self) -> String {
        self.server.as_ref().map(Server::told).unwrap_or_default()
    }

    /// Where it answers.
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// Where it answers, without `http://`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// A request that must succeed.
    pub fn ask(&self, method: &str, path: &str, body: &str) -> Result<serde_json::Value, String> {
        http::json(method, &self.url(path), body)
    }

    /// The value of a series without labels.
    pub fn metric(&self, name: &str) -> Result<f64, String> {
        let (_, text) = http::ask("GET", &self.url("/metrics"), "")?;
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.and_then(|value| value.parse().ok()).ok_or_else(|| format!("no {name}"))
    }

    /// The disk `sda` of the machine has counted so many I/O errors; the script tells it.
    pub fn io_errors(&self, count: &str) -> Outcome {
        exporter::disk(&self.folder.join("block"), "sda", count)?;
        exporter::run(&self.root, &self.folder.join("block"), &self.folder.join("texts"))
    }

    /// The configuration that is shipped, every second, for this server and its machine.
    pub fn configuration(&self, rules: &Path, alertmanager: &str) -> Result<String, String> {
        let shipped = self.root.join("deploy/prometheus/prometheus.yml");
        let mut text =
            fs::read_to_string(&shipped).map_err(|error| format!("{}: {error}", shipped.display()))?;
        let (node, rules) = (self.node.url.replace("http://", ""), format!("{}/*.yml", rules.display()));
        let changes: [(&str, &str); 5] = [
            ("15s", "1s"),
            ("127.0.0.1:18180", &self.address()),
            ("127.0.0.1:9100", &node),
            ("127.0.0.1:9093", &alertmanager.replace("http://", "")),
            ("rules/*.yml", &rules),
        ];
        for (from, to) in changes {
            if !text.contains(from) {
                return Err(format!("the shipped prometheus.yml has no {from}"));
            }
            text = text.replace(from, to);
        }
        Ok(text)
    }
}
