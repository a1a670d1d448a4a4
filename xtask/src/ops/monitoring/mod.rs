//! Prometheus, Grafana and the exporter: `deploy/prometheus`, `deploy/grafana`, `deploy/exporters`, and what tests them.
//!
//! - `rules`: promtool reads the rules and runs their tests; every alert has one in which it fires and one in which it does not; every
//!   series that is named exists; what is made of other things is as it would be made now. Whole: each threshold and each duration is
//!   moved, and the tests must notice.
//! - `exporter`: the script over folders that look like `/sys/block`. Whole: a real node_exporter reads what it wrote.
//! - `dashboards`: every series is on a panel. Whole: a real Prometheus gives data for every query of every panel, and says of the
//!   rules what this reads in them.
//! - `live fire`: faults in a live server, and alerts in the hands of a receiver behind a real Alertmanager.

mod cases;
mod contract;
pub mod daemon;
mod dashboards;
mod debian;
mod disk;
mod exporter;
mod expr;
mod faults;
mod live;
mod page;
mod promtest;
mod receiver;
mod registry;
pub(super) mod rules;
mod scene;
mod shown;
mod traffic;

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use self::{cases::Cases, registry::Registry, rules::Rule};
use super::Depth;
use crate::{
    http, server,
    steps::{self, Outcome},
};

/// Everything in the repository that is made of the rules, the cases, the panels and the registry: name and content.
fn made(root: &Path) -> Result<Vec<(String, String)>, String> {
    let (rules, registry) = (rules::read(root)?, Registry::read(root)?);
    let mut files = promtest::files(&rules, &cases::all()?);
    for dashboard in dashboards::all(&registry)? {
        let document = serde_json::to_string_pretty(&dashboards::document(&dashboard));
        files.push((dashboard.file(), document.map_err(|error| error.to_string())? + "\n"));
    }
    let written =
        fs::read_to_string(root.join(page::PAGE)).map_err(|error| format!("{}: {error}", page::PAGE))?;
    files.push((page::PAGE.to_owned(), page::with_alerts(&written, &rules)?));
    Ok(files)
}

/// `cargo xtask monitoring`: writes it.
pub fn write(root: &Path) -> Outcome {
    for (name, content) in made(root)? {
        let path = root.join(&name);
        if fs::read_to_string(&path).is_ok_and(|written| written == content) {
            println!("{name}: as it was");
            continue;
        }
        fs::write(&path, content).map_err(|error| format!("{name}: {error}"))?;
        println!("{name}: written");
    }
    Ok(())
}

/// What is not as it would be made now.
fn stale(root: &Path) -> Result<Vec<String>, String> {
    let is_stale = |(name, content): &(String, String)| {
        !fs::read_to_string(root.join(name)).is_ok_and(|written| written == *content)
    };
    let told = |(name, _): (String, String)| format!("{name} is out of date: cargo xtask monitoring");
    Ok(made(root)?.into_iter().filter(is_stale).map(told).collect())
}

fn verdict(problems: Vec<String>) -> Outcome {
    if problems.is_empty() { Ok(()) } else { Err(format!("\n{}", problems.join("\n"))) }
}

/// The rules, by themselves and by promtool.
pub fn rules(root: &Path, depth: Depth) -> Outcome {
    let (rules, registry, all) = (rules::read(root)?, Registry::read(root)?, cases::all()?);
    let mut problems = contract::problems(root, &rules, &registry);
    problems.extend(promtest::unmatched(&rules, &all));
    problems.extend(stale(root)?);
    verdict(problems)?;
    let alerts = rules.iter().filter(|rule| rule.is_alert).count();
    let tests =
        |of: fn(&cases::Case) -> usize| all.iter().flat_map(|cases| &cases.cases).map(of).sum::<usize>();
    let (fires, quiet) = (tests(|case| case.fires.len()), tests(|case| case.quiet.len()));
    println!(
        "{alerts} alerts, each with a test in which it fires ({fires}) and one in which it does not ({quiet})"
    );
    let promtool = debian::promtool(root)?;
    let folder = root.join("deploy/prometheus");
    let files: Vec<String> =
        rules::files(root)?.into_iter().map(|(name, _)| format!("rules/{name}")).collect();
    let run = |words: &[&str], files: &[String]| {
        steps::command(Command::new(&promtool).args(words).args(files).current_dir(&folder))
    };
    run(&["check", "rules"], &files)?;
    run(&["check", "config", "prometheus.yml"], &[])?;
    let names = promtest::files(&rules, &all).into_iter().map(|(name, _)| name);
    let names: Vec<String> =
        names.map(|name| name.trim_start_matches("deploy/prometheus/").to_owned()).collect();
    run(&["test", "rules"], &names)?;
    if depth == Depth::Quick { Ok(()) } else { moved(root, &promtool, &rules, &all) }
}

/// Moves each threshold and each duration; tests that pass all the same are told.
fn moved(root: &Path, promtool: &Path, rules: &[Rule], all: &[Cases]) -> Outcome {
    let folder = server::target(root).join("monitoring/mutants");
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let (mut count, mut survivors) = (0, Vec::new());
    for rule in rules.iter().filter(|rule| rule.is_alert) {
        for cases in all {
            let own = || cases.cases.iter().filter(|case| case.alert == rule.name);
            if own().next().is_none() {
                continue;
            }
            daemon::write(&folder, "test.yml", &promtest::file(rules, "rules.yml", cases.every, own()))?;
            for (name, mutant) in contract::mutants(rule, expr::seconds(cases.every).unwrap_or(60.0)) {
                daemon::write(&folder, "rules.yml", &contract::replaced(rules, &mutant))?;
                let mut test = Command::new(promtool);
                test.args(["test", "rules", "test.yml"]).current_dir(&folder);
                let output =
                    test.stdin(Stdio::null()).output().map_err(|error| format!("promtool: {error}"))?;
                count += 1;
                if output.status.success() {
                    survivors.push(format!("{}, {name}: its tests pass all the same", rule.name));
                    continue;
                }
                // It must be an alert that came or did not come, not a rule that cannot be read.
                let said = [output.stdout, output.stderr].concat();
                let said = String::from_utf8_lossy(&said);
                if !said.contains("got:") {
                    survivors.push(format!("{}, {name}: {said}", rule.name));
                }
            }
        }
    }
    println!("{count} rules with a moved threshold or duration, {} of them unnoticed", survivors.len());
    verdict(survivors)
}

/// The script that counts I/O errors.
pub fn exporter(root: &Path, depth: Depth) -> Outcome {
    exporter::fixtures(root)?;
    if depth == Depth::Quick { Ok(()) } else { exporter::read(root) }
}

/// The dashboards, and every series that panels and rules name.
pub fn dashboards(root: &Path, depth: Depth) -> Outcome {
    let registry = Registry::read(root)?;
    let all = dashboards::all(&registry)?;
    verdict(shown::missing(&all, &registry))?;
    verdict(stale(root)?)?;
    let queries: usize = all.iter().map(|dashboard| dashboard.queries().count()).sum();
    println!("{} dashboards, {queries} queries; every series of the server is on a panel", all.len());
    if depth == Depth::Quick { Ok(()) } else { shown::with_data(root, &all) }
}

/// Faults, and the alerts that come of them.
pub fn live_fire(root: &Path, depth: Depth) -> Outcome {
    if depth == Depth::Quick {
        println!("not part of the quick run");
        return Ok(());
    }
    live::run(root)
}
