//! The program under measurement.

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use crate::http;

/// Where the program is.
pub struct Program {
    pub path: PathBuf,
}

/// What a run printed, and how long it took.
pub struct Ran {
    pub out: String,
    pub elapsed: Duration,
}

impl Ran {
    /// The number behind a name in a summary.
    pub fn number(&self, name: &str) -> u64 {
        let line = self.out.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.split_whitespace().next().unwrap().replace(',', "").parse().unwrap()
    }

    /// The rest of the line behind a name.
    pub fn text(&self, name: &str) -> String {
        self.out.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim().to_owned()
    }
}

impl Program {
    /// Runs a command that must succeed.
    pub fn run(&self, arguments: &[&str]) -> Ran {
        let start = Instant::now();
        let output = Command::new(&self.path).args(arguments).stderr(Stdio::inherit()).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", output.status);
        Ran { out: String::from_utf8(output.stdout).unwrap(), elapsed: start.elapsed() }
    }

    /// Starts a server on a free port and waits until it listens.
    pub fn serve(&self, dir: &Path) -> Server {
        let start = Instant::now();
        let mut child = Command::new(&self.path)
            .args(["serve", "--init", "--bind", "127.0.0.1:0", "--log-level", "warn", "--data-dir"])
            .arg(dir)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut said).unwrap();
        let address = said.trim().strip_prefix("listening on http://").unwrap().to_owned();
        let answer =
            http::get(&address, "/v1/query?subject=cas%3A7732-18-5&predicate=boiling_point_K").unwrap();
        assert_eq!(answer.status, 200);
        Server { child, address, first_answer: start.elapsed() }
    }
}

/// A running server.
pub struct Server {
    child: Child,
    pub address: String,
    /// From its start to its first answer.
    pub first_answer: Duration,
}

impl Server {
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub fn stop(mut self) {
        let kill = format!("kill -TERM {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
        assert!(self.child.wait().unwrap().success());
    }

    /// The most memory it has had resident, in MiB (Linux).
    pub fn peak_mib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches("kB").trim().parse::<u64>().unwrap() >> 10
    }
}
