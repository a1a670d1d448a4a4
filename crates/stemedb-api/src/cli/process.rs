//! What the system says about this process.

use std::path::Path;

use stemedb_env::{Env, OpenMode};

/// The most memory this process has had resident, in bytes; `None` where the system does not say (it is read from
/// `/proc/self/status`, Linux).
pub fn peak_memory_bytes(env: &Env) -> Option<u64> {
    let file = env.fs.open(Path::new("/proc/self/status"), OpenMode::Read).ok()?;
    // The file has no length of its own and is a few kilobytes long.
    let mut text = vec![0; 16 << 10];
    let mut filled = 0;
    while let Some(rest) = text.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, filled as u64).ok()? {
            0 => break,
            n => filled += n,
        }
    }
    parse_peak(std::str::from_utf8(text.get(..filled)?).ok()?)
}

fn parse_peak(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peak_is_read_from_the_systems_own_words() {
        assert_eq!(parse_peak("Name:\tx\nVmHWM:\t   2048 kB\nVmRSS:\t 1 kB\n"), Some(2 << 20));
        assert_eq!(parse_peak("Name:\tx\n"), None);
    }
}
