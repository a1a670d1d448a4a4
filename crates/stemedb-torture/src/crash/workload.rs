//! Runs a sequence and remembers, for every crash point, what had been promised by then.

use std::{sync::Arc, time::Duration};

use stemedb_env::{
    IoOp,
    fs::{
        SimFs,
        fault::{Fault, FaultRule},
        sim::{CrashPoint, Selection},
    },
};

use super::{Ground, Op};
use crate::{
    client,
    entries::entry,
    ledger::Ledger,
    machine::Machine,
    recovery,
    subject::{Answer, OURS, RESUME, Resume, Shape, Subject},
    violation::{Promise, Violation},
};

/// What holds from one moment on.
#[derive(Clone, Debug)]
pub struct Promised {
    /// What must and may be in the journal.
    pub ledger: Ledger,
    /// What the views have on disk.
    pub flushed: u64,
    /// It only allows more than the one before it: a moment of its own would prove nothing new.
    weaker: bool,
}

/// A journal, what it was told and what it said.
#[derive(Debug)]
pub struct Workload {
    shape: Shape,
    machine: Machine,
    subject: Option<Subject>,
    now: Promised,
    /// Everything that was promised so far; a crash point's note is an index into it.
    history: Vec<Arc<Promised>>,
    /// Points of disks that are gone.
    points: Vec<CrashPoint>,
    recording: bool,
    /// Entries submitted so far, refused ones too.
    submitted: u64,
}

/// Room left on a disk that fills up in the middle of a large append.
const ROOM_BYTES: u64 = 1500;

impl Workload {
    /// A journal as old as the ground says.
    pub fn new(ground: Ground) -> Result<Workload, Violation> {
        let Ground { profile, shape, before } = ground;
        let machine = Machine::faulty(Machine::disk(profile), Machine::clock(), 1);
        let now = Promised { ledger: Ledger::default(), flushed: 0, weaker: false };
        let subject = Subject::create(&machine.env, OURS, &shape)
            .map_err(|refusal| Violation::new(Promise::Live, format!("cannot create: {refusal}")))?;
        let mut workload = Workload {
            shape,
            machine,
            subject: Some(subject),
            history: vec![Arc::new(now.clone())],
            now,
            points: Vec::new(),
            recording: false,
            submitted: 0,
        };
        before.iter().try_for_each(|op| workload.step(*op))?;
        Ok(workload)
    }

    /// From now on every moment is kept.
    pub fn record(&mut self) {
        self.recording = true;
        self.machine.disk.record(true);
    }

    /// Every moment since [`Workload::record`] with what had been promised, those left out that prove nothing new.
    pub fn into_points(mut self) -> Vec<(CrashPoint, Arc<Promised>)> {
        self.points.extend(self.machine.disk.take_crash_points());
        let history = self.history;
        let promised = |note: u64| history.get(usize::try_from(note).unwrap_or(usize::MAX)).map(Arc::clone);
        let kept = |point: &CrashPoint, promised: &Promised| point.operation.is_some() || !promised.weaker;
        self.points
            .into_iter()
            .filter_map(|point| promised(point.note).map(|promised| (point, promised)))
            .filter(|(point, promised)| kept(point, promised))
            .collect()
    }

    fn promise(&mut self, weaker: bool) {
        self.now.weaker = weaker;
        self.history.push(Arc::new(self.now.clone()));
        self.machine.disk.note(self.history.len() as u64 - 1);
    }

    fn subject(&self) -> Result<&Subject, Violation> {
        self.subject.as_ref().ok_or_else(|| Violation::new(Promise::Live, "the journal is not open"))
    }

    /// Does one step.
    pub fn step(&mut self, op: Op) -> Result<(), Violation> {
        match op {
            Op::Small => self.append(&[20]),
            Op::Group => self.append(&[5, 700, EMPTY]),
            Op::Large => self.append(&[5000]),
            Op::Rotate => self.subject()?.rotate().map_err(|refusal| must_work("rotate", &refusal)),
            Op::Release => {
                // The views' own files are durable before they say so.
                self.now.flushed = self.now.ledger.settled();
                self.promise(false);
                self.subject()?.release(self.now.flushed).map_err(|refusal| must_work("release", &refusal))
            }
            Op::Idle => {
                self.machine.idle(3, Duration::from_millis(self.shape.marker_ms + 1));
                Ok(())
            }
            Op::Settle => self.settle(),
            Op::Close => {
                self.subject()?.close().map_err(|refusal| must_work("close", &refusal))?;
                self.reopen()
            }
            Op::Kill => self.reopen(),
            Op::PowerCut => {
                self.power_cut(|_| false);
                self.reopen()
            }
            Op::TornAppend => {
                // The write is done, its sync is not.
                self.machine.arm_stop(1);
                self.submit(&[5, 1400, EMPTY])?;
                self.power_cut(|unit| unit % 2 == 0);
                self.reopen()
            }
            Op::FailedSync => {
                self.fail_next(IoOp::SyncData);
                let answer = self.submit(&[30]);
                self.fail_no_more();
                self.regain(&answer?)
            }
            Op::FailedDirSync => {
                self.fail_next(IoOp::SyncDir);
                // Whatever became of the rotation shows in the answer to the append.
                let _ = self.subject()?.rotate();
                let answer = self.submit(&[30]);
                self.fail_no_more();
                self.regain(&answer?)
            }
            Op::FullDisk => {
                let disk = &self.machine.disk;
                disk.set_capacity(Some(disk.total_bytes() + ROOM_BYTES));
                let answer = self.submit(&[5000]);
                self.machine.disk.set_capacity(None);
                self.regain(&answer?)
            }
        }
    }

