//! A server of this program's own, in a process of its own, as an operator's is.

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use stemedb_env::{Env, fs::tree::remove_tree};

use crate::cli::{client::ServerUrl, failure::Failure, folder};

/// Where it lives: a database, and a configuration that says nothing.
pub struct Room {
    env: Env,
    dir: PathBuf,
    is_temporary: bool,
}

/// Everything is as it is built in, whatever this machine's file and environment say: its paths are another server's.
const CONFIGURATION: &str =
    "# Of a server that `stemedb-api` made to measure it: everything is as it is built in.\n";

impl Room {
    /// In this folder, which must be absent or empty, or in a new one among the temporary files that goes with this value.
    pub fn make(env: &Env, named: Option<&Path>) -> Result<Room, Failure> {
        let dir = match named {
            Some(dir) if folder::is_absent_or_empty(env, dir)? => dir.to_path_buf(),
            Some(dir) => {
                let what = format!("{} is not empty", dir.display());
                return Err(
                    Failure::new(what).hint("the pilot makes a database of its own: give another folder")
                );
            }
            None => {
                let mut random = [0; 4];
                env.random.fill(&mut random);
                std::env::temp_dir().join(format!("stemedb-pilot-{:08x}", u32::from_le_bytes(random)))
            }
        };
        env.fs.create_dir(&dir)?;
        let room = Room { env: env.clone(), dir, is_temporary: named.is_none() };
        stemedb_env::fs::write_file_atomic(&*env.fs, &room.configuration(), CONFIGURATION.as_bytes())?;
        Ok(room)
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    fn configuration(&self) -> PathBuf {
        self.dir.join("api.toml")
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        // What cannot be removed stays among the temporary files.
        if self.is_temporary {
            let _ = remove_tree(&*self.env.fs, &self.dir);
        }
    }
}

/// A running server, killed when it is dropped.
pub struct OwnServer {
    child: Child,
    /// Where it answers.
    pub url: ServerUrl,
}

impl OwnServer {
    /// Starts it over the database of a room, which is made if there is none; returns once it answers.
    pub fn start(room: &Room) -> Result<OwnServer, Failure> {
        let cannot = |error: &dyn std::fmt::Display| Failure::new(error).context("cannot start a server");
        let program = std::env::current_exe().map_err(|error| cannot(&error))?;
        let mut command = Command::new(program);
        for (name, _) in std::env::vars_os() {
            if name.as_encoded_bytes().starts_with(b"STEMEDB_") {
                command.env_remove(name);
            }
        }
        command.args(["serve", "--init", "--bind", "127.0.0.1:0", "--log-level", "error", "--config"]);
        command.arg(room.configuration()).arg("--data-dir").arg(room.dir.join("db"));
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
        let mut child = child.map_err(|error| cannot(&error))?;
        let mut said = String::new();
        let read = child.stdout.take().map(|stdout| BufReader::new(stdout).read_line(&mut said));
        let url = said.trim().strip_prefix("listening on ").map(str::parse);
        match (read, url) {
            (Some(Ok(_)), Some(Ok(url))) => Ok(OwnServer { child, url }),
            _ => {
                end(&mut child);
                Err(cannot(&"it does not say where it listens; what it has logged stands above"))
            }
        }
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// SIGKILL: nothing is flushed, closed or said.
    pub fn kill(mut self) -> Result<(), Failure> {
        let killed = self.child.kill().and_then(|()| self.child.wait());
        killed.map(|_| ()).map_err(|error| Failure::new(error).context("cannot kill the server"))
    }
}

impl Drop for OwnServer {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

fn end(child: &mut Child) {
    // It may have ended already.
    let _ = child.kill();
    let _ = child.wait();
}
