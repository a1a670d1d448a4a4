//! What makes each alert fire and what nearly does: `cases.txt` and `cases-of-days.txt` beside this file, which say how they are read.

/// A series of what is put in, and its values a minute apart.
pub type Input = Vec<(String, String)>;

/// What is known of one alert.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Case {
    pub alert: String,
    /// When it is looked at.
    pub at: String,
    /// When its condition holds and has not held for long enough; empty where it fires at once.
    pub pending: String,
    /// The labels that the alert has from its series.
    pub labels: Vec<(String, String)>,
    /// Each of these makes it fire.
    pub fires: Vec<Input>,
    /// None of these does.
    pub quiet: Vec<Input>,
}

/// Cases that are looked at equally often.
pub struct Cases {
    /// How often, as Prometheus writes durations.
    pub every: &'static str,
    /// What the names of files for promtool end with that are made of them.
    pub ends: &'static str,
    pub cases: Vec<Case>,
}

/// All of them.
pub fn all() -> Result<[Cases; 2], String> {
    let minutes = parse(include_str!("cases.txt")).map_err(|error| format!("cases.txt: {error}"))?;
    let days =
        parse(include_str!("cases-of-days.txt")).map_err(|error| format!("cases-of-days.txt: {error}"))?;
    Ok([
        Cases { every: "1m", ends: ".test.yml", cases: minutes },
        Cases { every: "15m", ends: "-days.test.yml", cases: days },
    ])
}

fn parse(text: &str) -> Result<Vec<Case>, String> {
    let mut cases: Vec<Case> = Vec::new();
    let mut is_firing = false;
    for (at, line) in text.lines().enumerate() {
        let refused = || format!("line {}: {line}", at + 1);
        let words = line.trim_start();
        if words.is_empty() || line.starts_with('#') {
            continue;
        }
        if words.len() == line.len() {
            cases.push(head(line).ok_or_else(refused)?);
            continue;
        }
        let case = cases.last_mut().ok_or_else(refused)?;
        match words {
            "fires" => case.fires.push(Input::new()),
            "quiet" => case.quiet.push(Input::new()),
            _ => {
                let inputs = if is_firing { &mut case.fires } else { &mut case.quiet };
                let (series, values) = words.split_once("  ").ok_or_else(refused)?;
                let input = inputs.last_mut().ok_or_else(refused)?;
                input.push((whole(series), values.to_owned()));
                continue;
            }
        }
        is_firing = words == "fires";
    }
    Ok(cases)
}

/// `NAME  at TIME  pending TIME  with LABELS`
fn head(line: &str) -> Option<Case> {
    let mut words = line.split("  ");
    let mut case = Case { alert: words.next()?.to_owned(), ..Case::default() };
    for part in words {
        match part.split_once(' ')? {
            ("at", time) => case.at = time.to_owned(),
            ("pending", time) => case.pending = time.to_owned(),
            ("with", labels) => {
                let labels = whole(labels);
                let pairs = labels.split(',').map(|pair| pair.split_once('='));
                let pairs: Option<Vec<(&str, &str)>> = pairs.collect();
                let plain =
                    |(name, value): (&str, &str)| (name.to_owned(), value.trim_matches('"').to_owned());
                case.labels = pairs?.into_iter().map(plain).collect();
            }
            _ => return None,
        }
    }
    (!case.at.is_empty()).then_some(case)
}

/// With what the two signs stand for.
fn whole(text: &str) -> String {
    text.replace('@', "instance=\"db1:18180\",job=\"stemedb\"")
        .replace('%', "instance=\"db1:9100\",job=\"node\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_case_is_read_with_all_of_its_inputs() {
        let text = "# why\nA  at 3m  pending 2m  with @,kind=\"x\"\n  fires\n    a{@}  1 2\n    b  0+1x3\n  quiet\n    a{%}  1\n";
        let cases = parse(text).unwrap();
        let [case] = cases.as_slice() else { panic!("{cases:?}") };
        assert_eq!((case.alert.as_str(), case.at.as_str(), case.pending.as_str()), ("A", "3m", "2m"));
        assert_eq!(case.labels[2], ("kind".to_owned(), "x".to_owned()));
        assert_eq!(case.fires[0][1], ("b".to_owned(), "0+1x3".to_owned()));
        assert_eq!(case.quiet[0][0].0, "a{instance=\"db1:9100\",job=\"node\"}");
    }

    #[test]
    fn what_is_not_understood_is_refused_with_its_line() {
        assert!(parse("A  at 3m\n  fires\n    a 1 2\n").unwrap_err().starts_with("line 3"));
        assert!(parse("A  when 3m\n").unwrap_err().starts_with("line 1"));
        assert!(all().is_ok());
    }
}
