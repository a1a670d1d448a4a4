//! A proxy that runs with a shipped configuration: real ports and paths in the places of those that stand there, and nothing else.

use std::{
    fs,
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use super::authority::Authority;
use crate::steps::Outcome;

const PATIENCE: Duration = Duration::from_secs(20);

/// Which proxy.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Nginx,
    Envoy,
}

impl Kind {
    /// As tables have it.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Nginx => "nginx",
            Kind::Envoy => "envoy",
        }
    }
}

/// Where a proxy is put, and what it is put before.
pub struct Site<'a> {
    pub root: &'a Path,
    /// Its own; made anew.
    pub folder: &'a Path,
    pub authority: &'a Authority,
    /// Of the server that is written to, and of the copy.
    pub addresses: &'a [String; 2],
    /// What is to be otherwise in the configuration: what stands there, and what shall.
    pub changes: &'a [(&'a str, &'a str)],
}

impl Site<'_> {
    /// A shipped file with the site's changes and `here`. What is to be replaced must stand there.
    pub fn filled(&self, name: &str, here: &[(&str, String)]) -> Result<String, String> {
        let path = self.root.join(name);
        let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let changes = self.changes.iter().map(|(from, to)| (*from, (*to).to_owned()));
        changes.chain(here.iter().cloned()).try_fold(text, |text, (from, to)| match text.contains(from) {
            true => Ok(text.replace(from, &to)),
            false => Err(format!("{name} has no {from:?}")),
        })
    }

    /// Empties the folder.
    pub fn cleared(&self) -> Outcome {
        let shown = |error: std::io::Error| format!("{}: {error}", self.folder.display());
        if self.folder.exists() {
            fs::remove_dir_all(self.folder).map_err(shown)?;
        }
        fs::create_dir_all(self.folder).map_err(shown)
    }

    /// Writes a file of it.
    pub fn write(&self, name: &str, text: &str) -> Result<PathBuf, String> {
        let path = self.folder.join(name);
        fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(path)
    }
}

/// A running proxy, ended with this value.
pub struct Front {
    pub kind: Kind,
    child: Child,
    /// Where it speaks TLS.
    pub port: u16,
    /// Where it tells its figures, if it does.
    pub admin: Option<u16>,
    /// Of its files.
    pub folder: PathBuf,
}

impl Front {
    /// Starts it, and waits until it listens.
    pub fn start(
        kind: Kind,
        (port, admin): (u16, Option<u16>),
        folder: &Path,
        command: &mut Command,
    ) -> Result<Front, String> {
        let log = folder.join("error.log");
        let told = fs::File::options().create(true).append(true).open(&log);
        let told = told.map_err(|error| format!("{}: {error}", log.display()))?;
        let both = told.try_clone().map_err(|error| error.to_string())?;
        let child = command.stdin(Stdio::null()).stdout(both).stderr(told).spawn();
        let child = child.map_err(|error| format!("{}: {error}", kind.name()))?;
        let mut front = Front { kind, child, port, admin, folder: folder.to_path_buf() };
        let start = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            let has_ended = front.child.try_wait().map_err(|error| error.to_string())?.is_some();
            if has_ended || start.elapsed() > PATIENCE {
                return Err(format!("{} does not listen: {}", kind.name(), front.told()));
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(front)
    }

    /// What it has complained about.
    pub fn told(&self) -> String {
        fs::read_to_string(self.folder.join("error.log")).unwrap_or_default()
    }

    /// Its process, which is not one of its workers.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its access log.
    pub fn log(&self) -> PathBuf {
        self.folder.join("access.log")
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        // nginx ends its workers when it is told to; killed, it would leave them.
        let _ = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status();
        let start = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) {
            if start.elapsed() > PATIENCE {
                let _ = self.child.kill();
            }
            thread::sleep(Duration::from_millis(10));
        }
    }
}
