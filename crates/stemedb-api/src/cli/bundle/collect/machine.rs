//! The system below: kernel, processors, memory, the disk of the database, and the clock. Nothing that says which machine it is.

use std::path::Path;

use serde_json::{Map, Value, json};
use stemedb_api::core::Micros;
use stemedb_env::Env;

use super::{told, word};

const MEMORY: [&str; 8] =
    ["MemTotal", "MemFree", "MemAvailable", "Buffers", "Cached", "Dirty", "SwapTotal", "SwapFree"];

/// Kernel, processors, memory, pressure, and the file system of the database.
pub fn document(env: &Env, data_dir: Option<&Path>) -> Value {
    let line = |path: &str| told(env, path).and_then(|text| word(text.lines().next().unwrap_or_default()));
    json!({
        "kernel": line("/proc/sys/kernel/osrelease"),
        "system": system(&told(env, "/etc/os-release").unwrap_or_default()),
        "architecture": std::env::consts::ARCH,
        "processors": stemedb_env::tasks::processors().get(),
        "processor": told(env, "/proc/cpuinfo").and_then(|text| {
            let line = text.lines().find_map(|line| line.strip_prefix("model name"))?;
            word(line.trim_start_matches(['\t', ' ', ':']))
        }),
        "memory": memory(&told(env, "/proc/meminfo").unwrap_or_default()),
        "load": line("/proc/loadavg").map(|text| text.split(' ').take(3).collect::<Vec<_>>().join(" ")),
        "pressure": pressure(env),
        "huge_pages": told(env, "/sys/kernel/mm/transparent_hugepage/enabled").and_then(|text| chosen(&text)),
        "overcommit": line("/proc/sys/vm/overcommit_memory"),
        "swappiness": line("/proc/sys/vm/swappiness"),
        "dirty_ratio": line("/proc/sys/vm/dirty_ratio"),
        "dirty_background_ratio": line("/proc/sys/vm/dirty_background_ratio"),
        "disk": data_dir.map(|dir| disk(env, dir)),
    })
}

/// What time it is, and by which clock.
pub fn clock(env: &Env) -> Value {
    let clocksource = "/sys/devices/system/clocksource/clocksource0/current_clocksource";
    json!({
        "wall": Micros(env.clock.wall().0).to_string(),
        "uptime_s": told(env, "/proc/uptime").and_then(|text| text.split('.').next()?.parse::<u64>().ok()),
        "clocksource": told(env, clocksource).and_then(|text| word(&text)),
        "time_zone": "UTC: every time in this bundle",
    })
}

fn system(text: &str) -> Option<String> {
    let line = text.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="))?;
    word(line.trim_matches('"'))
}

fn memory(text: &str) -> Value {
    let pairs = text.lines().filter_map(|line| line.split_once(':'));
    let shown = pairs.filter(|(name, _)| MEMORY.contains(name));
    Value::Object(shown.filter_map(|(name, value)| Some((name.to_owned(), word(value)?.into()))).collect())
}

fn pressure(env: &Env) -> Value {
    let mut all = Map::new();
    for what in ["cpu", "io", "memory"] {
        let text = told(env, format!("/proc/pressure/{what}")).unwrap_or_default();
        let lines: Vec<Value> = text.lines().filter_map(word).map(Value::from).collect();
        if !lines.is_empty() {
            all.insert(what.to_owned(), lines.into());
        }
    }
    Value::Object(all)
}

/// `always [madvise] never`
fn chosen(text: &str) -> Option<String> {
    let (_, rest) = text.split_once('[')?;
    word(rest.split_once(']')?.0)
}

