//! Arrows between crates point down only, and there is a runtime in one crate alone.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    process::Command,
};

use serde_json::Value;

use crate::steps::Outcome;

/// Each crate, and what of ours it may be built on. Everything else is refused, also crates that are not listed.
const MAY_USE: &[(&str, &[&str])] = &[
    ("stemedb-env", &[]),
    ("stemedb-core", &[]),
    ("stemedb-wal", &["stemedb-env"]),
    ("stemedb-lsm", &["stemedb-env"]),
    ("stemedb-fallback", &["stemedb-env", "stemedb-lsm"]),
    ("stemedb-index", &["stemedb-env", "stemedb-core", "stemedb-lsm"]),
    ("stemedb-hybrid", &["stemedb-env", "stemedb-wal", "stemedb-lsm", "stemedb-index", "stemedb-fallback"]),
    (
        "stemedb-api",
        &["stemedb-env", "stemedb-core", "stemedb-wal", "stemedb-lsm", "stemedb-index", "stemedb-hybrid"],
    ),
    // Speaks HTTP only: of ours it may know the encoding of claims, for signatures.
    ("stemedb-client", &["stemedb-core"]),
    // Beside the stack: an oracle that shared code with the engine would share its mistakes.
    ("stemedb-oracle", &[]),
    ("xtask", &[]),
];

/// Crates that only check, measure or show the others; they may use any of them.
const OBSERVERS: &[&str] = &[
    "stemedb-sim",
    "stemedb-torture",
    "stemedb-rig",
    "stemedb-s3-tests",
    "stemedb-benches",
    "stemedb-examples",
];

/// Tests may also use these, whatever their layer.
const FOR_TESTS: &[&str] = &["stemedb-oracle", "stemedb-core", "stemedb-client"];

/// The crate that has a runtime, and those that may bring it in.
const RUNTIME: &str = "tokio";
const WITH_RUNTIME: &[&str] = &["stemedb-api", "stemedb-s3-tests", "stemedb-benches", "stemedb-examples"];

/// Reads `cargo metadata` and checks every arrow.
pub fn check(root: &Path) -> Outcome {
    let output = Command::new("cargo")
        .args(["metadata", "--format-version", "1", "--locked"])
        .current_dir(root)
        .output()
        .map_err(|error| format!("cargo metadata: {error}"))?;
    if !output.status.success() {
        return Err(format!("cargo metadata: {}", String::from_utf8_lossy(&output.stderr)));
    }
    let metadata: Value =
        serde_json::from_slice(&output.stdout).map_err(|error| format!("cargo metadata: {error}"))?;
    let graph = Graph::of(&metadata);
    let problems = graph.problems();
    println!("{} crates of the workspace, {} in all", graph.members.len(), graph.packages);
    if problems.is_empty() {
        Ok(())
    } else {
        Err(format!("arrows that must not be\n{}", problems.join("\n")))
    }
}

struct Graph {
    /// Names of workspace members.
    members: BTreeSet<String>,
    packages: usize,
    /// Member → (dependency, for tests only).
    arrows: BTreeMap<String, BTreeSet<(String, bool)>>,
    /// Member → every package that its normal and build dependencies bring in.
    closures: BTreeMap<String, BTreeSet<String>>,
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}

fn list<'a>(value: &'a Value, field: &str) -> impl Iterator<Item = &'a Value> {
    value.get(field).and_then(Value::as_array).into_iter().flatten()
}

impl Graph {
    fn of(metadata: &Value) -> Graph {
        let names: BTreeMap<&str, &str> =
            list(metadata, "packages").map(|package| (text(package, "id"), text(package, "name"))).collect();
        let member_ids: Vec<&str> = list(metadata, "workspace_members").filter_map(Value::as_str).collect();
        let nodes: BTreeMap<&str, &Value> = metadata
            .get("resolve")
            .map(|resolve| list(resolve, "nodes").map(|node| (text(node, "id"), node)).collect())
            .unwrap_or_default();
        let name = |id: &str| names.get(id).copied().unwrap_or_default().to_owned();
        let is_for_tests =
            |dependency: &Value| list(dependency, "dep_kinds").all(|kind| text(kind, "kind") == "dev");
        let mut arrows = BTreeMap::new();
        let mut closures = BTreeMap::new();
        for id in &member_ids {
            let direct = nodes.get(id).into_iter().flat_map(|node| list(node, "deps"));
            arrows.insert(name(id), direct.map(|dep| (name(text(dep, "pkg")), is_for_tests(dep))).collect());
            let mut reached = BTreeSet::new();
            let mut open = vec![*id];
            while let Some(next) = open.pop() {
                for dependency in nodes.get(next).into_iter().flat_map(|node| list(node, "deps")) {
                    let target = text(dependency, "pkg");
                    if !is_for_tests(dependency) && reached.insert(target) {
                        open.push(target);
                    }
                }
            }
            closures.insert(name(id), reached.into_iter().map(name).collect());
        }
        Graph { members: member_ids.into_iter().map(name).collect(), packages: names.len(), arrows, closures }
    }

    fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        for (from, to) in &self.arrows {
            let has_runtime = self.closures.get(from).is_some_and(|all| all.contains(RUNTIME));
            if has_runtime && !WITH_RUNTIME.contains(&from.as_str()) {
                problems.push(format!("{from} brings in {RUNTIME}"));
            }
            if OBSERVERS.contains(&from.as_str()) {
                continue;
            }
            let Some((_, allowed)) = MAY_USE.iter().find(|(name, _)| name == from) else {
                problems
                    .push(format!("{from} has no place in the layers: give it one in xtask/src/layers.rs"));
                continue;
            };
            for (target, for_tests) in to.iter().filter(|(target, _)| self.members.contains(target)) {
                let fine = allowed.contains(&target.as_str())
                    || (*for_tests && (FOR_TESTS.contains(&target.as_str()) || target == from));
                if !fine {
                    let how = if *for_tests { " (in tests)" } else { "" };
                    problems.push(format!("{from} → {target}{how}"));
                }
            }
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph(arrows: &[(&str, &str, bool)]) -> Graph {
        let mut graph = Graph {
            members: MAY_USE.iter().map(|(name, _)| (*name).to_owned()).collect(),
            packages: 0,
            arrows: BTreeMap::new(),
            closures: BTreeMap::new(),
        };
        for (from, to, for_tests) in arrows {
            graph.arrows.entry((*from).to_owned()).or_default().insert(((*to).to_owned(), *for_tests));
            if !for_tests {
                graph.closures.entry((*from).to_owned()).or_default().insert((*to).to_owned());
            }
        }
        graph
    }

    #[test]
    fn arrows_up_and_sideways_are_refused_and_arrows_down_are_not() {
        assert!(graph(&[("stemedb-hybrid", "stemedb-wal", false)]).problems().is_empty());
        assert_eq!(
            graph(&[("stemedb-wal", "stemedb-lsm", false), ("stemedb-lsm", "stemedb-index", true)])
                .problems(),
            ["stemedb-lsm → stemedb-index (in tests)", "stemedb-wal → stemedb-lsm"]
        );
    }

    #[test]
    fn a_runtime_below_the_api_is_refused_and_an_unknown_crate_too() {
        assert_eq!(
            graph(&[("stemedb-hybrid", "tokio", false)]).problems(),
            ["stemedb-hybrid brings in tokio"]
        );
        assert!(graph(&[("stemedb-api", "tokio", false)]).problems().is_empty());
        assert!(graph(&[("new", "serde", false)]).problems()[0].contains("no place"));
    }
}
