//! What a lens gives back.

use std::fmt;

use super::{Lens, SetAside};
use crate::identity::ClaimId;
use crate::model::{Nano, SourceClass};
use crate::object::Object;

/// The answer of one lens to one question. All shares, scores and margins lie in 0..=1 and are rounded to 10⁻⁹.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The lens that answered.
    pub lens: Lens,
    /// The winning value as the deciding claim spells it; `None` when nothing is claimed, and from
    /// [`Lens::Skeptic`].
    pub value: Option<Object>,
    /// The claims that stand for the winning value: the deciding one first, the others from the newest to the oldest.
    pub winners: Vec<ClaimId>,
    /// How sure the answer is, in the sense of the lens.
    pub confidence: Nano,
    /// Largest share minus second largest.
    pub margin: f64,
    /// Normalised Shannon entropy of the shares: 0 one voice, 1 all values equally supported.
    pub conflict_score: f64,
    /// The conflict in one word.
    pub status: Status,
    /// Every value claimed, the best supported first.
    pub values: Vec<ValueSupport>,
    /// Sum of the supports of all values.
    pub total_support: Nano,
    /// Number of claims that took part.
    pub considered: usize,
    /// Claims that did not take part, as indices into the candidates, from the newest to the oldest.
    pub set_aside: Vec<(usize, SetAside)>,
    /// One answer per class with claims, the best class first. From [`Lens::Layered`] only.
    pub layers: Vec<LayerAnswer>,
    /// Conflict between the winners of the classes, one voice per class. From [`Lens::Layered`] only.
    pub cross_class_conflict: f64,
}

/// How much the claims agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Status {
    /// Nothing is claimed.
    Unknown,
    /// One value.
    Unanimous,
    /// Several values, one of which has at least 80 % of the support.
    Agreed,
    /// Several values, none of which has.
    Contested,
}

impl Status {
    /// The name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Status::Unknown => "unknown",
            Status::Unanimous => "unanimous",
            Status::Agreed => "agreed",
            Status::Contested => "contested",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One value and who stands behind it.
#[derive(Clone, Debug, PartialEq)]
pub struct ValueSupport {
    /// The value as its newest claim spells it; of a group of near numbers, its anchor.
    pub object: Object,
    /// Voices plus votes, never below zero.
    pub support: Nano,
    /// Its part of the support of all values.
    pub share: f64,
    /// How many speak for it: agents, and sources of claims that no agent stands behind.
    pub voices: u32,
    /// How many of them copy nobody; `None` where every voice counts
    /// ([`LensParams::independent`](super::LensParams::independent) is not set).
    pub independent_voices: Option<u32>,
    /// Its claims as indices into the candidates, from the newest to the oldest.
    pub claims: Vec<usize>,
}

/// The answer of one class of sources.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerAnswer {
    /// The class.
    pub class: SourceClass,
    /// Its winning value as the newest claim of the class spells it.
    pub value: Object,
    /// The same value as an index into [`Answer::values`].
    pub value_index: usize,
    /// The value's support inside the class.
    pub support: Nano,
    /// Sum of the supports of all values inside the class.
    pub total_support: Nano,
    /// The value's part of the support inside the class.
    pub share: f64,
    /// Normalised entropy of the shares inside the class.
    pub conflict_score: f64,
    /// Number of claims of the class that took part.
    pub considered: usize,
    /// The class's claims of that value, from the newest to the oldest.
    pub winners: Vec<ClaimId>,
}
