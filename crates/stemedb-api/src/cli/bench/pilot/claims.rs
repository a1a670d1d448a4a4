//! The claims of a run, by their number: eight sources about each question.

use std::fmt::Write as _;

use stemedb_env::Env;

/// Claims about each question.
pub const PER_QUESTION: u64 = 8;
/// Questions that the loaded claims are about.
pub const QUESTIONS: u64 = super::LOADED / PER_QUESTION;

/// The claims of one run: another run's are others, so that each is new to its server.
#[derive(Clone, Copy, Debug)]
pub struct Claims {
    run: u64,
}

impl Claims {
    /// Those of a new run.
    pub fn new(env: &Env) -> Claims {
        let mut run = [0; 8];
        env.random.fill(&mut run);
        Claims { run: u64::from_le_bytes(run) }
    }

    /// The subject of a question.
    pub fn subject(self, question: u64) -> String {
        format!("pilot:{:016x}:{question}", self.run)
    }

    /// The body that asserts a claim.
    pub fn body(self, number: u64, body: &mut String) {
        let (question, source) = (number / PER_QUESTION, number % PER_QUESTION);
        let subject = self.subject(question);
        // Three values, said by three, three and two.
        let (whole, tenth) = (200 + question % 300, source % 3 + 1);
        // Writing into a text cannot fail.
        let _ = write!(
            body,
            r#"{{"subject":"{subject}","predicate":"value","object":{whole}.{tenth},"source":"pilot:source:{source}"}}"#
        );
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use stemedb_api::json;

    use super::*;

    #[test]
    fn every_number_is_a_claim_of_its_own_and_every_run_has_others() {
        let mut ids = BTreeSet::new();
        for run in [1, 2] {
            for number in 0..100 {
                let mut body = String::new();
                Claims { run }.body(number, &mut body);
                let claim = json::assertion(body.as_bytes()).unwrap();
                assert_eq!(claim.subject, Claims { run }.subject(number / PER_QUESTION));
                ids.insert(claim.id());
            }
        }
        assert_eq!(ids.len(), 200);
    }
}
