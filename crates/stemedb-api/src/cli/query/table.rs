//! An answer as a table of at most 80 columns.

use std::io::{self, Write};

use super::answer::{
    AnswerView, CandidateView, FragilityView, LayerView, RemovalView, SetAsideView, ValueView, plain,
    short_id,
};
use crate::cli::paint::{
    BAR, COLUMNS, FAINT, GOOD, STRONG, WARN, bar, count, fit, left, paint, right, visible, width, wrap,
};

const BAR_CELLS: usize = 12;
const VALUE_CELLS_MAX: usize = 22;

/// Prints an answer.
pub fn print_table(out: &mut impl Write, answer: &AnswerView) -> io::Result<()> {
    let question = format!("{}  {}", visible(&answer.subject), visible(&answer.predicate));
    let lens = format!("lens: {}", answer.lens);
    let room = COLUMNS - width(&lens) - 2;
    writeln!(out, "{}  {lens}", paint(STRONG, &left(&fit(&question, room), room)))?;
    writeln!(out)?;
    if answer.status == "unknown" {
        writeln!(out, "  {}", paint(WARN, "nothing is claimed about this"))?;
    } else {
        print_answer(out, answer)?;
        writeln!(out)?;
        print_values(out, answer)?;
    }
    if !answer.layers.is_empty() {
        writeln!(out)?;
        print_layers(out, answer)?;
    }
    if !answer.set_aside.is_empty() {
        writeln!(out)?;
        print_set_aside(out, answer)?;
    }
    print_tainted(out, answer)?;
    if let Some(fragility) = &answer.fragility {
        writeln!(out)?;
        print_fragility(out, answer, fragility)?;
    }
    if let Some(explain) = &answer.explain {
        writeln!(out)?;
        super::explain::print(out, answer, explain)?;
    }
    writeln!(out)?;
    let considered = count(answer.considered, "claim", "claims");
    let mut foot = format!("{considered} considered, {} set aside", answer.set_aside.len());
    foot.push_str(&format!(" · LSN {} · at {}", answer.lsn, seconds(&answer.evaluated_at)));
    if answer.decay {
        foot.push_str(" · decay");
    }
    if let Some(epoch) = &answer.epoch {
        foot.push_str(&format!(" · epoch {}", visible(epoch)));
    }
    writeln!(out, "{}", paint(FAINT, &fit(&foot, COLUMNS)))?;
    print_asked(out, answer)?;
    writeln!(out, "{}", paint(FAINT, "[n] is the class of a source: 0 the most trusted, 5 the least"))
}

/// Claims that take part although something they derive from is retracted, or may be.
fn print_tainted(out: &mut impl Write, answer: &AnswerView) -> io::Result<()> {
    let marked = |claim: &&CandidateView| claim.tainted_by.is_some() || claim.lineage_cut;
    let mut marked = answer.candidates.iter().filter(marked).peekable();
    if marked.peek().is_some() {
        writeln!(out)?;
        writeln!(out, "{}", paint(WARN, "  tainted"))?;
    }
    for claim in marked {
        let why = match &claim.tainted_by {
            Some(by) => format!("derives from {}, which is retracted", short_id(by)),
            None => "derives from more claims than were looked at".to_owned(),
        };
        let line = format!("  {}  {}: {why}", fit(&plain(&claim.object), VALUE_CELLS_MAX), source(claim));
        writeln!(out, "{}", fit(&line, COLUMNS))?;
    }
    Ok(())
}

/// An instant without its fraction of a second.
fn seconds(time: &str) -> String {
    match time.split_once('.') {
        Some((whole, _)) => format!("{whole}Z"),
        None => time.to_owned(),
    }
}

