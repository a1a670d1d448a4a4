//! The job that looks at how much room there is, and what follows from it.

use std::{path::PathBuf, sync::Arc, time::Duration};

use stemedb_env::{Budget, Env, Job, Step};
use stemedb_wal::SegmentedJournal;

use super::{DiskOptions, Gate, SpaceHealth, SpaceLevel, lines::Borders, reserve::Reserve};
use crate::{
    EventKind, Events, Layout,
    view::{ViewStore, Views},
};

/// Where the system does not say how much room there is, it is asked again after this.
const AGAIN: Duration = Duration::from_secs(10);
/// While a flush finds the disk full although some room is left.
const WHILE_FLUSHES_FAIL: Duration = Duration::from_millis(250);
/// A database that has written fewer than its small first segments keeps no reserve.
const SMALL_SEGMENT_BYTES: u64 = 32 << 20;

/// See the module's head.
pub(crate) struct Look<P, F> {
    env: Env,
    options: DiskOptions,
    places: Vec<PathBuf>,
    gate: Arc<Gate>,
    journal: Arc<SegmentedJournal>,
    views: Arc<Views<P, F>>,
    events: Events,
    reserve: Reserve,
    level: SpaceLevel,
    /// A flush had found the disk full at the last look.
    flush_failed: bool,
}

impl<P: ViewStore, F: ViewStore> Look<P, F> {
    pub(crate) fn new(
        env: &Env,
        layout: &Layout,
        options: DiskOptions,
        gate: Arc<Gate>,
        journal: Arc<SegmentedJournal>,
        views: Arc<Views<P, F>>,
        events: Events,
    ) -> Look<P, F> {
        let mut places = vec![layout.dir().to_path_buf(), layout.wal(), layout.kv()];
        places.extend(options.more_places.iter().cloned());
        Look {
            env: env.clone(),
            places,
            gate,
            journal,
            views,
            events,
            reserve: Reserve::new(layout.reserve(), options.reserve_bytes),
            level: SpaceLevel::Plenty,
            flush_failed: false,
            options,
        }
    }

    /// What background work and the next rotation take.
    fn needed(&self) -> u64 {
        self.views.primary().store.room_needed().saturating_add(self.journal.next_segment_bytes())
    }

    /// The place with the least room, and the lines there. Places that cannot be looked at are left out.
    fn worst(&self, needed: u64) -> Option<(SpaceHealth, Borders)> {
        let seen = self.places.iter().filter_map(|dir| {
            let space = self.env.fs.space(dir).ok()?;
            let borders = self.options.lines.on(space.total_bytes, needed);
            let health = SpaceHealth {
                dir: dir.clone(),
                available_bytes: space.available_bytes,
                total_bytes: space.total_bytes,
                level: borders.level(space.available_bytes, self.level),
                refuses_below_bytes: borders.full,
                accepts_from_bytes: borders.accepts_from(),
            };
            Some((health, borders))
        });
        // Of equals the first: the data directory.
        seen.min_by_key(|(health, _)| (std::cmp::Reverse(health.level), health.available_bytes))
    }

    fn changed(&mut self, seen: &SpaceHealth) {
        let (before, now) = (self.level, seen.level);
        self.level = now;
        if before == now {
            return;
        }
        self.journal.set_thrifty(now >= SpaceLevel::Scarce);
        let (available, total, dir) = (seen.available_bytes, seen.total_bytes, seen.dir.display());
        let figures = format!("{available} of {total} bytes are free in {dir}");
        let text = match now {
            SpaceLevel::Full => {
                tracing::error!(error = ?full_disk(), "StorageError: writes are refused: {figures}");
                format!("writes are refused: {figures}")
            }
            _ if before == SpaceLevel::Full => {
                tracing::warn!("there is room again, writes are accepted: {figures}");
                format!("there is room again, writes are accepted: {figures}")
            }
            SpaceLevel::Plenty => {
                tracing::info!("there is plenty of room again: {figures}");
                format!("there is plenty of room again: {figures}")
            }
            SpaceLevel::Low | SpaceLevel::Scarce => {
                tracing::warn!(room = now.name(), "room is {now}: {figures}");
                format!("room is {now}: {figures}")
            }
        };
        self.events.push(EventKind::Space, Some(seen.dir.clone()), text);
        if now == SpaceLevel::Full {
            // What is in memory becomes tables while there is room for them; then it lets go of journal segments.
            self.views.primary().store.begin_flush();
        } else if before == SpaceLevel::Full {
            self.views.primary().store.retry_background();
            // Whoever brings a view back may be waiting for room too.
            self.views.call();
        }
    }

    /// A flush has found the disk full, whatever the file system says. True while that is so.
    fn look_at_flushes(&mut self) -> bool {
        let primary = self.views.primary();
        let store = &primary.store;
        let fails = store.pressure().is_some_and(|pressure| pressure.is_out_of_room());
        if fails && self.reserve.give_up(&*self.env.fs) {
            store.retry_background();
        }
        if fails != self.flush_failed {
            self.flush_failed = fails;
            let text = match fails {
                true => "writes are refused: a flush has found the disk full",
                false => "a flush that had found the disk full is tried again",
            };
            if fails {
                tracing::error!(error = ?full_disk(), "StorageError: {text}");
            } else {
                tracing::info!("{text}");
            }
            self.events.push(EventKind::Space, None, text);
        }
        fails
    }
}

/// What the system would say, as operators' alerts look for it.
fn full_disk() -> std::io::Error {
    let full = std::io::Error::from(std::io::ErrorKind::StorageFull);
    stemedb_env::Error::io(stemedb_env::IoOp::Write, "", full).logged()
}

impl<P: ViewStore, F: ViewStore> Job for Look<P, F> {
    fn step(&mut self, _budget: Budget) -> Step {
        let fails = self.look_at_flushes();
        let needed = self.needed();
        // What the reserve has given is not for writes.
        let Some((seen, borders)) = self.worst(needed.saturating_add(self.reserve.owed_bytes())) else {
            return Step::After(AGAIN);
        };
        let large_from = SMALL_SEGMENT_BYTES.min(self.options.reserve_bytes);
        let is_large = self.journal.next_segment_bytes() >= large_from;
        if seen.level <= SpaceLevel::Low && is_large && !fails {
            self.reserve.keep(&*self.env.fs, seen.available_bytes);
        }
        // First the flag, then what says so.
        self.gate.set(seen.clone());
        self.changed(&seen);
        if seen.level == SpaceLevel::Full
            && seen.available_bytes < needed
            && self.reserve.give_up(&*self.env.fs)
        {
            self.views.primary().store.retry_background();
            return Step::Again;
        }
        let rest = borders.rest(seen.available_bytes, seen.level);
        Step::After(if fails { rest.min(WHILE_FLUSHES_FAIL) } else { rest })
    }
}
