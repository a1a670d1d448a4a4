//! Disasters, done to servers that archive: what is seen, what is lost, for how long nobody can record.
//!
//! ```text
//! a target ── a writer, claims, a backup ── clients record ── the disaster ── what is told ── the repair ── each acknowledged claim is
//!             standbys                                                                                   looked for
//! ```
//!
//! As a whole into a bucket of a real S3-compatible server, archived every 5 s; quickly into a folder, every second.

mod clients;
mod report;
mod scenarios;
mod site;

use std::{
    fs,
    path::{Path, PathBuf},
    sync::atomic::AtomicUsize,
    time::Duration,
};

use super::{
    Depth,
    bucket::{self, Bucket},
};
use crate::{server, steps::Outcome};
use report::Run;
use scenarios::{ALL, Found};
use site::Site;

/// More may not be lost of what was acknowledged.
const RPO: Duration = Duration::from_secs(10);
/// Nobody may be without a writer for longer, where a standby is promoted.
const RTO: Duration = Duration::from_secs(30);
/// The committed page.
const PAGE: &str = "docs/proof/drill.md";

/// `cargo xtask drill [--write]`.
pub fn run(root: &Path, options: &[&str]) -> Outcome {
    match options {
        [] => part(root, Depth::Whole),
        ["--write"] => {
            let page = whole(root)?;
            fs::write(root.join(PAGE), page).map_err(|error| format!("{PAGE}: {error}"))
        }
        other => Err(format!("unknown options {other:?}")),
    }
}

/// The part of `ops`. The report is printed, and kept in `target/ops/drill`.
pub fn part(root: &Path, depth: Depth) -> Outcome {
    let page = if depth == Depth::Whole { whole(root)? } else { quick(root)? };
    println!("\n{page}");
    let kept = folder(root).join("drill.md");
    fs::write(&kept, page).map_err(|error| format!("{}: {error}", kept.display()))
}

fn folder(root: &Path) -> PathBuf {
    server::target(root).join("ops/drill")
}

/// Whether a program was built as it is released, as far as its path tells.
fn build_of(program: &Path) -> &'static str {
    let is_release = program.components().any(|part| part.as_os_str() == "release");
    if is_release { "built as for a release" } else { "built for tests, not optimised as a release" }
}

fn whole(root: &Path) -> Result<String, String> {
    let program = bucket::program(root)?;
    let folder = folder(root);
    super::units::fresh(&folder)?;
    let s3 = Bucket::start(root, &folder.join("buckets"))?;
    let run = Run {
        target: "a bucket of a real S3-compatible server (`s3s`), over HTTP",
        interval: Duration::from_secs(5),
        claims: 20_000,
        build: build_of(&program),
    };
    let site = |name: &str| Site {
        program: program.clone(),
        variables: s3.variables(),
        target: Bucket::target(name),
        objects: s3.objects(name),
        folder: folder.join(name),
        interval: run.interval,
        claims: run.claims,
        started: AtomicUsize::new(0),
    };
    let found = all(ALL, site)?;
    s3.stop()?;
    Ok(report::page(&run, &found))
}

/// A folder has no key.
fn quick(root: &Path) -> Result<String, String> {
    let program = server::program(root)?;
    let folder = folder(root);
    super::units::fresh(&folder)?;
    let run = Run {
        target: "a folder",
        interval: Duration::from_secs(1),
        claims: 2_000,
        build: build_of(&program),
    };
    let site = |name: &str| {
        let objects = folder.join(format!("{name}-target"));
        Site {
            program: program.clone(),
            variables: Vec::new(),
            target: objects.display().to_string(),
            objects,
            folder: folder.join(name),
            interval: run.interval,
            claims: run.claims,
            started: AtomicUsize::new(0),
        }
    };
    let of_folders: Vec<_> = ALL.iter().filter(|(name, _)| *name != "wrong key").copied().collect();
    Ok(report::page(&run, &all(&of_folders, site)?))
}

fn all(
    scenarios: &[(&'static str, scenarios::Scenario)],
    site: impl Fn(&str) -> Site,
) -> Result<Vec<Found>, String> {
    let mut all = Vec::new();
    for (name, scenario) in scenarios {
        let site = site(&name.to_lowercase().replace(' ', "-"));
        site.prepare()?;
        let mut found = scenario(&site).map_err(|error| format!("{name}: {error}"))?;
        // Paths of this machine say nothing to others.
        let here = format!("{}/", site.folder.display());
        found.seen.iter_mut().for_each(|line| *line = line.replace(&here, ""));
        judged(&found)?;
        println!(
            "{name}: {} acknowledged, {} counted, {} lost of those, {} of the others; RPO {:.1} s, RTO {:.1} s",
            found.kept.acknowledged,
            found.kept.counted,
            found.kept.lost_counted,
            found.kept.lost,
            found.kept.rpo.as_secs_f64(),
            found.rto.as_secs_f64()
        );
        all.push(found);
    }
    Ok(all)
}

/// Whether what is promised was kept.
fn judged(found: &Found) -> Outcome {
    let Found { name, kept, rto, rto_is, .. } = found;
    if kept.lost_counted > 0 {
        return Err(format!(
            "{name}: {} claims had counted as archived and are lost: {found:?}",
            kept.lost_counted
        ));
    }
    if kept.acknowledged < 20 || kept.counted == 0 && *name != "wrong key" {
        return Err(format!("{name} shows nothing: {found:?}"));
    }
    if kept.rpo > RPO {
        return Err(format!("{name}: RPO {:.1} s", kept.rpo.as_secs_f64()));
    }
    let is_promotion = ["lost disk", "two primaries"].contains(name);
    if is_promotion && *rto > RTO {
        return Err(format!("{name}: RTO {:.1} s, {rto_is}", rto.as_secs_f64()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{clients::Kept, *};

    #[test]
    fn a_broken_promise_and_a_run_that_shows_nothing_fail() {
        let whole =
            Kept { acknowledged: 100, counted: 60, lost_counted: 0, lost: 9, rpo: Duration::from_secs(4) };
        let found = |name, kept: Kept, rto| Found {
            name,
            injected: "",
            seen: Vec::new(),
            kept,
            rto: Duration::from_secs(rto),
            rto_is: "",
        };
        assert_eq!(judged(&found("lost disk", whole.clone(), 3)), Ok(()));
        assert_eq!(judged(&found("corrupt SST", whole.clone(), 300)), Ok(()));
        let fails = |name, kept: Kept, rto| assert!(judged(&found(name, kept, rto)).is_err());
        fails("lost disk", Kept { lost_counted: 1, ..whole.clone() }, 3);
        fails("lost disk", Kept { rpo: Duration::from_secs(11), ..whole.clone() }, 3);
        fails("lost disk", Kept { acknowledged: 3, ..whole.clone() }, 3);
        fails("lost disk", Kept { counted: 0, ..whole.clone() }, 3);
        fails("two primaries", whole, 31);
    }
}
