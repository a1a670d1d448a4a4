//! A client of the journal that writes down in the ledger what it was told.

use std::sync::Arc;

use crate::{
    ledger::{Group, Ledger},
    machine::Machine,
    recovery::read_back,
    subject::{Answer, Subject},
    violation::Violation,
};

/// Appends a group, through the queue if it is a single entry and `queued`, and settles the ledger by the answer.
pub fn append(
    machine: &Machine,
    subject: &Subject,
    ledger: &mut Ledger,
    group: Vec<Vec<u8>>,
    queued: bool,
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
    settle(machine, subject, ledger, &answer)?;
    Ok(answer)
}

/// Settles the ledger by what the group submitted last was answered.
pub fn settle(
    machine: &Machine,
    subject: &Subject,
    ledger: &mut Ledger,
    answer: &Answer,
) -> Result<(), Violation> {
    let behind = match (answer, ledger.open().len()) {
        (Answer::Acknowledged(_), 2..) => machine.undisturbed(|| read_back(subject, ledger)),
        _ => Ok(Vec::new()),
    };
    ledger.answered(answer, || behind)
}

/// A reader sees entries that were not acknowledged: they are settled now.
pub fn observe(machine: &Machine, subject: &Subject, ledger: &mut Ledger) -> Result<(), Violation> {
    let behind = machine.undisturbed(|| read_back(subject, ledger))?;
    ledger.observe(&behind)
}
