use crate::{END, NOW, claim, classed, number, supports, world};
use stemedb_oracle::{Answer, Question, Value, World};

fn within(world: &World, lens: &str, tolerance: &str) -> Answer {
    world.answer(&Question {
        subject: "water".into(),
        predicate: "boiling_point".into(),
        lens: lens.into(),
        as_of: END,
        evaluated_at_us: NOW,
        tolerance: Some(tolerance.into()),
        ..Question::default()
    })
}

/// Two sources for 10, one each for 9, 11 and 12.
fn a_row_of_numbers() -> World {
    world([
        claim("a", 1, "10", "A"),
        claim("b", 2, "10.0", "B"),
        claim("c", 3, "9", "C"),
        claim("d", 4, "11", "D"),
        claim("e", 5, "12", "E"),
    ])
}

#[test]
fn the_best_supported_number_takes_its_neighbours_and_nothing_chains() {
    let answer = within(&a_row_of_numbers(), "consensus", "1");
    // {9, 10, 11} as the newest 10 is written, and {12}, which is near 11 but not near 10.
    assert_eq!(supports(&answer), [(number("10.0"), 4_000_000_000), (number("12"), 1_000_000_000)]);
    // The anchor's newest claim decides; the others follow from the newest to the oldest.
    assert_eq!((answer.value, answer.winners.join("")), (Some(number("10.0")), "bdca".to_string()));
    assert_eq!((answer.confidence, answer.status.as_str()), (0.8, "agreed"));
}

#[test]
fn other_lenses_write_the_value_as_the_deciding_claim_does() {
    let world = a_row_of_numbers();
    let answer = within(&world, "recency", "1");
    assert_eq!((answer.value, answer.winners.join("")), (Some(number("12")), "e".to_string()));
    // With 2 everything is one value, and the newest claim still decides.
    let answer = within(&world, "recency", "2");
    assert_eq!((answer.value.clone(), answer.winners.join("")), (Some(number("12")), "edcba".to_string()));
    assert_eq!(
        (answer.status.as_str(), supports(&answer)),
        ("unanimous", vec![(number("10.0"), 5_000_000_000)])
    );
}

#[test]
fn classes_have_the_groups_of_all_claims() {
    let world = world([
        classed("a", 1, "10", "A", 1),
        classed("b", 2, "10", "B", 1),
        classed("c", 3, "11", "C", 2),
        classed("d", 4, "12", "D", 2),
    ]);
    let answer = within(&world, "layered", "1");
    // 11 belongs to 10; inside class 2 it has one voice like 12, which is newer.
    assert_eq!(
        answer
            .layers
            .iter()
            .map(|(class, value, share, _)| (*class, value.clone(), *share))
            .collect::<Vec<_>>(),
        [(1, number("10"), 1.0), (2, number("12"), 0.5)]
    );
}

#[test]
fn only_numbers_are_near_each_other() {
    let mut text = claim("t", 3, "0", "C");
    text.object = Value::Text("10".into());
    let mut integer = claim("i", 2, "0", "B");
    integer.object = Value::Integer("11".into());
    let answer = within(&world([claim("a", 1, "10.5", "A"), integer, text]), "consensus", "5%");
    // Of equal supports the newest claim's value comes first: the text, then 11, the anchor of 10.5.
    assert_eq!(answer.values.len(), 2);
    assert_eq!(answer.value, Some(Value::Integer("11".into())));
}
