//! Exact decimal numbers.

use std::cmp::Ordering;
use std::fmt;

use crate::model::{NUMBER_MAX_BYTES, Nano, Problem};

/// Most significant digits of a number.
pub const DIGITS_MAX: usize = 64;
/// Largest magnitude of a number's normalised exponent.
pub const EXPONENT_MAX: i32 = 4096;

/// Most significant digits of a number that fits an `i64` whatever they are.
const SHORT_DIGITS_MAX: usize = 18;

const POWERS_OF_TEN: [i64; SHORT_DIGITS_MAX + 1] = {
    let mut powers = [1; SHORT_DIGITS_MAX + 1];
    let mut at = 1;
    while at < powers.len() {
        powers[at] = powers[at - 1] * 10;
        at += 1;
    }
    powers
};

/// A decimal number in normal form: `± digits × 10^exponent`, where `digits` is an integer without leading or
/// trailing zeros, and zero is positive without digits. Equal numbers have one normal form: 5 = 5.0 = 50e-1,
/// −0 = 0.
///
/// On the stack; parsing allocates nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decimal {
    negative: bool,
    exponent: i32,
    len: u8,
    /// Values 0 to 9, the most significant first; zero beyond `len`.
    digits: [u8; DIGITS_MAX],
}

impl Decimal {
    /// Reads a number of the JSON grammar (RFC 8259, section 6).
    ///
    /// # Errors
    /// [`Problem::NotANumber`] for another grammar, [`Problem::TooLong`] above 8 KiB of text,
    /// [`Problem::TooManyDigits`] with more than 64 significant digits, [`Problem::ExponentOutOfRange`] when the
    /// normalised exponent is outside ±4096.
    pub fn parse(text: &str) -> Result<Decimal, Problem> {
        if text.len() > NUMBER_MAX_BYTES {
            return Err(Problem::TooLong { len: text.len(), max: NUMBER_MAX_BYTES });
        }
        let parts = Parts::split(text.as_bytes()).ok_or(Problem::NotANumber)?;
        let mut number = Decimal { negative: false, exponent: 0, len: 0, digits: [0; DIGITS_MAX] };
        // Zeros are held back until a digit follows: those that end the number belong to the exponent.
        let mut held_zeros = 0_usize;
        for byte in parts.whole.iter().chain(parts.fraction) {
            if *byte == b'0' {
                held_zeros += usize::from(number.len > 0);
                continue;
            }
            let at = usize::from(number.len) + held_zeros;
            let Some(place) = number.digits.get_mut(at) else {
                return Err(Problem::TooManyDigits { max: DIGITS_MAX });
            };
            *place = byte - b'0';
            number.len = u8::try_from(at + 1).unwrap_or(u8::MAX);
            held_zeros = 0;
        }
        if number.len == 0 {
            return Ok(number);
        }
        // Both counts are below NUMBER_MAX_BYTES, the exponent saturates at a million: no overflow.
        let shift = held_zeros as i32 - parts.fraction.len() as i32;
        number.exponent = parts.exponent + shift;
        if number.exponent.abs() > EXPONENT_MAX {
            return Err(Problem::ExponentOutOfRange { max: EXPONENT_MAX });
        }
        number.negative = parts.negative;
        Ok(number)
    }

    /// The number that an integer is.
    pub fn from_integer(integer: i64) -> Decimal {
        let mut magnitude = integer.unsigned_abs();
        let mut number = Decimal { negative: integer < 0, exponent: 0, len: 0, digits: [0; DIGITS_MAX] };
        while magnitude != 0 && magnitude.is_multiple_of(10) {
            magnitude /= 10;
            number.exponent += 1;
        }
        let len = magnitude.checked_ilog10().map_or(0, |log| log + 1);
        number.len = len as u8;
        for place in number.digits.iter_mut().take(len as usize).rev() {
            *place = (magnitude % 10) as u8;
            magnitude /= 10;
        }
        number
    }

    /// Whether the number is below zero.
    pub fn is_negative(&self) -> bool {
        self.negative
    }

