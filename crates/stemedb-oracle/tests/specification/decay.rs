use crate::{DAY, END, NOW, classed, world};
use stemedb_oracle::{Claim, World};

/// The confidence a single claim of `class` answers with, `age_us` after it was observed.
fn decayed(class: u8, confidence_nano: i64, age_us: i64) -> f64 {
    let claim = Claim {
        confidence_nano: Some(confidence_nano),
        observed_at_us: Some(NOW - age_us),
        ..classed("x", 1, "1", "A", class)
    };
    ask(&world([claim]), "recency", true).1
}

/// Winner and confidence.
fn ask(world: &World, lens: &str, decay: bool) -> (String, f64) {
    let answer = world.ask("water", "boiling_point", lens, END, NOW, decay, None);
    (answer.winners.concat(), answer.confidence)
}

#[test]
fn each_class_halves_after_its_own_half_life() {
    for (class, days) in [(1, 730), (2, 365), (3, 180), (4, 90), (5, 30)] {
        assert_eq!(decayed(class, 800_000_000, days * DAY), 0.4, "class {class}");
        assert_eq!(decayed(class, 800_000_000, 3 * days * DAY), 0.1, "class {class}");
    }
}

#[test]
fn class_zero_does_not_age() {
    assert_eq!(decayed(0, 800_000_000, 20_000 * DAY), 0.8);
}

#[test]
fn decayed_confidence_is_rounded_to_the_nearest_nano() {
    // 2^(-1/2) = 0.70710678118... and 2^(-1/6) = 0.89089871814...
    assert_eq!(decayed(4, 900_000_000, 45 * DAY), 0.636_396_103);
    assert_eq!(decayed(3, 1_000_000_000, 30 * DAY), 0.890_898_718);
    assert_eq!(decayed(1, 800_000_000, 365 * DAY), 0.565_685_425);
    // 3 nano halved once is 1.5, rounded away from zero; 1 nano after ten half-lives is nothing.
    assert_eq!(decayed(5, 3, 30 * DAY), 0.000_000_002);
    assert_eq!(decayed(5, 1, 300 * DAY), 0.0);
}

#[test]
fn a_claim_observed_after_the_evaluated_instant_has_no_age() {
    assert_eq!(decayed(5, 900_000_000, -30 * DAY), 0.9);
}

#[test]
fn unsaid_confidence_is_one_and_unsaid_observation_is_the_recorded_time() {
    let claim = Claim { recorded_at_us: NOW - 30 * DAY, ..classed("x", 1, "1", "A", 5) };
    assert_eq!(ask(&world([claim]), "recency", true).1, 0.5);
}

#[test]
fn decay_can_change_who_wins_by_confidence_and_only_when_asked_for() {
    let old = Claim {
        confidence_nano: Some(900_000_000),
        observed_at_us: Some(NOW - 730 * DAY),
        ..classed("old", 1, "1", "A", 1)
    };
    let new = Claim { confidence_nano: Some(600_000_000), ..classed("new", 2, "2", "B", 5) };
    let world = world([old, new]);
    assert_eq!(ask(&world, "confidence", true), ("new".into(), 0.6));
    assert_eq!(ask(&world, "confidence", false), ("old".into(), 0.9));
    // Authority: class 1 alone, 0.5 trust x 0.45 or x 0.9.
    assert_eq!(ask(&world, "authority", true), ("old".into(), 0.225));
    assert_eq!(ask(&world, "authority", false), ("old".into(), 0.45));
    // Support knows no age.
    assert_eq!(ask(&world, "consensus", true), ("new".into(), 0.5));
}
