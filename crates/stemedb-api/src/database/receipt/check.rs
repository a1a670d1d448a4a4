//! Checking receipts.

use std::fmt::Debug;

use stemedb_core::{
    AgentId, ClaimId, SignedReceipt,
    identity::hex,
    lens::fingerprint,
    receipt::{Receipt, ReceiptAnswer, ReceiptClaim},
};
use stemedb_env::Lsn;
use stemedb_hybrid::StateRoot;
use stemedb_index::{ClaimReader, Claims, Derive};

use super::{ReceiptError, content, latest_used, lens};
use crate::{
    database::{Database, Query, Snapshot, query},
    errors::Error,
};

/// What a check against a database found to hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceiptCheck {
    /// Who signed.
    pub signer: AgentId,
    /// That is the database's own key. A restored copy has one of its own.
    pub is_own_key: bool,
    /// Claims that are there, in that place, with content of that hash.
    pub claims: usize,
    /// Timelines of the receipt and of the database.
    pub timelines: (u32, u32),
    /// What became of the state root.
    pub root: RootCheck,
}

/// What became of the comparison of state roots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RootCheck {
    /// It was not asked for.
    NotAsked,
    /// The rows are the same.
    Same {
        /// Their number.
        rows: u64,
    },
    /// The rows are of another derivation, and cannot be compared.
    OtherDerivation {
        /// The receipt's.
        receipt: u32,
        /// The database's.
        here: u32,
    },
}

/// Checks what needs no database: the signature, by `key` if one is given, and that the hash of the lens fits. Returns who
/// signed.
///
/// # Errors
/// [`ReceiptError::Signature`], [`ReceiptError::OtherKey`], [`ReceiptError::LensHash`]; [`ReceiptError::Question`] for a question that this
/// version cannot ask, whose lens hash it therefore cannot know.
pub fn check_document(signed: &SignedReceipt, key: Option<AgentId>) -> Result<AgentId, ReceiptError> {
    checked_question(signed, key).map(|(signer, _)| signer)
}

fn checked_question(signed: &SignedReceipt, key: Option<AgentId>) -> Result<(AgentId, Query), ReceiptError> {
    let signer = signed.verify().map_err(ReceiptError::Signature)?;
    if let Some(wanted) = key.filter(|key| *key != signer) {
        return Err(ReceiptError::OtherKey { wanted, found: signer });
    }
    let asked = &signed.receipt().question;
    let query = lens::question(asked)?;
    if fingerprint(query.lens, &query.params(asked.evaluated_at)) != asked.lens_hash {
        return Err(ReceiptError::LensHash);
    }
    Ok((signer, query))
}

impl Database {
    /// Checks a receipt against this database: [`check_document`], then that every claim listed is there with content of that
    /// hash, and that the same question at the same moment has the same answer, to the last figure. With `full` also the state
    /// root.
    ///
    /// Works on a restored copy and after a rebuild: what is compared is content. Cost: the question, two lookups a claim; with `full` a scan
    /// of all rows.
    ///
    /// # Errors
    /// The first thing that does not hold.
    pub fn check_receipt(
        &self,
        signed: &SignedReceipt,
        key: Option<AgentId>,
        full: bool,
    ) -> Result<ReceiptCheck, ReceiptError> {
        let (signer, query) = checked_question(signed, key)?;
        let receipt = signed.receipt();
        let identity = self.engine().identity();
        if receipt.database != identity.database.0 {
            let [receipt, here] = [receipt.database, identity.database.0].map(|id| hex::text(&id));
            return Err(ReceiptError::OtherDatabase { receipt, here });
        }
        let now = self.reader(None)?;
        let (wanted, here) = (Lsn(receipt.state.lsn), now.lsn());
        if wanted > here {
            return Err(ReceiptError::NotReached { receipt: wanted, here });
        }
        for claim in &receipt.claims {
            check_claim(&now, claim)?;
        }
        self.check_answer(receipt, query)?;
        let root = if full { check_root(&now, receipt)? } else { RootCheck::NotAsked };
        Ok(ReceiptCheck {
            signer,
            is_own_key: self.server_key().is_ok_and(|key| key.agent() == signer),
            claims: receipt.claims.len(),
            timelines: (receipt.timeline, identity.timeline),
            root,
        })
    }

    /// Asks again.
    fn check_answer(&self, receipt: &Receipt, query: Query) -> Result<(), ReceiptError> {
        let reader = query::reader(self, &query)?;
        let resolved = query::answer_from(self, &reader, query)?;
        same("the entry that is answered as of", &receipt.question.as_of, &resolved.lsn.0)?;
        let (answer, claims) = content::of(&resolved);
        same("the number of claims", &receipt.claims.len(), &claims.len())?;
        for (mine, other) in receipt.claims.iter().zip(&claims) {
            same(&format!("claim {}", mine.id), mine, other)?;
        }
        same_answer(&receipt.answer, &answer)?;
        same("the newest knowledge used", &receipt.latest_used, &latest_used(&resolved))
    }
}

fn check_claim(reader: &ClaimReader<Snapshot>, claim: &ReceiptClaim) -> Result<(), ReceiptError> {
    let wrong = |problem| Err(ReceiptError::Claim { id: claim.id, problem });
    let Some(stored) = reader.claim(claim.id).map_err(Error::from)? else {
        return wrong("the database has no such claim");
    };
    if (stored.position.lsn.0, stored.position.ordinal) != (claim.lsn, claim.ordinal) {
        return wrong("it stands in another place of the journal");
    }
    if ClaimId::of(&stored.assertion.canonical_bytes()) != claim.id {
        return wrong("its content has another hash");
    }
    Ok(())
}

fn check_root(reader: &ClaimReader<Snapshot>, receipt: &Receipt) -> Result<RootCheck, ReceiptError> {
    if receipt.derivation != Claims::VERSION {
        return Ok(RootCheck::OtherDerivation { receipt: receipt.derivation, here: Claims::VERSION });
    }
    let lsn = Lsn(receipt.state.lsn);
    let root = StateRoot::of_past::<Claims, _>(reader.snapshot(), lsn).map_err(Error::from)?;
    let root = root.ok_or(ReceiptError::NotReached { receipt: lsn, here: reader.lsn() })?;
    same("the number of rows", &receipt.state.rows, &root.rows())?;
    same("the state root", &hex::text(&receipt.state.root), &root.to_string())?;
    Ok(RootCheck::Same { rows: root.rows() })
}

fn same_answer(mine: &ReceiptAnswer, other: &ReceiptAnswer) -> Result<(), ReceiptError> {
    same("the status", &mine.status, &other.status)?;
    same("the value", &mine.value, &other.value)?;
    same("the figures of the answer", &mine.figures, &other.figures)?;
    same("the values", &mine.values, &other.values)?;
    same("the winners", &mine.winners, &other.winners)?;
    same("the answers of the classes", &mine.layers, &other.layers)
}

fn same<T: PartialEq + Debug>(what: &str, receipt: &T, here: &T) -> Result<(), ReceiptError> {
    if receipt == here {
        return Ok(());
    }
    let (receipt, here) = (format!("{receipt:?}"), format!("{here:?}"));
    Err(ReceiptError::Differs { what: what.to_owned(), receipt, here })
}
