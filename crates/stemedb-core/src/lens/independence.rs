//! Who copies whom: copies count once.
//!
//! The eldest decide first, so that nothing said later makes an earlier voice a copy: echoes added without end leave the
//! count of a value as it is.

use std::collections::{BTreeMap, BTreeSet};

use super::Candidate;
use super::params::{LensParams, View};
use super::resolve::sort_out;
use super::support::{VoiceRef, each_voice};
use crate::identity::AgentId;
use crate::model::Micros;
use crate::object::ValueKey;

/// Questions that two voices must both have answered, and telling ones among them, before one can be an echo of the other.
pub const ECHO_QUESTIONS_MIN: usize = 3;

/// One who speaks for a value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Voice {
    /// An agent: author, signer or co-signer of a claim.
    Agent(AgentId),
    /// The source of a claim that no agent stands behind.
    Source(String),
}

/// Where a source has what it says from, beyond its own name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Origin {
    /// Content with this digest.
    Content([u8; 32]),
    /// A publisher, such as the host of a URI.
    Host(String),
}

/// A voice that does not count, because another said it before.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Copied {
    /// The voice that does not count.
    pub voice: Voice,
    /// The independent voice it copies.
    pub of: Voice,
    /// What shows it.
    pub by: CopyReason,
}

/// What shows that a voice is a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CopyReason {
    /// Both speak from one source.
    Source,
    /// Their sources have the same content.
    Content,
    /// Their sources have the same publisher.
    Host,
    /// They gave identical answers to neighbouring questions.
    Echo,
}

impl CopyReason {
    /// The name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            CopyReason::Source => "source",
            CopyReason::Content => "content",
            CopyReason::Host => "host",
            CopyReason::Echo => "echo",
        }
    }
}

/// What is known about who copies whom. Empty: only voices that speak from one source copy each other.
///
/// A function of what was told it, whatever the order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Evidence {
    origins: BTreeMap<String, BTreeSet<Origin>>,
    agents: BTreeMap<AgentId, History>,
    sources: BTreeMap<String, History>,
    neighbours: Vec<Neighbour>,
}

/// What a voice answered: (question, set of values), ascending by question.
type History = Vec<(usize, usize)>;

/// How often each set of values was given to one neighbouring question.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Neighbour {
    /// By the number of the set.
    voices_of_set: Vec<usize>,
    voices: usize,
}

impl Evidence {
    /// Notes where a source has what it says from.
    pub fn origin(&mut self, source: &str, origin: Origin) {
        self.origins.entry(source.to_owned()).or_default().insert(origin);
    }

    /// Notes what was answered to a neighbouring question, at the instant of the evaluation. Each question once; claims that
    /// are set aside do not speak. Costs O(n log n).
    pub fn neighbour(&mut self, candidates: &[Candidate], evaluated_at: Micros) {
        let params = LensParams::at(evaluated_at);
        let nothing = Evidence::default();
        let view = View::new(&params, &nothing);
        let (considered, _) = sort_out(candidates, &view);
        let mut said: BTreeMap<VoiceRef<'_>, BTreeSet<ValueKey>> = BTreeMap::new();
        for candidate in considered.iter().filter_map(|index| candidates.get(*index)) {
            let key = candidate.assertion.object.value_key();
            each_voice(&view, candidate, |voice| {
                said.entry(voice).or_default().insert(key.clone());
            });
        }
        let question = self.neighbours.len();
        let mut numbers: BTreeMap<BTreeSet<ValueKey>, usize> = BTreeMap::new();
        let mut neighbour = Neighbour { voices_of_set: Vec::new(), voices: said.len() };
        for (voice, set) in said {
            let next = numbers.len();
            let number = *numbers.entry(set).or_insert(next);
            match neighbour.voices_of_set.get_mut(number) {
                Some(count) => *count += 1,
                None => neighbour.voices_of_set.push(1),
            }
            match voice {
                VoiceRef::Agent(agent) => self.agents.entry(*agent).or_default().push((question, number)),
                VoiceRef::Source(source) => {
                    self.sources.entry(source.to_owned()).or_default().push((question, number));
                }
            }
        }
        self.neighbours.push(neighbour);
    }

    fn history(&self, voice: VoiceRef<'_>) -> &[(usize, usize)] {
        match voice {
            VoiceRef::Agent(agent) => self.agents.get(agent),
            VoiceRef::Source(source) => self.sources.get(source),
        }
        .map_or(&[], Vec::as_slice)
    }

