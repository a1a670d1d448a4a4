//! The transcripts of the documentation, run again: `cargo xtask transcripts`.
//!
//! A `console` block shows commands and what they said. The commands of a page are typed again into one shell, on the machine of the
//! runbooks (namespaces: folders, ports and processes of its own), and what they say is compared with the page.

mod compare;
mod page;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use self::{
    compare::{Agreement, compare},
    page::Step,
};
use super::{Depth, docs::blocks, runbooks};
use crate::steps::{self, Outcome, seconds};

/// No page takes longer.
const PAGE_LIMIT: Duration = Duration::from_secs(120);
/// What the shell of a page begins with.
const PRELUDE: &str = include_str!("prelude.sh");
/// Where it begins.
const FOLDER: &str = "/run/machine/page";
/// The variables that tell the inner half where it is.
const REPOSITORY: &str = "REPOSITORY";
const MACHINE: &str = "RUNBOOKS_MACHINE";

/// As a part of `cargo xtask ops`.
pub fn part(root: &Path, depth: Depth) -> Outcome {
    match runbooks::may_enter() {
        Ok(()) => run(root, &[]),
        Err(reason) if depth == Depth::Quick => {
            println!("SKIPPED: transcripts because {reason}");
            Ok(())
        }
        Err(reason) => Err(format!("transcripts need root and namespaces: {reason}")),
    }
}

/// `cargo xtask transcripts [--only PAGE]...`
pub fn run(root: &Path, words: &[&str]) -> Outcome {
    if let ["--inside", file] = words {
        return inside(Path::new(file));
    }
    let mut only = Vec::new();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match *word {
            "--only" => only.push(*words.next().ok_or("--only needs the name of a page")?),
            other => return Err(format!("unknown option {other}")),
        }
    }
    let mut pages = Vec::new();
    for path in blocks::pages(root) {
        let name = path.strip_prefix(root).unwrap_or(&path).display().to_string();
        let text = fs::read_to_string(&path).map_err(|error| format!("{name}: {error}"))?;
        let steps = page::parse(&text).map_err(|error| format!("{name}: {error}"))?;
        let is_shown = steps.iter().any(|step| step.shown.is_some());
        if is_shown && (only.is_empty() || only.iter().any(|wanted| name.ends_with(wanted))) {
            pages.push(path);
        }
    }
    if pages.is_empty() {
        return Err("no such page".to_owned());
    }
    let machine = runbooks::prepare(root)?;
    let mut failed = Vec::new();
    for page in &pages {
        let start = Instant::now();
        let name = page.strip_prefix(root).unwrap_or(page).display().to_string();
        match one(root, &machine, page) {
            Ok(()) => println!("{name}: {}", seconds(start.elapsed())),
            Err(error) => failed.push(format!("{name}: {error}")),
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(failed.join("\n")) }
}

/// Runs a page on a machine of its own.
fn one(root: &Path, machine: &Path, page: &Path) -> Outcome {
    let this = std::env::current_exe().map_err(|error| error.to_string())?;
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = runbooks::unshare();
    command
        .arg("bash")
        .arg(machine.join("enter"))
        .arg(this)
        .args(["transcripts", "--inside"])
        .arg(page)
        .env("PATH", format!("{}:{path}:/usr/sbin:/sbin", runbooks::BIN))
        .env(MACHINE, machine)
        .env(REPOSITORY, root);
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("STEMEDB_")) {
        command.env_remove(name);
    }
    let status = command.status().map_err(|error| format!("unshare: {error}"))?;
    if status.success() { Ok(()) } else { Err("it does not say what its programs say".to_owned()) }
}

/// On the machine: types the commands of a page, and compares.
fn inside(file: &Path) -> Outcome {
    let machine = std::env::var_os(MACHINE).ok_or("not to be called by hand")?;
    let put = "mkdir -p /run/machine/page /run/machine/steps && cp -a \"$1\"/bin /run/machine/";
    let mut shell = Command::new("bash");
    let status = shell.args(["-ec", put, "bash"]).arg(machine).status().map_err(|error| error.to_string())?;
    if !status.success() {
        return Err("the machine cannot be set up".to_owned());
    }
    let text = fs::read_to_string(file).map_err(|error| error.to_string())?;
    let steps = page::parse(&text)?;
    let out = PathBuf::from("/run/machine/steps");
    let script = script(&steps, &out)?;
    let mut bash = Command::new("bash");
    bash.arg(script).current_dir(FOLDER);
    // What a page has left running ends with it.
    steps::command_within(&mut bash, PAGE_LIMIT)?;
    let (mut exact, mut in_kind, mut wrong) = (0, 0, 0);
    for (number, step) in steps.iter().enumerate() {
        match look(step, &out.join(number.to_string())) {
            Ok(Agreement::Exact) => exact += usize::from(step.shown.is_some()),
            Ok(_) => in_kind += 1,
            Err(what) => {
                wrong += 1;
                let name = file.file_name().unwrap_or_default().to_string_lossy();
                println!("{name}:{}: {what}", step.line);
            }
        }
    }
    println!(
        "{} commands as shown, {in_kind} of them but for times, sizes and ids; {wrong} not",
        exact + in_kind
    );
    if wrong == 0 { Ok(()) } else { Err(format!("{wrong} commands say something else")) }
}

