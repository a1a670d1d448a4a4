//! The same history under many option sets: options change what things cost, never an answer.
//!
//! A seed makes a history once. It is told to the reference implementation and to a tree per option set, one option away
//! from a common choice or many at once; every answer is folded into a number, and the numbers must be equal, and
//! in the end the digest of the whole state.

use stemedb_lsm::{
    Compression, Direction, Error, KeyRange, KvIter, KvSnapshot, KvStore, LsmOptions, LsmStore, Lsn,
    MemStore, Result,
};

use super::{
    create,
    model::{Batch, Write},
    open, shape, timed, view,
};
use crate::{
    Dice,
    dice::{digest, fold},
    machine::Machine,
    report::{Failure, Report},
    violation::{Promise, Violation, caught},
};

/// What to run.
#[derive(Clone, Debug)]
pub struct Options {
    /// The first seed; the others follow it.
    pub first: u64,
    /// How many.
    pub seeds: u64,
}

/// Steps of one history.
const STEPS: usize = 500;
/// Option sets that are drawn, beside those that differ in one option.
const DRAWN: usize = 8;

#[derive(Debug)]
enum Step {
    /// Publishes so many of the batches, and forgets the others.
    Write(Vec<Vec<Write>>, usize),
    Get(Vec<Vec<u8>>),
    Many(Vec<Vec<u8>>),
    Scan(KeyRange, Direction, usize),
    /// Keeps a snapshot, and lets the oldest go when there are three.
    Hold,
    /// The next look goes to the oldest held snapshot.
    Held,
    /// The next look goes to so many LSNs ago, where that is possible.
    Past(u64),
    Flush,
    Compact,
    Reopen,
}

fn history(dice: &mut Dice, keys: u64) -> Vec<Step> {
    let look = |dice: &mut Dice| match dice.below(3) {
        0 => Step::Get(shape::several_keys(dice, keys, 8)),
        1 => Step::Many(shape::several_keys(dice, keys, 24)),
        _ => {
            let limit = if dice.one_in(3) { dice.size(12) } else { 300 };
            Step::Scan(shape::range(dice, keys), shape::direction(dice), limit)
        }
    };
    let mut steps = Vec::new();
    while steps.len() < STEPS {
        match dice.below(100) {
            0..55 => {
                let batches: Vec<_> = (0..1 + dice.below(2)).map(|_| shape::writes(dice, keys)).collect();
                let kept = if dice.one_in(8) { dice.size(batches.len() + 1) } else { batches.len() };
                steps.push(Step::Write(batches, kept));
            }
            55..80 => steps.push(look(dice)),
            80..84 => steps.push(Step::Hold),
            84..89 => {
                let next = look(dice);
                steps.extend([Step::Held, next]);
            }
            89..93 => {
                let (back, next) = (dice.below(12), look(dice));
                steps.extend([Step::Past(back), next]);
            }
            93..96 => steps.push(Step::Flush),
            96..98 => steps.push(Step::Compact),
            _ => steps.push(Step::Reopen),
        }
    }
    steps
}

