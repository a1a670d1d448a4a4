use crate::{END, NOW, ask, ask_at, claim, world};
use stemedb_oracle::{Answer, Claim, Epoch, Supersession, World};

fn supersession(lsn: u64, old: &str, new: Option<&str>) -> Supersession {
    Supersession { lsn, ordinal: 0, old: old.into(), new: new.map(Into::into) }
}

fn reasons(answer: &Answer) -> Vec<(&str, &str)> {
    answer.set_aside.iter().map(|(id, reason)| (id.as_str(), reason.as_str())).collect()
}

/// The question under an epoch.
fn under(world: &World, epoch: &str) -> Answer {
    world.ask("water", "boiling_point", "recency", END, NOW, false, Some(epoch))
}

#[test]
fn a_claim_superseded_by_another_is_set_aside_from_that_lsn_on() {
    let mut world = world([claim("old", 1, "1", "A"), claim("new", 2, "2", "A")]);
    world.supersede(supersession(3, "old", Some("new")));
    assert_eq!(reasons(&ask_at(&world, "recency", 2)), []);
    let answer = ask_at(&world, "recency", 3);
    assert_eq!(reasons(&answer), [("old", "superseded")]);
    assert_eq!((answer.considered, answer.status.as_str()), (1, "unanimous"));
}

#[test]
fn a_retraction_names_no_successor_and_comes_before_supersession() {
    let mut world = world([claim("x", 1, "1", "A")]);
    world.supersede(supersession(2, "x", Some("y")));
    world.supersede(supersession(3, "x", None));
    assert_eq!(reasons(&ask_at(&world, "recency", 2)), [("x", "superseded")]);
    let answer = ask_at(&world, "recency", 3);
    assert_eq!(reasons(&answer), [("x", "retracted")]);
    assert_eq!((answer.status.as_str(), answer.considered, answer.value), ("unknown", 0, None));
}

#[test]
fn only_the_lifecycle_rejected_sets_aside() {
    let stages = ["proposed", "under_review", "approved", "deprecated", "rejected"];
    let claims = stages
        .iter()
        .zip(1..)
        .map(|(stage, lsn)| Claim { lifecycle: Some((*stage).into()), ..claim(stage, lsn, "1", stage) });
    assert_eq!(reasons(&ask(&world(claims), "recency")), [("rejected", "rejected")]);
}

#[test]
fn a_newer_stage_of_one_statement_sets_the_earlier_ones_aside() {
    let stage = |id: &str, lsn, stage: Option<&str>| Claim {
        lifecycle: stage.map(Into::into),
        ..claim(id, lsn, "1", "A")
    };
    let staged = [stage("a", 1, None), stage("b", 2, Some("proposed")), stage("c", 3, Some("approved"))];
    assert_eq!(reasons(&ask(&world(staged), "recency")), [("a", "restaged"), ("b", "restaged")]);
    let unstaged = [stage("a", 1, Some("approved")), stage("b", 2, None)];
    assert_eq!(reasons(&ask(&world(unstaged), "recency")), []);
    let rejected = [stage("a", 1, Some("approved")), stage("b", 2, Some("rejected"))];
    assert_eq!(reasons(&ask(&world(rejected), "recency")), [("a", "restaged"), ("b", "rejected")]);
    let other = [stage("a", 1, None), Claim { source: "B".into(), ..stage("b", 2, Some("approved")) }];
    assert_eq!(reasons(&ask(&world(other), "recency")), []);
}

/// One claim in epoch `v1`, one in `v2`, one in none; `v2` supersedes `v1` at LSN 5.
fn epochs() -> World {
    let of = |epoch: &str, claim| Claim { epoch: Some(epoch.into()), ..claim };
    let mut world = world([
        of("v1", claim("in-v1", 1, "1", "A")),
        of("v2", claim("in-v2", 2, "2", "B")),
        claim("in-none", 3, "3", "C"),
    ]);
    world.epoch(Epoch { lsn: 4, ordinal: 0, name: "v1".into(), supersedes: None });
    world.epoch(Epoch { lsn: 5, ordinal: 0, name: "v2".into(), supersedes: Some("v1".into()) });
    world
}

