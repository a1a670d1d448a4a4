//! Schemathesis: requests made from `docs/openapi.json`, sent to a server process, and every reply held against the document.
//!
//! Another implementation of JSON Schema and of OpenAPI than the tests of `stemedb-api` have, with inputs that nobody here thought
//! of. It is a Python program; this installs it into a folder of its own below `target`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use crate::{
    server::{self, Server},
    steps::{self, Outcome},
};

/// What pip installs. Pinned: another one checks other things.
const PACKAGE: &str = "schemathesis==4.32.5";
const DOCUMENT: &str = "docs/openapi.json";
/// Bodies that it cannot write by itself.
const HOOKS: &str = "xtask/schemathesis";
const SECONDS: u64 = 120;
/// Requests of each operation, at most.
const EXAMPLES: u64 = 1000;

/// What must be so of every reply. Left out: checks that take every input which fits the document for one that must be accepted (a
/// claim has rules that JSON Schema cannot say), or every other for one that must be refused (numbers are also taken as texts in a
/// query, a body without a schema has none that is wrong), and those of authentication, which `tests/api/security` looks at route
/// by route.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,\
                      response_schema_conformance,unsupported_method,allow_header_conformance";

/// The options of every run.
const OPTIONS: &[&str] = &[
    "--phases=examples,coverage,fuzzing",
    "--mode=all",
    "--workers=2",
    "--continue-on-failure",
    "--generation-database=none",
    "--generation-with-security-parameters=false",
    "--suppress-health-check=all",
    "--request-timeout=90",
    "--warnings=off",
    "--no-color",
];

/// `[--seconds N] [--seed N]`
pub fn run(root: &Path, words: &[&str]) -> Outcome {
    let (mut seconds, mut seed) = (SECONDS, 0);
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let mut number = || {
            let text = words.next().and_then(|text| text.parse::<u64>().ok());
            text.ok_or_else(|| format!("{word} needs a number"))
        };
        match *word {
            "--seconds" => seconds = number()?,
            "--seed" => seed = number()?,
            other => return Err(format!("unknown option {other}")),
        }
    }
    conformance(root, (seconds, EXAMPLES), seed)
}

fn conformance(root: &Path, (seconds, examples): (u64, u64), seed: u64) -> Outcome {
    let built = server::program(root)?;
    let folder = server::target(root).join("schemathesis");
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let program = install(&folder)?;
    let server = Server::start(&built, &folder, &["--auth", "off", "--disk-full", "0"])?;
    let mut command = Command::new(program);
    command
        .arg("run")
        .arg(root.join(DOCUMENT))
        .args(["--url", &server.url, "--checks", CHECKS])
        .arg(format!("--max-time={seconds}"))
        .arg(format!("--max-examples={examples}"))
        .arg(format!("--seed={seed}"))
        .args(OPTIONS)
        .env("PYTHONPATH", root.join(HOOKS))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("SCHEMATHESIS_HOOKS", "hooks")
        // It keeps notes of its own where it is started.
        .current_dir(&folder);
    // It looks at the time between requests only.
    let outcome = steps::command_within(&mut command, Duration::from_secs(2 * seconds + 120));
    let log = server.stop()?;
    outcome?;
    match log.lines().find(|line| line.contains("panicked") || line.contains("internal_error")) {
        Some(line) => Err(format!("the server logged: {line}")),
        None => Ok(()),
    }
}

/// Installs what is not there yet; gives the program.
fn install(folder: &Path) -> Result<PathBuf, String> {
    let has_venv = |python: &str| {
        let output = Command::new(python).args(["-c", "import ensurepip, venv"]).output();
        output.is_ok_and(|output| output.status.success())
    };
    if !has_venv("python3") {
        steps::command(Command::new("apt-get").args(["update", "-q"]))?;
        let packages = ["install", "-qy", "--no-install-recommends", "python3", "python3-venv"];
        steps::command(Command::new("apt-get").args(packages))?;
    }
    let (venv, mark) = (folder.join("venv"), folder.join("installed"));
    let program = venv.join("bin/schemathesis");
    if fs::read_to_string(&mark).is_ok_and(|installed| installed == PACKAGE) && program.exists() {
        return Ok(program);
    }
    steps::command(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&venv))?;
    let pip = venv.join("bin/pip");
    steps::command(Command::new(pip).args(["install", "--quiet", "--disable-pip-version-check", PACKAGE]))?;
    fs::write(&mark, PACKAGE).map_err(|error| format!("{}: {error}", mark.display()))?;
    Ok(program)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_refused_before_anything_is_built() {
        let root = Path::new(".");
        assert_eq!(run(root, &["--seconds", "soon"]), Err("--seconds needs a number".to_owned()));
        assert_eq!(run(root, &["--seed"]), Err("--seed needs a number".to_owned()));
        assert_eq!(run(root, &["--deep"]), Err("unknown option --deep".to_owned()));
    }
}