/// Every set with its name.
fn sets(dice: &mut Dice) -> Vec<(String, LsmOptions)> {
    let common = LsmOptions { prefix_extractor: Some(shape::declared_prefix), ..LsmOptions::tiny() };
    let mut sets = vec![("tiny".to_owned(), common.clone())];
    let mut one = |name: &str, change: &dyn Fn(&mut LsmOptions)| {
        let mut options = common.clone();
        change(&mut options);
        sets.push((name.to_owned(), options));
    };
    for bytes in [1 << 10, 4 << 10, 16 << 10] {
        one(&format!("blocks of {bytes}"), &|options| options.block_bytes = bytes);
    }
    one("without compression", &|options| options.compression = Compression::None);
    one("with Zstandard", &|options| options.compression = Compression::Zstd(1));
    for bits in [0, 10, 16] {
        one(&format!("{bits} filter bits"), &|options| options.bloom_bits_per_key = bits);
    }
    for bytes in [1, 1 << 20] {
        one(&format!("memtables of {bytes}"), &|options| options.memtable_bytes = bytes);
    }
    for trigger in [3, 8] {
        one(&format!("{trigger} tables in level 0"), &|options| options.l0_trigger = trigger);
    }
    for runs in [1, 4] {
        one(&format!("{runs} upper runs"), &|options| options.upper_runs = runs);
    }
    for ratio in [1, 8] {
        one(&format!("last run ratio {ratio}"), &|options| options.last_run_ratio = ratio);
    }
    for bytes in [0, 2 << 10, 64 << 20] {
        one(&format!("a cache of {bytes}"), &|options| options.block_cache_bytes = bytes);
    }
    one("without declared prefixes", &|options| options.prefix_extractor = None);
    one("without automatic compaction", &|options| options.enable_auto_compaction = false);
    sets.extend((0..DRAWN).map(|n| (format!("drawn {n}"), shape::options(dice))));
    sets
}

/// The answers, one per step (`None` where a set may refuse), and rows and digest of the last state.
type Told = (Vec<Option<u64>>, (u64, u128));

/// Something that a history is told to.
struct Teller<S: KvStore> {
    store: S,
    last: Lsn,
    unflushed: Vec<Batch>,
    held: Vec<S::Snapshot>,
}

fn digest_of(value: Option<&[u8]>) -> u64 {
    value.map_or(1, digest)
}

impl<S: KvStore> Teller<S> {
    fn new(store: S) -> Teller<S> {
        Teller { store, last: Lsn::ZERO, unflushed: Vec::new(), held: Vec::new() }
    }

    fn write(&mut self, batches: &[Vec<Write>], kept: usize) -> Result<()> {
        let numbered = batches
            .iter()
            .zip(1..)
            .map(|(writes, n)| Batch { lsn: Lsn(self.last.0 + n), writes: writes.clone() });
        let numbered: Vec<Batch> = numbered.collect();
        for batch in &numbered {
            self.store.apply(&batch.encoded(), batch.lsn)?;
        }
        for batch in numbered.into_iter().take(kept) {
            self.store.publish(batch.lsn);
            self.last = batch.lsn;
            self.unflushed.push(batch);
        }
        if kept < batches.len() { self.store.abandon() } else { Ok(()) }
    }

    fn look(&self, snapshot: &S::Snapshot, step: &Step) -> Result<u64> {
        let mut answer = snapshot.lsn().0;
        match step {
            Step::Get(keys) => {
                for key in keys {
                    answer = fold(answer, digest_of(snapshot.get(key)?.as_deref()));
                }
            }
            Step::Many(keys) => {
                let keys: Vec<&[u8]> = keys.iter().map(Vec::as_slice).collect();
                for value in snapshot.multi_get(&keys)? {
                    answer = fold(answer, digest_of(value.as_deref()));
                }
            }
            Step::Scan(range, direction, limit) => {
                let mut iter = snapshot.scan(range, *direction);
                let mut rows = 0;
                while rows < *limit && iter.advance()? {
                    rows += 1;
                    answer = fold(fold(fold(answer, digest(iter.key())), iter.lsn().0), digest(iter.value()));
                    answer = fold(answer, digest(&iter.pinned_value()));
                }
            }
            _ => {}
        }
        Ok(answer)
    }

