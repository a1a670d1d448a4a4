//! The runbooks of `docs/operations/runbooks/`, executed; the guides beside them are run on the same machine (`super::guides`).
//!
//! ```text
//! page ─ scenarios ─▶ a machine of its own (namespaces) ─▶ fault ─ diagnose ─ mitigate ─ clears ─▶ nothing acknowledged is lost
//!          page.rs      machine/enter.sh, reset.sh, …         scenario.rs, expect.rs              stream.rs
//! ```
//!
//! Blocks are run as they stand in the page, by bash, with the paths, the port and the commands that they name. What a container does
//! not have (systemd, journald) is stood in for by `machine/`; what a healthy disk does not do (fail to sync) by `machine/faults.c`.

mod expect;
mod failover;
mod http;
pub(super) mod page;
mod scenario;
mod stream;

use std::{
    collections::VecDeque,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Mutex,
    thread,
    time::{Duration, Instant},
};

use self::page::Page;
use super::Depth;
use crate::{
    server,
    steps::{self, Outcome},
};

const FOLDER: &str = "docs/operations/runbooks";
/// What CI runs: one page's first scenario.
const QUICK: &str = "disk-full.md";
/// Pages at the same time. They mostly wait.
const AT_ONCE: usize = 3;
/// No page takes longer.
const PAGE_LIMIT: Duration = Duration::from_secs(300);
/// At most so many of a hundred blocks may be manual.
const MANUAL_PERCENT: usize = 10;
/// The files of the machine, by the names that it knows them by.
const MACHINE: [(&str, &str); 6] = [
    ("enter", include_str!("machine/enter.sh")),
    ("reset", include_str!("machine/reset.sh")),
    ("unit", include_str!("machine/unit.sh")),
    ("bin/systemctl", include_str!("machine/systemctl.sh")),
    ("bin/journalctl", include_str!("machine/journalctl.sh")),
    ("bin/ssh", include_str!("machine/ssh.sh")),
];
const FAULTS: &str = include_str!("machine/faults.c");

/// As a part of `cargo xtask ops`.
pub fn part(root: &Path, depth: Depth) -> Outcome {
    match depth {
        Depth::Quick => run(root, &["--quick"]),
        Depth::Whole => run(root, &[]),
    }
}

#[derive(Default)]
struct Options {
    quick: bool,
    only: Vec<String>,
    scenario: Option<String>,
}

/// `cargo xtask runbooks [--quick] [--only PAGE]... [--scenario NAME] [--list]`
pub fn run(root: &Path, words: &[&str]) -> Outcome {
    if let ["--inside", file, scenario] = words {
        return inside(Path::new(file), Some(*scenario).filter(|name| !name.is_empty()));
    }
    let mut options = Options::default();
    let mut words = words.iter();
    let mut list = false;
    while let Some(word) = words.next() {
        let mut value = || words.next().map(|text| (*text).to_owned()).ok_or(format!("{word} needs a value"));
        match *word {
            "--quick" => options.quick = true,
            "--list" => list = true,
            "--only" => options.only.push(value()?),
            "--scenario" => options.scenario = Some(value()?),
            other => return Err(format!("unknown option {other}")),
        }
    }
    let pages = pages(root)?;
    let counts = count(&pages)?;
    if list {
        for page in &pages {
            page.scenarios.iter().for_each(|scenario| println!("{} {}", page.name, scenario.name));
        }
        return Ok(());
    }
    let mut chosen: Vec<Page> = pages.iter().filter(|page| options.wants(page)).cloned().collect();
    if options.quick {
        chosen.retain(|page| page.name == QUICK);
        options.scenario = chosen.first().map(|page| page.scenarios[0].name.clone());
    }
    if chosen.is_empty() {
        return Err("no such page".to_owned());
    }
    if let Err(reason) = may_enter() {
        println!("SKIPPED: runbooks because {reason}");
        return if options.quick {
            Ok(())
        } else {
            Err(format!("runbooks need root and namespaces: {reason}"))
        };
    }
    let outcome = execute(root, &chosen, options.scenario.as_deref());
    println!("\n{counts}");
    outcome
}

/// Makes the machine, and runs pages on it.
pub(super) fn execute(root: &Path, pages: &[Page], scenario: Option<&str>) -> Outcome {
    let machine = prepare(root)?;
    all(root, &machine, pages, scenario)
}

