//! Values in bytes that sort as the values do: booleans, numbers by exact size, times by instant.
//!
//! The layout is in `docs/formats/keys.md`. No value's bytes are the beginning of another's, so a key may go on behind
//! them without disturbing the order, and a scan of a range needs nothing but the bytes of its two ends.

use stemedb_core::{Decimal, ObjectRef, Value};

const FALSE: u8 = 0x10;
const TRUE: u8 = 0x11;
const ZERO: u8 = 0x80;
/// First byte of a number above zero: this and the magnitude, or one of the two that say that two bytes follow.
const SMALL: u8 = 0x81;
const MIDDLE: u8 = 0x82;
const LARGE: u8 = 0xc8;
/// First byte of the number below zero with the greatest magnitude.
const NEGATIVE_LARGE: u8 = LARGE.wrapping_neg();
const TIME: u8 = 0xe0;
/// Magnitudes that have a first byte of their own.
const MIDDLE_MIN: i32 = -29;
const MIDDLE_MAX: i32 = 40;
const PAIRS_MAX: usize = stemedb_core::object::DIGITS_MAX.div_ceil(2);

/// What kind of value it is: values of one kind lie together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ValueKind {
    /// False or true.
    Boolean,
    /// A number or an integer.
    Number,
    /// An instant.
    Time,
}

impl ValueKind {
    /// The first bytes that values of this kind begin with: from, and up to and including.
    fn heads(self) -> (u8, u8) {
        match self {
            ValueKind::Boolean => (FALSE, TRUE),
            ValueKind::Number => (NEGATIVE_LARGE, LARGE),
            ValueKind::Time => (TIME, TIME),
        }
    }
}

/// A value in the bytes of the family `by_value`. Ordered as the values are. On the stack; making one allocates nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SortedValue {
    /// Zero beyond `len`. Compared whole: no value's bytes are the beginning of another's.
    bytes: [u8; SortedValue::MAX_BYTES],
    len: u8,
}

impl SortedValue {
    /// Most bytes of a value.
    pub const MAX_BYTES: usize = 3 + PAIRS_MAX;

    /// The value of an object; `None` for texts, references, JSON, and numbers or times that cannot be read.
    pub fn of(object: ObjectRef<'_>) -> Option<SortedValue> {
        match Value::of(object) {
            Value::Boolean(truth) => Some(SortedValue::boolean(truth)),
            Value::Number(number) => Some(SortedValue::number(&number)),
            Value::Time(instant) => Some(SortedValue::time(instant)),
            Value::Text(_) | Value::Reference(_) | Value::Json(_) | Value::Malformed(_) => None,
        }
    }

    /// A truth value.
    pub fn boolean(truth: bool) -> SortedValue {
        SortedValue::new(&[if truth { TRUE } else { FALSE }])
    }

    /// An instant in microseconds since the epoch.
    pub fn time(instant: i64) -> SortedValue {
        let mut value = SortedValue::new(&[TIME]);
        value.extend(&(instant as u64 ^ 1 << 63).to_be_bytes());
        value
    }

    /// A number, exactly.
    pub fn number(number: &Decimal) -> SortedValue {
        let digits = number.digits();
        if digits.is_empty() {
            return SortedValue::new(&[ZERO]);
        }
        // At most 64 digits and an exponent within ±4096: far from any overflow.
        let magnitude = number.exponent() + digits.len() as i32;
        let flip = if number.is_negative() { 0xff } else { 0 };
        let (head, wide) = match magnitude {
            MIDDLE_MIN..=MIDDLE_MAX => (MIDDLE + (magnitude - MIDDLE_MIN) as u8, false),
            ..MIDDLE_MIN => (SMALL, true),
            _ => (LARGE, true),
        };
        let mut value = SortedValue::new(&[if flip == 0 { head } else { head.wrapping_neg() }]);
        if wide {
            let biased = (magnitude + (1 << 15)) as u16;
            value.extend(&biased.to_be_bytes().map(|byte| byte ^ flip));
        }
        let mut pairs = digits.chunks(2).peekable();
        while let Some(pair) = pairs.next() {
            let two = |at: usize| pair.get(at).copied().unwrap_or(0);
            let more = u8::from(pairs.peek().is_some());
            value.extend(&[((two(0) * 10 + two(1)) << 1 | more) ^ flip]);
        }
        value
    }

    fn new(bytes: &[u8]) -> SortedValue {
        let mut value = SortedValue { bytes: [0; SortedValue::MAX_BYTES], len: 0 };
        value.extend(bytes);
        value
    }

    /// Appends what fits; everything that is made here does.
    fn extend(&mut self, more: &[u8]) {
        for byte in more {
            if let Some(place) = self.bytes.get_mut(usize::from(self.len)) {
                *place = *byte;
                self.len += 1;
            }
        }
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }

