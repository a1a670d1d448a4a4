//! The arithmetic behind an answer.

use std::io::{self, Write};

use super::answer::{AnswerView, ArithmeticView, ExplainView, plain, short_id};
use crate::cli::paint::{FAINT, fit, left, paint, right};

/// Prints one line a claim.
pub fn print(out: &mut impl Write, answer: &AnswerView, explain: &ExplainView) -> io::Result<()> {
    let ExplainView { lens_version, total_support, claims } = explain;
    let head = format!("  arithmetic (version {lens_version}): total support {total_support:.3}");
    writeln!(out, "{}", paint(FAINT, &head))?;
    let columns = "  claim     value         class  age        confidence     score  voices   votes";
    writeln!(out, "{}", paint(FAINT, columns))?;
    for claim in claims {
        print_claim(out, answer, claim)?;
    }
    let kind = if answer.independent { "independent" } else { "distinct" };
    let voices = format!("  support of a value = its {kind} voices + the votes on its claims, at least 0");
    writeln!(out, "{}", paint(FAINT, &voices))?;
    let score = if answer.decay {
        "  confidence halves with the half-life of the class; score = trust × confidence"
    } else {
        "  confidence as said (no decay); score = trust × confidence"
    };
    writeln!(out, "{}", paint(FAINT, score))
}

fn print_claim(out: &mut impl Write, answer: &AnswerView, claim: &ArithmeticView) -> io::Result<()> {
    let value = answer.values.get(claim.value).map_or(String::new(), |value| plain(&value.value));
    let confidence = if claim.confidence == claim.said_confidence {
        format!("{:.3}", claim.confidence)
    } else {
        format!("{:.2}→{:.3}", claim.said_confidence, claim.confidence)
    };
    writeln!(
        out,
        "  {}  {}  {}  {}  {}  {}  {}  {}",
        short_id(&claim.id),
        left(&fit(&value, 12), 12),
        left(&class(claim), 5),
        left(&age(claim.age_seconds), 7),
        right(&confidence, 12),
        right(&format!("{:.3}", claim.score), 8),
        right(&claim.voices.len().to_string(), 6),
        right(&format!("{:+.2}", claim.votes), 6),
    )
}

/// The class, with its half-life in days.
fn class(claim: &ArithmeticView) -> String {
    match claim.half_life_days {
        Some(days) => format!("{} {days}", claim.source_class),
        None => format!("{} ∞", claim.source_class),
    }
}

fn age(seconds: f64) -> String {
    match seconds {
        s if s < 120.0 => format!("{s:.0} s"),
        s if s < 7200.0 => format!("{:.0} min", s / 60.0),
        s if s < 172_800.0 => format!("{:.0} h", s / 3600.0),
        s if s < 63_115_200.0 => format!("{:.0} d", s / 86_400.0),
        s => format!("{:.1} y", s / 31_557_600.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_shown_in_the_unit_that_fits() {
        assert_eq!(age(59.0), "59 s");
        assert_eq!(age(86_400.0 * 30.0), "30 d");
        assert_eq!(age(31_557_600.0 * 14.5), "14.5 y");
    }
}