    /// Whether the number is zero.
    pub fn is_zero(&self) -> bool {
        self.len == 0
    }

    /// The significant digits as values 0 to 9, the most significant first; empty for zero.
    pub fn digits(&self) -> &[u8] {
        self.digits.get(..usize::from(self.len)).unwrap_or(&[])
    }

    /// The power of ten that the integer of all digits is multiplied with.
    pub fn exponent(&self) -> i32 {
        self.exponent
    }

    /// The power of ten of the first digit: orders numbers of one sign before their digits do.
    pub(crate) fn magnitude(&self) -> i32 {
        self.exponent + i32::from(self.len)
    }

    /// The same digits with the decimal point moved: the number times 10^`by`.
    ///
    /// # Errors
    /// [`Problem::ExponentOutOfRange`] when the exponent leaves ±4096.
    pub(crate) fn shifted(mut self, by: i32) -> Result<Decimal, Problem> {
        if self.len == 0 {
            return Ok(self);
        }
        self.exponent = self.exponent.saturating_add(by);
        if self.exponent.abs() > EXPONENT_MAX {
            return Err(Problem::ExponentOutOfRange { max: EXPONENT_MAX });
        }
        Ok(self)
    }

    /// `(digits, exponent)` of a number of at most 18 significant digits, in normal form: no trailing zero, and zero is
    /// `(0, 0)`. `None` for a longer one.
    pub(crate) fn short_form(&self) -> Option<(i64, i32)> {
        if self.digits().len() > SHORT_DIGITS_MAX {
            return None;
        }
        let magnitude = self.digits().iter().fold(0, |value, digit| value * 10 + i64::from(*digit));
        Some((if self.negative { -magnitude } else { magnitude }, self.exponent))
    }

    /// [`short_form`](Decimal::short_form) of a plainly written number (no exponent, at most 18 digits in all), in one pass
    /// over its text. `None` for every other text, whether it is a number or not.
    pub(crate) fn parse_short(text: &str) -> Option<(i64, i32)> {
        let bytes = text.as_bytes();
        let (negative, digits) = match bytes.split_first() {
            Some((b'-', rest)) => (true, rest),
            _ => (false, bytes),
        };
        // One more for the point.
        if digits.len() > SHORT_DIGITS_MAX + 1 {
            return None;
        }
        let (mut magnitude, mut zeros, mut point, mut whole) = (0_i64, 0_usize, None, 0_usize);
        for (at, byte) in digits.iter().enumerate() {
            match byte {
                b'0' => zeros += 1,
                b'1'..=b'9' => {
                    let power = POWERS_OF_TEN.get(zeros + 1)?;
                    // Nineteen digits may wrap; they are refused below.
                    magnitude = magnitude.wrapping_mul(*power).wrapping_add(i64::from(byte - b'0'));
                    zeros = 0;
                }
                b'.' if point.is_none() => {
                    point = Some(at);
                    continue;
                }
                _ => return None,
            }
            whole += usize::from(point.is_none());
        }
        let fraction = point.map_or(0, |at| digits.len() - at - 1);
        let leading_zero = digits.first() == Some(&b'0') && whole > 1;
        if whole == 0
            || whole + fraction > SHORT_DIGITS_MAX
            || leading_zero
            || (point.is_some() && fraction == 0)
        {
            return None;
        }
        if magnitude == 0 {
            return Some((0, 0));
        }
        // Both counts are at most 18.
        Some((if negative { -magnitude } else { magnitude }, zeros as i32 - fraction as i32))
    }

