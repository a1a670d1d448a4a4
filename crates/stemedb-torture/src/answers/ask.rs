//! A question of the sample: its moments, and what is left out.

use std::fmt;

use stemedb_core::{AgentId, Lens, LensParams, Micros, SourceClass, lens::Counterfactual};
use stemedb_oracle as oracle;

use super::{
    history::History,
    records::{DAY_US, EPOCHS, agent},
};
use crate::{
    Dice,
    violation::{Promise, Violation},
};

/// Moments per question.
pub const MOMENTS: usize = 5;
/// What each is asked with: nothing left out, a source, an agent, the worse classes, all of these.
pub const COUNTERFACTUALS: usize = 5;

/// When and how a question is asked.
#[derive(Clone, Debug)]
pub struct Moment {
    /// The last entry that is known.
    pub lsn: u64,
    /// Asked by this time instead of by LSN.
    pub by_time: Option<i64>,
    pub evaluated_at_us: i64,
    pub decay: bool,
    pub epoch: Option<&'static str>,
    pub tolerance: Option<&'static str>,
}

impl Moment {
    /// One of the moments of a question: the first is the present.
    pub fn draw(history: &History, question: &(String, String), number: usize, dice: &mut Dice) -> Moment {
        let last = history.last();
        let claims = history.world.claims_about(&question.0, &question.1, last);
        let first = claims.first().map_or(last, |claim| claim.lsn);
        // Mostly when something is known already; sometimes exactly when the next thing came.
        let lsn = match number {
            0 => last,
            1 => dice.below(last + 1),
            2 if !claims.is_empty() => claims[dice.size(claims.len())].lsn - dice.below(2),
            _ => first + dice.below(last + 1 - first),
        };
        let at = |lsn: u64| {
            lsn.checked_sub(1).and_then(|i| history.recorded.get(usize::try_from(i).ok()?)).copied()
        };
        let mut moment = Moment {
            lsn,
            by_time: None,
            evaluated_at_us: at(lsn).unwrap_or(0)
                + (i64::try_from(dice.below(1_200)).unwrap_or(0) - 400) * (DAY_US / 4),
            decay: dice.one_in(2),
            epoch: dice.one_in(6).then(|| dice.pick(&EPOCHS)),
            tolerance: dice.one_in(3).then(|| dice.pick(&["0.5", "0.1%", "5%", "1", "1e-3"])),
        };
        if number >= 3 {
            // Between two entries, or at one of them to the microsecond.
            let time = at(lsn).unwrap_or(0) + [0, -1, 30_000_000][dice.size(3)];
            moment.by_time = Some(time);
            moment.lsn = history.recorded.iter().take_while(|recorded| **recorded <= time).count() as u64;
        }
        moment
    }
}

/// What is left out.
#[derive(Clone, Debug, Default)]
pub struct Without {
    pub source: Option<String>,
    pub agent: Option<AgentId>,
    pub max_class: Option<u8>,
}

impl Without {
    /// All that are asked: from what is known about the question then, which the oracle alone is asked for.
    pub fn all(
        world: &oracle::World,
        plain: &oracle::Question,
        dice: &mut Dice,
    ) -> [Without; COUNTERFACTUALS] {
        let claims = world.claims_about(&plain.subject, &plain.predicate, plain.as_of);
        let winner = world.answer(plain).winners.into_iter().next();
        let winner = claims.iter().find(|claim| Some(&claim.id) == winner.as_ref()).or_else(|| claims.last());
        let source = winner.map_or_else(|| "nobody".to_owned(), |claim| claim.source.clone());
        let voters =
            claims.iter().flat_map(|claim| world.votes_on(&claim.id, plain.as_of)).map(|vote| &vote.agent);
        let others = claims.iter().flat_map(|claim| claim.author.iter().chain(&claim.signers));
        let mut agents: Vec<&String> = voters.collect();
        if agents.is_empty() {
            agents = others.collect();
        }
        let named = agents.get(dice.size(agents.len())).and_then(|agent| agent.parse().ok());
        let agent = named.unwrap_or_else(|| agent(dice));
        let max_class = u8::try_from(dice.below(5)).unwrap_or(0);
        let (source, agent, max_class) = (Some(source), Some(agent), Some(max_class));
        [
            Without::default(),
            Without { source: source.clone(), ..Without::default() },
            Without { agent, ..Without::default() },
            Without { max_class, ..Without::default() },
            Without { source, agent, max_class },
        ]
    }
}

impl fmt::Display for Without {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Without { source, agent, max_class } = self;
        match (source, agent, max_class) {
            (None, None, None) => f.write_str("nothing left out"),
            _ => write!(f, "without source {source:?}, without agent {agent:?}, max_class {max_class:?}"),
        }
    }
}

/// The question in the oracle's words.
pub fn for_oracle(
    question: &(String, String),
    lens: Lens,
    moment: &Moment,
    without: &Without,
) -> oracle::Question {
    oracle::Question {
        subject: question.0.clone(),
        predicate: question.1.clone(),
        lens: lens.name().to_owned(),
        as_of: moment.lsn,
        evaluated_at_us: moment.evaluated_at_us,
        decay: moment.decay,
        epoch: moment.epoch.map(str::to_owned),
        tolerance: moment.tolerance.map(str::to_owned),
        without_sources: without.source.iter().cloned().collect(),
        without_agents: without.agent.iter().map(ToString::to_string).collect(),
        max_class: without.max_class,
    }
}

/// The same in the lens's words.
///
/// # Errors
/// When the lens does not take what was drawn.
pub fn for_lens(moment: &Moment, without: &Without) -> Result<LensParams, Violation> {
    let tolerance = moment.tolerance.map(str::parse).transpose();
    let max_class = without.max_class.map(SourceClass::new).transpose();
    let (Ok(tolerance), Ok(max_class)) = (tolerance, max_class) else {
        return Err(Violation::new(Promise::Live, format!("refused: {moment:?}, {without}")));
    };
    Ok(LensParams {
        decay: moment.decay,
        tolerance,
        counterfactual: Counterfactual {
            without_sources: without.source.iter().cloned().collect(),
            without_agents: without.agent.into_iter().collect(),
            max_class,
        },
        ..LensParams::at(Micros(moment.evaluated_at_us))
    })
}
