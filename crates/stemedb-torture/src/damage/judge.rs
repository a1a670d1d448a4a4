//! Opens a damaged journal and judges what it says.

use std::path::Path;

use stemedb_env::fs::SimFs;

use super::{
    harm::Harm,
    scene::{Left, Scene, files},
};
use crate::{
    allocations::largest_during,
    client,
    ledger::Ledger,
    machine::Machine,
    recovery,
    subject::{Answer, DIR, Facts, FileKind, LARGEST_ALLOCATION_BYTES, OURS, Refusal, Subject},
    violation::{Promise, Violation},
};

/// What is right after damage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Every entry is there, and nothing was said.
    Right,
    /// Every entry is there, and the journal has seen that something was wrong.
    RightAndNoticed,
    /// Entries at the end are gone that nothing can tell from a torn tail.
    Shorter,
    /// Released entries at the beginning are gone, and the report says so.
    FloorRaised,
    /// An error says what is wrong.
    Reported,
}

impl Verdict {
    /// The name under which it is counted.
    pub fn name(self) -> &'static str {
        match self {
            Verdict::Right => "right",
            Verdict::RightAndNoticed => "noticed",
            Verdict::Shorter => "shorter",
            Verdict::FloorRaised => "floor_raised",
            Verdict::Reported => "reported",
        }
    }
}

/// How much is looked at beyond opening and reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// Nothing.
    Plain,
    /// What was reported is opened for reading, what was not is written to, and opened again after a power cut.
    GoesOn,
}

/// Damages a copy of the scene's disk and judges the journal.
pub fn judge(scene: &Scene, harm: &Harm, depth: Depth) -> Result<Verdict, Violation> {
    let disk = scene.disk.process_killed();
    harm.apply(&disk);
    let (judged, largest) = largest_during(|| open_and_read(scene, &disk, harm.keeps_a_chain(), depth));
    let verdict = judged?;
    if largest > LARGEST_ALLOCATION_BYTES {
        let detail = format!("{largest} bytes were allocated at once for files of a few KiB");
        return Err(Violation::new(Promise::Bounded, detail));
    }
    Ok(verdict)
}

fn wrong(promise: Promise, detail: String) -> Result<Verdict, Violation> {
    Err(Violation::new(promise, detail))
}

fn open_and_read(scene: &Scene, disk: &SimFs, other_past: bool, depth: Depth) -> Result<Verdict, Violation> {
    let harmed = files(disk);
    let machine = Machine::plain(disk.clone());
    let (subject, facts) = match Subject::open(&machine.env, OURS, 0, &scene.shape) {
        Ok(opened) => opened,
        Err(refusal) => return reported(scene, disk, &refusal, other_past, depth),
    };
    let last = scene.ledger.settled();
    let floor = scene.layout.floor(&scene.files, &harmed, scene.left == Left::Closed).min(last);
    if facts.last < floor || facts.last > last {
        let detail = format!("silently {} entries of {last}, {floor} can be proven", facts.last);
        return wrong(Promise::NeverSilent, detail);
    }
    let oldest = scene.facts.first;
    let named = facts.missing.iter().any(|gap| *gap == (oldest, Some(facts.first.saturating_sub(1))));
    let released_hit = scene.files.iter().any(|(path, bytes)| {
        matches!(FileKind::of(path), FileKind::Released(_) | FileKind::Packed(_))
            && harmed.get(path) != Some(bytes)
    });
    if facts.first > oldest && !(named && released_hit) {
        let detail = format!("entries before {} are gone without a word: {:?}", facts.first, facts.missing);
        return wrong(Promise::NeverSilent, detail);
    }
    let mut comparison = scene.ledger.comparison_from(facts.first);
    match subject.read(facts.first, |lsn, entry| comparison.entry(lsn, entry)) {
        Ok(()) => {}
        Err(refusal) => {
            // What came before the error was right; only a file that is consistent in itself is found out at its end.
            let read = match comparison.finish_shorter() {
                Ok((read, _)) => read,
                Err(_) if other_past => 0,
                Err(violation) => return Err(violation),
            };
            return named_rightly(&refusal, read, last).map(|()| Verdict::Reported);
        }
    }
    let (read, _) = comparison.finish_shorter()?;
    if read != facts.last {
        let detail = format!("a reader ends at LSN {read} without a word, the journal at {}", facts.last);
        return wrong(Promise::NeverSilent, detail);
    }
    let noticed = facts != scene.facts;
    let hit = scene.layout.is_hit(&scene.files, &harmed);
    if hit && !noticed {
        return wrong(
            Promise::NeverSilent,
            "a byte of the journal has changed and nobody noticed".to_owned(),
        );
    }
    if depth == Depth::GoesOn {
        goes_on(scene, &machine, subject, &facts)?;
    }
    Ok(match (facts.first > oldest, facts.last < last, noticed) {
        (true, ..) => Verdict::FloorRaised,
        (_, true, _) => Verdict::Shorter,
        (_, _, true) => Verdict::RightAndNoticed,
        _ => Verdict::Right,
    })
}

