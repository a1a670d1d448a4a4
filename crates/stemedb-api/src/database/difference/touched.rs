//! The questions that records of a span may have changed.

use std::collections::{BTreeMap, BTreeSet};

use stemedb_core::{AgentId, ClaimId, Command};
use stemedb_env::Lsn;
use stemedb_index::{ClaimReader, Position, QuestionKey};
use stemedb_wal::Journal;

use super::{Arrived, DifferenceQuery};
use crate::{
    database::{Database, Snapshot},
    errors::{Code, FieldError, Result},
};

/// Records in a span that are looked at.
const RECORDS_MAX: usize = 1_000_000;

/// Questions in order, and what came about each.
pub(super) struct Touched<'a> {
    asked: &'a DifferenceQuery,
    reader: &'a ClaimReader<Snapshot>,
    questions: BTreeMap<QuestionKey, Arrived>,
    sources: BTreeSet<String>,
    /// Epochs that were superseded.
    epochs: BTreeSet<String>,
    agents: BTreeSet<AgentId>,
    /// Claims from which others may inherit what is new.
    origins: BTreeSet<ClaimId>,
}

impl<'a> Touched<'a> {
    /// Reads the entries behind `from` that the reader knows.
    pub fn find(
        database: &Database,
        reader: &'a ClaimReader<Snapshot>,
        from: Lsn,
        asked: &'a DifferenceQuery,
    ) -> Result<Touched<'a>> {
        let mut touched = Touched {
            asked,
            reader,
            questions: BTreeMap::new(),
            sources: BTreeSet::new(),
            epochs: BTreeSet::new(),
            agents: BTreeSet::new(),
            origins: BTreeSet::new(),
        };
        let mut commands: Vec<(Position, Command)> = Vec::new();
        let mut keep = |at: Position, command: Command| {
            if commands.len() == RECORDS_MAX {
                let detail = format!("more than {RECORDS_MAX} records lie between the moments");
                return Err(FieldError::in_parameter("from", Code::TooLarge, detail));
            }
            commands.push((at, command));
            Ok(())
        };
        if database.engine().journal().first_lsn() <= from.next() {
            let mut feed = database.feed(from.next())?;
            while feed.position() <= reader.lsn() {
                let Some(entry) = feed.next_entry()? else { break };
                for (ordinal, command) in (0..).zip(entry.commands) {
                    keep(Position { lsn: entry.lsn, ordinal }, command)?;
                }
            }
        } else {
            let mut refused = None;
            reader.each_command_after(from, |at, command| {
                if refused.is_none() {
                    refused = keep(at, command).err();
                }
                Ok(())
            })?;
            refused.map_or(Ok(()), Err)?;
            commands.sort_unstable_by_key(|(at, _)| *at);
        }
        for (_, command) in commands {
            touched.note(command)?;
        }
        touched.spread()?;
        Ok(touched)
    }

    /// The questions behind `after`, in order.
    pub fn from(self, after: Option<&QuestionKey>) -> impl Iterator<Item = (QuestionKey, Arrived)> {
        let after = after.cloned();
        self.questions
            .into_iter()
            .filter(move |(question, _)| after.as_ref().is_none_or(|after| question > after))
    }

    fn is_asked(&self, question: &QuestionKey) -> bool {
        let fits = |wanted: &Option<String>, found: &str| wanted.as_deref().is_none_or(|one| one == found);
        fits(&self.asked.subject, &question.subject) && fits(&self.asked.predicate, &question.predicate)
    }

    /// What came about a question, if that is asked about.
    fn arrived(&mut self, question: Option<QuestionKey>) -> Option<&mut Arrived> {
        let question = question.filter(|question| self.is_asked(question))?;
        Some(self.questions.entry(question).or_default())
    }

    fn note(&mut self, command: Command) -> Result<()> {
        match command {
            Command::Assert(claim) => {
                let id = claim.id();
                // Others may have derived from it before it was there.
                self.origins.insert(id);
                let question = QuestionKey { subject: claim.subject, predicate: claim.predicate };
                if let Some(arrived) = self.arrived(Some(question)) {
                    arrived.claims.push(id);
                }
            }
            Command::Vote(vote) => {
                let question = self.reader.question_of(vote.assertion)?;
                if let Some(arrived) = self.arrived(question) {
                    arrived.votes.push((vote.assertion, vote.agent, vote.weight));
                }
            }
            Command::Supersede(change) => {
                self.origins.insert(change.old);
                let question = self.reader.question_of(change.old)?;
                if let Some(arrived) = self.arrived(question) {
                    arrived.supersessions.push((change.old, change.new, change.kind));
                }
            }
            Command::Cosign(cosign) => {
                let question = self.reader.question_of(cosign.claim)?;
                if let Some(arrived) = self.arrived(question) {
                    arrived.cosignatures.push((cosign.claim, cosign.agent));
                }
            }
            Command::Source(source) => {
                self.sources.insert(source.id);
            }
            Command::Epoch(epoch) => self.epochs.extend(epoch.supersedes),
            Command::Agent(agent) => {
                self.agents.insert(agent.id);
            }
        }
        Ok(())
    }

    /// Adds the questions that records about no single claim may have changed.
    fn spread(&mut self) -> Result<()> {
        for source in std::mem::take(&mut self.sources) {
            for question in self.reader.questions_of_source(&source)? {
                self.arrived(Some(question));
            }
        }
        for agent in std::mem::take(&mut self.agents) {
            for claim in self.reader.claims_of_agent(&agent)? {
                let question = self.reader.question_of(claim)?;
                self.arrived(question);
                self.origins.insert(claim);
            }
        }
        for question in self.reader.questions_derived_from(std::mem::take(&mut self.origins))? {
            self.arrived(Some(question));
        }
        let epochs = std::mem::take(&mut self.epochs);
        if !epochs.is_empty() && self.asked.epoch.is_none() {
            for question in self.reader.questions_of_epochs(&epochs)? {
                self.arrived(Some(question));
            }
        }
        Ok(())
    }
}
