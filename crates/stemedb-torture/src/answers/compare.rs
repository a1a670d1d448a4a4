//! Whether two answers are the same.

use stemedb_core::{Answer, Candidate, Lens};
use stemedb_oracle as oracle;

use super::told::{object, value};

/// Reported floats are rounded to 10⁻⁹ from sums that may be added in another order.
const UNIT: f64 = 1.000_001e-9;

/// The first member in which what the engine answers is not what the oracle says.
pub fn difference(expected: &oracle::Answer, found: &Answer, candidates: &[Candidate]) -> Option<String> {
    let differs = |member: &str, expected: &dyn std::fmt::Debug, found: &dyn std::fmt::Debug| {
        Some(format!("{member}: {expected:?} by the oracle, {found:?} by the engine"))
    };
    let own = found.value.as_ref().map(value);
    if own != expected.value {
        return differs("value", &expected.value, &own);
    }
    let winners: Vec<String> = found.winners.iter().map(ToString::to_string).collect();
    if winners != expected.winners {
        return differs("winners", &expected.winners, &winners);
    }
    if found.status.name() != expected.status {
        return differs("status", &expected.status, &found.status);
    }
    if found.considered != expected.considered {
        return differs("considered", &expected.considered, &found.considered);
    }
    let mut floats = vec![
        ("confidence", expected.confidence, found.confidence.to_f64()),
        ("margin", expected.margin, found.margin),
        ("conflict_score", expected.conflict_score, found.conflict_score),
    ];
    // What decides nothing may be off by the last place; what is compared to decide may not.
    if matches!(found.lens, Lens::Recency | Lens::Confidence | Lens::Authority)
        && (expected.confidence * 1e9).round() as i64 != found.confidence.0
    {
        return differs("confidence", &expected.confidence, &found.confidence);
    }
    if found.values.len() != expected.values.len() {
        return differs("values", &expected.values, &found.values);
    }
    for ((own, support, share), other) in expected.values.iter().zip(&found.values) {
        if object(own) != other.object || *support != other.support.0 {
            return differs("values", &expected.values, &found.values);
        }
        floats.push(("share", *share, other.share));
    }
    if found.lens == Lens::Layered {
        if found.layers.len() != expected.layers.len() {
            return differs("layers", &expected.layers, &found.layers);
        }
        for ((class, own, share, conflict), other) in expected.layers.iter().zip(&found.layers) {
            if *class != other.class.number() || object(own) != other.value {
                return differs("layers", &expected.layers, &found.layers);
            }
            floats.push(("share in a layer", *share, other.share));
            floats.push(("conflict in a layer", *conflict, other.conflict_score));
        }
        floats.push(("cross_class_conflict", expected.cross_class_conflict, found.cross_class_conflict));
    }
    if let Some((member, own, other)) =
        floats.into_iter().find(|(_, own, other)| (own - other).abs().total_cmp(&UNIT).is_gt())
    {
        return differs(member, &own, &other);
    }
    let mut set_aside: Vec<(String, String)> = (found.set_aside.iter())
        .filter_map(|(at, why)| Some((candidates.get(*at)?.id.to_string(), why.name().to_owned())))
        .collect();
    set_aside.sort();
    let mut own = expected.set_aside.clone();
    own.sort();
    if own != set_aside {
        return differs("set_aside", &own, &set_aside);
    }
    let tainted = |one: &Candidate| Some((one.id.to_string(), one.tainted?.to_string()));
    let mut tainted: Vec<(String, String)> = candidates.iter().filter_map(tainted).collect();
    tainted.sort();
    let mut own = expected.tainted.clone();
    own.sort();
    if own != tainted {
        return differs("tainted", &own, &tainted);
    }
    None
}