#[test]
fn without_a_named_epoch_claims_of_superseded_epochs_are_out() {
    let world = epochs();
    assert_eq!(reasons(&ask_at(&world, "recency", 4)), []);
    assert_eq!(reasons(&ask_at(&world, "recency", 5)), [("in-v1", "out_of_epoch")]);
}

#[test]
fn a_named_epoch_keeps_its_own_claims_and_those_of_none() {
    let world = epochs();
    assert_eq!(reasons(&under(&world, "v2")), [("in-v1", "out_of_epoch")]);
    // Asked for by name, a superseded epoch is in.
    assert_eq!(reasons(&under(&world, "v1")), [("in-v2", "out_of_epoch")]);
    assert_eq!(reasons(&under(&world, "v0")), [("in-v1", "out_of_epoch"), ("in-v2", "out_of_epoch")]);
}

#[test]
fn a_claim_is_valid_from_its_first_instant_and_no_longer_at_its_last() {
    let valid = |from, to| Claim { valid_from_us: from, valid_to_us: to, ..claim("x", 1, "1", "A") };
    let reason = |claim| {
        let answer = ask(&world([claim]), "recency");
        answer.set_aside.into_iter().next().map(|(_, reason)| reason)
    };
    assert_eq!(reason(valid(Some(NOW), Some(NOW + 1))), None);
    assert_eq!(reason(valid(Some(NOW + 1), None)).as_deref(), Some("not_yet_valid"));
    assert_eq!(reason(valid(None, Some(NOW))).as_deref(), Some("no_longer_valid"));
    assert_eq!(reason(valid(Some(NOW + 1), Some(NOW))).as_deref(), Some("not_yet_valid"));
}

#[test]
fn the_first_reason_in_order_is_the_one_given() {
    // All six reasons apply to the first claim; each further claim lacks the first reasons.
    let everything = |id: &str, lsn| Claim {
        lifecycle: Some("rejected".into()),
        epoch: Some("v1".into()),
        valid_from_us: Some(NOW + 1),
        valid_to_us: Some(NOW),
        ..claim(id, lsn, "1", "A")
    };
    let mut world = world([
        everything("a", 1),
        everything("b", 2),
        everything("c", 3),
        Claim { lifecycle: None, ..everything("d", 4) },
        Claim { lifecycle: None, epoch: None, ..everything("e", 5) },
        Claim { lifecycle: None, epoch: None, valid_from_us: None, ..everything("f", 6) },
    ]);
    world.supersede(supersession(7, "a", Some("b")));
    world.supersede(supersession(7, "a", None));
    world.supersede(supersession(7, "b", Some("c")));
    world.epoch(Epoch { lsn: 8, ordinal: 0, name: "v2".into(), supersedes: Some("v1".into()) });
    assert_eq!(
        reasons(&ask(&world, "recency")),
        [
            ("a", "retracted"),
            ("b", "superseded"),
            ("c", "rejected"),
            ("d", "out_of_epoch"),
            ("e", "not_yet_valid"),
            ("f", "no_longer_valid")
        ]
    );
}

#[test]
fn claims_set_aside_are_listed_by_position_whatever_the_order_of_appending() {
    let rejected = |id: &str, lsn, ordinal| Claim {
        lifecycle: Some("rejected".into()),
        ordinal,
        ..claim(id, lsn, "1", "A")
    };
    let world = world([rejected("c", 2, 1), rejected("a", 1, 5), rejected("b", 2, 0)]);
    let ids: Vec<String> = ask(&world, "recency").set_aside.into_iter().map(|(id, _)| id).collect();
    assert_eq!(ids, ["a", "b", "c"]);
}
