//! Background jobs: the same promises on threads and in the simulator.
#![allow(clippy::unwrap_used, clippy::expect_used)] // Helpers of tests are tests.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)] // Waiting for real threads needs real time.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use crossbeam_channel::{Receiver, Sender, unbounded};
use parking_lot::Mutex;
use stemedb_env::{
    Budget, Clock, Env, Job, Micros, Step, TaskHandle, Tasks,
    clock::SimClock,
    tasks::{SimTasks, ThreadTasks},
};

/// Long enough that a test which waits for it has failed.
const PATIENCE: Duration = Duration::from_secs(20);

/// A job that reports each step, asks a script what to return, and reports its own end.
struct Scripted {
    steps: Sender<usize>,
    taken: usize,
    script: Box<dyn FnMut(usize) -> Step + Send>,
    dropped: Arc<AtomicBool>,
}

impl Job for Scripted {
    fn step(&mut self, budget: Budget) -> Step {
        assert!(budget.bytes > 0);
        self.taken += 1;
        let step = (self.script)(self.taken);
        let _ = self.steps.send(self.taken);
        step
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.dropped.store(true, Ordering::SeqCst);
    }
}

struct Watch {
    steps: Receiver<usize>,
    dropped: Arc<AtomicBool>,
}

fn scripted(script: impl FnMut(usize) -> Step + Send + 'static) -> (Box<dyn Job>, Watch) {
    let (sender, steps) = unbounded();
    let dropped = Arc::new(AtomicBool::new(false));
    let job = Scripted { steps: sender, taken: 0, script: Box::new(script), dropped: Arc::clone(&dropped) };
    (Box::new(job), Watch { steps, dropped })
}

impl Watch {
    fn next(&self) -> usize {
        self.steps.recv_timeout(PATIENCE).expect("a step")
    }

    fn is_dropped(&self) -> bool {
        self.dropped.load(Ordering::SeqCst)
    }

    fn wait_until_dropped(&self) {
        // The channel ends when the job, which owns the other side, is dropped.
        while self.steps.recv_timeout(PATIENCE).is_ok() {}
        assert!(self.is_dropped());
    }
}

#[test]
fn a_thread_steps_again_then_idles_until_woken() {
    let tasks = ThreadTasks::new();
    let (job, watch) = scripted(|step| if step < 3 { Step::Again } else { Step::Idle });
    let handle = tasks.spawn("job", job).unwrap();
    assert_eq!([watch.next(), watch.next(), watch.next()], [1, 2, 3]);
    handle.wake();
    assert_eq!(watch.next(), 4);
    assert!(!tasks.drive(), "threads need no driver");
    drop(handle);
    assert!(watch.is_dropped(), "dropping the handle joins the thread");
    assert!(watch.steps.try_recv().is_err());
}

#[test]
fn a_thread_steps_again_after_a_pause_and_a_wake_cuts_the_pause_short() {
    let tasks = ThreadTasks::new();
    let (job, watch) = scripted(|step| match step {
        1 => Step::After(Duration::from_millis(1)),
        _ => Step::After(Duration::MAX),
    });
    let handle = tasks.spawn("job", job).unwrap();
    assert_eq!([watch.next(), watch.next()], [1, 2]);
    handle.wake();
    assert_eq!(watch.next(), 3);
}

#[test]
fn a_job_that_says_done_is_dropped_on_its_thread() {
    let (job, watch) = scripted(|_| Step::Done);
    let handle = ThreadTasks::new().spawn("job", job).unwrap();
    watch.wait_until_dropped();
    handle.wake();
}

#[test]
fn stopping_a_thread_waits_for_the_step_in_progress() {
    let (entered, at_work) = unbounded();
    let finished = Arc::new(AtomicBool::new(false));
    let (job, _watch) = scripted({
        let finished = Arc::clone(&finished);
        move |_| {
            entered.send(()).unwrap();
            std::thread::sleep(Duration::from_millis(30));
            finished.store(true, Ordering::SeqCst);
            Step::Idle
        }
    });
    let handle = ThreadTasks::new().spawn("job", job).unwrap();
    at_work.recv_timeout(PATIENCE).unwrap();
    drop(handle);
    assert!(finished.load(Ordering::SeqCst));
}

