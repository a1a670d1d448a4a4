//! One random history of a tree: everything follows from the seed.

use std::{
    collections::{BTreeSet, VecDeque},
    path::Path,
};

use stemedb_env::fs::{
    SimFs,
    sim::{CrashOptions, Profile},
};
use stemedb_lsm::{
    BulkOptions, Direction, Error, KeyRange, KvStore, LsmOptions, LsmSnapshot, LsmStore, Lsn, RowIter,
    TableRepair, Versions,
};

use super::{
    DIR, create,
    model::{Batch, Model, sorted_rows},
    open, recover, shape,
    view::{self, Trouble},
    wreck,
};
use crate::{
    Dice,
    machine::Machine,
    report::Report,
    violation::{Promise, Violation},
};

/// Batches of the journal that are kept although they are in tables.
const KEPT: u64 = 50;
/// Starts that lose power again; then the power stays.
const CUTS_IN_A_ROW: u32 = 3;

/// A tree, what it must say, and the journal above it.
pub(super) struct Story {
    dice: Dice,
    machine: Machine,
    options: LsmOptions,
    keys: u64,
    store: Option<LsmStore>,
    model: Model,
    /// Published batches that the tree has not said to have flushed, and some more: a list of tables that was lost may not know
    /// the last flushes that had no row.
    journal: VecDeque<Batch>,
    last: Lsn,
    acknowledged: Lsn,
    /// The journal has nothing up to here any more.
    forgotten: Lsn,
    /// Of the last ingest: everything up to the first LSN was there before, and it went up to the second.
    ingest: (Lsn, Lsn),
    snapshots: Vec<LsmSnapshot>,
    /// An older list of tables, for who puts it back.
    copies: wreck::Copies,
    /// The tables after the last start.
    tables: wreck::Copies,
    /// The list of tables was taken away.
    is_wrecked: bool,
    pub(super) report: Report,
}

/// What a call gave while the power may go.
type Powered<T> = Result<Option<T>, Violation>;

impl Story {
    /// A new tree on a new machine.
    pub(super) fn new(seed: u64) -> Result<Story, Violation> {
        let mut dice = Dice::new(seed);
        let profile =
            dice.pick(&[Profile::Adversarial, Profile::Adversarial, Profile::Ext4Like, Profile::FourKn]);
        let machine = Machine::plain(Machine::disk(profile));
        let options = shape::options(&mut dice);
        let keys = dice.pick(&[15, 120, 900, 3_000]);
        let store = create(&machine.env, &options)
            .map_err(|error| Violation::new(Promise::Live, format!("cannot create: {error}")))?;
        Ok(Story {
            dice,
            machine,
            options,
            keys,
            store: Some(store),
            model: Model::default(),
            journal: VecDeque::new(),
            last: Lsn::ZERO,
            acknowledged: Lsn::ZERO,
            forgotten: Lsn::ZERO,
            ingest: (Lsn::ZERO, Lsn::ZERO),
            snapshots: Vec::new(),
            copies: wreck::Copies::new(),
            tables: wreck::Copies::new(),
            is_wrecked: false,
            report: Report::new("lsm", ""),
        })
    }

    fn store(&self) -> Result<&LsmStore, Violation> {
        self.store.as_ref().ok_or_else(|| Violation::new(Promise::Live, "there is no tree"))
    }

    fn did(&mut self, what: &str, times: u64) {
        self.report.did(what, times);
        self.report.did("operations", times);
    }

