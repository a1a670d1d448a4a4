//! Every answer of a sample of questions beside a naive oracle.
//!
//! A database is told a history of real claims with drawn records of every kind, through the whole engine: journal, admission,
//! derivation, tree, caches, a close, a kill and a merge in between. The oracle ([`stemedb_oracle`]) hears the same commands and
//! shares no code with any of that. Then each question is asked through every lens, at five moments (the present, two by LSN, two by
//! time), with nothing left out, without the winner's source, without an agent who voted, up to a class, and without all
//! of these; with and without decay, epoch and tolerance. Half of the questions are asked after another close.
//!
//! | module | |
//! |---|---|
//! | `corpus` | the claims, and which questions are asked |
//! | `records` | drawn records |
//! | `history` | tells them to both |
//! | `ask` | moments and counterfactuals |
//! | `compare` | whether two answers are the same |

mod ask;
mod compare;
mod corpus;
mod history;
mod records;
mod told;

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use parking_lot::Mutex;
use stemedb_core::{Lens, lens::resolve};
use stemedb_env::Env;

use self::{
    ask::{COUNTERFACTUALS, MOMENTS, Moment, Without, for_lens, for_oracle},
    corpus::Corpus,
    history::History,
};
use crate::{
    Dice,
    dice::{digest, fold},
    progress::Progress,
    report::{Failure, Report},
    violation::{Promise, Violation, caught},
    workers::side_by_side,
};

/// So many are asked between two saves of the progress.
const CHUNK: usize = 500;
/// After so many differences nothing more is asked.
const MOST_FAILURES: usize = 20;
/// Asked while the history is told, each time.
const IN_BETWEEN: usize = 12;

/// What must have been seen in answers.
const MUST_SHOW: [&str; 14] = [
    "unknown",
    "unanimous",
    "agreed",
    "contested",
    "retracted",
    "superseded",
    "restaged",
    "rejected",
    "out_of_epoch",
    "not_yet_valid",
    "no_longer_valid",
    "excluded",
    "tainted",
    "changed",
];

/// What to run.
#[derive(Clone, Debug)]
pub struct Options {
    /// Questions.
    pub questions: usize,
    /// A file of claims; the committed sample without one.
    pub claims: Option<PathBuf>,
    /// Decides everything that is drawn.
    pub seed: u64,
    /// Threads that ask.
    pub threads: usize,
    /// Only the question with this number.
    pub only: Option<usize>,
    /// Keep the progress in this file, and go on where it stops.
    pub resume: Option<PathBuf>,
}

impl Options {
    /// This many questions about the committed sample.
    pub fn new(questions: usize) -> Options {
        Options { questions, claims: None, seed: 1, threads: 1, only: None, resume: None }
    }

    fn again(&self, question: Option<usize>) -> String {
        let mut words = format!("torture answers --questions {} --seed {}", self.questions, self.seed);
        if let Some(claims) = &self.claims {
            words.push_str(&format!(" --claims {}", claims.display()));
        }
        question.iter().for_each(|number| words.push_str(&format!(" --only {number}")));
        words
    }
}

/// What one thread has seen.
#[derive(Default)]
struct Seen {
    answers: u64,
    shown: BTreeMap<String, u64>,
    failures: Vec<Failure>,
}

impl Seen {
    fn into_report(self, report: &mut Report) {
        report.did("answers", self.answers);
        report.did("different", self.failures.len() as u64);
        self.shown.iter().for_each(|(what, times)| report.injected(what, *times));
        report.failures.extend(self.failures);
    }
}

