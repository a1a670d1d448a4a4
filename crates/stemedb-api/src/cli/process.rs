//! What the system says about this process, and about others.

use std::path::Path;

use stemedb_env::{Env, OpenMode};

/// The most memory this process has had resident, in bytes; `None` where the system does not say (it is read from
/// `/proc/self/status`, Linux).
pub fn peak_memory_bytes(env: &Env) -> Option<u64> {
    parse(&status(env, Path::new("/proc/self/status"))?, "VmHWM:")
}

/// The memory that a process has resident now, in bytes.
pub fn memory_bytes(env: &Env, id: u32) -> Option<u64> {
    parse(&status(env, Path::new(&format!("/proc/{id}/status")))?, "VmRSS:")
}

fn status(env: &Env, path: &Path) -> Option<String> {
    let file = env.fs.open(path, OpenMode::Read).ok()?;
    // The file has no length of its own and is a few kilobytes long.
    let mut text = vec![0; 16 << 10];
    let mut filled = 0;
    while let Some(rest) = text.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, filled as u64).ok()? {
            0 => break,
            n => filled += n,
        }
    }
    Some(String::from_utf8_lossy(text.get(..filled)?).into_owned())
}

fn parse(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peak_is_read_from_the_systems_own_words() {
        let status = "Name:\tx\nVmHWM:\t   2048 kB\nVmRSS:\t 1 kB\n";
        assert_eq!((parse(status, "VmHWM:"), parse(status, "VmRSS:")), (Some(2 << 20), Some(1 << 10)));
        assert_eq!(parse("Name:\tx\n", "VmHWM:"), None);
    }
}