    /// The number in units of 10⁻⁹, rounded (halves away from zero); `None` when that does not fit an `i64`.
    pub fn to_nano(&self) -> Option<Nano> {
        // magnitude() = 0 means 0.ddd: the digits at 10^-1 and below.
        if self.magnitude() < -9 {
            return Some(Nano::ZERO);
        }
        let places = self.magnitude() + 9;
        if places > 19 {
            return (self.is_zero()).then_some(Nano::ZERO);
        }
        let mut value: i128 = 0;
        for place in 0..places as usize {
            value = value * 10 + i128::from(self.digits.get(place).copied().unwrap_or(0));
        }
        if self.digits.get(places as usize).is_some_and(|digit| *digit >= 5) {
            value += 1;
        }
        i64::try_from(if self.negative { -value } else { value }).ok().map(Nano)
    }
}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Decimal) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The normal form: the digits, and `e` with the exponent unless that is 0; `0` for zero.
impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_zero() {
            return f.write_str("0");
        }
        if self.negative {
            f.write_str("-")?;
        }
        self.digits().iter().try_for_each(|digit| write!(f, "{digit}"))?;
        if self.exponent == 0 { Ok(()) } else { write!(f, "e{}", self.exponent) }
    }
}

/// Numeric order.
impl Ord for Decimal {
    fn cmp(&self, other: &Decimal) -> Ordering {
        let sign = |number: &Decimal| match (number.is_zero(), number.negative) {
            (true, _) => 0,
            (false, true) => -1,
            (false, false) => 1,
        };
        sign(self).cmp(&sign(other)).then_with(|| {
            let size = self.magnitude().cmp(&other.magnitude()).then_with(|| self.digits.cmp(&other.digits));
            if self.negative { size.reverse() } else { size }
        })
    }
}

/// A JSON number taken apart.
struct Parts<'a> {
    negative: bool,
    whole: &'a [u8],
    fraction: &'a [u8],
    exponent: i32,
}