/// An error must be one of damage, and name a place that exists.
fn named_rightly(refusal: &Refusal, read: u64, last: u64) -> Result<(), Violation> {
    let fine = match refusal {
        Refusal::Damaged { file, first_lsn, .. } => {
            file.starts_with(DIR) && *first_lsn <= last + 1 && (*first_lsn > read || *first_lsn == 0)
        }
        Refusal::Missing { first_lsn, .. } => *first_lsn <= last && *first_lsn > read,
        Refusal::Foreign { file, .. } => file.starts_with(DIR),
        _ => false,
    };
    if fine {
        return Ok(());
    }
    let detail =
        format!("after LSN {read} of {last}: not a report of damage, or of the wrong place: {refusal}");
    Err(Violation::new(Promise::NeverSilent, detail))
}

fn reported(
    scene: &Scene,
    disk: &SimFs,
    refusal: &Refusal,
    other_past: bool,
    depth: Depth,
) -> Result<Verdict, Violation> {
    named_rightly(refusal, 0, scene.ledger.settled())?;
    if depth == Depth::GoesOn {
        let before = disk.image_hash();
        let machine = Machine::plain(disk.clone());
        match Subject::open_read_only(&machine.env) {
            Err(refusal) if refusal.reports_damage() => {}
            Err(refusal) => {
                return wrong(Promise::NeverSilent, format!("opened for reading: an odd report: {refusal}"));
            }
            Ok(_) if other_past => {}
            Ok((subject, _)) => only_right_entries(&subject, &scene.ledger)?,
        }
        if disk.image_hash() != before {
            return wrong(Promise::NeverSilent, "opening for reading has changed something".to_owned());
        }
    }
    Ok(Verdict::Reported)
}

/// Whatever can be read of a damaged journal is right, from wherever it is read.
fn only_right_entries(subject: &Subject, ledger: &Ledger) -> Result<(), Violation> {
    let mut other = None;
    let mut from = subject.first();
    while from <= subject.durable() {
        let mut next = from;
        let read = subject.read(from, |lsn, entry| {
            next = lsn + 1;
            if ledger.entry(lsn) != Some(entry) {
                other.get_or_insert(lsn);
            }
        });
        match read {
            Ok(()) => break,
            Err(refusal) if refusal.reports_damage() => from = next + 1,
            Err(refusal) => {
                let detail = format!("reading what is left: an odd report: {refusal}");
                return Err(Violation::new(Promise::NeverSilent, detail));
            }
        }
    }
    match other {
        None => Ok(()),
        Some(lsn) => Err(Violation::new(Promise::NeverSilent, format!("LSN {lsn} holds something else"))),
    }
}

/// What opened goes on: it accepts an entry, and everything is there after a power cut.
fn goes_on(scene: &Scene, machine: &Machine, subject: Subject, facts: &Facts) -> Result<(), Violation> {
    let mut ledger = Ledger::default();
    for lsn in 1..=facts.last {
        let entry = scene.ledger.entry(lsn).map(<[u8]>::to_vec).unwrap_or_default();
        ledger.submit(std::sync::Arc::new(vec![entry]));
        ledger.answered(&Answer::Acknowledged(lsn), || Ok(Vec::new()))?;
    }
    let group = vec![crate::entries::entry(u64::MAX, 30, false)];
    let answer = client::append(machine, &subject, &mut ledger, group, false)?;
    if !matches!(answer, Answer::Acknowledged(_)) {
        return Err(Violation::new(Promise::Live, format!("an append was answered {answer:?}")));
    }
    drop(subject);
    let first = facts.first;
    let machine = Machine::plain(machine.disk.crash_losing_all());
    match Subject::open(&machine.env, OURS, 0, &scene.shape) {
        // Older files are looked at as far as an open needs them: what it did not need before it may need now.
        Ok((subject, facts)) => recovery::learn(&subject, &facts, first, &mut ledger),
        Err(refusal) => Err(recovery::unopenable(&refusal)),
    }
    .map_err(|violation| violation.at(&Path::new("opened again").display()))
}
