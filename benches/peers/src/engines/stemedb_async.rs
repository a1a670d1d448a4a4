//! StemeDB's journal with many commits under way from one thread.

use std::{collections::VecDeque, path::Path};

use stemedb_env::Env;
use stemedb_wal::{AppendTicket, SegmentedJournal};

use super::{
    names,
    stemedb::{create, encode},
};
use crate::engine::{Engine, Kind, Pair, Pipeline, Result, Setting, Store};

/// The contender: one thread submits, keeps as many tickets as the other contenders have threads, waits for the oldest and
/// refills. What a server with an event loop does.
#[derive(Clone, Copy, Debug)]
pub struct StemeDbAsync;

struct Opened {
    journal: SegmentedJournal,
}

struct Tickets<'a> {
    journal: &'a SegmentedJournal,
    under_way: VecDeque<AppendTicket>,
}

impl Engine for StemeDbAsync {
    fn name(&self) -> &'static str {
        names::STEMEDB_ASYNC
    }

    fn kind(&self) -> Kind {
        Kind::Ours
    }

    fn configuration(&self) -> &'static str {
        "StemeDB's journal: default options, one thread that submits and keeps as many tickets as the others have threads; \
         durable: the ticket's wait returned"
    }

    fn open(&self, folder: &Path, _setting: &Setting) -> Result<Box<dyn Store>> {
        Ok(Box::new(Opened { journal: create(&Env::real(), folder)? }))
    }
}

impl Store for Opened {
    fn commit(&self, batch: &[Pair<'_>]) -> Result<()> {
        self.journal.append(encode(batch))?;
        Ok(())
    }

    fn syncs(&self) -> Option<u64> {
        Some(self.journal.stats().syncs)
    }

    fn pipeline(&self) -> Option<Box<dyn Pipeline + '_>> {
        Some(Box::new(Tickets { journal: &self.journal, under_way: VecDeque::new() }))
    }
}

impl Pipeline for Tickets<'_> {
    fn submit(&mut self, batch: &[Pair<'_>]) -> Result<()> {
        self.under_way.push_back(self.journal.submit(encode(batch))?);
        Ok(())
    }

    fn wait_oldest(&mut self) -> Result<()> {
        let ticket = self.under_way.pop_front().ok_or("nothing is under way")?;
        ticket.wait()?;
        Ok(())
    }
}