/// The file system that a folder is on, and what is known of its device.
fn disk(env: &Env, dir: &Path) -> Value {
    let dir = std::path::absolute(dir).unwrap_or_else(|_| dir.to_path_buf());
    let mounts = told(env, "/proc/self/mountinfo").unwrap_or_default();
    let mut found = mount_of(&mounts, &dir);
    if let Some(device) = found.get("device").and_then(Value::as_str).map(str::to_owned) {
        // A partition has no queue of its own, the disk above it has.
        let queues = [format!("/sys/dev/block/{device}/queue"), format!("/sys/dev/block/{device}/../queue")];
        for name in
            ["rotational", "logical_block_size", "physical_block_size", "write_cache", "nr_requests", "fua"]
        {
            let value = queues.iter().find_map(|queue| word(&told(env, format!("{queue}/{name}"))?));
            if let Some(value) = value {
                found.insert(name.to_owned(), value.into());
            }
        }
        let scheduler = queues
            .iter()
            .find_map(|queue| told(env, format!("{queue}/scheduler")))
            .and_then(|text| chosen(&text));
        found.insert("scheduler".to_owned(), scheduler.into());
    }
    Value::Object(found)
}

/// `36 35 8:1 / /var rw,noatime shared:1 - ext4 /dev/sda1 rw,errors=remount-ro`: the longest mount point above a folder.
fn mount_of(mounts: &str, dir: &Path) -> Map<String, Value> {
    let mut best: Option<(usize, Map<String, Value>)> = None;
    for line in mounts.lines() {
        let Some((before, after)) = line.split_once(" - ") else { continue };
        let before: Vec<&str> = before.split(' ').collect();
        let after: Vec<&str> = after.split(' ').collect();
        let ([_, _, device, _, point, options, ..], [kind, _, more, ..]) =
            (before.as_slice(), after.as_slice())
        else {
            continue;
        };
        let depth = Path::new(point).components().count();
        if !dir.starts_with(point) || best.as_ref().is_some_and(|(known, _)| *known > depth) {
            continue;
        }
        let found =
            [("device", *device), ("kind", kind), ("options", options), ("file_system_options", more)];
        let shown =
            found.into_iter().filter_map(|(name, value)| Some((name.to_owned(), options_of(value)?.into())));
        best = Some((depth, shown.collect()));
    }
    best.map(|(_, found)| found).unwrap_or_default()
}

/// Options without those that are paths or names of somebody's.
fn options_of(text: &str) -> Option<String> {
    let is_plain = |option: &&str| !option.contains('/') && !option.contains('@');
    let kept: Vec<&str> = text.split(',').filter(is_plain).collect();
    kept.join(",").split(',').all(|option| option.len() <= 48).then(|| kept.join(",")).filter(|text| {
        text.bytes().all(|byte| {
            byte.is_ascii_alphanumeric() || matches!(byte, b',' | b'=' | b'_' | b'-' | b':' | b'.')
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mount_of_a_folder_is_the_longest_one_above_it() {
        let mounts = "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n\
            23 22 8:17 / /var/lib rw,noatime shared:2 - xfs /dev/zyxo rw,attr2,lowerdir=/srv/zyxo\n";
        let found = Value::Object(mount_of(mounts, Path::new("/var/lib/stemedb")));
        assert_eq!(
            found,
            json!({ "device": "8:17", "kind": "xfs", "options": "rw,noatime", "file_system_options": "rw,attr2" })
        );
        assert_eq!(mount_of(mounts, Path::new("/opt"))["kind"], "ext4");
        assert_eq!(chosen("always [madvise] never\n").as_deref(), Some("madvise"));
    }

    #[test]
    fn a_machine_is_described_without_its_name() {
        let env = Env::real();
        let document = document(&env, Some(Path::new("/")));
        assert!(document["processors"].as_u64().is_some_and(|count| count > 0), "{document}");
        assert!(document["memory"]["MemTotal"].is_string() || !cfg!(target_os = "linux"), "{document}");
        let name = told(&env, "/proc/sys/kernel/hostname").unwrap_or_default();
        assert!(!document.to_string().contains(&format!("\"{}\"", name.trim())), "{document}");
        assert!(clock(&env)["wall"].is_string());
    }
}
