//! What a server is to others of its past: a writer that archives, or a standby.

use std::{sync::Arc, time::Duration};

use stemedb_api::{
    Database,
    backup::ShipOptions,
    config::Settings,
    replication::{self, Archiving, ArchivingOptions, Standby, StandbyOptions},
};

use crate::cli::{
    backup::{failed, open},
    failure::Failure,
};

/// So long a start waits to know whether it may be the writer. After that it is one until it is told otherwise.
const TURN_WITHIN: Duration = Duration::from_secs(5);

/// The part of a running server that deals with the archive.
pub struct Replication {
    archiving: Option<Archiving>,
    standby: Option<Arc<Standby>>,
}

fn archiving_options(settings: &Settings) -> ArchivingOptions {
    ArchivingOptions { every: settings.archive_interval, ship: ShipOptions::default() }
}

/// Makes the folder a standby's where there is to be one and it is no database yet.
pub fn prepare(settings: &Settings) -> Result<(), Failure> {
    let Some(from) = &settings.standby else { return Ok(()) };
    let env = &settings.database.env;
    let target = open(env, from)?;
    replication::prepare(env, &*target, &settings.data_dir, &mut |_, _| {}).map_err(failed)
}

impl Replication {
    /// Begins to archive or to follow, as the settings and the folder say.
    pub fn begin(settings: &Settings, database: &Database) -> Result<Replication, Failure> {
        let env = &settings.database.env;
        let archive_to = settings.archive_to.as_deref().map(|text| open(env, text)).transpose()?;
        let is_standby = database.role().is_standby();
        let from = match (&settings.standby, is_standby) {
            (Some(from), true) => open(env, from)?,
            (None, true) => {
                let what = format!("{} is a standby's folder", settings.data_dir.display());
                return Err(Failure::new(what).hint(
                    "say with --standby what it follows, or make it the writer: `stemedb-api promote`",
                ));
            }
            (from, false) => {
                // It was promoted: it archives where it had followed, unless told otherwise.
                let target = match (archive_to, from) {
                    (Some(target), _) => Some(target),
                    (None, Some(from)) => Some(open(env, from)?),
                    (None, None) => None,
                };
                let archiving = match target {
                    None => None,
                    Some(target) => {
                        let begun = Archiving::start(database, target, archiving_options(settings));
                        let begun = begun.map_err(failed)?;
                        begun.await_turn(database, TURN_WITHIN);
                        Some(begun)
                    }
                };
                return Ok(Replication { archiving, standby: None });
            }
        };
        let archiving = archiving_options(settings);
        // What is older than the interval is there; looking more often than it is sent finds nothing.
        let every = settings.archive_interval.min(Duration::from_secs(1));
        let options = StandbyOptions { every, archive_to, archiving };
        let standby = Standby::attach(database, from, options).map_err(failed)?;
        standby.follow().map_err(failed)?;
        Ok(Replication { archiving: None, standby: Some(Arc::new(standby)) })
    }

    /// What follows, if this server does.
    pub fn standby(&self) -> Option<Arc<Standby>> {
        self.standby.clone()
    }

    /// Ends it, and sends what is left. A failure is no reason not to close the database.
    pub fn end(self) {
        let Replication { archiving, standby } = self;
        let sent = archiving.map(|archiving| archiving.finish().map(drop));
        let followed = standby.map(|standby| standby.finish());
        for outcome in [sent, followed].into_iter().flatten() {
            if let Err(error) = outcome {
                tracing::warn!("not everything is in the archive: {error}");
            }
        }
    }
}
