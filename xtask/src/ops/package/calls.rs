//! Whether the service may do what it does: the system calls of a run, and those that its unit allows.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    process::Command,
};

use crate::steps::Outcome;

/// What is allowed whatever the unit says.
const ALWAYS: &str = "@default";

/// Compares a trace of `strace -f` with the unit's `SystemCallFilter=`.
pub fn are_allowed(unit: &Path, trace: &Path) -> Outcome {
    let read = |path: &Path| fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()));
    let mut listing = Command::new("systemd-analyze");
    let listing =
        listing.args(["syscall-filter", "--no-pager"]).output().map_err(|error| error.to_string())?;
    let groups = groups(&String::from_utf8_lossy(&listing.stdout));
    let allowed = allowed(&read(unit)?, &groups)?;
    let made = made(&read(trace)?);
    if made.len() < 30 {
        return Err(format!("only {} system calls were seen: {made:?}", made.len()));
    }
    let refused: Vec<&String> = made.difference(&allowed).collect();
    println!("{} different system calls were made; the unit allows {}", made.len(), allowed.len());
    if refused.is_empty() {
        Ok(())
    } else {
        Err(format!("the unit refuses what the server does: {refused:?}"))
    }
}

/// The groups of `systemd-analyze syscall-filter`, with their members; some of these are groups.
fn groups(listing: &str) -> BTreeMap<String, Vec<String>> {
    let mut groups: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut current = String::new();
    for line in listing.lines().filter(|line| !line.trim_start().starts_with('#')) {
        match (line.starts_with('@'), line.trim()) {
            (_, "") => current.clear(),
            (true, name) => name.clone_into(&mut current),
            (false, member) if !current.is_empty() => {
                groups.entry(current.clone()).or_default().push(member.to_owned());
            }
            (false, _) => {}
        }
    }
    groups
}

/// Everything that `name` stands for.
fn members(name: &str, groups: &BTreeMap<String, Vec<String>>, into: &mut BTreeSet<String>) -> Outcome {
    if !name.starts_with('@') {
        into.insert(name.to_owned());
        return Ok(());
    }
    let listed = groups.get(name).ok_or_else(|| format!("systemd knows no {name}"))?;
    listed.iter().try_for_each(|member| members(member, groups, into))
}

/// What the filters of a unit leave.
fn allowed(unit: &str, groups: &BTreeMap<String, Vec<String>>) -> Result<BTreeSet<String>, String> {
    let mut allowed = BTreeSet::new();
    let mut always = BTreeSet::new();
    members(ALWAYS, groups, &mut always)?;
    let filters: Vec<&str> = unit.lines().filter_map(|line| line.strip_prefix("SystemCallFilter=")).collect();
    if filters.is_empty() {
        return Err("the unit has no SystemCallFilter=".to_owned());
    }
    for filter in filters {
        let mut named = BTreeSet::new();
        for name in filter.trim_start_matches('~').split_whitespace() {
            members(name, groups, &mut named)?;
        }
        match filter.starts_with('~') {
            true => allowed.retain(|call| !named.contains(call)),
            false => allowed.append(&mut named),
        }
    }
    allowed.append(&mut always);
    Ok(allowed)
}

/// Calls of the server in a trace that begins before it is executed.
fn made(trace: &str) -> BTreeSet<String> {
    let own = trace.lines().skip_while(|line| !line.contains("execve(\"/usr/bin/stemedb-api\"")).skip(1);
    let call = |line: &str| {
        let (name, _) = line.split_once(' ')?.1.trim_start().split_once('(')?;
        let is_name = name.chars().all(|one| one.is_ascii_lowercase() || one.is_ascii_digit() || one == '_');
        (is_name && !name.is_empty()).then(|| name.to_owned())
    };
    own.filter_map(call).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_filter_leaves_is_its_groups_without_those_it_denies() {
        let listing = "@default\n    # always\n    read\n\n@system-service\n    # x\n    @io\n    chown\n    nice\n\n@io\n    write\n\n\
                       @privileged\n    # y\n    chown\n    read\n\n# Not in a group\n#  x\n";
        let groups = groups(listing);
        let unit = "[Service]\nSystemCallFilter=@system-service\nSystemCallFilter=~@privileged\n";
        let left: Vec<String> = allowed(unit, &groups).unwrap().into_iter().collect();
        assert_eq!(left, ["nice", "read", "write"]);
        assert!(allowed("SystemCallFilter=@nothing", &groups).is_err());
        assert!(allowed("User=x", &groups).is_err());
    }

    #[test]
    fn calls_count_from_the_program_on() {
        let trace = "1 chroot(\"x\") = 0\n1 execve(\"/usr/bin/stemedb-api\", [\"x\"], 0x1 /* 3 vars */) = 0\n\
                     12  openat(AT_FDCWD, \"/\", 0 <unfinished ...>\n1 --- SIGTERM {} ---\n12 <... openat resumed>) = 3\n\
                     1 fsync(3) = 0\n1 +++ exited with 0 +++\n";
        assert_eq!(made(trace).into_iter().collect::<Vec<_>>(), ["fsync", "openat"]);
    }
}