    /// Whether two voices gave identical answers at enough questions, and not merely what most others said.
    fn echoes(&self, a: VoiceRef<'_>, b: VoiceRef<'_>) -> bool {
        let (mut a, mut b) = (self.history(a), self.history(b));
        if a.len() < ECHO_QUESTIONS_MIN || b.len() < ECHO_QUESTIONS_MIN {
            return false;
        }
        let (mut shared, mut telling) = (0, 0);
        while let (Some(((question_a, set_a), rest_a)), Some(((question_b, set_b), rest_b))) =
            (a.split_first(), b.split_first())
        {
            match question_a.cmp(question_b) {
                std::cmp::Ordering::Less => a = rest_a,
                std::cmp::Ordering::Greater => b = rest_b,
                std::cmp::Ordering::Equal if set_a != set_b => return false,
                std::cmp::Ordering::Equal => {
                    shared += 1;
                    telling += usize::from(self.is_telling(*question_a, *set_a));
                    (a, b) = (rest_a, rest_b);
                }
            }
        }
        shared >= ECHO_QUESTIONS_MIN && telling >= ECHO_QUESTIONS_MIN
    }

    /// Whether others answered the question as well, and at most half of them with this set. Two of those who gave the set
    /// are the pair that is looked at.
    fn is_telling(&self, question: usize, set: usize) -> bool {
        let Some(neighbour) = self.neighbours.get(question) else { return false };
        let with_set = neighbour.voices_of_set.get(set).map_or(0, |count| count.saturating_sub(2));
        let others = neighbour.voices.saturating_sub(2);
        others > 0 && 2 * with_set <= others
    }
}

/// One mark of where a claim comes from.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Mark<'a> {
    Source(&'a str),
    Origin(&'a Origin),
}

impl Mark<'_> {
    fn reason(self) -> CopyReason {
        match self {
            Mark::Source(_) => CopyReason::Source,
            Mark::Origin(Origin::Content(_)) => CopyReason::Content,
            Mark::Origin(Origin::Host(_)) => CopyReason::Host,
        }
    }
}

/// How many of a value's voices are independent, and what the others copy.
pub(super) struct Counted<'a> {
    pub(super) independent: u32,
    copies: BTreeMap<VoiceRef<'a>, (VoiceRef<'a>, CopyReason)>,
}

impl Counted<'_> {
    pub(super) fn copies(&self) -> Vec<Copied> {
        let one = |(voice, (of, by)): (&VoiceRef<'_>, &(VoiceRef<'_>, CopyReason))| Copied {
            voice: voice.to_voice(),
            of: of.to_voice(),
            by: *by,
        };
        self.copies.iter().map(one).collect()
    }
}

/// Counts the voices of one value's claims, the eldest claim first.
///
/// Costs O(n log n), and one comparison of histories for each pair of a voice and an earlier independent one that have
/// histories.
pub(super) fn count_voices<'a>(
    view: &View<'_>,
    evidence: &Evidence,
    candidates: &'a [Candidate],
    claims: &[usize],
) -> Counted<'a> {
    let mut eldest: Vec<&'a Candidate> = claims.iter().filter_map(|index| candidates.get(*index)).collect();
    eldest.sort_unstable_by_key(|candidate| (candidate.lsn, candidate.ordinal, candidate.id));
    let mut independent: BTreeSet<VoiceRef<'a>> = BTreeSet::new();
    // Independent voices with a history, in the order they were counted.
    let mut remembered: Vec<VoiceRef<'a>> = Vec::new();
    let mut used: BTreeMap<Mark<'_>, VoiceRef<'a>> = BTreeMap::new();
    let mut copies: BTreeMap<VoiceRef<'a>, (VoiceRef<'a>, CopyReason)> = BTreeMap::new();
    let mut voices: Vec<VoiceRef<'a>> = Vec::new();
    for candidate in eldest {
        let source = candidate.assertion.source.as_str();
        let origins = evidence.origins.get_key_value(source).map(|(_, origins)| origins);
        let marks = || {
            let others = origins.into_iter().flatten().map(Mark::Origin);
            std::iter::once(Mark::Source(source)).chain(others)
        };
        voices.clear();
        each_voice(view, candidate, |voice| voices.push(voice));
        voices.sort_unstable();
        voices.dedup();
        for voice in voices.iter().copied() {
            if independent.contains(&voice) {
                continue;
            }
            let by_mark = marks().find_map(|mark| used.get(&mark).map(|of| (*of, mark.reason())));
            let by_echo = || {
                let echoed = remembered.iter().find(|earlier| evidence.echoes(voice, **earlier))?;
                Some((*echoed, CopyReason::Echo))
            };
            match by_mark.or_else(by_echo) {
                Some(copied) => {
                    copies.entry(voice).or_insert(copied);
                }
                None => {
                    copies.remove(&voice);
                    independent.insert(voice);
                    used.extend(marks().map(|mark| (mark, voice)));
                    if evidence.history(voice).len() >= ECHO_QUESTIONS_MIN {
                        remembered.push(voice);
                    }
                }
            }
        }
    }
    Counted { independent: u32::try_from(independent.len()).unwrap_or(u32::MAX), copies }
}
