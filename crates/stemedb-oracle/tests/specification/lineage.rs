use crate::{ask, ask_at, claim, world};
use stemedb_oracle::{Agent, Claim, Supersession, World};

fn by(author: &str, claim: Claim) -> Claim {
    Claim { author: Some(author.into()), ..claim }
}

fn from(parents: &[&str], claim: Claim) -> Claim {
    Claim { parents: parents.iter().map(|id| (*id).to_string()).collect(), ..claim }
}

fn trust(world: &mut World, lsn: u64, agent: &str, nano: i64) {
    world.agent(Agent { lsn, ordinal: 0, id: agent.into(), trust_nano: Some(nano) });
}

fn retract(world: &mut World, lsn: u64, old: &str) {
    world.supersede(Supersession { lsn, ordinal: 0, old: old.into(), new: None });
}

/// The confidence of the authority lens for one claim with confidence 1: its trust.
fn trusted(world: &World, as_of: u64) -> f64 {
    ask_at(world, "authority", as_of).confidence
}

#[test]
fn trust_is_that_of_the_newest_record_known_then() {
    let mut world = world([by("ann", claim("x", 1, "1", "A"))]);
    trust(&mut world, 2, "ann", 900_000_000);
    trust(&mut world, 3, "ann", 100_000_000);
    trust(&mut world, 4, "bob", 0);
    assert_eq!([1, 2, 3, 4].map(|lsn| trusted(&world, lsn)), [0.5, 0.9, 0.1, 0.1]);
    world.agent(Agent { lsn: 5, ordinal: 0, id: "ann".into(), trust_nano: None });
    assert_eq!(trusted(&world, 5), 0.5, "a record that does not say so takes it back");
}

#[test]
fn a_claim_is_trusted_no_more_than_what_it_derives_from() {
    let elsewhere = |claim: Claim| Claim { predicate: "elsewhere".into(), ..claim };
    let mut world = world([
        elsewhere(by("low", claim("a", 1, "1", "A"))),
        elsewhere(from(&["a"], by("high", claim("b", 2, "1", "A")))),
        from(&["b"], by("high", claim("c", 3, "1", "A"))),
    ]);
    trust(&mut world, 4, "high", 1_000_000_000);
    assert_eq!(trusted(&world, 4), 0.5, "nothing is known of the author of a");
    trust(&mut world, 5, "low", 200_000_000);
    assert_eq!(trusted(&world, 5), 0.2);
    trust(&mut world, 6, "low", 800_000_000);
    assert_eq!(trusted(&world, 6), 0.8);
}

#[test]
fn a_claim_behind_which_one_is_retracted_says_which_and_answers_all_the_same() {
    let elsewhere = |claim: Claim| Claim { predicate: "elsewhere".into(), ..claim };
    let mut world = world([
        elsewhere(claim("far", 1, "1", "A")),
        elsewhere(from(&["far"], claim("near", 2, "1", "A"))),
        elsewhere(claim("nigh", 2, "1", "A")),
        from(&["near", "nigh"], claim("x", 3, "1", "A")),
        claim("y", 4, "2", "A"),
    ]);
    retract(&mut world, 5, "far");
    retract(&mut world, 6, "nigh");
    retract(&mut world, 7, "near");
    let found = |lsn| {
        let answer = ask_at(&world, "recency", lsn);
        assert_eq!(answer.considered, 2);
        answer.tainted.first().map(|(claim, by)| (claim.clone(), by.clone()))
    };
    let x = |by: &str| Some(("x".to_string(), by.to_string()));
    assert_eq!([4, 5, 6, 7].map(found), [None, x("far"), x("nigh"), x("near")]);
    assert_eq!(ask(&world, "recency").tainted.len(), 1);
}
