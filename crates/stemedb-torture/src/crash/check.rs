//! One disk after a crash: open it and hold the journal to everything that it promises.

use stemedb_env::fs::SimFs;

use super::workload::Promised;
use crate::{
    client,
    entries::entry,
    ledger::Ledger,
    machine::Machine,
    recovery,
    subject::{Answer, OURS, Refusal, Shape, Subject},
    violation::{Promise, Violation},
};

/// What the journal found on a disk.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// A torn tail was cut.
    pub torn: bool,
    /// Entries were adopted.
    pub adopted: bool,
    /// Fewer entries than had been submitted, or another sign that the crash cost something.
    pub shorter: bool,
}

/// Entries appended after recovery are numbered from here, so that none has the content of an earlier one.
const LATER: u64 = 1_000_000;

fn open(
    disk: &SimFs,
    promised: &Promised,
    ledger: &mut Ledger,
    shape: &Shape,
) -> Result<(Machine, Subject, Found), Violation> {
    // Whatever filled it has been removed.
    disk.set_capacity(None);
    let machine = Machine::plain(disk.clone());
    let (subject, facts) = Subject::open(&machine.env, OURS, promised.flushed, shape)
        .map_err(|refusal| recovery::unopenable(&refusal))?;
    let open = !ledger.open().is_empty();
    let before = ledger.settled();
    recovery::learn(&subject, &facts, shape.floor(promised.flushed), ledger)?;
    let shorter = open && ledger.settled() == before;
    Ok((machine, subject, Found { torn: facts.torn, adopted: facts.adopted > 0, shorter }))
}

/// Opens the disk and checks that it holds what it must and nothing else; that what was seen survives another power cut;
/// that it goes on, and that this survives too.
pub fn check(disk: &SimFs, killed: bool, promised: &Promised, shape: &Shape) -> Result<Found, Violation> {
    let mut ledger = promised.ledger.clone();
    let (machine, subject, found) = open(disk, promised, &mut ledger, shape)?;
    // Where opening wrote nothing and everything was durable before, the second power cut would leave the same disk.
    if killed || disk.mutations() > 0 {
        let again = disk.crash_losing_all();
        open(&again, promised, &mut ledger, shape)
            .map_err(|violation| violation.at(&"a second power cut"))?;
    }
    for (number, bytes) in [(LATER, 20), (LATER + 1, 600)] {
        let group = vec![entry(number, bytes, false)];
        let answer = client::append(&machine, &subject, &mut ledger, group, false)?;
        if let Answer::Refused(refusal) | Answer::Unknown(refusal) = answer {
            let detail = format!("an append after recovery failed: {refusal}");
            return Err(Violation::new(Promise::Live, detail));
        }
    }
    drop(subject);
    let later = disk.crash_losing_all();
    open(&later, promised, &mut ledger, shape)
        .map_err(|violation| violation.at(&"a power cut after recovery"))?;
    Ok(found)
}

/// What a disk that lies is held to: a right beginning or a report of what is wrong; never other entries.
pub fn check_liar(disk: &SimFs, promised: &Promised, shape: &Shape) -> Result<Verdict, Violation> {
    disk.set_capacity(None);
    let machine = Machine::plain(disk.clone());
    let (subject, facts) = match Subject::open(&machine.env, OURS, promised.flushed, shape) {
        Ok(opened) => opened,
        Err(refusal) if refusal.reports_damage() || refusal == Refusal::Absent => {
            return Ok(Verdict::Reported);
        }
        Err(refusal) => {
            return Err(Violation::new(Promise::NeverSilent, format!("an odd report: {refusal}")));
        }
    };
    let mut comparison = promised.ledger.comparison_from(facts.first.max(1));
    match subject.read(facts.first, |lsn, entry| comparison.entry(lsn, entry)) {
        Ok(()) => {}
        Err(refusal) if refusal.reports_damage() => return Ok(Verdict::Reported),
        Err(refusal) => {
            return Err(Violation::new(Promise::NeverSilent, format!("an odd report: {refusal}")));
        }
    }
    let (last, _) = comparison.finish_shorter()?;
    if last != facts.last {
        let detail = format!("{last} entries can be read, the report says {}", facts.last);
        return Err(Violation::new(Promise::Prefix, detail));
    }
    // It goes on from there, as far as its disk does.
    match subject.append_group(&[b"later"]) {
        Answer::Acknowledged(lsn) if lsn == last + 1 => {}
        answer => return Err(Violation::new(Promise::Live, format!("an append was answered {answer:?}"))),
    }
    Ok(if last < promised.ledger.settled() { Verdict::Shorter } else { Verdict::Whole })
}

/// What became of a journal on a disk that lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Everything is there by luck.
    Whole,
    /// Entries are gone that nothing proves; whoever holds an acknowledgement can tell by the recovered LSN.
    Shorter,
    /// An error says that something is gone or damaged.
    Reported,
}