    fn fail_next(&self, sync: IoOp) {
        let rule = FaultRule::new(Fault::SyncFailsThenLies).on(sync).times(1);
        self.machine.faults.iter().for_each(|faults| faults.add(rule.clone()));
    }

    fn fail_no_more(&self) {
        self.machine.faults.iter().for_each(|faults| faults.clear());
    }

    /// Submits a group of entries of these sizes.
    fn submit(&mut self, sizes: &[usize]) -> Result<Answer, Violation> {
        let mut group = Vec::with_capacity(sizes.len());
        for &bytes in sizes {
            self.submitted += 1;
            group.push(if bytes == EMPTY { Vec::new() } else { entry(self.submitted, bytes, false) });
        }
        let group = Arc::new(group);
        self.now.ledger.submit(Arc::clone(&group));
        self.promise(true);
        let borrowed: Vec<&[u8]> = group.iter().map(Vec::as_slice).collect();
        let answer = self.subject()?.append_group(&borrowed);
        if let Some(subject) = &self.subject {
            client::settle(&self.machine, subject, &mut self.now.ledger, &answer)?;
        }
        self.promise(false);
        Ok(answer)
    }

    /// Submits a group that must be acknowledged.
    fn append(&mut self, sizes: &[usize]) -> Result<(), Violation> {
        match self.submit(sizes)? {
            Answer::Acknowledged(_) => Ok(()),
            Answer::Refused(refusal) | Answer::Unknown(refusal) => Err(must_work("append", &refusal)),
        }
    }

    /// After a fault: whatever the journal needs until it accepts entries again.
    fn regain(&mut self, answer: &Answer) -> Result<(), Violation> {
        match (answer, RESUME) {
            (Answer::Acknowledged(_), _) => Ok(()),
            (_, Resume::AfterReopen) => self.reopen(),
            (_, Resume::ByItself { within }) => {
                self.machine.idle(10, within / 10);
                let subject = self.subject()?;
                let behind = recovery::read_back(subject, &self.now.ledger)?;
                self.now.ledger.observe(&behind)?;
                self.promise(false);
                Ok(())
            }
        }
    }

    fn settle(&self) -> Result<(), Violation> {
        if self.machine.settle() {
            return Ok(());
        }
        Err(Violation::new(Promise::Live, "background work never comes to rest"))
    }

    /// The machine goes on with what a power cut left.
    fn power_cut(&mut self, survives: impl Fn(usize) -> bool) {
        self.subject = None;
        let disk = &self.machine.disk;
        let units = disk.pending_units().len();
        let image = disk.crash_image(&Selection::from_fn(units, survives));
        self.points.extend(disk.take_crash_points());
        self.start_on(image);
    }

    fn start_on(&mut self, disk: SimFs) {
        disk.note(self.history.len() as u64 - 1);
        disk.record(self.recording);
        self.machine = Machine::faulty(disk, Arc::clone(&self.machine.clock), 1);
    }

    fn reopen(&mut self) -> Result<(), Violation> {
        self.subject = None;
        let (subject, facts) = Subject::open(&self.machine.env, OURS, self.now.flushed, &self.shape)
            .map_err(|refusal| recovery::unopenable(&refusal))?;
        let floor = self.shape.floor(self.now.flushed);
        recovery::learn(&subject, &facts, floor, &mut self.now.ledger)?;
        self.subject = Some(subject);
        self.promise(false);
        Ok(())
    }
}

/// A size that stands for an entry without any byte.
const EMPTY: usize = usize::MAX;

fn must_work(what: &str, refusal: &crate::subject::Refusal) -> Violation {
    Violation::new(Promise::Live, format!("{what} failed without any fault: {refusal}"))
}
