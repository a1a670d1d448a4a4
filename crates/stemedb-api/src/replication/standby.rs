//! A standby, from its first start to its promotion.

use std::{path::Path, sync::Arc, time::Duration};

use parking_lot::Mutex;
use stemedb_env::{Budget, Env, Job, Lsn, Step, TaskHandle};
use stemedb_hybrid::{Identity, Layout};

use super::{Archiving, ArchivingOptions, Follower, archiving::tell};
use crate::{
    Database,
    backup::{
        self, BackupTarget, Catalog, EpochRecord, Error, FORMAT, Hex, Plan, Point, RestoreOptions, Result,
        StandbyMark, accept_empty, epoch, timeline_name,
    },
};

/// More no note of a timeline has.
const TIMELINE_MAX_BYTES: u64 = 64 << 10;

/// How often another number is tried when the writer begins an epoch at the very same moment.
const CLAIMS: u32 = 8;

/// How a standby follows, and what it does once it is promoted.
#[derive(Clone, Debug)]
pub struct StandbyOptions {
    /// Between two looks at the archive.
    pub every: Duration,
    /// Where its own journal is archived once it is the writer; by default in the archive that it has followed.
    pub archive_to: Option<Arc<dyn BackupTarget>>,
    /// And how.
    pub archiving: ArchivingOptions,
}

impl Default for StandbyOptions {
    fn default() -> StandbyOptions {
        StandbyOptions {
            every: Duration::from_secs(1),
            archive_to: None,
            archiving: ArchivingOptions::default(),
        }
    }
}

/// What a promotion has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Promotion {
    /// False where there was nothing to do: it was the writer already.
    pub promoted: bool,
    /// The epoch that has begun.
    pub epoch: Option<u64>,
    /// The timeline of the writes that follow.
    pub timeline: u32,
    /// The last entry of the past that it shares with the writer before.
    pub lsn: Lsn,
}

/// Which database and timeline a standby of this archive would follow: the one whose writer began last, or else the one of the newest
/// verified backup.
///
/// Errors: [`Error::Refused`] where the archive has several databases; [`Error::NoBackup`] where it has none.
pub fn followed(target: &dyn BackupTarget) -> Result<(Hex<16>, u32)> {
    let databases = epoch::databases(target)?;
    if databases.len() > 1 {
        return Err(Error::Refused(format!("{} is the archive of several databases", target.describe())));
    }
    if let Some(database) = databases.first()
        && let Some(newest) = epoch::newest(target, database)?
    {
        return Ok((*database, newest.timeline));
    }
    let catalog = Catalog::load(target)?;
    let newest = catalog.verified().next_back();
    let newest = newest.map(|(_, found)| (found.database, found.timeline));
    let wanted = "that is verified, and nobody archives into it yet".to_owned();
    newest.ok_or_else(|| Error::NoBackup { target: target.describe(), wanted })
}

/// Makes an absent or empty folder a standby's: from the newest verified backup if there is one, and everything that the archive has.
/// A folder that is a database is left as it is.
///
/// Cost: a restore. Errors: those of [`followed`], [`Plan::make`] and [`backup::restore`]; called again it begins again.
pub fn prepare(
    env: &Env,
    target: &dyn BackupTarget,
    dir: &Path,
    progress: backup::Progress<'_>,
) -> Result<()> {
    if Identity::exists(&*env.fs, &Layout::of(dir))? {
        return Ok(());
    }
    let (database, timeline) = followed(target)?;
    let options = RestoreOptions {
        database: Some(database),
        timeline: Some(timeline),
        standby: Some(StandbyMark::generate(env, database, timeline)),
        ..RestoreOptions::to(Point::Latest)
    };
    let plan = Plan::make(target, target, &options)?;
    accept_empty(env, dir)?;
    let report = backup::restore(env, target, target, &plan, &options, dir, progress)?;
    tracing::info!(lsn = %report.lsn, timeline = report.timeline, "a standby of timeline {timeline} was made");
    Ok(())
}

/// A database that follows, until it is promoted or dropped.
#[derive(Debug)]
pub struct Standby {
    // Dropped first: it uses the rest.
    task: Mutex<Option<TaskHandle>>,
    archiving: Mutex<Option<Archiving>>,
    follower: Arc<Mutex<Follower>>,
    database: Database,
    target: Arc<dyn BackupTarget>,
    mark: StandbyMark,
    options: StandbyOptions,
}

