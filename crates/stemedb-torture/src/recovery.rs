//! After an open: is everything there, and nothing else?

use crate::{
    ledger::Ledger,
    subject::{Facts, Refusal, Subject},
    violation::{Promise, Violation},
};

/// Compares an opened journal with the ledger, which learns what became of its open groups. Nothing may fail while this
/// reads. Entries before `floor` may be gone, if the report says so.
pub fn learn(subject: &Subject, facts: &Facts, floor: u64, ledger: &mut Ledger) -> Result<(), Violation> {
    let from = facts.first.max(1);
    if from > floor {
        let detail = format!("entries {floor} to {} are gone", from - 1);
        return Err(Violation::new(Promise::Durable, detail));
    }
    let mut comparison = ledger.comparison_from(from);
    subject.read(from, |lsn, entry| comparison.entry(lsn, entry)).map_err(|refusal| unreadable(&refusal))?;
    let behind = comparison.finish()?;
    ledger.observe(&behind)?;
    ledger.conclude();
    let (settled, durable) = (ledger.settled(), subject.durable());
    if (facts.last, durable) != (settled, settled) {
        let detail =
            format!("{settled} entries can be read, the report says {}, the journal {durable}", facts.last);
        return Err(Violation::new(Promise::Prefix, detail));
    }
    Ok(())
}

/// The entries behind the settled ones, as a reader sees them now.
pub fn read_back(subject: &Subject, ledger: &Ledger) -> Result<Vec<Vec<u8>>, Violation> {
    subject.entries(ledger.settled() + 1).map_err(|refusal| unreadable(&refusal))
}

/// Without damage and without faults, reading works.
pub fn unreadable(refusal: &Refusal) -> Violation {
    Violation::new(Promise::NeverSilent, format!("an undamaged journal cannot be read: {refusal}"))
}

/// Without damage and without faults, opening works.
pub fn unopenable(refusal: &Refusal) -> Violation {
    Violation::new(Promise::Durable, format!("an undamaged journal cannot be opened: {refusal}"))
}