fn print_answer(out: &mut impl Write, answer: &AnswerView) -> io::Result<()> {
    match &answer.value {
        Some(value) => {
            let lines = wrap(plain(value).split(' '), " ", COLUMNS - 10);
            let (first, rest) =
                (lines.first().map_or("", String::as_str), lines.get(1..).unwrap_or_default());
            writeln!(out, "  answer  {}", paint(GOOD, first))?;
            for line in rest.iter().take(4) {
                writeln!(out, "          {}", paint(GOOD, line))?;
            }
            if rest.len() > 4 {
                writeln!(out, "          …")?;
            }
        }
        None => writeln!(out, "  answer  none: this lens weighs, it does not choose")?,
    }
    let status = paint(status_style(&answer.status), &answer.status);
    let AnswerView { confidence, margin, conflict_score, .. } = answer;
    let numbers = format!("confidence {confidence:.3} · margin {margin:.3} · conflict {conflict_score:.3}");
    writeln!(out, "  {status} · {numbers}")
}

fn status_style(status: &str) -> anstyle::Style {
    match status {
        "unanimous" | "agreed" => GOOD,
        _ => WARN,
    }
}

/// One line: what a lens answers.
pub fn headline(answer: &AnswerView) -> String {
    let AnswerView { lens, confidence, .. } = answer;
    let lens = left(lens, 10);
    match &answer.value {
        None => {
            let values = count(answer.values.len() as u64, "value", "values");
            let conflict = format!("{} · conflict {:.3} · {values}", answer.status, answer.conflict_score);
            format!("  {lens}  {}", paint(WARN, &conflict))
        }
        Some(value) => {
            let value = plain(value);
            let by_id = answer.by_id();
            let deciding = answer.winners.first().and_then(|id| by_id.get(id.as_str()));
            let who = deciding.map_or(String::new(), |claim| source(claim));
            let value = left(&fit(&value, VALUE_CELLS_MAX), 16);
            format!("  {lens}  {}  confidence {confidence:.3}  {}", paint(GOOD, &value), fit(&who, 30))
        }
    }
}

/// A source with its class.
fn source(claim: &CandidateView) -> String {
    format!("{} [{}]", visible(&claim.source), claim.source_class)
}

fn print_values(out: &mut impl Write, answer: &AnswerView) -> io::Result<()> {
    let shown = |value: &ValueView| fit(&plain(&value.value), VALUE_CELLS_MAX);
    let cells = answer.values.iter().map(|value| width(&shown(value))).max().unwrap_or(0).max(5);
    let head = format!("  {}  {}  support  said by", left("value", cells), left("share", BAR_CELLS + 8));
    writeln!(out, "{}", paint(FAINT, &head))?;
    let by_id = answer.by_id();
    let before = 2 + cells + 2 + BAR_CELLS + 1 + 7 + 2 + 7 + 2;
    for value in &answer.values {
        let wins = value.claims.iter().any(|id| answer.winners.contains(id));
        let style = if wins { GOOD } else { anstyle::Style::new() };
        let (marker, text) = (if wins { "▸ " } else { "  " }, left(&shown(value), cells));
        let bar = paint(BAR, &bar(value.share, BAR_CELLS));
        let percent = right(&format!("{:.1} %", value.share * 100.0), 7);
        let support = right(&format!("{:.2}", value.support), 7);
        let mut sources: Vec<(u8, String)> = Vec::new();
        for claim in value.claims.iter().filter_map(|id| by_id.get(id.as_str())) {
            sources.push((claim.source_class, source(claim)));
        }
        sources.sort();
        sources.dedup();
        let sources = wrap(sources.iter().map(|(_, source)| source.as_str()), ", ", COLUMNS - before);
        let mut sources = sources.iter();
        let first = sources.next().map_or("", String::as_str);
        writeln!(out, "{}  {bar} {percent}  {support}  {first}", paint(style, &format!("{marker}{text}")))?;
        for line in sources {
            writeln!(out, "{}{line}", " ".repeat(before))?;
        }
        if let Some(independent) = value.independent_voices {
            let voices = count(value.voices, "voice", "voices");
            writeln!(out, "{}{voices}, {independent} independent", " ".repeat(before))?;
        }
    }
    Ok(())
}