/// Runs the suite.
///
/// # Errors
/// A message when the claims or the progress cannot be read.
pub fn run(tier: &str, options: &Options) -> Result<Report, String> {
    let clock = Env::real().clock;
    let started = clock.monotonic();
    let mut report = Report::new("answers", tier);
    let corpus = Corpus::read(options.claims.as_deref(), options.questions, &mut Dice::new(options.seed))?;
    if corpus.questions.len() < options.questions {
        return Err(format!("{} questions of {}", corpus.questions.len(), options.questions));
    }
    let mut progress = match &options.resume {
        Some(path) => {
            let plan = format!("{} {} {}", options.questions, options.seed, corpus.said.len());
            Some(Progress::open(path, digest(plan.as_bytes()), &mut report)?.0)
        }
        None => None,
    };
    if options.only.is_none() {
        report.required = MUST_SHOW.map(str::to_owned).to_vec();
    }
    let before = progress.as_ref().map_or(0.0, |progress| progress.seconds);
    let mut next = progress.as_ref().map_or(0, |progress| usize::try_from(progress.next).unwrap_or(0));
    if next >= corpus.questions.len() {
        report.seconds = before;
        return Ok(report);
    }
    let told = caught(|| told(&corpus, options, next == 0, &mut report));
    let mut history = match told {
        Ok(history) => Arc::new(history),
        Err(violation) => {
            report.failures.push(Failure { violation, again: options.again(None) });
            return Ok(report);
        }
    };
    let corpus = Arc::new(corpus);
    let half = corpus.questions.len() / 2;
    while next < corpus.questions.len() && report.failures.len() < MOST_FAILURES {
        let mut end = (next + CHUNK).min(corpus.questions.len());
        if next < half {
            end = end.min(half);
        } else if next == half {
            // Nobody else has it between two chunks.
            let reopened = Arc::get_mut(&mut history).map(|history| history.reopen(false));
            if let Some(Err(violation)) = reopened {
                report.failures.push(Failure { violation, again: options.again(None) });
                break;
            }
            report.did("reopened", u64::from(reopened.is_some()));
        }
        ask_some(&history, &corpus, options, next..end, &mut report)?;
        next = end;
        report.seconds = before + (clock.monotonic() - started).as_secs_f64();
        if let Some(progress) = &mut progress
            && report.failures.is_empty()
        {
            (progress.next, progress.seconds) = (next as u64, report.seconds);
            progress.save(&report, &[])?;
        }
    }
    if history.cache.stats().answers.hits == 0 && options.only.is_none() {
        let violation = Violation::new(Promise::Noticed, "the caches were never asked");
        report.failures.push(Failure { violation, again: options.again(None) });
    }
    report.seconds = before + (clock.monotonic() - started).as_secs_f64();
    Ok(report)
}

/// The history, asked a little while it is told; what is found and counted goes to the report if this is its first telling.
fn told(corpus: &Corpus, options: &Options, counts: bool, report: &mut Report) -> Result<History, Violation> {
    let mut history = History::new(corpus)?;
    let mut dice = Dice::new(fold(options.seed, 1));
    let mut seen = Seen::default();
    history.tell_all(corpus, &mut dice, |history, dice| {
        for _ in 0..IN_BETWEEN {
            let number = dice.size(corpus.questions.len());
            let mut moment = Moment::draw(history, &corpus.questions[number], 0, dice);
            // Most questions are asked this way, and it is the way that caches are made for.
            (moment.epoch, moment.tolerance, moment.decay) = (None, None, false);
            ask(history, corpus, number, &moment, dice, &mut seen, options)?;
        }
        Ok(())
    })?;
    if counts {
        report.did("questions", 0);
        for (kind, count) in &history.kinds {
            report.did(kind, *count);
        }
        report.did("entries", history.last());
        report.did("while_told", seen.answers);
        seen.into_report(report);
    }
    Ok(history)
}

/// Asks some questions in every way.
fn ask_some(
    history: &Arc<History>,
    corpus: &Arc<Corpus>,
    options: &Options,
    numbers: std::ops::Range<usize>,
    report: &mut Report,
) -> Result<(), String> {
    let asked = numbers.len() as u64;
    let next = Arc::new(AtomicUsize::new(numbers.start));
    let all = Arc::new(Mutex::new(Vec::new()));
    let work = {
        let (history, corpus, options) = (Arc::clone(history), Arc::clone(corpus), options.clone());
        let (next, all) = (Arc::clone(&next), Arc::clone(&all));
        move || {
            let mut seen = Seen::default();
            while seen.failures.len() < MOST_FAILURES {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= numbers.end {
                    break;
                }
                if options.only.is_none_or(|only| only == number) {
                    ask_in_every_way(&history, &corpus, number, &mut seen, &options);
                }
            }
            all.lock().push(seen);
        }
    };
    side_by_side(options.threads, Arc::new(work)).map_err(|error| error.to_string())?;
    report.did("questions", if options.only.is_some() { 0 } else { asked });
    for seen in std::mem::take(&mut *all.lock()) {
        seen.into_report(report);
    }
    Ok(())
}

