//! From votes as they were recorded to the votes that count.

use std::cmp::Reverse;

use super::LiveVote;
use crate::identity::AgentId;
use crate::model::Nano;

/// A vote on one claim, as the journal has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordedVote {
    /// The LSN of the entry that brought it.
    pub lsn: u64,
    /// Its place in that entry.
    pub ordinal: u32,
    /// Who voted.
    pub agent: AgentId,
    /// −1 to 1.
    pub weight: Nano,
}

/// The votes on one claim that count at `as_of_lsn`: of each agent the last one up to there, ascending by agent.
///
/// A function of the *set* of votes: the order in which they are given and how often each is given do not matter.
/// O(n log n).
pub fn fold_votes(votes: impl IntoIterator<Item = RecordedVote>, as_of_lsn: u64) -> Vec<LiveVote> {
    let mut votes: Vec<RecordedVote> = votes.into_iter().filter(|vote| vote.lsn <= as_of_lsn).collect();
    votes.sort_unstable_by_key(|vote| (vote.agent, Reverse((vote.lsn, vote.ordinal)), vote.weight));
    votes.dedup_by_key(|vote| vote.agent);
    votes.into_iter().map(|vote| LiveVote { agent: vote.agent, weight: vote.weight }).collect()
}
