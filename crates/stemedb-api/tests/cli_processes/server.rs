//! A running server.

use std::{
    io::{BufRead, BufReader, Read},
    path::Path,
    process::{Child, Stdio},
    thread::JoinHandle,
};

use crate::program::program;

/// A server process, killed when it is dropped.
pub struct Server {
    child: Child,
    pub address: String,
    log: Option<JoinHandle<String>>,
}

impl Server {
    /// Starts a server on a free port.
    #[track_caller]
    pub fn start(dir: &Path) -> Server {
        Server::start_at(dir, "127.0.0.1:0")
    }

    /// Starts a server and waits until it listens.
    #[track_caller]
    pub fn start_at(dir: &Path, bind: &str) -> Server {
        Server::start_with(dir, &["--bind", bind])
    }

    /// Starts a server with these options and waits until it listens.
    #[track_caller]
    pub fn start_with(dir: &Path, options: &[&str]) -> Server {
        Server::start_in(dir, options, &[])
    }

    /// Starts a server with these options and environment variables and waits until it listens.
    #[track_caller]
    pub fn start_in(dir: &Path, options: &[&str], variables: &[(&str, &str)]) -> Server {
        let mut child = program()
            .envs(variables.iter().copied())
            .args(["serve", "--init", "--data-dir"])
            .arg(dir)
            .args(options)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stderr = child.stderr.take().unwrap();
        let log = std::thread::spawn(move || {
            let mut text = String::new();
            stderr.read_to_string(&mut text).unwrap();
            text
        });
        let mut said = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut said).unwrap();
        let url = said.trim().strip_prefix("listening on ").and_then(|url| url.split_once("://"));
        let Some((_, address)) = url else {
            let _ = child.kill();
            panic!("the server said {said:?}; its log:\n{}", log.join().unwrap());
        };
        Server { address: address.to_owned(), child, log: Some(log) }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends SIGTERM, as a service manager does.
    pub fn terminate(&self) {
        self.signal("TERM");
    }

    /// Sends a signal.
    pub fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.child.id());
        assert!(std::process::Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    }

    /// Waits for the end; returns the exit code and the log.
    pub fn wait(mut self) -> (Option<i32>, String) {
        let code = self.child.wait().unwrap().code();
        (code, self.log.take().unwrap().join().unwrap())
    }

    /// Stops it gently.
    pub fn stop(self) -> (Option<i32>, String) {
        self.terminate();
        self.wait()
    }

    /// SIGKILL: nothing is flushed, closed or said.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