/// One shell for all steps, each with its output in a file of its own.
fn script(steps: &[Step], out: &Path) -> Result<PathBuf, String> {
    let mut whole = PRELUDE.to_owned();
    for (number, step) in steps.iter().enumerate() {
        let to = out.join(number.to_string()).display().to_string();
        let typed = step.script.trim_end();
        let body = match step.manner.seconds {
            // Until it says something that is no event.
            None if typed.ends_with('&') => {
                let told = format!("{to}.out");
                whole.push_str(&format!(
                    "{{ {typed} }} >{told} 2>&1 </dev/null\nuntil_told {told}\necho $? >{to}.code\n"
                ));
                continue;
            }
            None => format!("{{\n{typed}\n}}"),
            Some(seconds) => {
                let file = format!("{to}.sh");
                fs::write(&file, &step.script).map_err(|error| format!("{file}: {error}"))?;
                format!("timeout --signal TERM --kill-after 10 {seconds} bash {file}")
            }
        };
        whole.push_str(&format!("{body} >{to}.out 2>&1 </dev/null\necho $? >{to}.code\n"));
    }
    let file = out.join("all.sh");
    fs::write(&file, whole).map_err(|error| error.to_string())?;
    Ok(file)
}

/// Compares a step with its output.
fn look(step: &Step, files: &Path) -> Result<Agreement, String> {
    let read = |end: &str| {
        fs::read(files.with_extension(end)).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    };
    let (Ok(said), Ok(code)) = (read("out"), read("code")) else {
        return Err("it was not reached".to_owned());
    };
    let (code, said) = (code.trim(), without_logs(&said, step.shown.as_deref().unwrap_or_default()));
    let whole = || format!("\n  $ {}\n{}", step.script.trim_end().replace('\n', "\n    "), indented(&said));
    let Some(shown) = &step.shown else {
        return if code == "0" {
            Ok(Agreement::Exact)
        } else {
            Err(format!("it ended with {code}{}", whole()))
        };
    };
    match compare(shown, &said, step.manner.numbers_vary) {
        Agreement::None => Err(format!("not what is shown{}", whole())),
        // A failure is shown as one.
        _ if code != "0" && step.manner.seconds.is_none() && !shown.contains("error") => {
            Err(format!("it ended with {code}, and the page does not show that{}", whole()))
        }
        agreement => Ok(agreement),
    }
}

/// A terminal shows events as lines for people, and mostly none; here they are JSON lines on standard error. The program is called by its
/// name, wherever it was built.
fn without_logs(said: &str, shown: &str) -> String {
    const EVENT: &str = "{\"timestamp\":";
    let program = fs::canonicalize(format!("{}/stemedb-api", runbooks::BIN)).unwrap_or_default();
    let program = program.to_string_lossy();
    let said = if program.is_empty() { said.to_owned() } else { said.replace(&*program, "stemedb-api") };
    let kept = said.lines().filter(|line| shown.contains(EVENT) || !line.starts_with(EVENT));
    kept.map(|line| format!("{line}\n")).collect()
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("  | {line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(shown: Option<&str>) -> Step {
        Step {
            line: 1,
            script: "x".to_owned(),
            shown: shown.map(str::to_owned),
            manner: page::Manner::default(),
        }
    }

    #[test]
    fn a_failure_that_is_not_shown_is_one_of_the_page() {
        let folder = std::env::temp_dir().join(format!("stemedb-xtask-transcripts-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let with = |said: &str, code: &str, step: &Step| {
            fs::write(folder.join("0.out"), said).unwrap();
            fs::write(folder.join("0.code"), code).unwrap();
            look(step, &folder.join("0"))
        };
        assert_eq!(with("a\n", "0\n", &step(Some("a\n"))), Ok(Agreement::Exact));
        assert_eq!(with("error: a\n", "1\n", &step(Some("error: …\n"))), Ok(Agreement::Exact));
        assert!(with("a\n", "1\n", &step(Some("a\n"))).unwrap_err().contains("ended with 1"));
        assert!(with("b\n", "0\n", &step(Some("a\n"))).unwrap_err().contains("not what is shown"));
        assert!(with("", "2\n", &step(None)).unwrap_err().contains("ended with 2"));
        assert!(look(&step(None), &folder.join("7")).unwrap_err().contains("not reached"));
        fs::remove_dir_all(&folder).unwrap();
    }
}
