use crate::{END, NOW, ask, ask_at, claim, classed, number, supports, world};
use stemedb_oracle::{Claim, LENSES, Source, Value, World};

/// 100 (classes 1 and 2), 99 (class 2), 98 (class 5): supports 2, 1, 1 of 4.
fn four_sources() -> World {
    world([
        classed("a", 1, "100", "A", 1),
        classed("b", 2, "100.0", "B", 2),
        classed("c", 3, "99", "C", 2),
        classed("d", 4, "98", "D", 5),
    ])
}

#[test]
fn every_lens_reports_the_same_support_conflict_margin_and_status() {
    let world = four_sources();
    for lens in LENSES {
        let answer = ask(&world, lens);
        // Of equally supported values the one with the newer claim comes first: 98 before 99.
        assert_eq!(
            answer.values,
            [
                (number("100.0"), 2_000_000_000, 0.5),
                (number("98"), 1_000_000_000, 0.25),
                (number("99"), 1_000_000_000, 0.25)
            ],
            "{lens}"
        );
        // H = 0.5 ln 2 + 2 * 0.25 ln 4 = 1.5 ln 2 = 1.039720771; ln 3 = 1.098612289.
        assert!((answer.conflict_score - 0.946_394_630).abs() < 2e-9, "{lens} {}", answer.conflict_score);
        assert_eq!(
            (answer.margin, answer.status.as_str(), answer.considered),
            (0.25, "contested", 4),
            "{lens}"
        );
    }
}

#[test]
fn recency_takes_the_newest_claim_and_its_confidence() {
    let answer = ask(&four_sources(), "recency");
    assert_eq!(answer.value, Some(number("98")));
    assert_eq!(answer.winners, ["d"]);
    assert_eq!(answer.confidence, 1.0);
}

#[test]
fn recency_goes_by_observation_before_position() {
    let mut early = claim("late-entry", 9, "1", "A");
    early.observed_at_us = Some(NOW - 10);
    let mut late = claim("early-entry", 2, "2", "B");
    late.observed_at_us = Some(NOW - 5);
    assert_eq!(ask(&world([early, late]), "recency").winners, ["early-entry"]);
}

#[test]
fn recency_falls_back_to_the_recorded_time_then_lsn_then_ordinal() {
    let mut first = claim("first", 1, "1", "A");
    first.recorded_at_us = NOW - 1;
    let mut observed = claim("observed", 2, "2", "B");
    observed.observed_at_us = Some(NOW - 2);
    assert_eq!(ask(&world([first, observed]), "recency").winners, ["first"]);

    let second_of_entry = Claim { ordinal: 1, ..claim("1", 5, "1", "A") };
    let first_of_entry = Claim { ordinal: 0, ..claim("0", 5, "2", "B") };
    let earlier_entry = Claim { ordinal: 7, ..claim("2", 4, "3", "C") };
    assert_eq!(ask(&world([second_of_entry, first_of_entry, earlier_entry]), "recency").winners, ["1"]);
}

#[test]
fn consensus_takes_the_best_supported_value_and_answers_its_share() {
    let answer = ask(&four_sources(), "consensus");
    // The newest claim of the value decides, so its spelling is shown.
    assert_eq!(answer.value, Some(number("100.0")));
    assert_eq!(answer.winners, ["b", "a"]);
    assert_eq!(answer.confidence, 0.5);
}

#[test]
fn consensus_between_equal_supports_takes_the_newer_value() {
    let answer = ask(&world([claim("x", 1, "1", "A"), claim("y", 2, "2", "B")]), "consensus");
    assert_eq!((answer.winners, answer.confidence, answer.margin), (vec!["y".to_string()], 0.5, 0.0));
}

#[test]
fn confidence_takes_the_surest_claim() {
    let sure = |nano, claim| Claim { confidence_nano: Some(nano), ..claim };
    let world = world([
        sure(700_000_000, claim("a", 1, "1", "A")),
        sure(900_000_000, claim("b", 2, "2", "B")),
        sure(700_000_000, claim("c", 3, "1", "C")),
    ]);
    let answer = ask(&world, "confidence");
    assert_eq!((answer.value, answer.confidence), (Some(number("2")), 0.9));
    assert_eq!(answer.winners, ["b"]);
    // Confidence does not enter support: value 1 has two voices.
    assert_eq!(answer.values[0], (number("1"), 2_000_000_000, 0.666_666_667));
}

