//! Whether two numbers are within a tolerance, by long subtraction and multiplication as at school.

use crate::value::decimal_parts;

/// A number without its sign: its digits, and the power of ten of the last one.
struct Size {
    digits: Vec<u8>,
    exponent: i64,
}

/// Whether `|x − anchor| ≤ tolerance`, or for a tolerance in per cent `|x − anchor| ≤ tolerance/100 · |anchor|`.
///
/// # Panics
/// If one of the three is not a number.
#[allow(clippy::panic)]
pub(crate) fn is_near(anchor: &str, x: &str, tolerance: &str) -> bool {
    let (anchor_negative, anchor) = read(anchor);
    let (x_negative, x) = read(x);
    let (_, mut limit) = read(tolerance.trim_end_matches('%'));
    if tolerance.ends_with('%') {
        limit = product(&limit, &anchor);
        limit.exponent -= 2;
    }
    // All three with the same last place, and equally long.
    let exponent = anchor.exponent.min(x.exponent).min(limit.exponent);
    let mut places = [anchor, x, limit].map(|size| size.down_to(exponent));
    let longest = places.iter().map(Vec::len).max().unwrap_or(0) + 1;
    for digits in &mut places {
        digits.splice(0..0, vec![0; longest - digits.len()]);
    }
    let [anchor, x, limit] = places;
    let distance = match (anchor_negative == x_negative, anchor >= x) {
        (false, _) => sum(&anchor, &x),
        (true, true) => difference(&anchor, &x),
        (true, false) => difference(&x, &anchor),
    };
    distance <= limit
}

#[allow(clippy::panic)]
fn read(text: &str) -> (bool, Size) {
    let Some((negative, digits, exponent)) = decimal_parts(text) else { panic!("{text:?} is not a number") };
    (negative, Size { digits: digits.bytes().map(|digit| digit - b'0').collect(), exponent })
}

impl Size {
    /// The digits when the last one stands at this power of ten, which is not above the own one. Zero has none.
    fn down_to(self, exponent: i64) -> Vec<u8> {
        let mut digits = self.digits;
        if !digits.is_empty() {
            digits.extend((exponent..self.exponent).map(|_| 0));
        }
        digits
    }
}

fn product(a: &Size, b: &Size) -> Size {
    let mut places = vec![0_u32; a.digits.len() + b.digits.len()];
    for (i, x) in a.digits.iter().enumerate() {
        for (j, y) in b.digits.iter().enumerate() {
            places[i + j + 1] += u32::from(*x) * u32::from(*y);
        }
    }
    let mut carry = 0;
    let mut digits = vec![0; places.len()];
    for (digit, place) in digits.iter_mut().zip(places).rev() {
        let all = place + carry;
        (*digit, carry) = ((all % 10) as u8, all / 10);
    }
    let exponent = if digits.is_empty() { 0 } else { a.exponent + b.exponent };
    Size { digits, exponent }
}

/// Of equally long numbers, the first of which has room for a carry.
fn sum(a: &[u8], b: &[u8]) -> Vec<u8> {
    let mut digits = a.to_vec();
    let mut carry = 0;
    for (digit, other) in digits.iter_mut().zip(b).rev() {
        let all = *digit + other + carry;
        (*digit, carry) = (all % 10, all / 10);
    }
    digits
}

/// Of equally long numbers, the second of which is not greater.
fn difference(a: &[u8], b: &[u8]) -> Vec<u8> {
    let mut digits = a.to_vec();
    let mut borrow = 0;
    for (digit, other) in digits.iter_mut().zip(b).rev() {
        let all = 10 + *digit - other - borrow;
        (*digit, borrow) = (all % 10, u8::from(all < 10));
    }
    digits
}

#[cfg(test)]
mod tests {
    use super::is_near;

    #[test]
    fn distances_by_hand() {
        assert!(is_near("10", "10.5", "0.5") && is_near("10", "9.5", "5e-1"));
        assert!(!is_near("10", "10.500000000000000000001", "0.5"));
        assert!(is_near("-1", "2", "3") && !is_near("-1", "2", "2.9"));
        assert!(is_near("0", "1", "1") && is_near("1", "-0", "1") && is_near("99", "199", "100"));
        assert!(is_near("1e3", "1001", "0.1%") && !is_near("1000", "1001.0001", "0.1%"));
        assert!(is_near("1001", "999.999", "0.1%") && !is_near("999.999", "1001", "0.1%"));
        assert!(is_near("0", "0.0", "50%") && !is_near("0", "1e-4000", "50%"));
        assert!(is_near("-1000", "-999", "0.1%"));
    }
}
