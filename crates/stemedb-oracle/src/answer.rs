//! What a question answers.

use crate::Value;

/// What a question answers. Objects are shown as the claim that decides writes them; the others by their newest claim.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The winning value; `None` when nothing is considered or the lens names no winner.
    pub value: Option<Value>,
    /// Ids of the claims of the winning value: the deciding one, then newest first.
    pub winners: Vec<String>,
    /// How much this lens trusts its winner, 0..=1.
    pub confidence: f64,
    /// Largest minus second largest share.
    pub margin: f64,
    /// 0 (one value) ..= 1 (all values equally supported).
    pub conflict_score: f64,
    /// `unknown`, `unanimous`, `agreed` or `contested`.
    pub status: String,
    /// Every value with its support and its share of all support, best supported first.
    pub values: Vec<(Value, i64, f64)>,
    /// How many claims took part.
    pub considered: usize,
    /// Claims that did not take part and why, in the order of their positions.
    pub set_aside: Vec<(String, String)>,
    /// Per class that has a claim, best class first: its winner, the winner's share and the conflict, inside the class.
    pub layers: Vec<(u8, Value, f64, f64)>,
    /// Claims that derive from a retracted one, each with the nearest of those, in the order of their positions.
    pub tainted: Vec<(String, String)>,
    /// Conflict between the classes, one voice each.
    pub cross_class_conflict: f64,
}
