//! Power cuts: images of the disk, recorded crash points, the switch.

use std::collections::BTreeSet;

use super::{CrashOptions, CrashPoint, CrashStates, PendingUnit, Selection, SimFs, content, crash, units};

impl SimFs {
    /// What has not reached the disk, in the order of issue. Cost: one walk over all names.
    pub fn pending_units(&self) -> Vec<PendingUnit> {
        let shared = self.shared.lock();
        units::describe(&shared.state, &units::collect(&shared.state))
    }

    /// The disk after a power cut now, if exactly the selected units survive. Selections that the profile does not
    /// allow are reduced to the nearest one that it does.
    pub fn crash_image(&self, selection: &Selection) -> SimFs {
        let image = {
            let shared = self.shared.lock();
            crash::image(&shared.state, &units::collect(&shared.state), selection)
        };
        self.with_state(image)
    }

    /// The worst power cut: nothing pending survives.
    pub fn crash_losing_all(&self) -> SimFs {
        let units = units::collect(&self.shared.lock().state).len();
        self.crash_image(&Selection::none(units))
    }

    /// The kindest one: everything pending survives. Ghosts are lost.
    pub fn crash_keeping_all(&self) -> SimFs {
        let units = units::collect(&self.shared.lock().state).len();
        self.crash_image(&Selection::all(units))
    }

    /// What the next process finds when this one alone is killed: the machine goes on with its page cache, so that
    /// pending units are still pending and ghosts still visible. Locks are released.
    pub fn process_killed(&self) -> SimFs {
        let state = self.shared.lock().state.clone();
        self.with_state(state)
    }

    /// Visits what a power cut now can leave. The file system itself is not changed and may go on.
    pub fn crash_states(&self, options: &CrashOptions) -> CrashStates {
        let state = self.shared.lock().state.clone();
        CrashStates::new(self.clone(), state, options)
    }

    /// Makes the selected units durable, as the kernel's write-back may at any time.
    pub fn write_back(&self, selection: &Selection) {
        let mut shared = self.shared.lock();
        let located = units::collect(&shared.state);
        let selection = units::allowed(shared.state.profile, &located, selection);
        let selected: BTreeSet<_> = located
            .iter()
            .enumerate()
            .filter(|(index, _)| selection.contains(*index))
            .map(|(_, unit)| unit.key)
            .collect();
        shared.state.write_back(&selected);
    }

    /// Equal for file systems on which a program finds the same names, lengths and bytes.
    pub fn image_hash(&self) -> u128 {
        crash::hash(&self.shared.lock().state)
    }

    /// Starts or stops keeping a [`CrashPoint`] after every mutating operation. Starting keeps one of the present.
    pub fn record(&self, on: bool) {
        let mut shared = self.shared.lock();
        let starts = on && !shared.recording;
        shared.recording = on;
        if starts {
            self.point(&mut shared, None);
        }
    }

    /// The crash points recorded so far, which the caller takes over.
    pub fn take_crash_points(&self) -> Vec<CrashPoint> {
        std::mem::take(&mut self.shared.lock().points)
    }

    /// Says how far the workload has come, for example how many entries it has seen acknowledged. Recorded crash
    /// points carry the latest note; a new note is a crash point of its own, since after it less may be lost.
    pub fn note(&self, note: u64) {
        let mut shared = self.shared.lock();
        if shared.note != note {
            shared.note = note;
            self.point(&mut shared, None);
        }
    }

    /// How many mutating operations have been done.
    pub fn mutations(&self) -> u64 {
        self.shared.lock().mutations
    }

    /// Cuts the power after `mutations` mutating operations in all: every later call, reads too, fails with
    /// [`crate::Error::PowerOff`]. `None` switches it on again. Crash images of a stopped file system run.
    pub fn stop_after(&self, mutations: Option<u64>) {
        self.shared.lock().stop_after = mutations;
    }

    /// Hash over every call so far with its numbers and whether it succeeded. Two runs with the same seed must agree.
    pub fn trace_hash(&self) -> u128 {
        content::fold(self.shared.lock().trace.finalize().as_bytes())
    }
}
