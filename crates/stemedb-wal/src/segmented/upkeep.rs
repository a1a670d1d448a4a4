//! The slow background duties: writing files ahead, giving back room, compressing what is released.
//!
//! One step does a piece that takes about as long as a commit, so that commits beside it notice little.

use std::{
    path::PathBuf,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use stemedb_env::{
    AlignedBuffer, Budget, File, Job, OpenMode, Step,
    planted::{Bug, planted},
};

use super::{inner::Inner, spares::Spare};
use crate::{
    Error, Prepare, Result,
    packed::PackedWriter,
    segment::{Form, Location, Place},
};

/// Zeros written at once. Each piece ends in a flush, so small ones cost more in all; and of a stream of small commits one in
/// 256 meets one of this size, which is not seen in the 99th percentile. (256 KiB: one in 64, and 4 % slower.)
const ZEROS_BYTES: usize = 1 << 20;
/// Between two pieces of work on the disk, so that commits come through.
const PAUSE: Duration = Duration::from_millis(2);
/// How far the next file is to be ahead of the active one.
const LEAD_PER_MILLE: u64 = 250;
/// Room behind the end of a segment that is worth a truncation: more than one part in so many.
const WASTE_SHARE: u64 = 8;
/// Plain bytes compressed per step.
const PACK_BYTES: usize = 1 << 20;
/// After an error, before the next try.
const RETRY: Duration = Duration::from_secs(5);

/// See the module's head.
pub(crate) struct Upkeep {
    journal: Arc<Inner>,
    filling: Option<Filling>,
    packing: Option<Packing>,
    zeros: AlignedBuffer,
    names: u64,
}

struct Filling {
    path: PathBuf,
    file: Arc<dyn File>,
    bytes: u64,
    done: u64,
}

struct Packing {
    id: u64,
    temporary: PathBuf,
    source: Arc<dyn File>,
    out: PackedWriter,
    done: u64,
    bytes: u64,
    /// Which file of the segment it is made of.
    generation: u32,
}

impl Upkeep {
    pub fn new(journal: Arc<Inner>) -> Upkeep {
        Upkeep { journal, filling: None, packing: None, zeros: AlignedBuffer::new(), names: 0 }
    }

    /// Takes up the next wish for a file.
    fn begin_filling(&mut self) -> Option<stemedb_env::Result<()>> {
        let (bytes, small_groups) = self.journal.spares.lock().begin_making()?;
        self.names += 1;
        let path = self.journal.dir.spare(self.names);
        let writes = match self.journal.options.prepare {
            Prepare::Write => true,
            Prepare::Auto => small_groups,
            Prepare::Off | Prepare::Allocate => false,
        };
        Some(self.create_spare(path, bytes, writes))
    }

    fn create_spare(&mut self, path: PathBuf, bytes: u64, writes: bool) -> stemedb_env::Result<()> {
        let fs = &self.journal.env.fs;
        if fs.metadata(&path)?.is_some() {
            fs.remove(&path)?;
        }
        drop(fs.open(&path, OpenMode::CreateNew)?);
        let file = fs.open_for_commits(&path)?;
        let filling = Filling { path, bytes, done: if writes { 0 } else { bytes }, file };
        filling.file.allocate(bytes)?;
        self.filling = Some(filling);
        Ok(())
    }

    /// One piece of zeros, or the end. True if there is more to do.
    fn fill(&mut self) -> stemedb_env::Result<bool> {
        let Some(filling) = &mut self.filling else { return Ok(false) };
        if filling.done < filling.bytes {
            let left = usize::try_from(filling.bytes - filling.done).unwrap_or(usize::MAX);
            self.zeros.resize(ZEROS_BYTES.min(left));
            filling.file.write_durable_at(&self.zeros, filling.done)?;
            filling.done += self.zeros.len() as u64;
            return Ok(true);
        }
        filling.file.sync_data()?;
        let spare = Spare { path: filling.path.clone(), bytes: filling.bytes, recycled: false };
        self.filling = None;
        self.journal.spares.lock().made(Some(spare));
        Ok(false)
    }

    /// True while the next file is less ready than the active one is full.
    fn is_late(&self) -> bool {
        let used = self.journal.active_per_mille.load(Ordering::Relaxed);
        self.filling
            .as_ref()
            .is_some_and(|filling| filling.done * 1000 / filling.bytes.max(1) < used + LEAD_PER_MILLE)
    }

    /// A file that could not be made is given up; the commit path makes its own.
    fn give_up_filling(&mut self, error: &stemedb_env::Error) {
        tracing::warn!(%error, "no file is ready for the next journal segment");
        if let Some(filling) = self.filling.take() {
            let _ = self.journal.env.fs.remove(&filling.path);
        }
        self.journal.spares.lock().made(None);
    }

    /// Gives back what was allocated behind the end of segments that have a successor.
    fn trim(&self) -> stemedb_env::Result<()> {
        loop {
            let Some((id, end_bytes)) = self.journal.spares.lock().to_trim.pop() else { return Ok(()) };
            let _names = self.journal.releasing.lock();
            let Some(location) = self.journal.table.lock().location(id) else { continue };
            if self.journal.generation(id) > 0 {
                // Written again with nothing behind its end.
                continue;
            }
            if location.form != Form::Plain || location.folder != 0 {
                continue;
            }
            let path = self.journal.dir.segment(id, location);
            let file = match self.journal.env.fs.open(&path, OpenMode::ReadWrite) {
                Ok(file) => file,
                // Released, recycled or moved since.
                Err(error) if error.is_not_found() => continue,
                Err(error) => return Err(error),
            };
            let len = file.len()?;
            if len.saturating_sub(end_bytes) > len / WASTE_SHARE {
                file.set_len(end_bytes)?;
            }
        }
    }

    /// Starts to compress the oldest released segment that is not compressed.
    fn begin_packing(&mut self, level: i32) -> Result<bool> {
        let Some((id, bytes)) = self.journal.next_to_pack()? else { return Ok(false) };
        let generation = self.journal.generation(id);
        let dir = &self.journal.dir;
        let temporary = dir.temporary_packed(id);
        let fs = &self.journal.env.fs;
        if fs.metadata(&temporary)?.is_some() {
            fs.remove(&temporary)?;
        }
        let source = fs.open(&dir.segment(id, Location::RELEASED), OpenMode::Read)?;
        let out = PackedWriter::new(fs.open(&temporary, OpenMode::CreateNew)?, level)?;
        self.packing = Some(Packing { id, temporary, source, out, done: 0, bytes, generation });
        Ok(true)
    }

    fn pack(&mut self) -> Result<()> {
        let Some(packing) = &mut self.packing else { return Ok(()) };
        if packing.done < packing.bytes {
            let left = usize::try_from(packing.bytes - packing.done).unwrap_or(usize::MAX);
            let mut piece = vec![0; PACK_BYTES.min(left)];
            packing.source.read_exact_at(&mut piece, packing.done)?;
            packing.out.push(&piece)?;
            packing.done += piece.len() as u64;
            return Ok(());
        }
        if let Some(packing) = self.packing.take() {
            self.finish_packing(packing)?;
        }
        Ok(())
    }

    /// Durable under its name, read back, and only then the original goes.
    fn finish_packing(&self, packing: Packing) -> Result<()> {
        let Packing { id, temporary, source, out, bytes, generation, .. } = packing;
        let (fs, dir) = (&self.journal.env.fs, &self.journal.dir);
        let summary = out.finish()?;
        let (plain, packed) = (dir.segment(id, Location::RELEASED), dir.segment(id, Location::PACKED));
        if planted(Bug::RemoveBeforePackedIsDurable) {
            fs.remove(&plain)?;
            self.journal.sync_names()?;
        }
        fs.open(&temporary, OpenMode::ReadWrite)?.sync_data()?;
        same_content(&source, &dir.open_packed(&temporary, Form::Zstd)?, bytes)?;
        let _names = self.journal.releasing.lock();
        if self.journal.is_recycled(id) || self.journal.generation(id) != generation {
            // It has been let go of meanwhile, and its copy must not bring it back; or it was damaged and has been written again.
            return Ok(fs.remove(&temporary)?);
        }
        fs.rename(&temporary, &packed)?;
        self.journal.sync_names()?;
        self.journal.table.lock().moved(id, Location::PACKED);
        match self.journal.make_spare(&plain, id) {
            Ok(()) => {}
            // Somebody has compressed or moved it meanwhile.
            Err(Error::Env(error)) if error.is_not_found() => {}
            Err(error) => return Err(error),
        }
        self.journal.counters.packed(summary.plain_bytes, summary.packed_bytes);
        Ok(())
    }

    /// While room is scarce: removes what waits to become a segment.
    fn give_back(&mut self) -> stemedb_env::Result<()> {
        let fs = &self.journal.env.fs;
        if let Some(filling) = self.filling.take() {
            self.journal.spares.lock().made(None);
            fs.remove(&filling.path)?;
        }
        let spares = self.journal.spares.lock().give_back();
        for spare in spares {
            fs.remove(&spare.path)?;
            tracing::info!(bytes = spare.bytes, "room is scarce: a spare journal file is given back");
        }
        Ok(())
    }

    fn step_or_fail(&mut self) -> Result<Step> {
        if self.journal.is_thrifty() {
            self.give_back()?;
        }
        if self.filling.is_none()
            && let Some(begun) = self.begin_filling()
        {
            begun?;
        }
        if self.filling.is_some() {
            self.fill()?;
            return Ok(if self.is_late() { Step::Again } else { Step::After(PAUSE) });
        }
        self.trim()?;
        if self.packing.is_some() {
            self.pack()?;
            return Ok(Step::After(PAUSE));
        }
        if let Some(level) = self.journal.options.pack_level
            && self.begin_packing(level)?
        {
            return Ok(Step::Again);
        }
        Ok(Step::Idle)
    }
}

/// Compares two files; a copy that differs is an error of the disk.
fn same_content(one: &Arc<dyn File>, other: &Arc<dyn File>, bytes: u64) -> stemedb_env::Result<()> {
    let (mut left, mut right) = (vec![0; PACK_BYTES], vec![0; PACK_BYTES]);
    let mut at = 0;
    while at < bytes {
        let n = usize::try_from(bytes - at).unwrap_or(usize::MAX).min(PACK_BYTES);
        let (Some(left), Some(right)) = (left.get_mut(..n), right.get_mut(..n)) else { break };
        one.read_exact_at(left, at)?;
        other.read_exact_at(right, at)?;
        if left != right {
            let differs = std::io::Error::from(std::io::ErrorKind::InvalidData);
            return Err(stemedb_env::Error::io(stemedb_env::IoOp::Read, other.path(), differs));
        }
        at += n as u64;
    }
    Ok(())
}

impl Job for Upkeep {
    fn step(&mut self, _budget: Budget) -> Step {
        match self.step_or_fail() {
            Ok(step) => step,
            Err(error) => {
                match (&error, self.filling.is_some()) {
                    (Error::Env(cause), true) => self.give_up_filling(cause),
                    _ => {
                        tracing::warn!(%error, "journal upkeep: tried again later");
                        self.journal.spares.lock().made(None);
                    }
                }
                if let Some(packing) = self.packing.take() {
                    // A place of the segment that the disk refuses is damage, for others to heal.
                    self.journal.damage.note(&error);
                    let _ = self.journal.env.fs.remove(&packing.temporary);
                }
                Step::After(RETRY)
            }
        }
    }
}

impl Inner {
    /// The oldest released, uncompressed segment and its accepted length.
    fn next_to_pack(&self) -> Result<Option<(u64, u64)>> {
        let mut table = self.table.lock();
        let candidates: Vec<u64> = table
            .segments
            .iter()
            .filter(|(_, segment)| segment.location == Location::RELEASED && !segment.unpackable)
            // Until it is healed the next one is packed.
            .filter(|&(&id, _)| !self.damage.has(id))
            .map(|(&id, _)| id)
            .collect();
        for id in candidates {
            debug_assert_eq!(Location::RELEASED.place, Place::Released);
            if !table.segments.contains_key(&(id + 1)) {
                continue;
            }
            match table.ending(&self.dir, id) {
                Ok(Some(ending)) => return Ok(Some((id, ending.bytes))),
                // Its length is not known, so it is not touched.
                _ => table.leave_plain(id),
            }
        }
        Ok(None)
    }
}
