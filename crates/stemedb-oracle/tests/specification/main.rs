//! Hand-computed examples. Every expected number below was worked out on paper from the definitions, not copied
//! from a run.

mod counterfactual;
mod decay;
mod equality;
mod lenses;
mod lineage;
mod set_aside;
mod support;
mod tolerance;

use stemedb_oracle::{Answer, Claim, Value, World};

/// One day in microseconds.
const DAY: i64 = 86_400_000_000;
/// The instant at which the examples are evaluated.
const NOW: i64 = 20_000 * DAY;
/// Later than every record.
const END: u64 = u64::MAX;

/// A claim about water's boiling point, recorded at `NOW`, id and source as given.
fn claim(id: &str, lsn: u64, object: &str, source: &str) -> Claim {
    Claim {
        id: id.into(),
        lsn,
        recorded_at_us: NOW,
        subject: "water".into(),
        predicate: "boiling_point".into(),
        object: Value::Number(object.into()),
        source: source.into(),
        ..Claim::default()
    }
}

/// The same, of a stated class.
fn classed(id: &str, lsn: u64, object: &str, source: &str, class: u8) -> Claim {
    Claim { source_class: Some(class), ..claim(id, lsn, object, source) }
}

fn world(claims: impl IntoIterator<Item = Claim>) -> World {
    let mut world = World::default();
    for claim in claims {
        assert!(world.assert(claim));
    }
    world
}

/// The whole world, now, without decay and without an epoch.
fn ask(world: &World, lens: &str) -> Answer {
    ask_at(world, lens, END)
}

fn ask_at(world: &World, lens: &str, as_of: u64) -> Answer {
    world.ask("water", "boiling_point", lens, as_of, NOW, false, None)
}

fn number(text: &str) -> Value {
    Value::Number(text.into())
}

/// Texts and supports of the listed values.
fn supports(answer: &Answer) -> Vec<(Value, i64)> {
    answer.values.iter().map(|(value, support, _)| (value.clone(), *support)).collect()
}