/// A job that holds the last reference to its own handle and drops it within a step.
struct Suicidal {
    own: Arc<Mutex<Option<TaskHandle>>>,
    /// The step went on after the drop.
    survived: Arc<AtomicBool>,
}

fn suicidal() -> (Box<dyn Job>, Watch, Suicidal) {
    let own: Arc<Mutex<Option<TaskHandle>>> = Arc::default();
    let survived = Arc::new(AtomicBool::new(false));
    let (job, watch) = scripted({
        let (own, survived) = (Arc::clone(&own), Arc::clone(&survived));
        move |_| {
            let Some(handle) = own.lock().take() else { return Step::Idle };
            drop(handle);
            survived.store(true, Ordering::SeqCst);
            Step::Again
        }
    });
    (job, watch, Suicidal { own, survived })
}

#[test]
fn a_job_may_drop_its_own_handle_on_a_thread() {
    let (job, watch, suicidal) = suicidal();
    let handle = ThreadTasks::new().spawn("job", job).unwrap();
    assert_eq!(watch.next(), 1);
    {
        let mut own = suicidal.own.lock();
        handle.wake();
        *own = Some(handle);
    }
    watch.wait_until_dropped();
    assert!(suicidal.survived.load(Ordering::SeqCst));
}

#[test]
fn a_job_may_drop_its_own_handle_in_the_simulator() {
    let (_, handles) = Env::sim(1);
    let (job, watch, suicidal) = suicidal();
    let handle = handles.tasks.spawn("job", job).unwrap();
    *suicidal.own.lock() = Some(handle);
    assert_eq!(handles.tasks.settle(10), 1);
    assert!(watch.is_dropped());
    assert!(suicidal.survived.load(Ordering::SeqCst));
}

#[test]
fn the_simulator_steps_only_when_driven_and_only_what_is_runnable() {
    let (_, handles) = Env::sim(1);
    let (job, watch) = scripted(|step| if step < 3 { Step::Again } else { Step::Idle });
    let handle = handles.tasks.spawn("job", job).unwrap();
    assert!(watch.steps.is_empty());
    assert_eq!(handles.tasks.settle(100), 3);
    assert!(!handles.tasks.drive());
    handle.wake();
    handle.wake();
    assert_eq!(handles.tasks.settle(100), 1, "two wakes before a step are one");
    drop(handle);
    assert!(watch.is_dropped());
    assert!(!handles.tasks.drive());
}

#[test]
fn the_simulator_waits_for_its_own_clock() {
    let (_, handles) = Env::sim(1);
    let (job, watch) = scripted(|_| Step::After(Duration::from_secs(3600)));
    let handle = handles.tasks.spawn("job", job).unwrap();
    assert_eq!(handles.tasks.settle(100), 1);
    assert_eq!(handles.tasks.next_due(), Some(Duration::from_secs(3600)));
    handles.clock.sleep(Duration::from_secs(3599));
    assert!(!handles.tasks.drive());
    handles.clock.sleep(Duration::from_secs(1));
    assert_eq!(handles.tasks.settle(100), 1);
    handle.wake();
    assert_eq!(handles.tasks.settle(100), 1, "a wake cuts the pause short");
    drop(handle);
    assert_eq!(handles.tasks.next_due(), None);
    assert!(watch.is_dropped());
}

