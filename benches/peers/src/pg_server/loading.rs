//! The claims that both servers begin with, recorded as StemeDB has them: the sources first, then a thousand claims an entry.

use std::{
    fs::File,
    io::{BufRead, BufReader},
    path::Path,
};

use stemedb_api::json;
use stemedb_core::Command;
use stemedb_peers::{
    engine::Result,
    questions::{
        contender::ClaimStore,
        data::{BATCH_CLAIMS, Batch, recorded_at},
    },
};

/// Records everything; returns the last LSN.
pub fn load(store: &mut dyn ClaimStore, claims: &Path) -> Result<u64> {
    let mut batch = Batch::default();
    let mut lsn = 0;
    let mut record = |batch: &mut Batch| -> Result<()> {
        if batch.commands.is_empty() {
            return Ok(());
        }
        lsn += 1;
        (batch.lsn, batch.recorded_at) = (lsn, recorded_at(lsn));
        store.record(batch)?;
        batch.commands.clear();
        Ok(())
    };
    let mut of_sources = true;
    for line in BufReader::new(File::open(claims)?).lines() {
        let command = json::exported(line?.as_bytes()).map_err(|why| format!("a record: {why}"))?;
        let id = match &command {
            Command::Assert(claim) => Some(claim.id()),
            _ => None,
        };
        if (of_sources && id.is_some()) || (!of_sources && batch.commands.len() == BATCH_CLAIMS) {
            record(&mut batch)?;
            of_sources = false;
        }
        batch.commands.push((command, id));
    }
    record(&mut batch)?;
    Ok(lsn)
}
