//! What a suite did and what it found, for people and for the ledger.

use std::{collections::BTreeMap, fmt::Write as _};

use crate::violation::Violation;

/// A violation, and how to see it again.
#[derive(Clone, Debug)]
pub struct Failure {
    /// What was broken.
    pub violation: Violation,
    /// The command line that repeats it.
    pub again: String,
}

/// What a suite did and what it found.
#[derive(Clone, Debug)]
pub struct Report {
    /// Name of the suite.
    pub suite: &'static str,
    /// `push`, `deep` or `quick`.
    pub tier: String,
    /// Counts of what was done, in the order of insertion.
    pub work: Vec<(String, u64)>,
    /// Faults that were injected, per class.
    pub faults: BTreeMap<String, u64>,
    /// What came of them: (class, outcome) and how often.
    pub outcomes: BTreeMap<(String, String), u64>,
    /// Classes that must have been injected.
    pub required: Vec<String>,
    /// What was broken.
    pub failures: Vec<Failure>,
    /// How long it took.
    pub seconds: f64,
}

impl Report {
    /// An empty report.
    pub fn new(suite: &'static str, tier: &str) -> Report {
        Report {
            suite,
            tier: tier.to_owned(),
            work: Vec::new(),
            faults: BTreeMap::new(),
            outcomes: BTreeMap::new(),
            required: Vec::new(),
            failures: Vec::new(),
            seconds: 0.0,
        }
    }

    /// Adds to a count of work done.
    pub fn did(&mut self, what: &str, times: u64) {
        match self.work.iter_mut().find(|(name, _)| name == what) {
            Some((_, count)) => *count += times,
            None => self.work.push((what.to_owned(), times)),
        }
    }

    /// Adds injected faults of a class.
    pub fn injected(&mut self, class: &str, times: u64) {
        *self.faults.entry(class.to_owned()).or_insert(0) += times;
    }

    /// Adds an outcome of a fault.
    pub fn came_of(&mut self, class: &str, outcome: &str, times: u64) {
        *self.outcomes.entry((class.to_owned(), outcome.to_owned())).or_insert(0) += times;
    }

    /// Adds what another part of the same suite did.
    pub fn merge(&mut self, other: &Report) {
        other.work.iter().for_each(|(what, times)| self.did(what, *times));
        other.faults.iter().for_each(|(class, times)| self.injected(class, *times));
        other.outcomes.iter().for_each(|((class, what), times)| self.came_of(class, what, *times));
        self.failures.extend(other.failures.iter().cloned());
    }

    /// Classes that were to be injected and never were: the suite proves nothing about them.
    pub fn idle(&self) -> Vec<&str> {
        let never = |class: &&String| self.faults.get(*class).copied().unwrap_or(0) == 0;
        self.required.iter().filter(never).map(String::as_str).collect()
    }

    /// True when no promise was broken and no class stayed idle.
    pub fn passed(&self) -> bool {
        self.failures.is_empty() && self.idle().is_empty()
    }

    /// One line for machines: `suite=… tier=… <work> faults=… outcomes=… lost=… wrong=… idle=… seconds=… verdict=…`.
    pub fn line(&self) -> String {
        let mut line = format!("suite={} tier={}", self.suite, self.tier);
        for (what, times) in &self.work {
            let _ = write!(line, " {what}={times}");
        }
        let joined = |pairs: Vec<String>| if pairs.is_empty() { "none".to_owned() } else { pairs.join(",") };
        let faults = self.faults.iter().map(|(class, times)| format!("{class}:{times}")).collect();
        let outcomes =
            self.outcomes.iter().map(|((class, what), times)| format!("{class}.{what}:{times}")).collect();
        let lost = self.failures.iter().filter(|failure| failure.violation.promise.is_loss()).count();
        let _ = write!(
            line,
            " faults={} outcomes={} lost={lost} wrong={} idle={} seconds={:.1} verdict={}",
            joined(faults),
            joined(outcomes),
            self.failures.len() - lost,
            joined(self.idle().into_iter().map(str::to_owned).collect()),
            self.seconds,
            if self.passed() { "passed" } else { "FAILED" },
        );
        line
    }

    /// Everything: failures with the commands that repeat them, idle classes, and the line.
    pub fn shown(&self) -> String {
        let mut text = String::new();
        for failure in self.failures.iter().take(SHOWN_FAILURES) {
            let _ = writeln!(text, "FAILED {}\n  again: {}", failure.violation, failure.again);
        }
        if self.failures.len() > SHOWN_FAILURES {
            let _ = writeln!(text, "… and {} more", self.failures.len() - SHOWN_FAILURES);
        }
        for class in self.idle() {
            let _ = writeln!(text, "FAILED {class} never happened: nothing is proved about it");
        }
        text.push_str(&self.line());
        text
    }
}

const SHOWN_FAILURES: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::violation::Promise;

    #[test]
    fn a_class_that_never_happened_fails_the_suite() {
        let mut report = Report::new("crash", "push");
        report.required = vec!["cut".into(), "kill".into()];
        report.injected("cut", 3);
        assert_eq!((report.idle(), report.passed()), (vec!["kill"], false));
        report.injected("kill", 1);
        assert!(report.passed());
    }

    #[test]
    fn the_line_says_what_was_done_injected_and_found() {
        let mut report = Report::new("swarm", "push");
        report.did("seeds", 5);
        report.injected("eio", 2);
        report.came_of("eio", "refused", 1);
        let violation = Violation::new(Promise::Durable, "gone");
        report.failures.push(Failure { violation, again: "torture swarm --first 3".into() });
        let expected = "suite=swarm tier=push seeds=5 faults=eio:2 outcomes=eio.refused:1 lost=1 wrong=0 \
                        idle=none seconds=0.0 verdict=FAILED";
        assert_eq!(report.line(), expected);
        assert!(report.shown().contains("again: torture swarm --first 3"));
    }
}