#[test]
fn a_caller_that_waits_lets_the_simulators_time_pass_up_to_the_next_step() {
    let (_, handles) = Env::sim(1);
    assert!(!handles.tasks.pass_time(), "nobody waits for time");
    let (late, _late) = scripted(|_| Step::After(Duration::from_secs(9)));
    let (early, watch) = scripted(|_| Step::After(Duration::from_secs(3)));
    let _handles = [handles.tasks.spawn("late", late).unwrap(), handles.tasks.spawn("early", early).unwrap()];
    handles.tasks.settle(100);
    assert!(handles.tasks.pass_time());
    assert_eq!(handles.clock.monotonic(), Duration::from_secs(3));
    assert_eq!(handles.tasks.settle(100), 1);
    assert_eq!(watch.steps.try_iter().count(), 2);
    assert!(!ThreadTasks::new().pass_time(), "real time passes by itself");
}

#[test]
fn a_job_that_says_done_is_dropped_in_the_simulator() {
    let (_, handles) = Env::sim(1);
    let (job, watch) = scripted(|_| Step::Done);
    let handle = handles.tasks.spawn("job", job).unwrap();
    assert!(handles.tasks.drive());
    assert!(watch.is_dropped());
    handle.wake();
    assert!(!handles.tasks.drive());
}

#[test]
fn a_step_may_drive_the_other_jobs() {
    (0..32).for_each(drive_within_a_step);
}

fn drive_within_a_step(seed: u64) {
    let (_, handles) = Env::sim(seed);
    let others = Arc::new(AtomicUsize::new(0));
    let (other, _watch) = scripted({
        let others = Arc::clone(&others);
        move |_| {
            others.fetch_add(1, Ordering::SeqCst);
            Step::Idle
        }
    });
    let own: Arc<Mutex<Option<TaskHandle>>> = Arc::default();
    let (waiting, watch) = scripted({
        let (tasks, own, others) = (Arc::clone(&handles.tasks), Arc::clone(&own), Arc::clone(&others));
        move |_| {
            // Woken while it runs: it must not be taken for runnable by its own driving.
            if let Some(handle) = own.lock().as_ref() {
                handle.wake();
            }
            while others.load(Ordering::SeqCst) == 0 {
                assert!(tasks.drive(), "the other job is runnable");
            }
            Step::Done
        }
    });
    *own.lock() = Some(handles.tasks.spawn("waiting", waiting).unwrap());
    let _other = handles.tasks.spawn("other", other).unwrap();
    handles.tasks.settle(10);
    assert_eq!((others.load(Ordering::SeqCst), watch.next()), (1, 1));
}

#[test]
fn the_seed_decides_the_order_of_steps() {
    let order = |seed| {
        let tasks = SimTasks::new(Arc::new(SimClock::new(Micros(0))), seed);
        let log = Arc::new(Mutex::new(Vec::new()));
        let handles: Vec<TaskHandle> = (0..3)
            .map(|id| {
                let log = Arc::clone(&log);
                let (job, _) = scripted(move |step| {
                    log.lock().push(id);
                    if step < 5 { Step::Again } else { Step::Idle }
                });
                tasks.spawn("job", job).unwrap()
            })
            .collect();
        assert_eq!(tasks.settle(1000), 15);
        drop(handles);
        Arc::try_unwrap(log).unwrap().into_inner()
    };
    assert_eq!(order(7), order(7));
    let distinct: std::collections::BTreeSet<Vec<i32>> = (0..20).map(order).collect();
    assert!(distinct.len() > 15, "20 seeds gave {} orders", distinct.len());
}

/// Only the thread that asks for it steps back, and all others keep their share.
#[cfg(target_os = "linux")]
#[test]
fn a_thread_steps_back_alone() {
    let niceness = || {
        let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
        // Its name, in brackets, may hold anything; the 17th field behind it is how nice it is.
        let (_, behind) = stat.rsplit_once(") ").unwrap();
        behind.split(' ').nth(16).unwrap().parse::<i32>().unwrap()
    };
    let before = niceness();
    let nicer = std::thread::spawn(move || {
        stemedb_env::tasks::step_back(before as u8 + 3);
        niceness()
    });
    assert_eq!(nicer.join().unwrap(), before + 3);
    assert_eq!(niceness(), before);
}