    fn tell(mut self, history: &[Step], again: &dyn Fn(S) -> Result<S>) -> Result<Told> {
        let mut answers = Vec::new();
        let mut aside: Option<Option<S::Snapshot>> = None;
        for step in history {
            let answer = match step {
                Step::Write(batches, kept) => {
                    self.write(batches, *kept)?;
                    Some(self.last.0)
                }
                Step::Get(_) | Step::Many(_) | Step::Scan(..) => {
                    match aside.take().unwrap_or_else(|| Some(self.store.snapshot())) {
                        Some(snapshot) => Some(self.look(&snapshot, step)?),
                        None => None,
                    }
                }
                Step::Hold => {
                    if self.held.len() == 3 {
                        self.held.remove(0);
                    }
                    self.held.push(self.store.snapshot());
                    None
                }
                Step::Held => {
                    aside = self.held.first().cloned().map(Some);
                    None
                }
                Step::Past(back) => {
                    aside = Some(match self.store.snapshot_at(Lsn(self.last.0.saturating_sub(*back))) {
                        Ok(snapshot) => Some(snapshot),
                        Err(Error::SnapshotTooOld { .. }) => None,
                        Err(other) => return Err(other),
                    });
                    None
                }
                Step::Flush => {
                    self.store.flush()?;
                    None
                }
                Step::Compact => {
                    self.store.compact()?;
                    None
                }
                Step::Reopen => {
                    self.held.clear();
                    self.store = again(self.store)?;
                    let flushed = self.store.flushed_lsn();
                    for batch in self.unflushed.iter().filter(|batch| batch.lsn > flushed) {
                        if batch.lsn > self.store.published_lsn() {
                            self.store.apply(&batch.encoded(), batch.lsn)?;
                            self.store.publish(batch.lsn);
                        }
                    }
                    self.unflushed.retain(|batch| batch.lsn > flushed);
                    Some(self.store.published_lsn().0)
                }
            };
            answers.push(answer);
        }
        let digest = view::digest(&self.store.snapshot())?;
        self.store.verify()?;
        Ok((answers, digest))
    }
}

fn told_to_tree(history: &[Step], options: &LsmOptions) -> Result<Told> {
    let machine = Machine::plain(Machine::disk(stemedb_env::fs::sim::Profile::Adversarial));
    let store = create(&machine.env, options)?;
    Teller::new(store).tell(history, &|store: LsmStore| {
        store.close();
        open(&machine.env, options)
    })
}

fn compared(
    name: &str,
    told: &Told,
    reference: &Told,
    history: &[Step],
) -> std::result::Result<u64, Violation> {
    let wrong = |detail: String| Violation::new(Promise::NeverSilent, format!("{name}: {detail}"));
    let mut equal = 0;
    for (at, ((one, other), step)) in told.0.iter().zip(&reference.0).zip(history).enumerate() {
        if let (Some(one), Some(other)) = (one, other) {
            if one != other {
                return Err(wrong(format!("the answer of step {at} differs: {step:?}")));
            }
            equal += 1;
        }
    }
    if told.1 != reference.1 {
        return Err(wrong(format!("the last states differ: {:?} and {:?}", told.1, reference.1)));
    }
    Ok(equal)
}

fn seed(seed: u64, report: &mut Report) -> std::result::Result<(), Violation> {
    let mut dice = Dice::new(seed);
    let keys = dice.pick(&[12, 90, 700]);
    let history = history(&mut dice, keys);
    let failed = |name: &str, error: Error| Violation::new(Promise::Live, format!("{name}: {error}"));
    let reference =
        Teller::new(MemStore::new()).tell(&history, &Ok).map_err(|error| failed("the reference", error))?;
    for (name, options) in sets(&mut dice) {
        let told = told_to_tree(&history, &options).map_err(|error| failed(&name, error))?;
        report.did("answers", compared(&name, &told, &reference, &history)?);
        report.did("sets", 1);
    }
    report.did("histories", 1);
    Ok(())
}

/// Runs all seeds.
///
/// # Errors
/// Never; the other suites can fail to start.
pub fn run(tier: &str, options: &Options) -> std::result::Result<Report, String> {
    timed("lsm-options", tier, |report| {
        for number in options.first..options.first.saturating_add(options.seeds) {
            if let Err(violation) = caught(|| seed(number, report)) {
                let again = format!("torture lsm-options --first {number} --seeds 1");
                report.failures.push(Failure { violation: violation.at(&format!("seed {number}")), again });
            }
            if report.failures.len() >= MOST_FAILURES {
                break;
            }
        }
        Ok(())
    })
}

const MOST_FAILURES: usize = 5;
