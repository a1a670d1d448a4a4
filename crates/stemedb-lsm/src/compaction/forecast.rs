//! How full level 0 will be when the merges under way have ended.
//!
//! A merge takes its tables of level 0 away when it ends, all at once. Until then every flush adds one. Whoever looks only
//! at how many there are now lets writers run into the end of the room, and stand still there for the rest of the merge.
//! So the valve for writers also looks at how many there will be, and makes the room last as long as the merge.

use std::time::Duration;

/// Rates are measured over this long.
const WINDOW: Duration = Duration::from_millis(100);
/// Weight of a new rate: one fourth.
const SMOOTHING: f64 = 4.0;
/// A merge that is this slow is as good as standing still.
const LEAST_ROWS_PER_S: f64 = 1000.0;

/// What the valve is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Outlook {
    /// How full level 0 will be, in thousandths of where writers stop; at most 1000.
    pub(crate) milli: u64,
    /// Bytes per second that just fill the room until then.
    pub(crate) bytes_per_s: u64,
}

/// What there is room for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    /// Rows that the merge under way has still to pass.
    pub(crate) rows_left: u64,
    /// Tables of level 0 and memtables on their way there.
    pub(crate) tables: u64,
    /// Tables at which writers stop.
    pub(crate) stop: u64,
    /// Bytes that become one table.
    pub(crate) table_bytes: u64,
}

/// Rates of merging and of writing, of late.
#[derive(Debug, Default)]
pub(crate) struct Forecast {
    begin: Option<(Duration, u64)>,
    rows: u64,
    merged_per_s: f64,
    applied_per_s: f64,
}

impl Forecast {
    /// Nothing is being merged: what was measured says nothing about the next merge.
    pub(crate) fn rest(&mut self) {
        *self = Forecast::default();
    }

    /// Merging has passed so many rows since the last call; `applied_bytes` is what writers have applied in total.
    pub(crate) fn note(&mut self, now: Duration, rows: u64, applied_bytes: u64) {
        let (since, applied_then) = *self.begin.get_or_insert((now, applied_bytes));
        self.rows += rows;
        let took = now.saturating_sub(since);
        if took < WINDOW {
            return;
        }
        let mix = |old: f64, new: f64| if old == 0.0 { new } else { old + (new - old) / SMOOTHING };
        let seconds = took.as_secs_f64();
        self.merged_per_s = mix(self.merged_per_s, self.rows as f64 / seconds);
        let applied = applied_bytes.saturating_sub(applied_then);
        self.applied_per_s = mix(self.applied_per_s, applied as f64 / seconds);
        self.begin = Some((now, applied_bytes));
        self.rows = 0;
    }

    /// What comes of it; nothing before there is a rate.
    pub(crate) fn outlook(&self, room: Room) -> Outlook {
        if self.merged_per_s == 0.0 || room.rows_left == 0 {
            return Outlook::default();
        }
        let left_s = room.rows_left as f64 / self.merged_per_s.max(LEAST_ROWS_PER_S);
        let table = room.table_bytes.max(1) as f64;
        let then = room.tables as f64 + self.applied_per_s * left_s / table;
        let free = room.stop.saturating_sub(room.tables) as f64 * table;
        Outlook {
            milli: (then * 1000.0 / room.stop.max(1) as f64).min(1000.0) as u64,
            // 0 would mean that nothing is known.
            bytes_per_s: ((free / left_s) as u64).max(1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOM: Room = Room { rows_left: 1_000_000, tables: 4, stop: 24, table_bytes: 64 << 20 };

    /// Half a million rows merged and `applied` bytes written per second.
    fn busy(applied: u64) -> Forecast {
        let mut forecast = Forecast::default();
        for n in 0..40 {
            forecast.note(Duration::from_millis(n * 50), if n == 0 { 0 } else { 25_000 }, n * applied / 20);
        }
        forecast
    }

    #[test]
    fn what_will_be_there_is_what_is_there_and_what_comes_meanwhile() {
        // Two seconds: ten tables more at 320 MiB per second.
        let outlook = busy(320 << 20).outlook(ROOM);
        assert!((570..=590).contains(&outlook.milli), "{outlook:?}");
        // Twenty tables fit.
        let rate = outlook.bytes_per_s >> 20;
        assert!((630..=650).contains(&rate), "{outlook:?}");
        assert_eq!(busy(0).outlook(ROOM).milli, 4000 / 24);
        assert_eq!(
            busy(10 << 30).outlook(ROOM).milli,
            1000,
            "writers slow down, and stop for what is there only"
        );
    }

    #[test]
    fn a_writer_at_the_given_rate_never_meets_the_end_of_the_room() {
        let forecast = busy(320 << 20);
        let (mut tables, mut left) = (4.0_f64, 4_000_000.0_f64);
        while left > 0.0 {
            let room = Room { rows_left: left as u64, tables: tables as u64, ..ROOM };
            let rate = forecast.outlook(room).bytes_per_s as f64;
            tables += rate.min(4e9) * 0.1 / (64 << 20) as f64;
            left -= 50_000.0;
            assert!(tables < 24.5, "{tables} tables with {left} rows to go");
        }
        assert!(tables > 22.0, "and uses it: {tables}");
    }

    #[test]
    fn without_a_merge_or_a_clock_there_is_no_outlook() {
        assert_eq!(Forecast::default().outlook(ROOM), Outlook::default());
        let mut still = Forecast::default();
        (0..100).for_each(|n| still.note(Duration::ZERO, 1000, n));
        assert_eq!(still.outlook(ROOM), Outlook::default());
        assert_eq!(busy(1 << 30).outlook(Room { rows_left: 0, ..ROOM }), Outlook::default());
    }
}