    /// What kind of value it is.
    pub fn kind(&self) -> ValueKind {
        let [head, ..] = self.bytes;
        match head {
            FALSE | TRUE => ValueKind::Boolean,
            TIME => ValueKind::Time,
            _ => ValueKind::Number,
        }
    }

    /// The value that `bytes` begin with, and what follows it; `None` if they do not begin with one.
    pub fn split_from(bytes: &[u8]) -> Option<(SortedValue, &[u8])> {
        let head = *bytes.first()?;
        let len = match head {
            FALSE | TRUE | ZERO => 1,
            TIME => 9,
            SMALL..=LARGE => number_len(bytes, head, 0)?,
            NEGATIVE_LARGE..ZERO => number_len(bytes, head.wrapping_neg(), 0xff)?,
            _ => return None,
        };
        let (value, rest) = bytes.split_at_checked(len)?;
        Some((SortedValue::new(value), rest))
    }
}

/// Length of a number that begins with `head`, all other bytes flipped by `flip`.
fn number_len(bytes: &[u8], head: u8, flip: u8) -> Option<usize> {
    let digits_at = if head == SMALL || head == LARGE { 3 } else { 1 };
    let pairs = bytes.get(digits_at..)?.iter().take(PAIRS_MAX);
    let last = pairs.map(|byte| byte ^ flip).position(|pair| pair & 1 == 0)?;
    Some(digits_at + last + 1)
}

/// A range of values of one kind, both ends included. An end that is open stops where the kind does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ValueRange {
    min: Option<SortedValue>,
    max: Option<SortedValue>,
    kind: ValueKind,
}

/// Why two ends are no range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadRange {
    /// Neither end is given.
    #[error("neither end is given")]
    Open,
    /// One end is of another kind than the other.
    #[error("the two ends are values of different kinds")]
    Kinds,
    /// The smallest is greater than the greatest.
    #[error("the smallest value is greater than the greatest")]
    Order,
}

impl ValueRange {
    /// From `min` to `max`, both included.
    ///
    /// # Errors
    /// [`BadRange`].
    pub fn new(min: Option<SortedValue>, max: Option<SortedValue>) -> Result<ValueRange, BadRange> {
        let kind = min.or(max).ok_or(BadRange::Open)?.kind();
        match (min, max) {
            (Some(min), Some(max)) if min.kind() != max.kind() => Err(BadRange::Kinds),
            (Some(min), Some(max)) if min > max => Err(BadRange::Order),
            _ => Ok(ValueRange { min, max, kind }),
        }
    }

    /// Whether a value lies in it.
    pub fn contains(&self, value: &SortedValue) -> bool {
        value.kind() == self.kind
            && self.min.is_none_or(|min| *value >= min)
            && self.max.is_none_or(|max| *value <= max)
    }

    /// Bytes that no value of the range is before, and bytes that all of them, with whatever follows, are before.
    pub(super) fn bounds(&self) -> (Vec<u8>, Vec<u8>) {
        let (first, last) = self.kind.heads();
        let start = self.min.map_or(vec![first], |min| min.as_bytes().to_vec());
        let mut end = self.max.map_or(vec![last], |max| max.as_bytes().to_vec());
        // The first bytes behind all that begin with the end. No value consists of 0xff alone.
        while let Some(byte) = end.pop() {
            if let Some(next) = byte.checked_add(1) {
                end.push(next);
                break;
            }
        }
        (start, end)
    }

    /// The smallest value of the range, where that end is not open.
    pub fn min(&self) -> Option<&SortedValue> {
        self.min.as_ref()
    }

