//! When two numbers are near enough to be one value.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use crate::model::Problem;
use crate::object::Decimal;

/// How far a number may lie from a group's anchor and still belong to it. Not negative.
///
/// Written `0.5` (absolute) or `0.1%` (relative to the anchor). The arithmetic is exact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tolerance {
    /// `|x − anchor| ≤ t`
    Absolute(Decimal),
    /// `|x − anchor| ≤ t · |anchor|`
    Relative(Decimal),
}

impl Tolerance {
    /// Whether only equal numbers are near each other.
    pub fn is_zero(&self) -> bool {
        let (Tolerance::Absolute(width) | Tolerance::Relative(width)) = self;
        width.is_zero()
    }

    /// Whether `x` is near `anchor`. Not symmetric when relative.
    ///
    /// Exact. Costs one allocation of a few bytes for numbers of a like size, and of at most 9 KB for the most unlike.
    pub fn is_near(&self, anchor: &Decimal, x: &Decimal) -> bool {
        let distance = Unsigned::distance(anchor, x);
        let reach = match self {
            Tolerance::Absolute(width) => Unsigned::of(width),
            Tolerance::Relative(width) => Unsigned::of(width).times(&Unsigned::of(anchor)),
        };
        distance.cmp_value(&reach) != Ordering::Greater
    }
}

/// The form that [`FromStr`] reads; a percentage as such.
impl fmt::Display for Tolerance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Tolerance::Absolute(width) => width.fmt(f),
            Tolerance::Relative(width) => match width.shifted(2) {
                Ok(percent) => write!(f, "{percent}%"),
                // Out of the range of numbers only for an enum that was not read from a text.
                Err(_) => write!(f, "{width}00%"),
            },
        }
    }
}

impl FromStr for Tolerance {
    type Err = Problem;

    /// # Errors
    /// [`Problem::OutOfRange`] below zero, and those of [`Decimal::parse`].
    fn from_str(text: &str) -> Result<Tolerance, Problem> {
        let (number, relative) = match text.strip_suffix('%') {
            Some(number) => (number, true),
            None => (text, false),
        };
        let width = Decimal::parse(number)?;
        if width.is_negative() {
            return Err(Problem::OutOfRange { min: 0, max: i64::MAX });
        }
        if relative { width.shifted(-2).map(Tolerance::Relative) } else { Ok(Tolerance::Absolute(width)) }
    }
}

/// A number without sign and without a bound on its digits: `digits × 10^exponent`, most significant first, no leading
/// zero.
struct Unsigned {
    digits: Vec<u8>,
    exponent: i32,
}

impl Unsigned {
    fn of(number: &Decimal) -> Unsigned {
        Unsigned { digits: number.digits().to_vec(), exponent: number.exponent() }
    }

    /// `|a − b|`.
    fn distance(a: &Decimal, b: &Decimal) -> Unsigned {
        let exponent = match (a.is_zero(), b.is_zero()) {
            (true, _) => b.exponent(),
            (_, true) => a.exponent(),
            _ => a.exponent().min(b.exponent()),
        };
        let (top, exponent_top) = (a.magnitude().max(b.magnitude()), exponent);
        // One place more than either needs, for the carry. At most 4096 + 64 + 4096 + 1.
        let places = usize::try_from(top - exponent_top).unwrap_or(0) + 1;
        let mut digits = vec![0_i8; places];
        // `a − b` or `a + b` by digit; the sign of the whole comes out of the comparison.
        let same_sign = a.is_negative() == b.is_negative();
        let (large, small) = if cmp_size(a, b) == Ordering::Less { (b, a) } else { (a, b) };
        add(&mut digits, large, exponent, 1);
        add(&mut digits, small, exponent, if same_sign { -1 } else { 1 });
        // Digits are now −9..=18; carry from the last to the first. `large` is not the smaller: the whole is not negative.
        let mut carry = 0_i8;
        for digit in digits.iter_mut().rev() {
            let sum = *digit + carry;
            *digit = sum.rem_euclid(10);
            carry = sum.div_euclid(10);
        }
        let digits =
            digits.into_iter().map(|digit| digit.unsigned_abs()).skip_while(|digit| *digit == 0).collect();
        Unsigned { digits, exponent }
    }

    fn times(&self, other: &Unsigned) -> Unsigned {
        let mut sums = vec![0_u32; self.digits.len() + other.digits.len()];
        for (at, a) in self.digits.iter().enumerate() {
            for (place, b) in other.digits.iter().enumerate() {
                if let Some(sum) = sums.get_mut(at + place + 1) {
                    *sum += u32::from(*a) * u32::from(*b);
                }
            }
        }
        let mut carry = 0;
        for sum in sums.iter_mut().rev() {
            *sum += carry;
            carry = *sum / 10;
            *sum %= 10;
        }
        let digits = sums.into_iter().map(|digit| digit as u8).skip_while(|digit| *digit == 0).collect();
        Unsigned { digits, exponent: self.exponent.saturating_add(other.exponent) }
    }

