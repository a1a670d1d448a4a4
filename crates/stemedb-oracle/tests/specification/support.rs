use crate::{END, ask, ask_at, claim, number, supports, world};
use stemedb_oracle::{Claim, Cosign, Vote, World};

const ONE: i64 = 1_000_000_000;

fn vote(lsn: u64, ordinal: u32, claim: &str, agent: &str, weight_nano: i64) -> Vote {
    Vote { lsn, ordinal, claim: claim.into(), agent: agent.into(), weight_nano }
}

/// 1 (claim x) against 2 (claim y).
fn two_values() -> World {
    world([claim("x", 1, "1", "A"), claim("y", 2, "2", "B")])
}

#[test]
fn one_value_is_unanimous_without_conflict_and_with_full_margin() {
    let answer = ask(&world([claim("x", 1, "1", "A"), claim("y", 2, "1.0", "B")]), "consensus");
    assert_eq!(answer.status, "unanimous");
    assert_eq!((answer.conflict_score, answer.margin, answer.confidence), (0.0, 1.0, 1.0));
}

#[test]
fn four_of_five_agree_and_three_of_four_do_not() {
    let five = || {
        ["A", "B", "C", "D", "E"]
            .iter()
            .zip(1..)
            .map(|(source, lsn)| claim(source, lsn, if *source == "E" { "2" } else { "1" }, source))
    };
    let answer = ask(&world(five()), "skeptic");
    // Shares 0.8 and 0.2: H = 0.8 ln 1.25 + 0.2 ln 5 = 0.500402424; / ln 2 = 0.721928095.
    assert_eq!((answer.status.as_str(), answer.margin), ("agreed", 0.6));
    assert!((answer.conflict_score - 0.721_928_095).abs() < 2e-9);
    let answer = ask(&world(five().skip(1)), "skeptic");
    assert_eq!((answer.status.as_str(), answer.margin), ("contested", 0.5));
}

#[test]
fn votes_add_their_weight_to_the_value_of_their_claim() {
    let mut world = two_values();
    world.vote(vote(3, 0, "x", "p", 500_000_000));
    world.vote(vote(4, 0, "x", "q", 250_000_000));
    world.vote(vote(4, 1, "y", "q", -750_000_000));
    // 1: 1 + 0.75; 2: 1 - 0.75; total 2.
    let answer = ask(&world, "consensus");
    assert_eq!(answer.values, [(number("1"), 1_750_000_000, 0.875), (number("2"), 250_000_000, 0.125)]);
    assert_eq!((answer.status.as_str(), answer.margin, answer.confidence), ("agreed", 0.75, 0.875));
}

#[test]
fn an_agent_that_votes_again_replaces_its_vote_whatever_the_order_of_reading() {
    let mut world = two_values();
    world.vote(vote(5, 1, "x", "p", 100_000_000));
    world.vote(vote(5, 0, "x", "p", 900_000_000));
    world.vote(vote(3, 7, "x", "p", -1_000_000_000));
    assert_eq!(supports(&ask_at(&world, "skeptic", END))[0], (number("1"), 1_100_000_000));
    // As of 3 and 4 the first vote still lives; as of 2 there is none.
    assert_eq!(supports(&ask_at(&world, "skeptic", 4)), [(number("2"), ONE), (number("1"), 0)]);
    assert_eq!(supports(&ask_at(&world, "skeptic", 2)), [(number("2"), ONE), (number("1"), ONE)]);
}

#[test]
fn an_agent_votes_once_on_each_claim_even_of_one_value() {
    let mut world = world([claim("x", 1, "1", "A"), claim("y", 2, "1", "B")]);
    world.vote(vote(3, 0, "x", "p", 500_000_000));
    world.vote(vote(3, 1, "y", "p", 500_000_000));
    assert_eq!(supports(&ask(&world, "skeptic")), [(number("1"), 3 * ONE)]);
}

