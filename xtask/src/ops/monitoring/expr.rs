//! Expressions of Prometheus, looked at as far as is needed here: which series they name, which durations and thresholds they have.

use std::collections::BTreeSet;

/// Words that stand where a series could.
const WORDS: &[&str] = &[
    "and", "or", "unless", "bool", "offset", "sum", "min", "max", "avg", "count", "group", "topk", "bottomk",
    "quantile", "stddev",
];
/// Words with a list of labels behind them.
const GROUPING: &[&str] = &["by", "without", "on", "ignoring", "group_left", "group_right"];

/// The names of all series in an expression, as they stand there (a histogram's with `_bucket` and the like).
pub fn series(expr: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut rest = expr;
    while let Some(first) = rest.chars().next() {
        let (end, is_name) = match first {
            '"' => (1 + end_of(&rest[1..], '"'), false),
            '{' => (1 + end_of(&rest[1..], '}'), false),
            '[' => (1 + end_of(&rest[1..], ']'), false),
            '0'..='9' => (word(rest), false),
            'a'..='z' | 'A'..='Z' | '_' | ':' => (word(rest), true),
            other => (other.len_utf8(), false),
        };
        let (token, behind) = rest.split_at(end);
        rest = behind;
        if !is_name {
            continue;
        }
        let is_call = behind.trim_start().starts_with('(');
        if GROUPING.contains(&token) {
            rest = if is_call { &behind[end_of(behind, ')')..] } else { behind };
        } else if !is_call && !WORDS.contains(&token) {
            found.insert(token.to_owned());
        }
    }
    found
}

/// Bytes up to and with the first `close` that stands in no string.
fn end_of(text: &str, close: char) -> usize {
    let (mut is_text, mut is_escaped) = (false, false);
    for (at, letter) in text.char_indices() {
        if letter == close && !is_text && !is_escaped {
            return at + close.len_utf8();
        }
        is_text ^= letter == '"' && close != '"' && !is_escaped;
        is_escaped = letter == '\\' && !is_escaped;
    }
    text.len()
}

fn word(text: &str) -> usize {
    text.find(|letter: char| !(letter.is_ascii_alphanumeric() || "_:.".contains(letter)))
        .unwrap_or(text.len())
}

/// Seconds of a duration such as `5m`.
pub fn seconds(duration: &str) -> Option<f64> {
    let digits = duration.find(|letter: char| !letter.is_ascii_digit())?;
    let (number, unit) = duration.split_at(digits);
    let unit = match unit {
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        "d" => 86_400.0,
        _ => return None,
    };
    Some(number.parse::<f64>().ok()? * unit)
}

/// The expression with every duration (ranges and offsets) replaced by what `other` makes of its seconds, in milliseconds.
pub fn with_durations(expr: &str, other: &dyn Fn(f64) -> u64) -> String {
    let mut text = String::new();
    let mut rest = expr;
    while let Some(at) = ["[", "offset "].iter().filter_map(|mark| Some(rest.find(mark)? + mark.len())).min()
    {
        let (before, behind) = rest.split_at(at);
        text += before;
        let (duration, behind) = behind.split_at(word(behind));
        match seconds(duration) {
            Some(seconds) => text += &format!("{}ms", other(seconds)),
            None => text += duration,
        }
        rest = behind;
    }
    text + rest
}

/// The expression with every threshold (a number behind a comparison, but zero) multiplied; `None` if it has none.
pub fn with_thresholds(expr: &str, factor: f64) -> Option<String> {
    let mut text = String::new();
    let mut rest = expr;
    let mut is_other = false;
    while let Some(at) = rest.find(['"', '>', '<', '=']) {
        if rest[at..].starts_with('"') {
            let end = at + 1 + end_of(&rest[at + 1..], '"');
            text += &rest[..end];
            rest = &rest[end..];
            continue;
        }
        let end = at + rest[at..].find(|letter: char| !" ><=".contains(letter)).unwrap_or(rest.len() - at);
        text += &rest[..end];
        let (number, behind) = rest[end..].split_at(word(&rest[end..]));
        match number.parse::<f64>() {
            Ok(value) if value != 0.0 => {
                text += &format!("{}", value * factor);
                is_other = true;
            }
            _ => text += number,
        }
        rest = behind;
    }
    is_other.then(|| text + rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_series_are_found_and_nothing_else() {
        let expr = "sum by (instance, le) (rate(a_bucket{path=~\"/v1/.*}\",x=\"y\"}[5m])) / on (job) b:c:rate5m > 10e9 \
                    and max_over_time(d[1d] offset 26h) or time() - e{f=\"g\"}";
        let names: Vec<String> = series(expr).into_iter().collect();
        assert_eq!(names, ["a_bucket", "b:c:rate5m", "d", "e"]);
        assert_eq!(series("1 - rate(x[$__rate_interval])").into_iter().collect::<Vec<_>>(), ["x"]);
    }

    #[test]
    fn durations_are_replaced_where_they_are_durations() {
        let shorter = |seconds: f64| (seconds * 10.0) as u64;
        assert_eq!(
            with_durations("rate(a_rate5m[5m]) > b offset 1h", &shorter),
            "rate(a_rate5m[3000ms]) > b offset 36000ms"
        );
    }

    #[test]
    fn thresholds_are_moved_and_zero_is_none() {
        assert_eq!(
            with_thresholds("a{b=\"> 1\"} >= 10 and c > 1.5 * d", 2.0).unwrap(),
            "a{b=\"> 1\"} >= 20 and c > 3 * d"
        );
        assert_eq!(with_thresholds("a == 0 or b > c", 2.0), None);
    }
}
