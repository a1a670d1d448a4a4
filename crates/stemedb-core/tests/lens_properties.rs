//! An answer depends on the set of claims and votes, never on the order or the number of their deliveries.
#![allow(clippy::unwrap_used)] // A test may fail by panicking, in its helpers too.

mod strategies;

use proptest::collection::vec;
use proptest::prelude::*;
use stemedb_core::lens::{RecordedVote, fold_votes};
use stemedb_core::{Answer, Candidate, Lens, Nano, Object, Status, resolve};
use strategies::lens::{agent, candidates, params};

/// The same answer with the indices that the candidates had before they were permuted.
fn renamed(mut answer: Answer, old_index: &[usize]) -> Answer {
    answer.values.iter_mut().flat_map(|value| &mut value.claims).for_each(|claim| *claim = old_index[*claim]);
    answer.set_aside.iter_mut().for_each(|(claim, _)| *claim = old_index[*claim]);
    answer
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn the_order_of_candidates_votes_and_cosigners_never_matters(
        candidates in candidates(),
        params in params(),
        keys in vec(any::<u32>(), 12),
    ) {
        let mut old_index: Vec<usize> = (0..candidates.len()).collect();
        old_index.sort_by_key(|index| keys[*index]);
        let mut permuted: Vec<Candidate> = old_index.iter().map(|index| candidates[*index].clone()).collect();
        for candidate in &mut permuted {
            candidate.votes.reverse();
            candidate.cosigners.reverse();
        }
        for lens in Lens::ALL {
            let expected = resolve(lens, &candidates, &params);
            prop_assert_eq!(renamed(resolve(lens, &permuted, &params), &old_index), expected, "{}", lens);
        }
    }

    #[test]
    fn answers_are_sound(candidates in candidates(), params in params()) {
        for lens in Lens::ALL {
            let answer = resolve(lens, &candidates, &params);
            prop_assert_eq!(answer.considered + answer.set_aside.len(), candidates.len());
            prop_assert_eq!(answer.values.iter().map(|value| value.claims.len()).sum::<usize>(), answer.considered);
            prop_assert_eq!(answer.status == Status::Unknown, answer.considered == 0);
            prop_assert_eq!(answer.value.is_none(), answer.considered == 0 || lens == Lens::Skeptic);
            prop_assert_eq!(answer.winners.is_empty(), answer.value.is_none());
            let shares: f64 = answer.values.iter().map(|value| value.share).sum();
            prop_assert!(shares == 0.0 || (shares - 1.0).abs() < 1e-8, "{}", shares);
            for unit in [answer.margin, answer.conflict_score, answer.cross_class_conflict] {
                prop_assert!((0.0..=1.0).contains(&unit));
            }
            prop_assert!((Nano::ZERO..=Nano::ONE).contains(&answer.confidence));
            for pair in answer.values.windows(2) {
                prop_assert!(pair[0].support >= pair[1].support);
                prop_assert!(pair[0].object.value() != pair[1].object.value());
            }
            // All winners hold the winning value.
            for winner in &answer.winners {
                let claim = candidates.iter().find(|candidate| candidate.id == *winner).unwrap();
                prop_assert_eq!(Some(claim.assertion.object.value()), answer.value.as_ref().map(Object::value));
            }
        }
    }

    #[test]
    fn claims_that_are_set_aside_never_matter(candidates in candidates(), params in params()) {
        let aside = resolve(Lens::Skeptic, &candidates, &params).set_aside;
        let indices = (0..candidates.len()).filter(|index| !aside.iter().any(|(other, _)| other == index));
        let kept: Vec<Candidate> = indices.map(|index| candidates[index].clone()).collect();
        for lens in Lens::ALL {
            let (all, few) = (resolve(lens, &candidates, &params), resolve(lens, &kept, &params));
            prop_assert_eq!((all.value, all.winners, all.confidence), (few.value, few.winners, few.confidence));
            prop_assert_eq!((all.margin, all.conflict_score, all.status), (few.margin, few.conflict_score, few.status));
        }
    }

    #[test]
    fn replaying_votes_never_changes_a_tally(
        votes in vec((0_u64..5, 0_u32..3, agent(), strategies::weight()), 0..12),
        replays in vec((any::<prop::sample::Index>(), any::<prop::sample::Index>()), 0..20),
        as_of in 0_u64..6,
    ) {
        // A place in the journal holds one vote.
        let mut once: Vec<RecordedVote> = Vec::new();
        for (lsn, ordinal, agent, weight) in votes {
            if !once.iter().any(|vote| (vote.lsn, vote.ordinal) == (lsn, ordinal)) {
                once.push(RecordedVote { lsn, ordinal, agent, weight });
            }
        }
        let mut deliveries = once.clone();
        for (from, to) in replays {
            if !once.is_empty() {
                let again = once[from.index(once.len())];
                deliveries.insert(to.index(deliveries.len() + 1), again);
            }
        }
        deliveries.reverse();
        let live = fold_votes(once.iter().copied(), as_of);
        prop_assert_eq!(fold_votes(deliveries, as_of), live.clone());

        // By definition: of each agent the vote at the greatest place up to the LSN.
        for vote in &live {
            let last = once
                .iter()
                .filter(|other| other.agent == vote.agent && other.lsn <= as_of)
                .max_by_key(|other| (other.lsn, other.ordinal));
            prop_assert_eq!(last.map(|last| last.weight), Some(vote.weight));
        }
        let agents = once.iter().filter(|vote| vote.lsn <= as_of).map(|vote| vote.agent);
        prop_assert_eq!(agents.collect::<std::collections::BTreeSet<_>>().len(), live.len());
    }
}