impl Options {
    fn wants(&self, page: &Page) -> bool {
        let name = page.name.trim_end_matches(".md");
        self.only.is_empty() || self.only.iter().any(|wanted| wanted.trim_end_matches(".md") == name)
    }
}

/// Every page but the index, by name.
fn pages(root: &Path) -> Result<Vec<Page>, String> {
    let folder = root.join(FOLDER);
    let entries = fs::read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.retain(|path| path.extension().is_some_and(|end| end == "md") && !path.ends_with("README.md"));
    paths.sort();
    let pages: Vec<Page> = paths.iter().map(|path| Page::read(path)).collect::<Result<_, _>>()?;
    match pages.iter().find(|page| page.scenarios.is_empty()) {
        Some(page) => Err(format!("{} has no `sh fault` block", page.name)),
        None => Ok(pages),
    }
}

/// A table of what is run and what is not; an error if too little is run.
pub(super) fn count(pages: &[Page]) -> Result<String, String> {
    let mut text = String::from("page                           scenarios  executed  manual\n");
    let (mut scenarios, mut executed, mut manual) = (0, 0, 0);
    for page in pages {
        let of = (page.scenarios.len(), page.executed(), page.manual.len());
        text.push_str(&format!("{:<30} {:>9} {:>9} {:>7}\n", page.name, of.0, of.1, of.2));
        (scenarios, executed, manual) = (scenarios + of.0, executed + of.1, manual + of.2);
    }
    let all = (executed + manual).max(1);
    let percent = manual as f64 * 100.0 / all as f64;
    text.push_str(&format!(
        "{:<30} {scenarios:>9} {executed:>9} {manual:>7}  ({percent:.1} % manual)\n",
        "all"
    ));
    for page in pages {
        for (line, reason) in &page.manual {
            text.push_str(&format!("manual: {}:{line}: {reason}\n", page.name));
        }
    }
    if manual * 100 > all * MANUAL_PERCENT {
        return Err(format!("more than {MANUAL_PERCENT} % of the blocks are manual\n{text}"));
    }
    Ok(text)
}

pub(super) fn unshare() -> Command {
    let mut command = Command::new("unshare");
    command.args(["--mount", "--net", "--pid", "--fork", "--mount-proc", "--kill-child=KILL"]);
    command
}

pub(super) fn may_enter() -> Result<(), String> {
    let output = unshare().arg("true").output().map_err(|error| format!("unshare: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
}

/// What the machine is made of, in a folder of `target`.
pub(super) fn prepare(root: &Path) -> Result<PathBuf, String> {
    install()?;
    let program = server::program(root)?;
    let program = fs::canonicalize(&program).map_err(|error| format!("{}: {error}", program.display()))?;
    let folder = server::target(root).join("runbooks");
    let write = |name: &str, text: &str| {
        let path = folder.join(name);
        fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))
    };
    fs::create_dir_all(folder.join("bin")).map_err(|error| error.to_string())?;
    for (name, text) in MACHINE {
        write(name, text)?;
        steps::command(Command::new("chmod").arg("+x").arg(folder.join(name)))?;
    }
    write("faults.c", FAULTS)?;
    let mut compiler = Command::new("cc");
    compiler
        .args(["-shared", "-fPIC", "-O1", "-o"])
        .arg(folder.join("faults.so"))
        .arg(folder.join("faults.c"));
    steps::command(compiler.arg("-ldl"))?;
    steps::command(Command::new("ln").arg("-sfn").arg(&program).arg(folder.join("bin/stemedb-api")))?;
    Ok(folder)
}

/// What blocks type and the machine needs, where it is not there: from Debian.
fn install() -> Outcome {
    let needed = [
        ("ip", "iproute2"),
        ("curl", "curl"),
        ("jq", "jq"),
        ("ps", "procps"),
        ("fsck.ext4", "e2fsprogs"),
        ("findmnt", "util-linux"),
        ("cc", "gcc"),
        ("openssl", "openssl"),
        ("nginx", "nginx"),
        ("zstd", "zstd"),
    ];
    let is_there = |program: &str| {
        let look = format!("PATH=$PATH:/usr/sbin:/sbin command -v {program}");
        Command::new("sh").args(["-c", &look]).stdout(Stdio::null()).status().is_ok_and(|done| done.success())
    };
    let missing: Vec<&str> =
        needed.iter().filter(|(program, _)| !is_there(program)).map(|(_, package)| *package).collect();
    if missing.is_empty() {
        return Ok(());
    }
    steps::command(Command::new("apt-get").args(["update", "-q"]))?;
    steps::command(Command::new("apt-get").args(["install", "-qy", "--no-install-recommends"]).args(&missing))
}

