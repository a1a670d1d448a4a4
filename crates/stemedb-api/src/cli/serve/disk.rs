//! Options about the disk: how long a write may wait, and how much room is enough.

use std::time::Duration;

use stemedb_hybrid::{HybridOptions, Line};

/// Options about the disk.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Disk")]
pub struct DiskArgs {
    /// How long a write may wait for its turn before it is refused (0: for ever)
    #[arg(long, value_name = "MS", default_value_t = 5000, env = "STEMEDB_LOCK_TIMEOUT_MS")]
    lock_timeout_ms: u64,
    /// Warn when less is free than this share of the disk, or this many bytes (0: never) [default: 20%, at most 64GiB]
    #[arg(long, value_name = "ROOM", env = "STEMEDB_DISK_LOW", value_parser = line)]
    disk_low: Option<Line>,
    /// Give spare files back when less is free than this [default: 10%, at most 16GiB]
    #[arg(long, value_name = "ROOM", env = "STEMEDB_DISK_SCARCE", value_parser = line)]
    disk_scarce: Option<Line>,
    /// Refuse writes when less is free than this, or than background work needs [default: 5%, at most 4GiB]
    #[arg(long, value_name = "ROOM", env = "STEMEDB_DISK_FULL", value_parser = line)]
    disk_full: Option<Line>,
}

impl DiskArgs {
    /// Puts them into the engine's options.
    pub fn apply(&self, engine: &mut HybridOptions) {
        engine.commit.lock_timeout = Duration::from_millis(self.lock_timeout_ms);
        let lines = &mut engine.disk.lines;
        let asked = [
            (&mut lines.low, self.disk_low),
            (&mut lines.scarce, self.disk_scarce),
            (&mut lines.full, self.disk_full),
        ];
        for (line, asked) in asked {
            *line = asked.unwrap_or(*line);
        }
    }
}

/// `5%`, `2.5%`, `4GiB`, `512MiB`, `1048576`, `0`.
fn line(text: &str) -> Result<Line, String> {
    const UNITS: [(&str, u64); 5] =
        [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1 << 40), ("", 1)];
    let wrong = || format!("`{text}` is neither a share of the disk such as 5% nor a size such as 4GiB");
    if let Some(share) = text.strip_suffix('%') {
        let (whole, tenths) = share.split_once('.').unwrap_or((share, "0"));
        let (whole, tenths): (u32, u32) =
            (whole.parse().map_err(|_| wrong())?, tenths.parse().map_err(|_| wrong())?);
        let per_mille = whole.checked_mul(10).and_then(|whole| whole.checked_add(tenths));
        return match per_mille {
            Some(per_mille) if per_mille <= 1000 && tenths < 10 => {
                Ok(Line { per_mille, at_most_bytes: u64::MAX })
            }
            _ => Err(wrong()),
        };
    }
    let (number, unit) =
        UNITS.iter().find_map(|(name, unit)| Some((text.strip_suffix(name)?, *unit))).ok_or_else(wrong)?;
    let number: u64 = number.trim().parse().map_err(|_| wrong())?;
    let bytes = number.checked_mul(unit).ok_or_else(wrong)?;
    Ok(if bytes == 0 { Line::OFF } else { Line::of_bytes(bytes) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_a_share_or_a_size() {
        let share = |per_mille| Ok(Line { per_mille, at_most_bytes: u64::MAX });
        assert_eq!(line("5%"), share(50));
        assert_eq!(line("2.5%"), share(25));
        assert_eq!(line("100%"), share(1000));
        assert_eq!(line("4GiB"), Ok(Line::of_bytes(4 << 30)));
        assert_eq!(line("77"), Ok(Line::of_bytes(77)));
        assert_eq!(line("0"), Ok(Line::OFF));
        for wrong in ["101%", "5.25%", "-1", "", "4GB", "99999999999TiB", "%", "five"] {
            assert!(line(wrong).is_err(), "{wrong}");
        }
    }
}