    fn cmp_value(&self, other: &Unsigned) -> Ordering {
        match (self.digits.is_empty(), other.digits.is_empty()) {
            (true, true) => return Ordering::Equal,
            (true, false) => return Ordering::Less,
            (false, true) => return Ordering::Greater,
            (false, false) => {}
        }
        let magnitude = |number: &Unsigned| i64::from(number.exponent) + number.digits.len() as i64;
        magnitude(self).cmp(&magnitude(other)).then_with(|| {
            let places = self.digits.len().max(other.digits.len());
            let digit = |number: &Unsigned, at: usize| number.digits.get(at).copied().unwrap_or(0);
            (0..places)
                .map(|at| digit(self, at).cmp(&digit(other, at)))
                .find(|order| order.is_ne())
                .unwrap_or(Ordering::Equal)
        })
    }
}

/// By absolute value.
fn cmp_size(a: &Decimal, b: &Decimal) -> Ordering {
    match (a.is_zero(), b.is_zero()) {
        (true, true) => Ordering::Equal,
        (true, false) => Ordering::Less,
        (false, true) => Ordering::Greater,
        (false, false) => a.magnitude().cmp(&b.magnitude()).then_with(|| {
            // Equal magnitudes: the first digits stand at one place, and missing ones are zeros.
            let digit = |number: &Decimal, at: usize| number.digits().get(at).copied().unwrap_or(0);
            let places = a.digits().len().max(b.digits().len());
            (0..places)
                .map(|at| digit(a, at).cmp(&digit(b, at)))
                .find(|order| order.is_ne())
                .unwrap_or(Ordering::Equal)
        }),
    }
}

/// Adds the digits of a number, times `sign`, to places of which the last is 10^`exponent`.
fn add(places: &mut [i8], number: &Decimal, exponent: i32, sign: i8) {
    if number.is_zero() {
        return;
    }
    let after = usize::try_from(number.exponent() - exponent).unwrap_or(0);
    let count = number.digits().len();
    let start = places.len().saturating_sub(after + count);
    for (place, digit) in places.iter_mut().skip(start).zip(number.digits()) {
        // Digits are 0 to 9.
        *place += sign * *digit as i8;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(tolerance: &str, anchor: &str, x: &str) -> bool {
        let tolerance: Tolerance = tolerance.parse().unwrap();
        tolerance.is_near(&Decimal::parse(anchor).unwrap(), &Decimal::parse(x).unwrap())
    }

    #[test]
    fn distances_are_exact() {
        assert!(near("0.5", "10", "10.5") && near("0.5", "10", "9.5"));
        assert!(!near("0.5", "10", "10.5000000000000000000000000000000000001"));
        assert!(!near("0.5", "10", "9.4999999999999999999999999999999999999"));
        assert!(near("3", "-1", "2") && !near("2.9", "-1", "2"));
        assert!(near("1", "-5", "-6") && near("1", "-6", "-5") && !near("1", "-5", "5"));
        assert!(near("0", "5.0", "5") && near("0", "0", "-0") && !near("0", "0", "1e-4096"));
        assert!(near("1", "0", "1") && near("1", "1", "0") && near("1e4096", "1e4096", "0"));
        assert!(near("100", "99", "199") && !near("100", "99", "199.1"));
        assert!(near("1e4096", "1e-4096", "1e4096") && !near("9e4095", "-1e-4096", "1e4096"));
    }

    #[test]
    fn a_percentage_is_of_the_anchor() {
        assert!(near("0.1%", "1000", "1001") && near("0.1%", "-1000", "-999"));
        assert!(!near("0.1%", "1000", "1001.0001"));
        // 0.1 % of 1001 is more than 1, of 1000 exactly 1.
        assert!(near("0.1%", "1001", "999.999") && !near("0.1%", "999.999", "1001"));
        assert!(near("50%", "0", "0") && !near("50%", "0", "1e-4000"));
        assert!(near("100%", "1e4096", "0") && !near("99.999%", "1e4096", "0"));
        assert!(near("1%", "1e-4000", "1.01e-4000") && !near("1%", "1e-4000", "1.0100001e-4000"));
    }

    #[test]
    fn texts_are_read_and_written() {
        for (text, written) in [("0.5", "5e-1"), ("0.1%", "1e-1%"), ("5%", "5%"), ("0", "0"), ("0.0%", "0%")]
        {
            let tolerance: Tolerance = text.parse().unwrap();
            assert_eq!(tolerance.to_string(), written);
            assert_eq!(written.parse(), Ok(tolerance));
        }
        for text in ["", "%", "-1", "-0.1%", "1 %", "x", "1%%", "1e5000", "1e-4095%"] {
            assert!(text.parse::<Tolerance>().is_err(), "{text}");
        }
    }
}