fn ask_in_every_way(history: &History, corpus: &Corpus, number: usize, seen: &mut Seen, options: &Options) {
    let mut dice = Dice::new(fold(fold(options.seed, 2), number as u64));
    let outcome = caught(|| {
        for moment in 0..MOMENTS {
            let moment = Moment::draw(history, &corpus.questions[number], moment, &mut dice);
            ask(history, corpus, number, &moment, &mut dice, seen, options)?;
        }
        Ok(())
    });
    if let Err(violation) = outcome {
        let violation = violation.at(&format!("{:?}", corpus.questions[number]));
        seen.failures.push(Failure { violation, again: options.again(Some(number)) });
    }
}

/// Asks a question at a moment, through every lens, with everything that is left out, both the engine and the oracle.
fn ask(
    history: &History,
    corpus: &Corpus,
    number: usize,
    moment: &Moment,
    dice: &mut Dice,
    seen: &mut Seen,
    options: &Options,
) -> Result<(), Violation> {
    let question = &corpus.questions[number];
    let failed = |error: stemedb_index::Error| Violation::new(Promise::Live, error.to_string());
    let first = for_oracle(question, Lens::ALL[dice.size(Lens::ALL.len())], moment, &Without::default());
    let withouts: [Without; COUNTERFACTUALS] = Without::all(&history.world, &first, dice);
    for lens in Lens::ALL {
        let mut plain = None;
        for without in &withouts {
            let expected = history.world.answer(&for_oracle(question, lens, moment, without));
            let params = for_lens(moment, without)?;
            let reader = history.reader(moment.lsn, moment.by_time)?;
            let set = reader.question(&question.0, &question.1, moment.epoch).map_err(failed)?;
            let found = history.cache.answer(lens, &set, &params);
            let mut difference = compare::difference(&expected, &found, &set);
            // Some again, now that the caches have them; some without.
            if difference.is_none() && dice.one_in(4) {
                let set = reader.question(&question.0, &question.1, moment.epoch).map_err(failed)?;
                let kept = history.cache.answer(lens, &set, &params);
                difference = compare::difference(&expected, &kept, &set).map(|text| format!("kept: {text}"));
            }
            if difference.is_none() && dice.one_in(16) {
                let set = reader.candidates(&question.0, &question.1, moment.epoch).map_err(failed)?;
                let fresh = resolve(lens, &set, &params);
                difference =
                    compare::difference(&expected, &fresh, &set).map(|text| format!("fresh: {text}"));
            }
            seen.answers += 1;
            let mut show = |what: &str, times: usize| {
                if times > 0 {
                    *seen.shown.entry(what.to_owned()).or_default() += times as u64;
                }
            };
            show(&expected.status, 1);
            show("tainted", expected.tainted.len());
            expected.set_aside.iter().for_each(|(_, reason)| show(reason, 1));
            // What was left out made another value win.
            let changed = plain.as_ref().is_some_and(|plain| *plain != expected.value);
            show("changed", usize::from(changed));
            if let Some(difference) = difference {
                let detail = format!(
                    "{question:?} through {lens}, {moment:?}, {without}: {difference}\n  oracle {expected:?}\n  engine {found:?}"
                );
                let violation = Violation::new(Promise::AsTheOracle, detail);
                seen.failures.push(Failure { violation, again: options.again(Some(number)) });
                if seen.failures.len() >= MOST_FAILURES {
                    return Ok(());
                }
            }
            plain.get_or_insert(expected.value);
        }
    }
    Ok(())
}
