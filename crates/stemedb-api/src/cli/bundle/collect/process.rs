//! The running server as the system sees it.

use std::{ffi::OsString, os::unix::ffi::OsStringExt, path::PathBuf};

use serde_json::{Map, Value, json};
use stemedb_env::{Env, fs::read_file};
use stemedb_hybrid::Layout;

use super::{configuration::Started, told, word};

const PROGRAM: &str = "stemedb-api";
/// Members of `/proc/N/status` that are shown.
const STATUS: [&str; 12] = [
    "State",
    "Threads",
    "VmPeak",
    "VmSize",
    "VmHWM",
    "VmRSS",
    "RssAnon",
    "RssFile",
    "VmSwap",
    "FDSize",
    "voluntary_ctxt_switches",
    "nonvoluntary_ctxt_switches",
];

/// The process that has a database open, by what it has written into the lock file. The file is read; nobody asks for the lock.
pub fn holder(env: &Env, layout: &Layout) -> Option<u32> {
    let text = read_file(&*env.fs, &layout.lock(), 256).ok()?;
    let id = std::str::from_utf8(&text).ok()?.strip_prefix("pid ")?.trim().parse().ok()?;
    // The number may be another program's by now.
    let name = told(env, of(id, "comm"))?;
    (id != std::process::id() && name.trim() == PROGRAM).then_some(id)
}

fn of(id: u32, file: &str) -> PathBuf {
    PathBuf::from(format!("/proc/{id}/{file}"))
}

/// How it was started; `None` if this user may not see that.
pub fn started(env: &Env, id: u32) -> Option<Started> {
    let raw = |file: &str| told(env, of(id, file)).filter(|text| !text.is_empty());
    let words = |text: String| -> Vec<OsString> {
        let pieces = text.split('\0').filter(|piece| !piece.is_empty());
        pieces.map(|piece| OsString::from_vec(piece.as_bytes().to_vec())).collect()
    };
    let arguments = words(raw("cmdline")?);
    let variables = words(raw("environ").unwrap_or_default());
    let pair = |variable: OsString| {
        let text = variable.to_string_lossy().into_owned();
        text.split_once('=').map(|(name, value)| (OsString::from(name), OsString::from(value)))
    };
    Some(Started { arguments, variables: variables.into_iter().filter_map(pair).collect() })
}

/// Limits, memory, files, I/O.
pub fn document(env: &Env, id: u32) -> Value {
    json!({
        "pid": id,
        "status": status(&told(env, of(id, "status")).unwrap_or_default()),
        "limits": limits(&told(env, of(id, "limits")).unwrap_or_default()),
        "io": numbers(&told(env, of(id, "io")).unwrap_or_default()),
        "open_files": env.fs.list(&of(id, "fd")).ok().map(|files| files.len()),
        "oom_score": told(env, of(id, "oom_score")).and_then(|text| text.trim().parse::<i64>().ok()),
        "cgroup": cgroup(env, &told(env, of(id, "cgroup")).unwrap_or_default()),
    })
}

fn status(text: &str) -> Value {
    let pairs = text.lines().filter_map(|line| line.split_once(':'));
    let shown = pairs.filter(|(name, _)| STATUS.contains(name));
    Value::Object(shown.filter_map(|(name, value)| Some((name.to_owned(), word(value)?.into()))).collect())
}

/// `Max open files  1024  524288  files`
fn limits(text: &str) -> Value {
    let mut all = Map::new();
    for line in text.lines().skip(1) {
        let columns: Vec<&str> =
            line.split("  ").map(str::trim).filter(|column| !column.is_empty()).collect();
        if let [name, soft, hard, ..] = columns.as_slice()
            && let (Some(name), Some(soft), Some(hard)) = (word(name), word(soft), word(hard))
        {
            all.insert(name, json!({ "soft": soft, "hard": hard }));
        }
    }
    Value::Object(all)
}

fn numbers(text: &str) -> Value {
    let pairs = text.lines().filter_map(|line| line.split_once(':'));
    Value::Object(
        pairs
            .filter_map(|(name, value)| Some((word(name)?, value.trim().parse::<u64>().ok()?.into())))
            .collect(),
    )
}

/// What its group may take. The group's name is the operator's.
fn cgroup(env: &Env, text: &str) -> Value {
    let Some(path) = text.lines().find_map(|line| line.strip_prefix("0::")) else { return Value::Null };
    let dir = PathBuf::from("/sys/fs/cgroup").join(path.trim().trim_start_matches('/'));
    let mut all = Map::new();
    for file in
        ["memory.max", "memory.high", "memory.current", "memory.swap.max", "cpu.max", "pids.max", "io.max"]
    {
        if let Some(value) =
            told(env, dir.join(file)).and_then(|text| word(text.lines().next().unwrap_or_default()))
        {
            all.insert(file.to_owned(), value.into());
        }
    }
    Value::Object(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_and_status_are_read_from_the_systems_own_words() {
        let text = "Limit                     Soft Limit           Hard Limit           Units     \n\
            Max cpu time              unlimited            unlimited            seconds   \n\
            Max open files            1024                 524288               files     \n";
        assert_eq!(limits(text)["Max open files"], json!({ "soft": "1024", "hard": "524288" }));
        let text = "Name:\tzyxo\nState:\tS (sleeping)\nThreads:\t7\nVmRSS:\t  204800 kB\nCpus_allowed:\tff\n";
        assert_eq!(status(text), json!({ "State": "S (sleeping)", "Threads": "7", "VmRSS": "204800 kB" }));
        assert_eq!(numbers("rchar: 5\nwrite_bytes: 7\nx: y\n"), json!({ "rchar": 5, "write_bytes": 7 }));
    }
}