#[test]
fn negative_support_counts_as_zero_and_the_value_still_counts_as_a_value() {
    let mut world = two_values();
    world.vote(vote(3, 0, "y", "p", -ONE));
    world.vote(vote(3, 1, "y", "q", -ONE));
    let answer = ask(&world, "consensus");
    assert_eq!(answer.values, [(number("1"), ONE, 1.0), (number("2"), 0, 0.0)]);
    assert_eq!((answer.status.as_str(), answer.conflict_score, answer.margin), ("agreed", 0.0, 1.0));
}

#[test]
fn support_is_clamped_per_value_and_not_per_claim() {
    let mut world = world([claim("x", 1, "1", "A"), claim("y", 2, "1", "B"), claim("z", 3, "2", "C")]);
    for agent in ["p", "q", "r"] {
        world.vote(vote(4, 0, "x", agent, -500_000_000));
    }
    // 2 voices - 1.5; clamping claim by claim would have left 1.
    assert_eq!(supports(&ask(&world, "skeptic")), [(number("2"), ONE), (number("1"), 500_000_000)]);
}

#[test]
fn no_support_at_all_is_contested_with_zero_shares() {
    let mut world = two_values();
    world.vote(vote(3, 0, "x", "p", -ONE));
    world.vote(vote(3, 1, "y", "p", -ONE));
    let answer = ask(&world, "consensus");
    assert_eq!(answer.values, [(number("2"), 0, 0.0), (number("1"), 0, 0.0)]);
    assert_eq!((answer.status.as_str(), answer.conflict_score, answer.margin), ("contested", 0.0, 0.0));
    assert_eq!((answer.winners, answer.confidence), (vec!["y".to_string()], 0.0));
}

#[test]
fn one_value_without_support_is_still_unanimous() {
    let mut world = world([claim("x", 1, "1", "A")]);
    world.vote(vote(2, 0, "x", "p", -ONE));
    let answer = ask(&world, "consensus");
    assert_eq!((answer.status.as_str(), answer.confidence, answer.margin), ("unanimous", 0.0, 0.0));
}

#[test]
fn a_source_that_repeats_itself_is_one_voice() {
    let answer = ask(&world([claim("x", 1, "1", "A"), claim("y", 2, "1.0", "A")]), "skeptic");
    assert_eq!(supports(&answer), [(number("1.0"), ONE)]);
    assert_eq!(answer.considered, 2);
}

#[test]
fn agents_speak_instead_of_the_source_and_each_once_per_value() {
    let signed = Claim {
        author: Some("ann".into()),
        signers: vec!["ann".into(), "bob".into()],
        ..claim("x", 1, "1", "A")
    };
    let by_bob = Claim { author: Some("bob".into()), ..claim("y", 2, "1.0", "B") };
    // ann, bob; neither A nor B.
    assert_eq!(supports(&ask(&world([signed, by_bob]), "skeptic")), [(number("1.0"), 2 * ONE)]);
}

#[test]
fn a_cosigner_silences_the_source_from_its_position_on() {
    let mut world = world([claim("x", 1, "1", "A")]);
    for (lsn, agent) in [(3, "ann"), (4, "bob"), (5, "ann")] {
        world.cosign(Cosign { lsn, ordinal: 0, claim: "x".into(), agent: agent.into() });
    }
    let support = |as_of| supports(&ask_at(&world, "skeptic", as_of))[0].1;
    assert_eq!([2, 3, 4, 5].map(support), [ONE, ONE, 2 * ONE, 2 * ONE]);
}

#[test]
fn an_agent_and_a_source_of_one_name_are_two_voices() {
    let by_agent = Claim { author: Some("A".into()), ..claim("x", 1, "1", "elsewhere") };
    let by_source = claim("y", 2, "1", "A");
    assert_eq!(supports(&ask(&world([by_agent, by_source]), "skeptic")), [(number("1"), 2 * ONE)]);
}

#[test]
fn votes_on_claims_set_aside_do_not_count() {
    let rejected = Claim { lifecycle: Some("rejected".into()), ..claim("x", 1, "1", "A") };
    let mut world = world([rejected, claim("y", 2, "1", "B")]);
    world.vote(vote(3, 0, "x", "p", ONE));
    assert_eq!(supports(&ask(&world, "skeptic")), [(number("1"), ONE)]);
}