impl Standby {
    /// Takes a database that is a standby's; it follows once [`Standby::follow`] is called.
    ///
    /// Errors: [`Error::Refused`] where it is none.
    pub fn attach(
        database: &Database,
        target: Arc<dyn BackupTarget>,
        options: StandbyOptions,
    ) -> Result<Standby> {
        let layout = database.engine().layout();
        let mark = StandbyMark::read(database.env(), layout)?
            .ok_or_else(|| Error::Refused(format!("{} is no standby's", layout.dir().display())))?;
        let follower = Follower::new(database, Arc::clone(&target), mark.follows);
        Ok(Standby {
            task: Mutex::default(),
            archiving: Mutex::default(),
            follower: Arc::new(Mutex::new(follower)),
            database: database.clone(),
            target,
            mark,
            options,
        })
    }

    /// Begins to follow. A promotion that was cut short is finished first.
    ///
    /// Errors: [`Error::Env`] where no job can be started; those of [`Standby::promote`].
    pub fn follow(&self) -> Result<()> {
        match epoch::newest(&*self.target, &self.mark.database) {
            Ok(Some(newest)) if newest.holder == self.mark.holder => {
                tracing::warn!(epoch = newest.epoch, "a promotion was cut short, and is finished now");
                self.promote()?;
                return Ok(());
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "the archive cannot be asked yet"),
        }
        let job = FollowJob {
            follower: Arc::clone(&self.follower),
            database: self.database.clone(),
            every: self.options.every,
            failing: None,
        };
        *self.task.lock() = Some(self.database.env().tasks.spawn("stemedb-follow", Box::new(job))?);
        Ok(())
    }

    /// Makes it the writer: begins the next epoch, which fences the writer before; applies what the archive has by then; and accepts
    /// writes, on its own timeline. Everything that the writer before has counted as archived is there then.
    ///
    /// Where this fails behind the first step the fence stands: nobody is the writer before it is called again, which goes on.
    ///
    /// Errors: [`Error::Fenced`] where another one was promoted; those of target, archive and engine.
    pub fn promote(&self) -> Result<Promotion> {
        let mut archiving = self.archiving.lock();
        let timeline = self.database.engine().identity().timeline;
        if !self.database.role().is_standby() {
            let (epoch, lsn) = (self.database.role().epoch(), self.database.published_lsn());
            return Ok(Promotion { promoted: false, epoch, timeline, lsn });
        }
        let mut follower = self.follower.lock();
        let epoch = claim(&self.database, &*self.target, Some(&self.mark))?;
        tracing::warn!(epoch, "the writer before is fenced");
        // A listing that begins now has everything that counts.
        let lsn = follower.step()?;
        self.must_be_its_turn(epoch)?;
        StandbyMark::remove(self.database.env(), self.database.engine().layout())?;
        self.database.promote();
        drop(follower);
        *archiving = Some(self.archive(epoch)?);
        Ok(Promotion { promoted: true, epoch: Some(epoch), timeline, lsn })
    }

    /// Another may have begun the same epoch at a service that ignores conditions, or a lost one may have been put back meanwhile.
    fn must_be_its_turn(&self, epoch: u64) -> Result<()> {
        let newest = epoch::newest(&*self.target, &self.mark.database)?;
        if newest.as_ref().is_some_and(|newest| (newest.epoch, newest.holder) == (epoch, self.mark.holder)) {
            return Ok(());
        }
        let newest =
            newest.map(|EpochRecord { epoch, timeline, .. }| format!("{epoch}, timeline {timeline}"));
        let newest = newest.unwrap_or_else(|| "none".to_owned());
        Err(Error::Fenced { reason: format!("epoch {epoch} had begun, and the newest is {newest}") })
    }

    /// Archives the own journal from now on.
    fn archive(&self, epoch: u64) -> Result<Archiving> {
        let options = self.options.archiving;
        match &self.options.archive_to {
            // It has a writer of its own, if it has one.
            Some(other) if other.describe() != self.target.describe() => {
                Archiving::start(&self.database, Arc::clone(other), options)
            }
            _ => {
                let turn = (epoch, self.mark.holder);
                Archiving::holding(&self.database, Arc::clone(&self.target), turn, options)
            }
        }
    }

