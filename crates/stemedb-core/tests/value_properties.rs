//! When two spellings are the same value, and in which order values stand.
#![allow(clippy::unwrap_used)] // A test may fail by panicking, in its helpers too.

mod strategies;

use proptest::prelude::*;
use stemedb_core::{Decimal, Micros, Object, Value};

fn number(text: &str) -> Object {
    Object::Number(text.to_owned())
}

fn same(a: &Object, b: &Object) -> bool {
    let by_value = a.value() == b.value();
    assert_eq!(by_value, a.value_key() == b.value_key(), "{a:?} {b:?}");
    by_value
}

#[test]
fn numbers_are_equal_by_exact_value() {
    for text in ["5", "5.0", "50e-1", "0.05E2", "5e+0"] {
        assert!(same(&number(text), &Object::Integer(5)), "{text}");
    }
    for text in ["-0", "0.0", "0e5", "-0.00e-9"] {
        assert!(same(&number(text), &Object::Integer(0)), "{text}");
    }
    assert!(!same(&number("5"), &number("-5")));
    assert!(!same(&number("0.1"), &number("0.1000000000000000055511151231257827")));
    assert!(!same(&number("9007199254740993"), &number("9007199254740992")), "beyond the exact floats");
}

#[test]
fn other_types_do_not_mix() {
    let five = "5".to_owned();
    let objects = [
        Object::Text(five.clone()),
        Object::Number(five.clone()),
        Object::Reference(five.clone()),
        Object::Json(five.clone()),
        Object::Time(five.clone()),
        Object::Boolean(true),
        Object::Text("true".to_owned()),
    ];
    for (i, a) in objects.iter().enumerate() {
        for (j, b) in objects.iter().enumerate() {
            assert_eq!(same(a, b), i == j, "{a:?} {b:?}");
        }
    }
}

#[test]
fn times_are_equal_by_instant() {
    let time = |text: &str| Object::Time(text.to_owned());
    assert!(same(&time("2024-01-01T00:00:00Z"), &time("2024-01-01T05:30:00.000+05:30")));
    assert!(same(&time("2024-01-01T00:00:00.1234567Z"), &time("2024-01-01T00:00:00.1234569Z")));
    assert!(!same(&time("2024-01-01T00:00:00.123456Z"), &time("2024-01-01T00:00:00.123457Z")));
}

#[test]
fn plain_json_becomes_the_type_it_looks_like() {
    let object = |text| Object::from_json(text).unwrap();
    assert_eq!(object("511.150"), number("511.150"));
    assert_eq!(object(" -17 "), Object::Integer(-17));
    assert_eq!(object("9223372036854775807"), Object::Integer(i64::MAX));
    assert_eq!(object("9223372036854775808"), number("9223372036854775808"));
    assert_eq!(object("-0"), number("-0"));
    assert_eq!(object("1e2"), number("1e2"));
    assert_eq!(object("true"), Object::Boolean(true));
    assert_eq!(object(r#""a\n\u00e9""#), Object::Text("a\né".to_owned()));
    assert_eq!(object(r#"{"b":1,"a":[2.0]}"#), Object::Json(r#"{"a":[2.0],"b":1}"#.to_owned()));
    for refused in ["null", "", "01", "\"a", "[1", "truE"] {
        assert!(Object::from_json(refused).is_err(), "{refused}");
    }
}

/// A number of `digits` shifted by `places`, in one of several spellings.
fn spell(negative: bool, digits: u64, places: i32, zeros: usize) -> String {
    let sign = if negative { "-" } else { "" };
    match zeros % 3 {
        0 => format!("{sign}{digits}e{places}"),
        1 => format!("{sign}{digits}.{}E{places}", "0".repeat(zeros)),
        _ => format!("{sign}{digits}{}e{}", "0".repeat(zeros), places - zeros as i32),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn spelling_never_matters(negative: bool, digits: u64, places in -300_i32..300, a in 1_usize..9, b in 1_usize..9) {
        let (a, b) = (number(&spell(negative, digits, places, a)), number(&spell(negative, digits, places, b)));
        prop_assert_eq!(a.validate(), Ok(()));
        prop_assert!(same(&a, &b), "{:?} {:?}", a, b);
    }

    #[test]
    fn scaling_moves_only_the_exponent(digits in 1_u64.., places in -300_i32..300) {
        let whole = Decimal::parse(&digits.to_string()).unwrap();
        let scaled = Decimal::parse(&format!("{digits}e{places}")).unwrap();
        prop_assert_eq!(scaled.digits(), whole.digits());
        prop_assert_eq!(scaled.exponent(), whole.exponent() + places);
    }

    #[test]
    fn integers_and_their_texts_are_one_value(integer: i64) {
        prop_assert!(same(&Object::Integer(integer), &number(&integer.to_string())));
    }

    #[test]
    fn integers_order_numerically_in_both_forms(a: i64, b in prop_oneof![any::<i64>(), -9_i64..9]) {
        let (x, y) = (Object::Integer(a), Object::Integer(b));
        prop_assert_eq!(x.value().cmp(&y.value()), a.cmp(&b));
        prop_assert_eq!(x.value_key().cmp(&y.value_key()), a.cmp(&b));
    }

    #[test]
    fn keys_sort_as_values_do(a in strategies::object(), b in strategies::object()) {
        prop_assert_eq!(a.value().cmp(&b.value()), a.value_key().cmp(&b.value_key()));
    }

    #[test]
    fn number_keys_sort_numerically(a in strategies::number(), b in strategies::number()) {
        let (a, b) = (number(&a), number(&b));
        prop_assert_eq!(a.value().cmp(&b.value()), a.value_key().cmp(&b.value_key()));
        // Floats agree wherever they can tell the two apart.
        let float = |object: &Object| match object {
            Object::Number(text) => text.parse::<f64>().unwrap(),
            _ => f64::NAN,
        };
        if float(&a) != float(&b) {
            prop_assert_eq!(Some(a.value().cmp(&b.value())), float(&a).partial_cmp(&float(&b)));
        }
    }

    #[test]
    fn instants_print_and_parse_back(us in -62_167_219_200_000_000_i64..253_402_300_800_000_000) {
        prop_assert_eq!(Micros::parse_rfc3339(&Micros(us).to_string()), Ok(Micros(us)));
    }

    #[test]
    fn no_text_makes_the_parsers_panic(text in "\\PC{0,40}|[-+0-9.eE]{0,40}|[-0-9T:.Z+]{0,40}|[\\[\\]{}:,\"\\\\u0-9a ]{0,40}") {
        let _ = Object::from_json(&text);
        let _ = Decimal::parse(&text);
        let _ = Micros::parse_rfc3339(&text);
        for object in [Object::Number(text.clone()), Object::Time(text.clone()), Object::Json(text.clone())] {
            let valid = object.validate().is_ok();
            prop_assert!(!valid || !matches!(object.value(), Value::Malformed(_)));
        }
    }
}
