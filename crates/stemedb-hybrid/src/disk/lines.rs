//! How much room is enough: shares of a file system, with bounds for large ones.

use std::{fmt, time::Duration};

/// A limit for free room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    /// Thousandths of the file system's size. 0 = there is no such line.
    pub per_mille: u32,
    /// Never more than this: five percent of a large disk are not the end of it.
    pub at_most_bytes: u64,
}

impl Line {
    /// No line.
    pub const OFF: Line = Line { per_mille: 0, at_most_bytes: 0 };

    /// So many free bytes, whatever the size of the disk.
    pub fn of_bytes(bytes: u64) -> Line {
        Line { per_mille: 1000, at_most_bytes: bytes }
    }

    fn bytes(self, total_bytes: u64) -> u64 {
        let share = u128::from(total_bytes) * u128::from(self.per_mille.min(1000)) / 1000;
        u64::try_from(share).unwrap_or(u64::MAX).min(self.at_most_bytes)
    }
}

/// The three lines, from the first to the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpaceLines {
    /// Below it there is a warning.
    pub low: Line,
    /// Below it the engine gives back what it only keeps to be faster.
    pub scarce: Line,
    /// Below it writes are refused. It is never lower than what is needed to flush, merge once and rotate, unless it is
    /// [`Line::OFF`].
    pub full: Line,
}

impl Default for SpaceLines {
    fn default() -> SpaceLines {
        SpaceLines {
            low: Line { per_mille: 200, at_most_bytes: 64 << 30 },
            scarce: Line { per_mille: 100, at_most_bytes: 16 << 30 },
            full: Line { per_mille: 50, at_most_bytes: 4 << 30 },
        }
    }
}

/// Between which lines the free room is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SpaceLevel {
    /// Above all of them.
    Plenty,
    /// Below the first.
    Low,
    /// Below the second.
    Scarce,
    /// Below the last: writes are refused.
    Full,
}

impl SpaceLevel {
    /// Its name in the API.
    pub fn name(self) -> &'static str {
        match self {
            SpaceLevel::Plenty => "plenty",
            SpaceLevel::Low => "low",
            SpaceLevel::Scarce => "scarce",
            SpaceLevel::Full => "full",
        }
    }
}

impl fmt::Display for SpaceLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What is needed beside the writes themselves is kept with so much on top: a quarter.
const SLACK_PART: u64 = 4;
/// A line is left upwards with this part more than it takes to cross it: a tenth.
const HYSTERESIS_PART: u64 = 10;
/// No disk is filled faster.
const FASTEST_BYTES_PER_S: u64 = 1 << 30;
/// Between two looks, at least and at most.
const LEAST_REST: Duration = Duration::from_millis(100);
const MOST_REST: Duration = Duration::from_secs(10);
/// While writes are refused: they are to go on soon after there is room.
const REST_WHILE_FULL: Duration = Duration::from_millis(250);

/// The lines on one file system, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Borders {
    low: u64,
    scarce: u64,
    pub(crate) full: u64,
}

impl SpaceLines {
    /// The lines on a file system of this size, for an engine that needs this much to go on without writers.
    pub(crate) fn on(&self, total_bytes: u64, needed_bytes: u64) -> Borders {
        let needed = match self.full.per_mille {
            0 => 0,
            _ => needed_bytes.saturating_add(needed_bytes / SLACK_PART),
        };
        let full = self.full.bytes(total_bytes).max(needed);
        let scarce = self.scarce.bytes(total_bytes);
        Borders { low: self.low.bytes(total_bytes), scarce, full }
    }
}

impl Borders {
    /// The level of so much free room, when it was `before` at the last look.
    pub(crate) fn level(&self, available_bytes: u64, before: SpaceLevel) -> SpaceLevel {
        let is_below = |border: u64, level: SpaceLevel| match level <= before {
            true => available_bytes < border.saturating_add(border / HYSTERESIS_PART),
            false => available_bytes < border,
        };
        [(self.full, SpaceLevel::Full), (self.scarce, SpaceLevel::Scarce), (self.low, SpaceLevel::Low)]
            .into_iter()
            .find_map(|(border, level)| is_below(border, level).then_some(level))
            .unwrap_or(SpaceLevel::Plenty)
    }

    /// How much must be free before writes are accepted again.
    pub(crate) fn accepts_from(&self) -> u64 {
        self.full.saturating_add(self.full / HYSTERESIS_PART)
    }

    /// When to look again.
    pub(crate) fn rest(&self, available_bytes: u64, level: SpaceLevel) -> Duration {
        if level == SpaceLevel::Full {
            return REST_WHILE_FULL;
        }
        let left = available_bytes.saturating_sub(self.full);
        let ms = u64::try_from(u128::from(left) * 1000 / u128::from(FASTEST_BYTES_PER_S)).unwrap_or(u64::MAX);
        Duration::from_millis(ms).clamp(LEAST_REST, MOST_REST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;
    const GIB: u64 = 1 << 30;

    #[test]
    fn the_lines_are_shares_of_small_disks_and_amounts_on_large_ones() {
        let lines = SpaceLines::default();
        assert_eq!(lines.on(1000 * MIB, 0), Borders { low: 200 * MIB, scarce: 100 * MIB, full: 50 * MIB });
        assert_eq!(lines.on(16 << 40, 0), Borders { low: 64 * GIB, scarce: 16 * GIB, full: 4 * GIB });
        assert_eq!(lines.on(u64::MAX, 0).full, 4 * GIB);
        let fixed = SpaceLines { full: Line::of_bytes(7), ..lines };
        assert_eq!(fixed.on(1 << 40, 0).full, 7);
    }

    #[test]
    fn the_last_line_is_never_below_what_the_engine_needs_unless_there_is_none() {
        let lines = SpaceLines::default();
        assert_eq!(lines.on(1000 * MIB, 400 * MIB).full, 500 * MIB);
        let off = SpaceLines { low: Line::OFF, scarce: Line::OFF, full: Line::OFF };
        assert_eq!(off.on(1000 * MIB, 400 * MIB).level(0, SpaceLevel::Plenty), SpaceLevel::Plenty);
    }

    #[test]
    fn every_line_is_crossed_downwards_at_it_and_upwards_above_it() {
        use SpaceLevel::{Full, Low, Plenty, Scarce};
        let borders = SpaceLines::default().on(1000 * MIB, 0);
        let at = |mib: u64, before| borders.level(mib * MIB, before);
        assert_eq!(
            [at(200, Plenty), at(199, Plenty), at(99, Low), at(49, Scarce)],
            [Plenty, Low, Scarce, Full]
        );
        assert_eq!(at(10, Plenty), Full, "all at once");
        assert_eq!([at(50, Full), at(54, Full), at(55, Full)], [Full, Full, Scarce]);
        assert_eq!([at(109, Full), at(110, Full), at(219, Full), at(220, Full)], [Scarce, Low, Low, Plenty]);
        assert_eq!(at(50, Scarce), Scarce, "the last line has not been crossed");
    }

    #[test]
    fn the_scarcer_the_room_the_sooner_it_is_looked_at_again() {
        let borders = SpaceLines::default().on(1000 * GIB, 0);
        let rest = |gib: u64| borders.rest(gib * GIB, SpaceLevel::Plenty);
        assert_eq!(
            (rest(500), rest(9), rest(5), rest(4)),
            (MOST_REST, Duration::from_secs(5), Duration::from_secs(1), LEAST_REST)
        );
        assert_eq!(borders.rest(0, SpaceLevel::Full), REST_WHILE_FULL);
    }
}