    /// A failure without a power cut breaks a promise.
    fn powered<T>(&self, what: &str, result: Result<T, Trouble>) -> Powered<T> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(Trouble::Refused(_)) if self.machine.is_off() => Ok(None),
            Err(Trouble::Refused(error)) => {
                Err(Violation::new(Promise::Live, format!("{what} failed without any fault: {error}")))
            }
            Err(Trouble::Wrong(violation)) => Err(violation.at(&what)),
        }
    }

    /// One step, and the next start if the power went meanwhile.
    pub(super) fn step(&mut self) -> Result<(), Violation> {
        self.act()?;
        if self.machine.is_off() { self.crash("power_cut_inside") } else { Ok(()) }
    }

    fn act(&mut self) -> Result<(), Violation> {
        match self.dice.below(1000) {
            0..480 => self.write(),
            480..500 => self.ingest(),
            500..740 => {
                let snapshot = self.store()?.snapshot();
                self.newest()?;
                self.look(&snapshot)
            }
            740..800 => {
                let snapshot = self.store()?.snapshot();
                if self.snapshots.len() >= 4 {
                    let gone = self.dice.size(self.snapshots.len());
                    self.snapshots.remove(gone);
                }
                self.snapshots.push(snapshot);
                self.did("snapshots", 1);
                Ok(())
            }
            800..870 => match self.snapshots.is_empty() {
                true => Ok(()),
                false => {
                    let at = self.dice.size(self.snapshots.len());
                    let snapshot = self.snapshots.get(at).cloned();
                    snapshot.map_or(Ok(()), |snapshot| self.look(&snapshot))
                }
            },
            870..910 => self.look_back(),
            910..945 => {
                let flushed = self.store()?.flush();
                self.did("flushes", 1);
                if let Some(flushed) = self.powered("flush", flushed.map_err(Trouble::from))? {
                    self.acknowledge(flushed);
                    if flushed != self.last {
                        let detail = format!("a flush of everything up to {} gave {flushed}", self.last);
                        return Err(Violation::new(Promise::Durable, detail));
                    }
                }
                Ok(())
            }
            945..953 => {
                let outcome = self.store()?.compact();
                self.did("compactions", 1);
                self.powered("compact", outcome.map_err(Trouble::from)).map(drop)
            }
            953..958 => {
                let outcome = self.store()?.verify();
                self.did("checks", 1);
                self.powered("verify", outcome.map_err(Trouble::from)).map(drop)
            }
            958..972 => {
                let steps = self.dice.below(40);
                (0..steps).for_each(|_| _ = self.machine.step());
                Ok(())
            }
            972..984 => self.reopen(),
            984..994 => {
                let mutations = 1 + self.dice.below(80);
                self.machine.arm_stop(mutations);
                Ok(())
            }
            _ => match self.dice.below(3) {
                0 => self.crash("kill"),
                _ => self.crash("power_cut"),
            },
        }
    }

    /// Several batches in flight, as a commit pipeline has them; then published one by one, or some forgotten.
    fn write(&mut self) -> Result<(), Violation> {
        let in_flight = 1 + self.dice.below(3);
        let mut batches = Vec::new();
        for n in 1..=in_flight {
            let batch = Batch { lsn: Lsn(self.last.0 + n), writes: shape::writes(&mut self.dice, self.keys) };
            self.did("writes", batch.writes.len() as u64 + 1);
            let applied = self.store()?.apply(&batch.encoded(), batch.lsn);
            batches.push(batch);
            if self.powered("apply", applied.map_err(Trouble::from))?.is_none() {
                // The journal had them before; it keeps as many as it likes.
                return self.keep_some(batches);
            }
            let steps = self.dice.below(4);
            (0..steps).for_each(|_| _ = self.machine.step());
            if self.dice.one_in(60) {
                let flushed = self.store()?.flush();
                if let Some(flushed) = self.powered("flush", flushed.map_err(Trouble::from))? {
                    self.acknowledge(flushed);
                }
            }
        }
        if self.machine.is_off() {
            return self.keep_some(batches);
        }
        let kept = if self.dice.one_in(8) { self.dice.below(in_flight + 1) } else { in_flight };
        for batch in batches.into_iter().take(usize::try_from(kept).unwrap_or(0)) {
            self.publish(batch)?;
        }
        if kept < in_flight {
            self.did("abandoned", in_flight - kept);
            let outcome = self.store()?.abandon();
            self.powered("abandon", outcome.map_err(Trouble::from))?;
        }
        Ok(())
    }

    /// Many batches at once, sorted or through the loader. The journal has them all before.
    fn ingest(&mut self) -> Result<(), Violation> {
        let count = 1 + self.dice.below(6);
        let batches: Vec<Batch> = (1..=count)
            .map(|n| {
                let mut writes = shape::writes(&mut self.dice, self.keys);
                // An ingest has rows alone.
                writes.retain(|write| matches!(write, super::model::Write::Row(..)));
                Batch { lsn: Lsn(self.last.0 + n), writes }
            })
            .collect();
        let upto = Lsn(self.last.0 + count);
        let versions = self.dice.pick(&[Versions::All, Versions::Newest]);
        let store = self.store.as_ref().ok_or_else(|| Violation::new(Promise::Live, "there is no tree"))?;
        let outcome = if self.dice.one_in(2) {
            let rows = sorted_rows(&batches).into_iter().map(Ok);
            store.ingest(&mut RowIter::new(rows), upto, versions)
        } else {
            let buffer_bytes = self.dice.pick(&[100, 1_500, 1 << 20]);
            let mut loader = store.bulk_loader(BulkOptions { buffer_bytes, versions });
            batches
                .iter()
                .try_for_each(|batch| loader.add_batch(&batch.encoded(), batch.lsn))
                .and_then(|()| loader.finish(upto))
        };
        self.did("ingests", 1);
        self.ingest = (self.last, upto);
        self.last = upto;
        for batch in batches {
            self.did("writes", batch.writes.len() as u64 + 1);
            self.model.apply(&batch);
            self.journal.push_back(batch);
        }
        if self.powered("ingest", outcome.map_err(Trouble::from))?.is_some() {
            self.acknowledge(upto);
        }
        Ok(())
    }

    fn publish(&mut self, batch: Batch) -> Result<(), Violation> {
        self.store()?.publish(batch.lsn);
        self.last = batch.lsn;
        self.model.apply(&batch);
        self.journal.push_back(batch);
        Ok(())
    }

    /// The power went while these were in flight: what the journal keeps of them is replayed.
    fn keep_some(&mut self, batches: Vec<Batch>) -> Result<(), Violation> {
        let kept = self.dice.size(batches.len() + 1);
        for batch in batches.into_iter().take(kept) {
            self.last = batch.lsn;
            self.model.apply(&batch);
            self.journal.push_back(batch);
        }
        Ok(())
    }

    fn acknowledge(&mut self, flushed: Lsn) {
        self.acknowledged = self.acknowledged.max(flushed);
        while let Some(batch) = self.journal.pop_front_if(|batch| batch.lsn.0 + KEPT <= self.acknowledged.0) {
            self.forgotten = batch.lsn;
        }
    }

    /// The store's own `get`, without a snapshot.
    fn newest(&mut self) -> Result<(), Violation> {
        let key = shape::key(self.dice.below(self.keys));
        let found = self.store()?.get(&key);
        self.did("gets", 1);
        let outcome = found.map_err(Trouble::from).and_then(|found| {
            let wanted = self.model.get(&key, self.last).map(Vec::as_slice);
            view::same(&key, found.as_deref(), wanted, "the store's get")
        });
        self.powered("get", outcome).map(drop)
    }

    fn look(&mut self, snapshot: &LsmSnapshot) -> Result<(), Violation> {
        for key in shape::several_keys(&mut self.dice, self.keys, 6) {
            self.did("gets", 1);
            let outcome = view::get(snapshot, &self.model, &key);
            self.powered("get", outcome)?;
        }
        let keys = shape::several_keys(&mut self.dice, self.keys, 20);
        self.did("multi_gets", keys.len() as u64);
        let outcome = view::many(snapshot, &self.model, &keys);
        self.powered("multi_get", outcome)?;
        let (range, direction) = (shape::range(&mut self.dice, self.keys), shape::direction(&mut self.dice));
        let limit = if self.dice.one_in(3) { self.dice.size(20) } else { 400 };
        let outcome = view::scan(snapshot, &self.model, &range, direction, limit);
        self.did("scans", 1);
        if let Some(rows) = self.powered("scan", outcome)? {
            self.report.did("rows", rows);
        }
        Ok(())
    }

    /// A view of the past: exact, or refused because of what has been merged.
    fn look_back(&mut self) -> Result<(), Violation> {
        let back = self.dice.pick(&[3, 30, 1 << 40]);
        let wanted = Lsn((self.last.0 + 2).saturating_sub(self.dice.below(back.min(self.last.0 + 2))));
        self.did("snapshots_at", 1);
        match self.store()?.snapshot_at(wanted) {
            Ok(snapshot) => {
                self.report.did("past", 1);
                self.look(&snapshot)
            }
            Err(Error::SnapshotTooOld { oldest, .. }) if wanted < oldest && oldest <= self.last => Ok(()),
            Err(Error::SnapshotTooNew { newest, .. }) if wanted > newest && newest == self.last => Ok(()),
            Err(other) => {
                let detail = format!("a snapshot at {wanted} of {}: {other}", self.last);
                Err(Violation::new(Promise::Live, detail))
            }
        }
    }

    fn reopen(&mut self) -> Result<(), Violation> {
        self.did("reopened", 1);
        self.snapshots.clear();
        let flushed = self.store()?.flushed_lsn();
        self.acknowledge(flushed);
        self.store = None;
        let disk = self.machine.disk.clone();
        if self.machine.is_off() {
            return Ok(());
        }
        self.machine.disarm_stop();
        self.start(disk)
    }

    /// What the next process finds after a power cut or a kill.
    fn crash(&mut self, class: &str) -> Result<(), Violation> {
        self.report.injected(class, 1);
        self.snapshots.clear();
        let disk = self.after_crash(class == "kill");
        self.store = None;
        self.start(disk)
    }

    fn after_crash(&mut self, kill: bool) -> SimFs {
        let disk = &self.machine.disk;
        if kill {
            return disk.process_killed();
        }
        match self.dice.below(4) {
            0 => disk.crash_losing_all(),
            1 => disk.crash_keeping_all(),
            _ => {
                let options = CrashOptions { exhaustive_units: 4, samples: 4, seed: self.dice.number() };
                let nth = self.dice.size(12);
                disk.crash_states(&options)
                    .take(nth + 1)
                    .last()
                    .map_or_else(|| disk.crash_losing_all(), |state| state.fs)
            }
        }
    }

    /// Opens what is on `disk`, perhaps through more power cuts, and compares everything.
    fn start(&mut self, disk: SimFs) -> Result<(), Violation> {
        let disk = self.wreck(disk)?;
        self.machine = Machine::plain(disk);
        if self.dice.one_in(3) {
            self.options = shape::options(&mut self.dice);
        }
        for _ in 0..CUTS_IN_A_ROW {
            if !self.dice.one_in(4) {
                break;
            }
            let mutations = 1 + self.dice.below(14);
            self.machine.arm_stop(mutations);
            if let Some(()) = self.open_and_compare()? {
                if self.machine.is_off() {
                    self.store = None;
                } else {
                    self.machine.disarm_stop();
                    return Ok(());
                }
            }
            self.report.injected("power_cut_in_recovery", 1);
            let disk = self.after_crash(false);
            self.machine = Machine::plain(disk);
        }
        match self.open_and_compare()? {
            Some(()) => Ok(()),
            None => Err(Violation::new(Promise::Live, "the tree cannot be opened while the power is on")),
        }
    }

    /// Now and then the list of tables is damaged, gone or an older one.
    fn wreck(&mut self, disk: SimFs) -> Result<SimFs, Violation> {
        self.is_wrecked = false;
        if !self.dice.one_in(4) {
            if self.dice.one_in(3) {
                self.copies = wreck::copies(&disk);
            }
            return Ok(disk);
        }
        let wrecked = disk.process_killed();
        let class = wreck::wreck(&mut self.dice, &wrecked, &self.copies);
        if self.dice.one_in(2) {
            wreck::put_back(&mut self.dice, &wrecked, &self.tables);
        }
        match wreck::outlook(&wrecked, &self.options) {
            // A merge without a row has left nothing that tells of it, or a flush before all that the journal here has kept.
            Ok((flushed, missing)) if missing > 0 || flushed < self.forgotten => {
                self.report.did("wrecks_given_up", 1);
                Ok(disk)
            }
            // There had been no table yet, and then nothing in the folder may say that it is a tree.
            Err(Error::Folder { .. }) => Ok(disk),
            Ok(_) => {
                self.report.injected(class, 1);
                self.is_wrecked = true;
                Ok(wrecked)
            }
            Err(error) => Err(Violation::new(Promise::Live, format!("{class}: no plan: {error}"))),
        }
    }

    fn open_and_compare(&mut self) -> Powered<()> {
        let opened = match open(&self.machine.env, &self.options) {
            Err(error) if self.is_wrecked && error.is_lost_manifest() => {
                self.report.did("recovered", 1);
                recover(&self.machine.env, &self.options)
            }
            opened => opened,
        };
        let Some(store) = self.powered("open", opened.map_err(Trouble::from))? else { return Ok(None) };
        self.report.did("opens", 1);
        let flushed = store.flushed_lsn();
        let least = if self.is_wrecked { self.forgotten } else { self.acknowledged };
        if flushed < least || flushed > self.last {
            let detail = format!(
                "flushed is {flushed}; acknowledged was {}, applied {}",
                self.acknowledged, self.last
            );
            return Err(Violation::new(Promise::Durable, detail));
        }
        // What is replayed of it later is applied batch by batch.
        let (before, upto) = std::mem::replace(&mut self.ingest, (flushed, flushed));
        if flushed > before && flushed < upto {
            let detail = format!("flushed is {flushed}, in the middle of an ingest of {before} to {upto}");
            return Err(Violation::new(Promise::Durable, detail));
        }
        if let Some((file, damage)) = store.damaged().first() {
            let detail = format!("table {file} is said to be damaged: {damage:?}");
            return Err(Violation::new(Promise::NeverSilent, detail));
        }
        self.tidy(&store)?;
        let all = KeyRange::all();
        let snapshot = store.snapshot();
        let outcome = view::scan(&snapshot, &self.model, &all, Direction::Forward, usize::MAX);
        if self.powered("a scan behind the open", outcome)?.is_none() {
            return Ok(None);
        }
        for batch in self.journal.iter().filter(|batch| batch.lsn > flushed) {
            let applied = store.apply(&batch.encoded(), batch.lsn);
            if self.powered("replay", applied.map_err(Trouble::from))?.is_none() {
                return Ok(None);
            }
            store.publish(batch.lsn);
        }
        let (snapshot, direction) = (store.snapshot(), shape::direction(&mut self.dice));
        let outcome = view::scan(&snapshot, &self.model, &all, direction, usize::MAX);
        drop(snapshot);
        if self.powered("a scan behind the replay", outcome)?.is_none() {
            return Ok(None);
        }
        // An older list of tables knows less, and says so.
        self.acknowledged = if self.is_wrecked { flushed } else { self.acknowledged.max(flushed) };
        self.store = Some(store);
        self.tables = wreck::tables(&self.machine.disk);
        Ok(Some(()))
    }

    /// After an open nothing lies in the folder but live tables, one manifest and what names it.
    fn tidy(&self, store: &LsmStore) -> Result<(), Violation> {
        let live: BTreeSet<String> =
            store.tables().iter().map(|table| format!("{:06}.sst", table.file)).collect();
        let names = self.machine.disk.paths();
        let inside = names.iter().filter(|path| path.parent() == Some(Path::new(DIR)));
        let names = inside.filter_map(|path| path.file_name()?.to_str());
        let (mut manifests, mut stray) = (0, Vec::new());
        for name in names {
            match name {
                _ if name.starts_with("MANIFEST-") => manifests += 1,
                _ if name.starts_with("CURRENT") || live.contains(name) => {}
                other => stray.push(other.to_owned()),
            }
        }
        if stray.is_empty() && manifests <= 2 {
            return Ok(());
        }
        let detail = format!("the open left {stray:?} and {manifests} manifests");
        Err(Violation::new(Promise::Bounded, detail))
    }

    /// The last look: everything, both ways, and a check of every table.
    pub(super) fn finish(&mut self) -> Result<(), Violation> {
        self.machine.disarm_stop();
        let snapshot = self.store()?.snapshot();
        for direction in [Direction::Forward, Direction::Backward] {
            let outcome = view::scan(&snapshot, &self.model, &KeyRange::all(), direction, usize::MAX);
            self.powered("the last scan", outcome)?;
        }
        let outcome = self.store()?.verify();
        self.powered("the last check", outcome.map_err(Trouble::from))?;
        let levels = self.store()?.stats().levels;
        let deep = levels.iter().skip(1).filter(|level| level.files > 0).count() as u64;
        self.report.did("levels", deep);
        Ok(())
    }
}
