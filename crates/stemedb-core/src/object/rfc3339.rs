//! RFC 3339 dates and times, to the microsecond.
//!
//! Days are counted with the civil-calendar arithmetic of Howard Hinnant, "chrono-Compatible Low-Level Date
//! Algorithms" (`days_from_civil`, `civil_from_days`): years start in March, so that the leap day is the last.

use std::fmt;

use crate::model::{Micros, Problem};

const DAY_US: i64 = 86_400_000_000;

/// Reads `date "T" time [fraction] ("Z" | ±hh:mm)`; `t` and `z` may be lower case, a fraction has one to nine
/// digits of which those below the microsecond are dropped. A leap second (`:60`) is refused: it has no instant of
/// its own on this time line.
pub(crate) fn parse(text: &str) -> Result<Micros, Problem> {
    parse_bytes(text.as_bytes()).ok_or(Problem::NotATime)
}

fn parse_bytes(bytes: &[u8]) -> Option<Micros> {
    let (head, mut rest) = bytes.split_at_checked(19)?;
    let head: &[u8; 19] = head.try_into().ok()?;
    if head[4] != b'-' || head[7] != b'-' || !head[10].eq_ignore_ascii_case(&b'T') {
        return None;
    }
    if head[13] != b':' || head[16] != b':' {
        return None;
    }
    let year = number(&head[0..4])?;
    let month = within(number(&head[5..7])?, 1, 12)?;
    let day = within(number(&head[8..10])?, 1, days_in_month(year, month))?;
    let hour = within(number(&head[11..13])?, 0, 23)?;
    let minute = within(number(&head[14..16])?, 0, 59)?;
    let second = within(number(&head[17..19])?, 0, 59)?;

    let mut fraction_us = 0;
    if let Some(after_dot) = rest.strip_prefix(b".") {
        let digits = after_dot.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if !(1..=9).contains(&digits) {
            return None;
        }
        let (fraction, tail) = after_dot.split_at_checked(digits)?;
        let mut unit = 100_000;
        for digit in fraction.iter().take(6) {
            fraction_us += i64::from(digit - b'0') * unit;
            unit /= 10;
        }
        rest = tail;
    }

    let offset_minutes = match *rest {
        [b'Z' | b'z'] => 0,
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            let hours = within(number(&[h1, h2])?, 0, 23)?;
            let minutes = within(number(&[m1, m2])?, 0, 59)?;
            let offset = hours * 60 + minutes;
            if sign == b'-' { -offset } else { offset }
        }
        _ => return None,
    };
    let seconds = (hour * 60 + minute - offset_minutes) * 60 + second;
    Some(Micros(days_from_civil(year, month, day) * DAY_US + seconds * 1_000_000 + fraction_us))
}

/// Writes an instant in UTC.
pub(crate) fn format(instant: Micros, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let (days, in_day_us) = (instant.0.div_euclid(DAY_US), instant.0.rem_euclid(DAY_US));
    let (year, month, day) = civil_from_days(days);
    if !(0..=9999).contains(&year) {
        return write!(f, "{}us", instant.0);
    }
    let seconds = in_day_us / 1_000_000;
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")?;
    match in_day_us % 1_000_000 {
        0 => {}
        us if us % 1000 == 0 => write!(f, ".{:03}", us / 1000)?,
        us => write!(f, ".{us:06}")?,
    }
    f.write_str("Z")
}

fn number(digits: &[u8]) -> Option<i64> {
    digits
        .iter()
        .try_fold(0, |value, byte| byte.is_ascii_digit().then(|| value * 10 + i64::from(byte - b'0')))
}

fn within(value: i64, min: i64, max: i64) -> Option<i64> {
    (min..=max).contains(&value).then_some(value)
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01 of a date of the proleptic Gregorian calendar.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400;
    (if month <= 2 { year + 1 } else { year }, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn us(text: &str) -> i64 {
        parse(text).unwrap().0
    }

    #[test]
    fn offsets_fractions_and_cases_name_the_same_instant() {
        assert_eq!(us("1970-01-01T00:00:00Z"), 0);
        assert_eq!(us("1970-01-01t01:00:00+01:00"), 0);
        assert_eq!(us("1969-12-31T23:00:00.000000-01:00"), 0);
        assert_eq!(us("2024-02-29T12:30:45.123456789Z"), 1_709_209_845_123_456);
        assert_eq!(us("1969-12-31T23:59:59.9999999Z"), -1);
        assert_eq!(us("0000-01-01T00:00:00Z"), -62_167_219_200_000_000);
        assert_eq!(us("9999-12-31T23:59:59Z"), 253_402_300_799_000_000);
    }

    #[test]
    fn what_is_no_instant_is_refused() {
        for text in [
            "",
            "2024-02-29",
            "2023-02-29T00:00:00Z",
            "1900-02-29T00:00:00Z",
            "2024-13-01T00:00:00Z",
            "2024-00-01T00:00:00Z",
            "2024-01-32T00:00:00Z",
            "2024-01-01T24:00:00Z",
            "2024-01-01T00:60:00Z",
            "2016-12-31T23:59:60Z",
            "2024-01-01T00:00:00",
            "2024-01-01T00:00:00.Z",
            "2024-01-01T00:00:00.1234567890Z",
            "2024-01-01T00:00:00+0100",
            "2024-01-01T00:00:00+24:00",
            "2024-01-01 00:00:00Z",
            "2024-01-01T00:00:00Zx",
            "+024-01-01T00:00:00Z",
            "２０２４-01-01T00:00:00Z",
        ] {
            assert_eq!(parse(text), Err(Problem::NotATime), "{text}");
        }
    }

    #[test]
    fn every_day_of_eight_centuries_prints_and_parses_back() {
        let mut day = -146_097;
        while day < 146_097 {
            let instant = Micros(day * DAY_US + 86_399_000_001);
            assert_eq!(parse(&instant.to_string()), Ok(instant));
            day += 1;
        }
    }
}