#[test]
fn confidence_between_equally_sure_claims_goes_by_support_before_newness() {
    // All say nothing, hence 1.0. 100 has two voices, so its newer claim wins over the newest of all.
    let answer = ask(&four_sources(), "confidence");
    assert_eq!((answer.winners, answer.confidence), (vec!["b".to_string(), "a".to_string()], 1.0));
}

#[test]
fn the_deciding_claim_stands_first_even_when_another_of_its_value_is_newer() {
    let sure = |nano, claim| Claim { confidence_nano: Some(nano), ..claim };
    let world = world([
        sure(900_000_000, claim("surest", 1, "1", "A")),
        sure(100_000_000, claim("middle", 2, "1", "B")),
        sure(100_000_000, claim("newest", 3, "1", "C")),
    ]);
    assert_eq!(ask(&world, "confidence").winners, ["surest", "newest", "middle"]);
}

#[test]
fn authority_lets_only_the_best_class_speak_and_halves_by_trust() {
    let answer = ask(&four_sources(), "authority");
    // Class 1 alone: 0.5 trust x 1.0. The claim b of the same value is of class 2 and no winner.
    assert_eq!(answer.value, Some(number("100")));
    assert_eq!((answer.winners, answer.confidence), (vec!["a".to_string()], 0.5));
}

#[test]
fn authority_rounds_down_and_a_tie_made_by_rounding_goes_to_the_newer() {
    let sure = |nano, claim| Claim { confidence_nano: Some(nano), ..claim };
    // 0.5 x 333,333,333 = 166,666,666.5 -> 166,666,666 = 0.5 x 333,333,332.
    let world = world([
        sure(333_333_333, classed("higher", 1, "1", "A", 2)),
        sure(333_333_332, classed("newer", 2, "2", "B", 2)),
        sure(1_000_000_000, classed("worse class", 3, "3", "C", 3)),
    ]);
    let answer = ask(&world, "authority");
    assert_eq!((answer.winners, answer.confidence), (vec!["newer".to_string()], 0.166_666_666));
}

#[test]
fn authority_ties_count_support_from_all_classes() {
    let world =
        world([classed("a", 1, "1", "A", 0), classed("b", 2, "2", "B", 0), classed("c", 3, "1", "C", 5)]);
    // a and b are equally trusted; 1 has two voices over all classes.
    assert_eq!(ask(&world, "authority").winners, ["a"]);
}

#[test]
fn skeptic_names_no_winner() {
    let answer = ask(&four_sources(), "skeptic");
    assert_eq!((answer.value, answer.winners, answer.confidence), (None, vec![], 0.0));
}

#[test]
fn layered_answers_per_class_and_takes_the_best_class() {
    let answer = ask(&four_sources(), "layered");
    // Class 2 says 100.0 and 99 with one voice each: conflict 1, the newer one (99) wins with half.
    assert_eq!(
        answer.layers,
        [(1, number("100"), 1.0, 0.0), (2, number("99"), 0.5, 1.0), (5, number("98"), 1.0, 0.0)]
    );
    assert_eq!((answer.value, answer.confidence), (Some(number("100")), 1.0));
    assert_eq!(answer.winners, ["a"]);
    // Three classes, three different winners.
    assert_eq!(answer.cross_class_conflict, 1.0);
}

#[test]
fn layered_winner_is_by_support_inside_the_class_not_over_all() {
    let world = world([
        classed("a", 1, "1", "A", 0),
        classed("b", 2, "1", "B", 0),
        classed("c", 3, "2", "C", 0),
        classed("d", 4, "2", "D", 4),
        classed("e", 5, "2", "E", 4),
    ]);
    let answer = ask(&world, "layered");
    assert_eq!((answer.value, answer.confidence), (Some(number("1")), 0.666_666_667));
    assert_eq!(answer.winners, ["b", "a"]);
    assert_eq!(ask(&world, "consensus").value, Some(number("2")));
    // Inside class 0: H(2/3, 1/3) / ln 2 = 0.918295834. Between classes: 1 against 2.
    assert!((answer.layers[0].3 - 0.918_295_834).abs() < 2e-9);
    assert_eq!(answer.cross_class_conflict, 1.0);
}

