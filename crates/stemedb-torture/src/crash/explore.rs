//! One sequence: every crash point of its last step, every outcome of each crash.

use std::sync::Arc;

use stemedb_env::fs::{
    SimFs,
    sim::{CrashOptions, CrashPoint},
};

use super::{
    Plan, Seen, Sequence,
    check::{Found, Verdict, check, check_liar},
    workload::{Promised, Workload},
};
use crate::{
    dice::fold,
    machine::Machine,
    recovery,
    report::{Failure, Report},
    subject::{OURS, Shape, Subject},
    violation::{Violation, caught},
};

/// Crash points of earlier steps belong to shorter sequences; so only the last step is recorded.
pub struct Explorer<'a> {
    plan: &'a Plan,
    seen: &'a Seen,
    report: &'a mut Report,
    shape: Shape,
    again: String,
}

/// One disk after a crash, and what had been promised before it.
struct State<'a> {
    disk: SimFs,
    /// The process alone died: what was not synced is still in the page cache.
    killed: bool,
    key: u64,
    promised: &'a Promised,
    class: &'static str,
}

fn low(hash: u128) -> u64 {
    (hash as u64) ^ ((hash >> 64) as u64)
}

impl<'a> Explorer<'a> {
    /// Goes through the sequence with this number and adds what it did and found to `report`.
    pub fn explore(plan: &'a Plan, number: u64, seen: &'a Seen, report: &'a mut Report) {
        let Some(sequence) = plan.sequence(number) else { return };
        let suite = report.suite;
        let again = format!("torture {suite} --length {} --only {number}", plan.length);
        let shape = sequence.ground.shape;
        let mut explorer = Explorer { plan, seen, report, shape, again };
        let place = format!("{:?} {:?}", sequence.ground, sequence.ops);
        match caught(|| run(&sequence)) {
            Ok(points) => explorer.visit_all(&points, &sequence, &place),
            // On a disk that lies even the steps between two crashes may find damage.
            Err(_) if plan.is_lying() => explorer.report.did("ended_early", 1),
            Err(violation) => explorer.fail(violation.at(&place)),
        }
        explorer.report.did("sequences", 1);
        sequence.ops.iter().filter_map(|op| op.class()).for_each(|class| explorer.report.injected(class, 1));
    }

    fn fail(&mut self, violation: Violation) {
        self.report.failures.push(Failure { violation, again: self.again.clone() });
    }

    fn visit_all(&mut self, points: &[(CrashPoint, Arc<Promised>)], sequence: &Sequence, place: &str) {
        let options = self.plan.outcomes(sequence.ops.len());
        for (point, promised) in points {
            self.report.did("points", 1);
            self.visit_point(&point.fs, promised, &options, true, &|| {
                format!("{place} after {:?}", point.operation)
            });
        }
    }

    /// The process dies at this moment, or the power goes in every way.
    fn visit_point(
        &mut self,
        fs: &SimFs,
        promised: &Promised,
        options: &CrashOptions,
        outer: bool,
        place: &dyn Fn() -> String,
    ) {
        let key = fold(promised.ledger.key(), promised.flushed);
        let classes =
            if outer { ("kill", "power_cut") } else { ("kill_in_recovery", "power_cut_in_recovery") };
        let (cached, lost) = (fs.image_hash(), fs.crash_losing_all().image_hash());
        if cached != lost {
            let key = fold(fold(fold(key, low(cached)), low(lost)), 1);
            let disk = fs.process_killed();
            self.visit(State { disk, killed: true, key, promised, class: classes.0 }, outer, &|| {
                format!("{}, the process was killed", place())
            });
        }
        for state in fs.crash_states(options) {
            let key = fold(key, low(state.hash));
            let selection = state.selection;
            self.visit(
                State { disk: state.fs, killed: false, key, promised, class: classes.1 },
                outer,
                &|| format!("{}, survived {selection:?}", place()),
            );
        }
    }

    fn visit(&mut self, state: State<'_>, outer: bool, place: &dyn Fn() -> String) {
        self.report.did("states", 1);
        if !self.seen.insert(state.key) {
            return;
        }
        self.report.did(if outer { "distinct" } else { "nested" }, 1);
        self.report.injected(state.class, 1);
        if self.plan.is_lying() {
            match caught(|| check_liar(&state.disk, state.promised, &self.shape)) {
                Ok(verdict) => self.report.came_of(state.class, name_of(verdict), 1),
                Err(violation) => self.fail(violation.at(&place())),
            }
            return;
        }
        let nested = outer && state.key.is_multiple_of(self.plan.nested_every);
        let pristine = nested.then(|| state.disk.process_killed());
        match caught(|| check(&state.disk, state.killed, state.promised, &self.shape)) {
            Ok(found) => self.count(state.class, &found),
            Err(violation) => return self.fail(violation.at(&place())),
        }
        if let Some(disk) = pristine
            && let Err(violation) = self.recover_and_crash(&disk, state.promised, place)
        {
            self.fail(violation.at(&place()));
        }
    }

    fn count(&mut self, class: &'static str, found: &Found) {
        self.report.did("torn", u64::from(found.torn));
        self.report.did("adopted", u64::from(found.adopted));
        let outcome = match (found.torn, found.adopted) {
            (true, true) => "torn_and_adopted",
            (true, false) => "torn",
            (false, true) => "adopted",
            (false, false) if found.shorter => "gone",
            (false, false) => "whole",
        };
        self.report.came_of(class, outcome, 1);
    }

    /// Opens the disk, and crashes again at every point of that and of what the journal does right after it.
    fn recover_and_crash(
        &mut self,
        disk: &SimFs,
        promised: &Promised,
        place: &dyn Fn() -> String,
    ) -> Result<(), Violation> {
        let mut after = promised.clone();
        let points = caught(|| {
            disk.set_capacity(None);
            let machine = Machine::plain(disk.clone());
            disk.note(0);
            disk.record(true);
            let (subject, facts) = Subject::open(&machine.env, OURS, promised.flushed, &self.shape)
                .map_err(|refusal| recovery::unopenable(&refusal))?;
            let floor = self.shape.floor(promised.flushed);
            recovery::learn(&subject, &facts, floor, &mut after.ledger)?;
            // What somebody has seen by now must stay.
            disk.note(1);
            machine.settle();
            drop(subject);
            Ok(disk.take_crash_points())
        })?;
        let options = self.plan.nested_outcomes();
        for point in &points {
            let promised = if point.note == 0 { promised } else { &after };
            self.visit_point(&point.fs, promised, &options, false, &|| {
                format!("{}; recovery up to {:?}", place(), point.operation)
            });
        }
        Ok(())
    }
}

fn run(sequence: &Sequence) -> Result<Vec<(CrashPoint, Arc<Promised>)>, Violation> {
    let mut workload = Workload::new(sequence.ground)?;
    let Some((last, before)) = sequence.ops.split_last() else { return Ok(Vec::new()) };
    before.iter().try_for_each(|op| workload.step(*op))?;
    workload.record();
    workload.step(*last)?;
    Ok(workload.into_points())
}

fn name_of(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Whole => "whole",
        Verdict::Shorter => "shorter",
        Verdict::Reported => "reported",
    }
}
