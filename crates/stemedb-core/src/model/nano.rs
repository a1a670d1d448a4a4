//! Fixed-point fractions: every comparison that decides an answer is one of integers.

use std::fmt;

use super::Problem;
use crate::object::Decimal;

/// A fraction in units of 10⁻⁹: `Nano(1_000_000_000)` is 1.0.
///
/// Confidences, trust and vote weights are `Nano`s, so that sums do not depend on the order of their terms and
/// comparisons are exact.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Nano(pub i64);

impl Nano {
    /// 0.0
    pub const ZERO: Nano = Nano(0);
    /// 1.0
    pub const ONE: Nano = Nano(1_000_000_000);
    /// 0.5, the trust of an agent about whom nothing is known.
    pub const HALF: Nano = Nano(500_000_000);
    /// −1.0, the smallest vote weight.
    pub const MINUS_ONE: Nano = Nano(-1_000_000_000);

    /// The value as a float: the nearest `f64` to `self.0 / 10⁹`.
    pub fn to_f64(self) -> f64 {
        self.0 as f64 / 1e9
    }

    /// `part / whole` rounded to the nearest 10⁻⁹ (halves up); zero when `whole` is not positive.
    ///
    /// Exact: computed in 128-bit integers. `part` must not be negative.
    pub fn ratio(part: i64, whole: i64) -> Nano {
        if whole <= 0 || part < 0 {
            return Nano::ZERO;
        }
        let (part, whole) = (i128::from(part), i128::from(whole));
        let rounded = (2 * part * 1_000_000_000 + whole) / (2 * whole);
        Nano(i64::try_from(rounded).unwrap_or(i64::MAX))
    }

    /// Reads the text of a JSON number, rounded to the nearest 10⁻⁹ (halves away from zero).
    ///
    /// # Errors
    /// [`Problem::NotANumber`] for another grammar; [`Problem::OutOfRange`] outside ±9.2 × 10⁹; and the limits of
    /// [`Decimal::parse`].
    pub fn parse_json_number(text: &str) -> Result<Nano, Problem> {
        Decimal::parse(text)?
            .to_nano()
            .ok_or(Problem::OutOfRange { min: i64::MIN / 1_000_000_000, max: i64::MAX / 1_000_000_000 })
    }
}

impl fmt::Display for Nano {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let magnitude = self.0.unsigned_abs();
        let sign = if self.0 < 0 { "-" } else { "" };
        let (whole, mut fraction) = (magnitude / 1_000_000_000, magnitude % 1_000_000_000);
        if fraction == 0 {
            return write!(f, "{sign}{whole}");
        }
        let mut width = 9;
        while fraction.is_multiple_of(10) {
            fraction /= 10;
            width -= 1;
        }
        write!(f, "{sign}{whole}.{fraction:0width$}")
    }
}
