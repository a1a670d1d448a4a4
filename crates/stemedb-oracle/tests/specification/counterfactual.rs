use crate::{END, NOW, claim, classed, number, supports, world};
use stemedb_oracle::{Answer, Cosign, Question, Source, Vote, World};

fn without(world: &World, lens: &str, sources: &[&str], agents: &[&str], max_class: Option<u8>) -> Answer {
    world.answer(&Question {
        subject: "water".into(),
        predicate: "boiling_point".into(),
        lens: lens.into(),
        as_of: END,
        evaluated_at_us: NOW,
        without_sources: sources.iter().map(ToString::to_string).collect(),
        without_agents: agents.iter().map(ToString::to_string).collect(),
        max_class,
        ..Question::default()
    })
}

fn vote(lsn: u64, claim: &str, agent: &str, weight_nano: i64) -> Vote {
    Vote { lsn, ordinal: 0, claim: claim.into(), agent: agent.into(), weight_nano }
}

#[test]
fn a_source_that_never_spoke_takes_its_claims_and_the_votes_on_them_away() {
    let mut world = world([claim("a", 1, "100", "A"), claim("b", 2, "99", "B")]);
    world.vote(vote(3, "a", "x", 500_000_000));
    let answer = without(&world, "consensus", &[], &[], None);
    assert_eq!((answer.value, answer.considered), (Some(number("100")), 2));
    let answer = without(&world, "consensus", &["A", "nobody"], &[], None);
    assert_eq!((answer.value, answer.status.as_str()), (Some(number("99")), "unanimous"));
    assert_eq!(answer.set_aside, [("a".to_string(), "excluded".to_string())]);
}

#[test]
fn an_agent_that_never_was_neither_wrote_nor_voted_nor_signed() {
    let mut written = claim("written", 1, "100", "A");
    written.author = Some("x".into());
    let mut signed = claim("signed", 2, "99", "B");
    signed.signers = vec!["x".into(), "y".into()];
    let mut world = world([written, signed, claim("cosigned", 3, "98", "C")]);
    world.cosign(Cosign { lsn: 4, ordinal: 0, claim: "cosigned".into(), agent: "x".into() });
    world.vote(vote(5, "cosigned", "x", 700_000_000));
    world.vote(vote(6, "cosigned", "y", 200_000_000));
    let answer = without(&world, "consensus", &[], &[], None);
    // signed: two signers. cosigned: the cosigner speaks, not the source, and 0.9 of votes.
    assert_eq!(
        answer.values.iter().map(|(_, support, _)| *support).collect::<Vec<_>>(),
        [2_000_000_000, 1_900_000_000, 1_000_000_000]
    );
    let answer = without(&world, "consensus", &[], &["x"], None);
    // cosigned: its source speaks again, and the vote of y is left.
    assert_eq!(supports(&answer), [(number("98"), 1_200_000_000), (number("99"), 1_000_000_000)]);
    assert_eq!(answer.set_aside, [("written".to_string(), "excluded".to_string())]);
}

#[test]
fn a_class_that_is_too_bad_is_left_out_whether_the_claim_says_it_or_its_source() {
    let mut world =
        world([classed("a", 1, "100", "A", 4), claim("b", 2, "99", "B"), classed("c", 3, "98", "C", 1)]);
    world.source(Source { lsn: 4, ordinal: 0, id: "B".into(), class: 3 });
    // Votes have no class.
    world.vote(vote(5, "c", "x", -1_000_000_000));
    let answer = without(&world, "authority", &[], &[], Some(3));
    assert_eq!(supports(&answer), [(number("99"), 1_000_000_000), (number("98"), 0)]);
    assert_eq!((answer.value, answer.set_aside.len()), (Some(number("98")), 1));
    assert_eq!(without(&world, "authority", &[], &[], Some(0)).status, "unknown");
}

#[test]
fn exclusion_is_the_last_of_all_reasons() {
    let mut old = claim("a", 1, "100", "A");
    old.valid_to_us = Some(NOW);
    let answer = without(&world([old]), "recency", &["A"], &[], Some(0));
    assert_eq!(answer.set_aside, [("a".to_string(), "no_longer_valid".to_string())]);
}
