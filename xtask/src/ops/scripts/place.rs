//! A machine in one folder: what is configured, where the scripts find it, and the server.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::{
    ops::units,
    server::{self, Server},
    steps::Outcome,
};

/// Where everything of a run is.
pub struct Place {
    /// All of it.
    pub folder: PathBuf,
    /// The program, under the name that the scripts call.
    pub program: PathBuf,
    /// The database.
    pub data: PathBuf,
    /// Where backups go: a folder, or a bucket.
    target: String,
    /// Variables of the server and of the scripts, as `/etc/stemedb/environment` has them.
    variables: Vec<(&'static str, String)>,
    scripts: PathBuf,
    config: PathBuf,
}

/// What a command said.
#[derive(Debug)]
pub struct Ran {
    /// Whether it ended with 0.
    pub is_ok: bool,
    /// Its standard output.
    pub out: String,
    /// Its standard error.
    pub err: String,
}

impl Ran {
    /// Runs it to its end.
    pub fn of(command: &mut Command) -> Result<Ran, String> {
        let shown = command.get_program().to_string_lossy().into_owned();
        let told = command.stdin(Stdio::null()).output().map_err(|error| format!("{shown}: {error}"))?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok(Ran { is_ok: told.status.success(), out: text(&told.stdout), err: text(&told.stderr) })
    }
}

impl Place {
    /// An empty one. `target` is absolute.
    pub fn new(
        root: &Path,
        program: &Path,
        folder: &Path,
        target: &str,
        variables: Vec<(&'static str, String)>,
    ) -> Result<Place, String> {
        units::fresh(folder)?;
        for name in ["bin", "run", "cache", "etc", "log"] {
            fs::create_dir(folder.join(name)).map_err(|error| format!("{name}: {error}"))?;
        }
        let place = Place {
            folder: folder.to_path_buf(),
            program: folder.join("bin/stemedb-api"),
            data: folder.join("db"),
            target: target.to_owned(),
            variables,
            scripts: root.join("deploy/scripts"),
            config: folder.join("etc/api.toml"),
        };
        std::os::unix::fs::symlink(program, &place.program).map_err(|error| error.to_string())?;
        let at = |name: &str| folder.join(name).display().to_string();
        let config = format!(
            "[server]\nbind = \"127.0.0.1:0\"\nadmin_socket = \"{}\"\n[security]\nadmin_needs_key = true\n\
             [storage]\ndata_dir = \"{}\"\ninit = true\n[backup]\nto = \"{}\"\n[logging]\nstorage_file = \"{}\"\n",
            at("run/admin.sock"),
            at("db"),
            target,
            at("log/storage.log"),
        );
        fs::write(&place.config, config).map_err(|error| error.to_string())?;
        Ok(place)
    }

    /// Starts the server.
    pub fn serve(&self) -> Result<Served, String> {
        let mut serve = Command::new(&self.program);
        // Its own variables would be refused.
        serve.env_remove(server::PROGRAM);
        serve.args(["serve", "--config"]).arg(&self.config).envs(self.variables.iter().cloned());
        let server = Server::spawn(&mut serve, &self.folder.join("server.log"))?;
        Ok(Served { server, program: self.program.clone() })
    }

    fn ran(&self, name: &str, options: &[&str], variables: &[(&str, &str)]) -> Result<Ran, String> {
        let mut script = Command::new(self.scripts.join(name));
        let path = std::env::var_os("PATH").unwrap_or_default();
        let paths = [self.folder.join("bin")].into_iter().chain(std::env::split_paths(&path));
        script
            .args(options)
            .env_remove(server::PROGRAM)
            .env("PATH", std::env::join_paths(paths).map_err(|error| error.to_string())?)
            .env("STEMEDB_CONFIG", &self.config)
            // As systemd has it for a unit.
            .env("INVOCATION_ID", "0")
            .env("RUNTIME_DIRECTORY", self.folder.join("run"))
            .env("CACHE_DIRECTORY", self.folder.join("cache"))
            .env("CONFIGURATION_DIRECTORY", self.folder.join("etc"))
            .env("KEEP_BACKUPS", "2")
            .envs(self.variables.iter().cloned())
            .envs(variables.iter().copied());
        Ran::of(&mut script)
    }

    /// Calls a script, which must do what it is for.
    pub fn script(&self, name: &str, options: &[&str]) -> Result<Ran, String> {
        let ran = self.ran(name, options, &[])?;
        if ran.is_ok { Ok(ran) } else { Err(format!("{name}: {ran:?}")) }
    }

    /// Calls a script, which must fail and say why.
    pub fn fails(&self, name: &str, options: &[&str], why: &str) -> Result<Ran, String> {
        let ran = self.ran(name, options, &[])?;
        let is_told = !ran.is_ok && ran.err.contains(why);
        if is_told { Ok(ran) } else { Err(format!("{name} did not fail with `{why}`: {ran:?}")) }
    }

    /// Calls a script that lets the server do something; what that says of it.
    pub fn json(&self, name: &str) -> Result<serde_json::Value, String> {
        parsed(&self.script(name, &[])?)
    }

    /// The daily cleanup with this retention: what it let go of.
    pub fn cleanup(&self, days: u64) -> Result<serde_json::Value, String> {
        let ran = self.ran("cleanup", &[], &[("KEEP_WAL_DAYS", &days.to_string())])?;
        if !ran.is_ok {
            return Err(format!("cleanup: {ran:?}"));
        }
        Ok(parsed(&ran)?["pruned"].take())
    }

    /// The names of the backups, oldest first.
    pub fn backups(&self) -> Result<Vec<String>, String> {
        let mut list = Command::new(&self.program);
        list.args(["backup", "list", "--json", "--from", &self.target]).envs(self.variables.iter().cloned());
        let ran = Ran::of(&mut list)?;
        let told = parsed(&ran)?;
        let backups = told["backups"].as_array().cloned().unwrap_or_default();
        Ok(backups.iter().filter_map(|backup| Some(backup["name"].as_str()?.to_owned())).collect())
    }
}

/// The JSON that its output begins with.
fn parsed(ran: &Ran) -> Result<serde_json::Value, String> {
    let first = serde_json::Deserializer::from_str(&ran.out).into_iter().next();
    first.and_then(Result::ok).ok_or_else(|| format!("no JSON: {ran:?}"))
}

/// The server of a place.
pub struct Served {
    server: Server,
    program: PathBuf,
}

impl Served {
    /// Has it record claims.
    pub fn import(&self, lines: &[&str]) -> Outcome {
        let mut import = Command::new(&self.program);
        import.args(["import", "--url", &self.server.url, "-"]).stdin(Stdio::piped()).stdout(Stdio::null());
        let mut import = import.spawn().map_err(|error| format!("import: {error}"))?;
        if let Some(mut input) = import.stdin.take() {
            input.write_all(lines.join("\n").as_bytes()).map_err(|error| format!("import: {error}"))?;
        }
        let status = import.wait().map_err(|error| format!("import: {error}"))?;
        if status.success() { Ok(()) } else { Err(format!("import ended with {status}")) }
    }

    /// Ends it, which must still be there.
    pub fn stop(self) -> Outcome {
        self.server.stop().map(drop)
    }
}