/// The parameters that are not plain.
fn print_asked(out: &mut impl Write, answer: &AnswerView) -> io::Result<()> {
    let mut asked: Vec<String> = Vec::new();
    asked.extend(answer.tolerance.iter().map(|tolerance| format!("tolerance {}", visible(tolerance))));
    asked.extend(answer.without.iter().map(|without| format!("without {}", visible(without))));
    asked.extend(answer.max_class.map(|class| format!("classes 0 to {class}")));
    asked.extend(answer.independent.then(|| "copies count once".to_owned()));
    for line in wrap(asked.iter().map(String::as_str), " · ", COLUMNS) {
        writeln!(out, "{}", paint(FAINT, &line))?;
    }
    Ok(())
}

fn print_fragility(out: &mut impl Write, answer: &AnswerView, fragility: &FragilityView) -> io::Result<()> {
    let FragilityView { at_least, at_most, removals, becomes, status } = fragility;
    let size = if at_least == at_most { at_most.to_string() } else { format!("{at_least} to {at_most}") };
    writeln!(out, "{}", paint(FAINT, &format!("  fragility {size}: the answer changes without")))?;
    let by_id = answer.by_id();
    let shown: Vec<String> = removals
        .iter()
        .map(|removal| match removal {
            RemovalView::Source { source } => visible(source),
            RemovalView::Agent { agent } => format!("agent {}", short_id(agent)),
            RemovalView::Vote { assertion, agent } => {
                let value =
                    by_id.get(assertion.as_str()).map(|claim| fit(&plain(&claim.object), VALUE_CELLS_MAX));
                let value = value.unwrap_or_else(|| short_id(assertion).to_owned());
                format!("the vote of {} on {value}", short_id(agent))
            }
        })
        .collect();
    for line in wrap(shown.iter().map(String::as_str), ", ", COLUMNS - 4) {
        writeln!(out, "    {line}")?;
    }
    let becomes =
        becomes.as_ref().map_or_else(|| "none".to_owned(), |value| fit(&plain(value), VALUE_CELLS_MAX));
    writeln!(out, "  then the answer is {becomes}, and the claims are {status}")
}

fn print_layers(out: &mut impl Write, answer: &AnswerView) -> io::Result<()> {
    let cross = answer.cross_class_conflict.unwrap_or(0.0);
    writeln!(
        out,
        "{}",
        paint(FAINT, &format!("  by class of the source (conflict between classes {cross:.3})"))
    )?;
    for (i, LayerView { class, value, share, conflict_score, considered }) in answer.layers.iter().enumerate()
    {
        let value = left(&fit(&plain(value), VALUE_CELLS_MAX), 16);
        let style = if i == 0 { GOOD } else { anstyle::Style::new() };
        let percent = right(&format!("{:.1} %", share * 100.0), 7);
        let claims = count(*considered, "claim", "claims");
        writeln!(
            out,
            "  [{class}] {}  {percent} of {claims}, conflict {conflict_score:.3}",
            paint(style, &value)
        )?;
    }
    Ok(())
}

fn print_set_aside(out: &mut impl Write, answer: &AnswerView) -> io::Result<()> {
    writeln!(out, "{}", paint(FAINT, "  set aside"))?;
    let by_id = answer.by_id();
    for SetAsideView { id, reason, by } in &answer.set_aside {
        let claim = by_id.get(id.as_str());
        let value = claim.map_or(String::new(), |claim| fit(&plain(&claim.object), VALUE_CELLS_MAX));
        let who = claim.map_or(String::new(), |claim| source(claim));
        let successor = by.as_deref().map(|by| match by_id.get(by) {
            Some(claim) => {
                format!(" by {} of {}", fit(&plain(&claim.object), VALUE_CELLS_MAX), source(claim))
            }
            None => format!(" by {}", short_id(by)),
        });
        let reason = reason.replace('_', " ");
        let line = format!("  {value}  {who}: {reason}{}", successor.unwrap_or_default());
        writeln!(out, "{}", fit(&line, COLUMNS))?;
    }
    Ok(())
}