/// Runs the pages, a few at a time, and prints what each has said in one piece.
fn all(root: &Path, machine: &Path, pages: &[Page], scenario: Option<&str>) -> Outcome {
    let waiting: Mutex<VecDeque<&Page>> = Mutex::new(pages.iter().collect());
    let failed: Mutex<Vec<String>> = Mutex::default();
    thread::scope(|scope| {
        for _ in 0..AT_ONCE.min(pages.len()) {
            scope.spawn(|| {
                loop {
                    let next = waiting.lock().unwrap_or_else(|held| held.into_inner()).pop_front();
                    let Some(page) = next else { break };
                    let start = Instant::now();
                    let (said, outcome) = one(root, machine, page, scenario);
                    let mut failed = failed.lock().unwrap_or_else(|held| held.into_inner());
                    println!("{said}{}: {:.0} s", page.name, start.elapsed().as_secs_f64());
                    failed.extend(outcome.err());
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap_or_default();
    if failed.is_empty() { Ok(()) } else { Err(format!("failed:\n  {}", failed.join("\n  "))) }
}

/// Runs one page on a machine of its own.
fn one(root: &Path, machine: &Path, page: &Page, scenario: Option<&str>) -> (String, Outcome) {
    let log = machine.join(format!("{}.log", page.name));
    let run = || -> Outcome {
        let this = std::env::current_exe().map_err(|error| error.to_string())?;
        let output = fs::File::create(&log).map_err(|error| error.to_string())?;
        let errors = output.try_clone().map_err(|error| error.to_string())?;
        let path = std::env::var("PATH").unwrap_or_default();
        let mut command = unshare();
        command
            .arg("bash")
            .arg(machine.join("enter"))
            .arg(this)
            .args(["runbooks", "--inside"])
            .arg(&page.path)
            .arg(scenario.unwrap_or_default())
            .env("PATH", format!("{scenario_bin}:{path}:/usr/sbin:/sbin", scenario_bin = BIN))
            .env("RUNBOOKS_MACHINE", machine)
            .env(scenario::REPOSITORY, root)
            .env("FAULTS", format!("{}/faults", scenario::STATE))
            .env("FAULTS_LIBRARY", machine.join("faults.so"))
            .stdout(output)
            .stderr(errors);
        // A configuration of the machine that this runs on is none of that machine's.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("STEMEDB_") {
                command.env_remove(name);
            }
        }
        steps::command_within(&mut command, PAGE_LIMIT)
    };
    let outcome = run().map_err(|_| format!("{}; its log: {}", page.name, log.display()));
    (fs::read_to_string(&log).unwrap_or_default(), outcome)
}

/// Where its programs are, on that machine.
pub(super) const BIN: &str = "/run/machine/bin";

/// On the machine: the scenarios of one page, one after the other.
fn inside(file: &Path, only: Option<&str>) -> Outcome {
    let machine = std::env::var_os("RUNBOOKS_MACHINE").ok_or("not to be called by hand")?;
    let put = "mkdir -p /run/machine && cp -a \"$1\"/bin \"$1\"/reset \"$1\"/unit /run/machine/";
    steps::command(Command::new("bash").args(["-ec", put, "bash"]).arg(machine).stdout(Stdio::null()))?;
    let page = Page::read(file)?;
    let chosen: Vec<_> =
        page.scenarios.iter().filter(|scenario| only.is_none_or(|name| name == scenario.name)).collect();
    if chosen.is_empty() {
        return Err(format!("{} has no scenario {only:?}", page.name));
    }
    let mut failed = Vec::new();
    for scenario in chosen {
        match scenario::run(&page.name, scenario) {
            Ok(blocks) => println!("  {blocks} blocks as written"),
            Err(error) => {
                println!("  FAILED: {error}");
                failed.push(error);
            }
        }
    }
    let _ = Command::new("systemctl").args(["stop", "stemedb-api"]).status();
    if failed.is_empty() { Ok(()) } else { Err(failed.join("\n")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_page_can_be_read_and_enough_of_it_is_run() {
        let pages = pages(&crate::workspace_root()).unwrap();
        let text = count(&pages).unwrap();
        assert!(pages.len() >= 9, "{text}");
        assert!(pages.iter().any(|page| page.name == QUICK));
    }
}