#[test]
fn classes_that_agree_are_no_conflict_between_classes() {
    let agreeing = world([classed("a", 1, "1", "A", 0), classed("b", 2, "1.0", "B", 3)]);
    assert_eq!(ask(&agreeing, "layered").cross_class_conflict, 0.0);
    // Voices 2 and 1 of three classes: H(2/3, 1/3) / ln 2.
    let mostly =
        world([classed("a", 1, "1", "A", 0), classed("b", 2, "1", "B", 3), classed("c", 3, "7", "C", 5)]);
    assert!((ask(&mostly, "layered").cross_class_conflict - 0.918_295_834).abs() < 2e-9);
}

#[test]
fn a_class_is_the_stated_one_else_the_newest_record_of_the_source_else_five() {
    let mut world = world([
        claim("registered", 1, "1", "Book"),
        classed("stated", 2, "2", "Book", 4),
        claim("unknown", 3, "3", "Rumour"),
    ]);
    world.source(Source { lsn: 6, ordinal: 0, id: "Book".into(), class: 1 });
    world.source(Source { lsn: 5, ordinal: 9, id: "Book".into(), class: 3 });
    world.source(Source { lsn: 5, ordinal: 2, id: "Book".into(), class: 2 });
    let classes = |as_of| -> Vec<(u8, Value)> {
        ask_at(&world, "layered", as_of).layers.into_iter().map(|(class, value, ..)| (class, value)).collect()
    };
    assert_eq!(classes(END), [(1, number("1")), (4, number("2")), (5, number("3"))]);
    assert_eq!(classes(5), [(3, number("1")), (4, number("2")), (5, number("3"))]);
    // Before any record both 1 and 3 are of class 5; the newer one wins there.
    assert_eq!(classes(4), [(4, number("2")), (5, number("3"))]);
}

#[test]
fn the_smaller_id_decides_between_claims_of_one_position() {
    // No engine gives one position twice; the rule is there so that the order is total.
    let world = world([claim("bb", 1, "1", "A"), claim("aa", 1, "2", "B")]);
    for lens in ["recency", "consensus", "confidence", "authority", "layered"] {
        assert_eq!(ask(&world, lens).winners, ["aa"], "{lens}");
    }
    assert_eq!(
        supports(&ask(&world, "skeptic")),
        [(number("2"), 1_000_000_000), (number("1"), 1_000_000_000)]
    );
}

#[test]
fn a_question_without_claims_is_unknown_through_every_lens() {
    for lens in LENSES {
        let answer = World::default().ask("nothing", "known", lens, END, NOW, true, None);
        assert_eq!((answer.status.as_str(), answer.considered), ("unknown", 0));
        assert_eq!(
            (answer.value, answer.winners, answer.values, answer.layers),
            (None, vec![], vec![], vec![])
        );
        assert_eq!((answer.confidence, answer.margin, answer.conflict_score), (0.0, 0.0, 0.0));
        assert_eq!(answer.cross_class_conflict, 0.0);
    }
}

#[test]
fn an_answer_as_of_an_lsn_knows_nothing_later() {
    let world = four_sources();
    assert_eq!(ask_at(&world, "recency", 0).status, "unknown");
    let answer = ask_at(&world, "recency", 2);
    assert_eq!(
        (answer.winners, answer.status),
        (vec!["b".to_string(), "a".to_string()], "unanimous".to_string())
    );
    assert_eq!(ask_at(&world, "recency", 3).winners, ["c"]);
}

#[test]
#[should_panic(expected = "unknown lens")]
fn an_unknown_lens_is_loud() {
    ask(&four_sources(), "majority");
}

#[test]
fn an_id_asserted_again_changes_nothing() {
    let mut world = four_sources();
    assert!(!world.assert(claim("d", 9, "98", "D")));
    assert_eq!(world.claims().len(), 4);
    assert_eq!(world.claims()[3].lsn, 4);
}
