//! Receipts of answers: making them, reading them, and checking them against a database.

mod check;
mod content;
mod error;
mod lens;
mod read;

pub use check::{ReceiptCheck, RootCheck, check_document};
pub use error::ReceiptError;
pub use read::read_receipt;
use stemedb_core::{
    AgentKey, Micros, SignedReceipt,
    lens::fingerprint,
    receipt::{LatestUsed, Receipt, ReceiptQuestion, ReceiptState},
};
use stemedb_hybrid::StateRoot;
use stemedb_index::{ClaimReader, Claims, Derive};

use super::{Database, Query, QueryCost, Resolved, Snapshot, query};
use crate::errors::{Error, Result};

impl Database {
    /// Answers a question, with a receipt: a signed document that others can check, see `docs/formats/receipt.md`.
    ///
    /// Cost: that of the answer and of a state root (tables that no root has seen before are read once, what is in memory is
    /// hashed), and a signature.
    ///
    /// # Errors
    /// As [`Database::query`]; [`Error::ServerKey`]; [`Error::Receipt`] for more claims than a receipt may have.
    pub fn query_with_receipt(&self, query: Query) -> Result<(Resolved, SignedReceipt)> {
        let (resolved, signed, _) = self.query_with_receipt_measured(query)?;
        Ok((resolved, signed))
    }

    /// [`Database::query_with_receipt`], and what it has cost.
    ///
    /// # Errors
    /// As [`Database::query_with_receipt`].
    pub fn query_with_receipt_measured(&self, query: Query) -> Result<(Resolved, SignedReceipt, QueryCost)> {
        let key = self.server_key()?;
        let reader = query::reader(self, &query)?;
        let (resolved, mut cost) = query::measured_from(self, &reader, query)?;
        let clock = &self.env().clock;
        let began = clock.monotonic();
        let receipt = receipt(self, &reader, &resolved, key)?;
        let signed = SignedReceipt::sign(receipt, key).map_err(Error::Receipt)?;
        cost.receipt = clock.monotonic().saturating_sub(began);
        Ok((resolved, signed, cost))
    }
}

/// What the receipt of an answer says.
fn receipt(
    database: &Database,
    reader: &ClaimReader<Snapshot>,
    resolved: &Resolved,
    key: &AgentKey,
) -> Result<Receipt> {
    let identity = database.engine().identity();
    let root = StateRoot::of_snapshot::<Claims, _>(reader.snapshot())?;
    let query = &resolved.query;
    let (answer, claims) = content::of(resolved);
    Ok(Receipt {
        server: key.agent(),
        database: identity.database.0,
        timeline: identity.timeline,
        derivation: Claims::VERSION,
        state: ReceiptState { lsn: root.lsn().0, rows: root.rows(), root: root.digest() },
        made_at: Micros(database.env().clock.wall().0),
        question: ReceiptQuestion {
            subject: query.subject.clone(),
            predicate: query.predicate.clone(),
            lens: query.lens.name().to_owned(),
            lens_version: stemedb_core::Lens::VERSION,
            lens_hash: fingerprint(query.lens, &resolved.params),
            parameters: lens::parameters(query),
            as_of: resolved.lsn.0,
            evaluated_at: resolved.evaluated_at,
        },
        latest_used: latest_used(resolved),
        answer,
        claims,
    })
}

fn latest_used(resolved: &Resolved) -> Option<LatestUsed> {
    let used = resolved.used?;
    Some(LatestUsed { lsn: used.lsn.0, recorded_at: Micros(used.recorded_at.0) })
}