    /// The greatest value of the range, where that end is not open.
    pub fn max(&self) -> Option<&SortedValue> {
        self.max.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn number(text: &str) -> SortedValue {
        SortedValue::number(&Decimal::parse(text).unwrap())
    }

    fn hex(value: &SortedValue) -> String {
        value.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn the_examples_of_the_page_are_what_is_written() {
        for (text, bytes) in [
            ("0", "80"),
            ("-0.00", "80"),
            ("1", "a0 14"),
            ("1.0", "a0 14"),
            ("-1", "60 eb"),
            ("100", "a2 14"),
            ("373.124", "a2 4b 3f 30"),
            ("-0.05", "62 9b"),
            ("1e-40", "81 7f d9 14"),
            ("1e4096", "c8 90 01 14"),
        ] {
            assert_eq!(hex(&number(text)), bytes, "{text}");
        }
        assert_eq!(hex(&SortedValue::boolean(false)), "10");
        assert_eq!(hex(&SortedValue::boolean(true)), "11");
        assert_eq!(hex(&SortedValue::time(0)), "e0 80 00 00 00 00 00 00 00");
        assert_eq!(number(&"9".repeat(64)).as_bytes().len(), 35);
    }

    /// Numbers of every size, and many that differ in little.
    fn decimal() -> impl Strategy<Value = String> {
        let plain = (any::<bool>(), "[0-9]{1,6}", "[0-9]{0,6}").prop_map(|(negative, whole, fraction)| {
            let whole = whole.trim_start_matches('0');
            let whole = if whole.is_empty() { "0" } else { whole };
            let point = if fraction.is_empty() { "" } else { "." };
            format!("{}{whole}{point}{fraction}", if negative { "-" } else { "" })
        });
        let long = (any::<bool>(), "[1-9][0-9]{0,63}", -4000..4000_i32)
            .prop_map(|(negative, digits, e)| format!("{}{digits}e{e}", if negative { "-" } else { "" }));
        let near = (any::<bool>(), "[1-9][09]{0,20}", -45..45_i32)
            .prop_map(|(negative, digits, e)| format!("{}{digits}e{e}", if negative { "-" } else { "" }));
        prop_oneof![plain, long, near]
    }

    fn object_value() -> impl Strategy<Value = (stemedb_core::Object, SortedValue)> {
        let objects = prop_oneof![
            decimal().prop_map(stemedb_core::Object::Number),
            any::<i64>().prop_map(stemedb_core::Object::Integer),
            any::<bool>().prop_map(stemedb_core::Object::Boolean),
            (0..4_000_000_000_000_000_i64)
                .prop_map(|at| stemedb_core::Object::Time(stemedb_core::Micros(at).to_string())),
        ];
        objects.prop_map(|object| {
            let value = SortedValue::of(object.as_ref()).unwrap();
            (object, value)
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]

        #[test]
        fn bytes_sort_as_numbers_do(a in decimal(), b in decimal()) {
            let (x, y) = (Decimal::parse(&a).unwrap(), Decimal::parse(&b).unwrap());
            let (p, q) = (SortedValue::number(&x), SortedValue::number(&y));
            prop_assert_eq!(p.as_bytes().cmp(q.as_bytes()), x.cmp(&y), "{} {}", a, b);
            prop_assert_eq!(p.cmp(&q), x.cmp(&y));
            prop_assert!(x == y || !p.as_bytes().starts_with(q.as_bytes()), "{} begins {}", b, a);
        }

        #[test]
        fn bytes_of_any_kind_sort_as_values_do_and_come_apart_again(
            (a, x) in object_value(), (b, y) in object_value(), tail in proptest::collection::vec(any::<u8>(), 0..20),
        ) {
            prop_assert_eq!(x.as_bytes().cmp(y.as_bytes()), a.value().cmp(&b.value()), "{:?} {:?}", a, b);
            let whole = [x.as_bytes(), &tail].concat();
            prop_assert_eq!(SortedValue::split_from(&whole), Some((x, &tail[..])));
        }

        #[test]
        fn a_range_holds_what_lies_between_its_ends(
            (_, a) in object_value(), (_, b) in object_value(), (_, c) in object_value(), open in 0..3_u8,
        ) {
            let (min, max) = ((open != 1).then_some(a), (open != 2).then_some(b));
            let Ok(range) = ValueRange::new(min, max) else {
                prop_assert!(a.kind() != b.kind() || a > b);
                return Ok(());
            };
            let kind = min.or(max).unwrap().kind();
            let inside = c.kind() == kind && min.is_none_or(|min| c >= min) && max.is_none_or(|max| c <= max);
            prop_assert_eq!(range.contains(&c), inside);
            let (start, end) = range.bounds();
            let key = [c.as_bytes(), b"subject\0"].concat();
            prop_assert_eq!(key >= start && key < end, inside);
        }

        #[test]
        fn no_bytes_make_the_parser_panic(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            if let Some((value, rest)) = SortedValue::split_from(&bytes) {
                prop_assert_eq!(value.as_bytes().len() + rest.len(), bytes.len());
            }
        }
    }

    #[test]
    fn texts_have_no_place_in_the_order() {
        for object in
            [ObjectRef::Text("1"), ObjectRef::Reference("1"), ObjectRef::Json("[1]"), ObjectRef::Number("x")]
        {
            assert_eq!(SortedValue::of(object), None);
        }
        assert_eq!(ValueRange::new(None, None), Err(BadRange::Open));
        let (one, truth) = (number("1"), SortedValue::boolean(true));
        assert_eq!(ValueRange::new(Some(one), Some(truth)), Err(BadRange::Kinds));
        assert_eq!(ValueRange::new(Some(one), Some(number("-1"))), Err(BadRange::Order));
    }
}