    /// Ends following, and of a promoted one sends what is left. Errors: as of [`Archiving::finish`].
    pub fn finish(&self) -> Result<()> {
        let task = self.task.lock().take();
        drop(task);
        let archiving = self.archiving.lock().take();
        archiving.map_or(Ok(()), |archiving| archiving.finish().map(drop))
    }
}

/// A target without an epoch is the archive that a standby was made from only if the standby's timeline is noted there. A disk that is not
/// mounted has neither, and an epoch begun there would fence nobody. Errors: [`Error::Missing`].
fn is_its_archive(target: &dyn BackupTarget, database: &Hex<16>, timeline: u32) -> Result<()> {
    let name = timeline_name(database, timeline);
    match target.get(&name, TIMELINE_MAX_BYTES)? {
        Some(_) => Ok(()),
        None => Err(Error::Missing { name, target: target.describe() }),
    }
}

/// Begins the next epoch for a standby, or for a database that was restored. Returns its number.
fn claim(database: &Database, target: &dyn BackupTarget, mark: Option<&StandbyMark>) -> Result<u64> {
    let env = database.env();
    let identity = database.engine().identity();
    let id = Hex(identity.database.0);
    let mut holder = [0; 16];
    env.random.fill(&mut holder);
    let holder = mark.map_or(Hex(holder), |mark| mark.holder);
    for _ in 0..CLAIMS {
        let newest = epoch::newest(target, &id)?;
        if let Some(newest) = newest.as_ref().filter(|newest| newest.holder == holder) {
            return Ok(newest.epoch);
        }
        if let (Some(mark), Some(newest)) = (mark, &newest)
            && newest.timeline != mark.follows
        {
            let EpochRecord { epoch, timeline, .. } = newest;
            return Err(Error::Fenced {
                reason: format!("another server was promoted: epoch {epoch}, timeline {timeline}"),
            });
        }
        if mark.is_some() && newest.is_none() {
            is_its_archive(target, &id, identity.timeline)?;
        }
        let record = EpochRecord {
            format: FORMAT,
            database: id,
            epoch: newest.as_ref().map_or(0, |newest| newest.epoch).saturating_add(1),
            timeline: identity.timeline,
            holder,
            follows: newest.map(|newest| newest.timeline),
            begun_at: env.clock.wall().0,
            program: env!("CARGO_PKG_VERSION").to_owned(),
        };
        if epoch::claim(target, &record)? {
            return Ok(record.epoch);
        }
    }
    Err(Error::Refused("others begin one epoch after the other; try again".to_owned()))
}

/// Makes a restored database the writer of an archive in which another timeline had been written: whoever wrote it is fenced.
///
/// Errors: [`Error::Refused`] of a standby, which is promoted; those of the target.
pub fn claim_restored(database: &Database, target: &dyn BackupTarget) -> Result<Promotion> {
    if database.role().is_standby() {
        return Err(Error::Refused("it is a standby".to_owned()));
    }
    let identity = database.engine().identity();
    let (timeline, lsn) = (identity.timeline, database.published_lsn());
    let newest = epoch::newest(target, &Hex(identity.database.0))?;
    if let Some(newest) = newest.filter(|newest| newest.timeline == timeline) {
        return Ok(Promotion { promoted: false, epoch: Some(newest.epoch), timeline, lsn });
    }
    let epoch = claim(database, target, None)?;
    Ok(Promotion { promoted: true, epoch: Some(epoch), timeline, lsn })
}

struct FollowJob {
    follower: Arc<Mutex<Follower>>,
    database: Database,
    every: Duration,
    failing: Option<String>,
}

impl Job for FollowJob {
    fn step(&mut self, _: Budget) -> Step {
        // Whoever promotes it has it meanwhile.
        let Some(mut follower) = self.follower.try_lock() else { return Step::After(self.every) };
        if !self.database.role().is_standby() {
            return Step::Done;
        }
        let outcome = follower.step().map(drop).map_err(|error| error.to_string());
        tell(&mut self.failing, "following the archive", outcome);
        Step::After(self.every)
    }
}