impl<'a> Parts<'a> {
    fn split(text: &'a [u8]) -> Option<Parts<'a>> {
        let (negative, text) = match text.strip_prefix(b"-") {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (whole, rest) = leading_digits(text);
        match whole {
            [] | [b'0', _, ..] => return None,
            _ => {}
        }
        let (fraction, rest) = match rest.strip_prefix(b".") {
            Some(rest) => match leading_digits(rest) {
                ([], _) => return None,
                split => split,
            },
            None => (&[][..], rest),
        };
        let exponent = match rest.split_first() {
            None => 0,
            Some((b'e' | b'E', rest)) => {
                let (negative, rest) = match rest.split_first() {
                    Some((b'-', rest)) => (true, rest),
                    Some((b'+', rest)) => (false, rest),
                    _ => (false, rest),
                };
                let (digits, []) = leading_digits(rest) else { return None };
                if digits.is_empty() {
                    return None;
                }
                let magnitude = digits
                    .iter()
                    .fold(0_i32, |value, byte| (value * 10 + i32::from(byte - b'0')).min(1_000_000));
                if negative { -magnitude } else { magnitude }
            }
            Some(_) => return None,
        };
        Some(Parts { negative, whole, fraction, exponent })
    }
}

fn leading_digits(text: &[u8]) -> (&[u8], &[u8]) {
    let count = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    text.split_at_checked(count).unwrap_or((text, &[]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Decimal {
        Decimal::parse(text).unwrap()
    }

    #[test]
    fn equal_numbers_have_one_normal_form() {
        for text in ["5", "5.0", "50e-1", "0.5E+1", "5e0", "5.000e-0"] {
            assert_eq!(parse(text), Decimal::from_integer(5), "{text}");
        }
        for text in ["0", "-0", "0.000", "-0e17", "0e99999999999"] {
            assert_eq!(parse(text), Decimal::from_integer(0), "{text}");
        }
        assert_eq!(parse("-1200e2"), Decimal::from_integer(-120_000));
        assert_eq!(parse("9223372036854775807"), Decimal::from_integer(i64::MAX));
        assert_eq!(parse("-9223372036854775808"), Decimal::from_integer(i64::MIN));
        assert_ne!(parse("5"), parse("5.0000000000000000000000000000000000000001"));
        assert_ne!(parse("5"), parse("-5"));
    }

    #[test]
    fn short_numbers_are_the_same_numbers() {
        for text in [
            "0",
            "-0",
            "0.000",
            "5",
            "-5",
            "5.0",
            "50",
            "373.150",
            "0.0001",
            "-12.5000",
            "100000",
            "10.01",
            "999999999999999999",
            "-0.99999999999999999",
            "123456789.123456789",
        ] {
            let short = Decimal::parse_short(text);
            assert!(short.is_some(), "{text}");
            assert_eq!(short, parse(text).short_form(), "{text}");
        }
        for text in [
            "",
            "-",
            ".",
            "1.",
            ".5",
            "00",
            "01",
            "-01.5",
            "1e3",
            "1.2.3",
            "+1",
            "1,5",
            "1234567890123456789",
        ] {
            assert_eq!(Decimal::parse_short(text), None, "{text}");
        }
        assert_eq!(parse("1234567890123456789").short_form(), None);
        assert_eq!(parse("12e3").short_form(), Some((12, 3)));
        assert_eq!(Decimal::from_integer(i64::MIN).short_form(), None);
    }

    #[test]
    fn the_normal_form_is_written_and_read_back() {
        for (text, normal) in [
            ("0.50", "5e-1"),
            ("-0", "0"),
            ("1200", "12e2"),
            ("-7", "-7"),
            ("1e-9", "1e-9"),
            ("12.5", "125e-1"),
        ] {
            assert_eq!(parse(text).to_string(), normal);
            assert_eq!(parse(normal), parse(text));
        }
        assert_eq!(parse("0.1").shifted(-2), Ok(parse("0.001")));
        assert_eq!(parse("0").shifted(-9000), Ok(parse("0")));
        assert!(parse("1e-4095").shifted(-2).is_err());
    }

    #[test]
    fn numbers_order_by_value() {
        let ascending = [
            "-1e4096", "-12", "-11.5", "-1.2", "-1.19", "-1e-4096", "0", "1e-4096", "0.09", "0.1", "0.11",
            "1", "9", "10", "10.5", "11", "1e4096",
        ];
        for pair in ascending.windows(2) {
            assert!(parse(pair[0]) < parse(pair[1]), "{pair:?}");
        }
    }

    #[test]
    fn other_grammars_are_refused() {
        for text in
            ["", "-", "+1", "01", "-01", "1.", ".5", "1e", "1e+", "0x1", "NaN", "1 ", " 1", "1e5.0", "１"]
        {
            assert_eq!(Decimal::parse(text), Err(Problem::NotANumber), "{text:?}");
        }
    }

    #[test]
    fn limits_hold_at_their_edges() {
        let longest = "1".repeat(DIGITS_MAX);
        assert!(Decimal::parse(&longest).is_ok());
        assert!(Decimal::parse(&format!("{longest}000.000")).is_ok());
        assert_eq!(Decimal::parse(&format!("{longest}1")), Err(Problem::TooManyDigits { max: DIGITS_MAX }));
        for text in ["1e4096", "10e4095", "0.1e4097", "1e-4096"] {
            assert!(Decimal::parse(text).is_ok(), "{text}");
        }
        for text in
            ["1e4097", "10e4096", "1e-4097", "0.1e-4096", "1e99999999999999999999", "-1e-999999999999"]
        {
            let refused = Err(Problem::ExponentOutOfRange { max: EXPONENT_MAX });
            assert_eq!(Decimal::parse(text), refused, "{text}");
        }
        let long = format!("1.{}", "0".repeat(NUMBER_MAX_BYTES));
        assert!(matches!(Decimal::parse(&long), Err(Problem::TooLong { .. })));
    }

    #[test]
    fn nanos_round_to_the_nearest() {
        for (text, nano) in [
            ("0", 0),
            ("1", 1_000_000_000),
            ("0.95", 950_000_000),
            ("-0.25", -250_000_000),
            ("1e-9", 1),
            ("5e-10", 1),
            ("4.9e-10", 0),
            ("-5e-10", -1),
            ("9e-11", 0),
            ("9e-4000", 0),
            ("0.30000000000000004", 300_000_000),
            ("9223372036.854775807", i64::MAX),
        ] {
            assert_eq!(parse(text).to_nano(), Some(Nano(nano)), "{text}");
        }
        assert_eq!(parse("9223372036.854775808").to_nano(), None);
        assert_eq!(parse("1e4000").to_nano(), None);
    }
}
