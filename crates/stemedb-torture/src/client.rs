//! A client of the journal that writes down in the ledger what it was told.

use std::sync::Arc;

use stemedb_env::fs::FaultFs;

use crate::{
    ledger::{Group, Ledger},
    recovery::read_back,
    subject::{Answer, Subject},
    violation::Violation,
};

/// Appends a group through the queue if it is a single entry and `queued`, else directly, and settles the ledger by the
/// answer. What has to be read for that is not a part of the workload: `faults` pause meanwhile.
pub fn append(
    subject: &Subject,
    ledger: &mut Ledger,
    group: Vec<Vec<u8>>,
    queued: bool,
    faults: Option<&FaultFs>,
) -> Result<Answer, Violation> {
    let group: Group = Arc::new(group);
    ledger.submit(Arc::clone(&group));
    let answer = match group.as_slice() {
        [alone] if queued => subject.append(alone),
        entries => {
            let borrowed: Vec<&[u8]> = entries.iter().map(Vec::as_slice).collect();
            subject.append_group(&borrowed)
        }
    };
    let behind = match (&answer, ledger.open().len()) {
        (Answer::Acknowledged(_), 2..) => undisturbed(faults, || read_back(subject, ledger)),
        _ => Ok(Vec::new()),
    };
    ledger.answered(&answer, || behind)?;
    Ok(answer)
}

/// A reader sees entries that were not acknowledged: they are settled now.
pub fn observe(subject: &Subject, ledger: &mut Ledger, faults: Option<&FaultFs>) -> Result<(), Violation> {
    let behind = undisturbed(faults, || read_back(subject, ledger))?;
    ledger.observe(&behind)
}

fn undisturbed<T>(faults: Option<&FaultFs>, work: impl FnOnce() -> T) -> T {
    faults.iter().for_each(|faults| faults.pause(true));
    let result = work();
    faults.iter().for_each(|faults| faults.pause(false));
    result
}
