use stemedb_oracle::Value;

fn number(text: &str) -> Value {
    Value::Number(text.into())
}

fn same(a: &Value, b: &Value) -> bool {
    a.key() == b.key()
}

#[test]
fn numbers_are_equal_by_exact_decimal_value() {
    for five in ["5", "5.0", "50e-1", "0.5E1", "0.05e+2", "5.000e0", "500e-2"] {
        assert!(same(&number(five), &number("5")), "{five}");
        assert!(!same(&number(five), &number("-5")), "{five}");
    }
    for zero in ["0", "-0", "0.0", "-0.000", "0e9", "0.00E-7"] {
        assert!(same(&number(zero), &number("0")), "{zero}");
    }
    assert!(same(&number("-1200"), &number("-1.2e3")));
    assert!(same(&number("5.6e-05"), &number("0.000056")));
    assert!(same(&number("1e4096"), &number("10E4095")));
}

#[test]
fn numbers_that_only_floats_confuse_are_different() {
    assert!(!same(&number("0.1"), &number("0.1000000000000000055511151231257827")));
    assert!(!same(&number("9007199254740993"), &number("9007199254740992")));
    assert!(!same(&number("1e400"), &number("1e401")));
    assert!(!same(&number("10"), &number("1")));
    assert!(!same(&number("101"), &number("11")));
}

#[test]
fn integers_share_the_key_space_of_numbers() {
    let integer = |text: &str| Value::Integer(text.into());
    assert!(same(&integer("5"), &number("5.0")));
    assert!(same(&integer("-9223372036854775808"), &number("-9.223372036854775808e18")));
    assert!(!same(&integer("5"), &number("5.5")));
}

#[test]
fn times_are_equal_by_instant() {
    let time = |text: &str| Value::Time(text.into());
    let noon = time("2000-02-29T12:00:00Z");
    for other in [
        "2000-02-29T12:00:00.000Z",
        "2000-02-29T13:30:00+01:30",
        "2000-02-28T22:00:00.0-14:00",
        "2000-02-29t12:00:00z",
        "2000-02-29T12:00:00-00:00",
    ] {
        assert!(same(&noon, &time(other)), "{other}");
    }
    assert!(!same(&noon, &time("2000-02-29T12:00:00.000001Z")));
    assert!(!same(&noon, &time("2000-02-29T12:00:00+00:01")));
}

#[test]
fn instants_are_microseconds_since_1970() {
    let micros = |text: &str| Value::Time(text.into()).key().1;
    assert_eq!(micros("1970-01-01T00:00:00Z"), "0");
    assert_eq!(micros("1969-12-31T23:59:59.5Z"), "-500000");
    // 11,016 days and a half: 30 years, of which 7 leap years, then 31 + 28 days of 2000.
    assert_eq!(micros("2000-02-29T12:00:00Z"), "951825600000000");
    // 719,162 days before the epoch.
    assert_eq!(micros("0001-01-01T00:00:00Z"), "-62135596800000000");
    assert_eq!(micros("1900-03-01T00:00:00Z"), "-2203891200000000");
    assert_eq!(micros("2024-12-31T23:59:59.123456Z"), "1735689599123456");
}

#[test]
fn other_types_are_equal_byte_by_byte_and_never_across_types() {
    let text = |s: &str| Value::Text(s.into());
    assert!(same(&text("water"), &text("water")));
    assert!(!same(&text("water"), &text("Water")));
    assert!(!same(&text("5"), &number("5")));
    assert!(!same(&text("true"), &Value::Boolean(true)));
    assert!(!same(&text("water"), &Value::Reference("water".into())));
    assert!(!same(&text("0"), &Value::Time("1970-01-01T00:00:00Z".into())));
    assert!(!same(&number("0"), &Value::Time("1970-01-01T00:00:00Z".into())));
    assert!(!same(&Value::Json("5".into()), &number("5")));
    assert!(!same(&Value::Json("[5]".into()), &Value::Json("[5.0]".into())));
    assert!(!same(&Value::Boolean(true), &Value::Boolean(false)));
}
