//! Objects of claims, and when two of them are the same value.

/// The object of a claim; numbers, times and JSON as the writer's text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Any text.
    Text(String),
    /// A number in JSON's grammar, kept as written.
    Number(String),
    /// A number without fraction or exponent that fits 64 bits.
    Integer(String),
    /// True or false.
    Boolean(bool),
    /// An instant in RFC 3339.
    Time(String),
    /// Another subject.
    Reference(String),
    /// Canonical JSON text: keys sorted, no spaces.
    Json(String),
}

impl Default for Value {
    fn default() -> Self {
        Value::Text(String::new())
    }
}

/// Two objects are the same value exactly when their keys are equal: (key space, text in that space).
pub type Key = (&'static str, String);

impl Value {
    /// The value key: numbers and integers by exact decimal value in one key space, times by instant,
    /// everything else by type and bytes. (A number or time that cannot be parsed is its own text.)
    pub fn key(&self) -> Key {
        match self {
            Value::Text(text) => ("text", text.clone()),
            Value::Number(text) | Value::Integer(text) => {
                ("number", decimal(text).unwrap_or_else(|| text.clone()))
            }
            Value::Boolean(flag) => ("boolean", flag.to_string()),
            Value::Time(text) => ("time", instant_us(text).map_or_else(|| text.clone(), |us| us.to_string())),
            Value::Reference(text) => ("reference", text.clone()),
            Value::Json(text) => ("json", text.clone()),
        }
    }
}

/// The one spelling of an exact decimal: sign, digits without zeros at either end, `e`, exponent of the last digit.
/// `-12.50e3` → `-125e2`; every zero → `0`.
fn decimal(text: &str) -> Option<String> {
    let (negative, digits, exponent) = decimal_parts(text)?;
    let sign = if negative { "-" } else { "" };
    if digits.is_empty() { Some("0".into()) } else { Some(format!("{sign}{digits}e{exponent}")) }
}

/// Sign, digits without zeros at either end, exponent of the last digit: `-12.50e3` → `(true, "125", 2)`. Zero has no
/// digits.
pub(crate) fn decimal_parts(text: &str) -> Option<(bool, String, i64)> {
    let (negative, unsigned) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let (mantissa, exponent) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let written_exponent: i64 = exponent.parse().ok()?;

    let significant = digits.trim_end_matches('0');
    let dropped_zeros = (digits.len() - significant.len()) as i64;
    let exponent = written_exponent - fraction.len() as i64 + dropped_zeros;
    let significant = significant.trim_start_matches('0');
    if significant.is_empty() {
        Some((false, String::new(), 0))
    } else {
        Some((negative, significant.into(), exponent))
    }
}

/// `2024-02-29T23:59:59.5+01:00` → microseconds since 1970-01-01T00:00:00Z. Digits beyond the microsecond are dropped.
fn instant_us(text: &str) -> Option<i64> {
    let number = |from: usize, to: usize| text.get(from..to)?.parse::<i64>().ok();
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);

    let rest = text.get(19..)?;
    let zone_at = rest.find(['Z', 'z', '+', '-'])?;
    let (fraction, zone) = rest.split_at(zone_at);
    let micros = format!("{:0<6}", fraction.trim_start_matches('.')).get(..6)?.parse::<i64>().ok()?;
    let offset_minutes = match zone {
        "Z" | "z" => 0,
        _ => {
            let minutes = zone.get(1..3)?.parse::<i64>().ok()? * 60 + zone.get(4..6)?.parse::<i64>().ok()?;
            if zone.starts_with('-') { -minutes } else { minutes }
        }
    };

    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let before_month = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
    let day_of_year =
        before_month.get(usize::try_from(month - 1).ok()?)? + i64::from(leap && month > 2) + day - 1;
    let days = days_before_year(year) - days_before_year(1970) + day_of_year;
    let seconds = ((days * 24 + hour) * 60 + minute - offset_minutes) * 60 + second;
    Some(seconds * 1_000_000 + micros)
}

/// Days of the Gregorian calendar before 1 January of `year`, up to a constant.
fn days_before_year(year: i64) -> i64 {
    let past = year - 1;
    past * 365 + past.div_euclid(4) - past.div_euclid(100) + past.div_euclid(400)
}
