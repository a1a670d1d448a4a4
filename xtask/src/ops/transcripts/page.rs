//! Transcripts, read: what is typed, and what is shown behind it.
//!
//! In a `console` block a line that begins with `$ ` is a command; it goes on while it ends in a backslash or a quote is open. Lines behind
//! it are its output. What a page needs and does not show stands in a comment that begins with a line `<!-- run`.

use crate::ops::runbooks::page::{fences, info_string};

/// Something to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Where it stands.
    pub line: usize,
    pub script: String,
    /// The output that the page shows; `None` for what is not shown.
    pub shown: Option<String>,
    pub manner: Manner,
}

/// How a block is run and compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Manner {
    /// After so many seconds a command is ended, as Ctrl-C does: `for="SECONDS"`.
    pub seconds: Option<u64>,
    /// What it counts hangs on time, or on the machine: `numbers="vary"`.
    pub numbers_vary: bool,
}

/// All steps of a page, in their order; an error names a line.
pub fn parse(text: &str) -> Result<Vec<Step>, String> {
    let mut steps = Vec::new();
    let mut inside: Vec<(usize, usize)> = Vec::new();
    for fence in fences(text) {
        inside.push((fence.line, fence.line + fence.text.lines().count()));
        let Some(rest) = fence.info.strip_prefix("console") else { continue };
        let rest = rest.trim();
        if rest.starts_with("manual") {
            continue;
        }
        let (_, attributes) =
            info_string(&format!("- {rest}")).map_err(|what| format!("line {}: {what}", fence.line))?;
        let mut manner = Manner::default();
        for (name, value) in attributes {
            match (name.as_str(), value.parse()) {
                ("for", Ok(number)) => manner.seconds = Some(number),
                ("numbers", _) if value == "vary" => manner.numbers_vary = true,
                _ => return Err(format!("line {}: a transcript has no {name}=\"{value}\"", fence.line)),
            }
        }
        transcript(&fence.text, fence.line, manner, &mut steps)?;
    }
    hidden(text, &inside, &mut steps)?;
    steps.sort_by_key(|step| step.line);
    Ok(steps)
}

fn transcript(text: &str, first: usize, manner: Manner, steps: &mut Vec<Step>) -> Result<(), String> {
    let mut lines = text.lines().enumerate().peekable();
    let before = steps.len();
    while let Some((number, line)) = lines.next() {
        if let Some(command) = line.strip_prefix("$ ") {
            let mut script = command.to_owned();
            while goes_on(&script) {
                let (_, more) = lines
                    .next()
                    .ok_or_else(|| format!("line {}: a command without an end", first + number))?;
                script.push('\n');
                script.push_str(more);
            }
            steps.push(Step { line: first + number, script, shown: Some(String::new()), manner });
        } else if let Some(Step { shown: Some(shown), .. }) = steps[before..].last_mut() {
            shown.push_str(line);
            shown.push('\n');
        } else {
            return Err(format!("line {}: output before the first command", first + number));
        }
    }
    Ok(())
}

/// Whether a command is not at its end: a backslash, or a quote that is open.
fn goes_on(script: &str) -> bool {
    let mut quote = None;
    let mut characters = script.chars();
    while let Some(c) = characters.next() {
        match (quote, c) {
            (None | Some('"'), '\\') => {
                let escaped = characters.next();
                if escaped.is_none() {
                    return true;
                }
            }
            (None, '\'' | '"') => quote = Some(c),
            (Some(open), c) if open == c => quote = None,
            // The rest of the line is a comment.
            (None, '#') => return false,
            _ => {}
        }
    }
    quote.is_some()
}

/// What stands in comments.
fn hidden(text: &str, inside: &[(usize, usize)], steps: &mut Vec<Step>) -> Result<(), String> {
    let mut open: Option<(usize, String)> = None;
    for (number, line) in text.lines().enumerate().map(|(number, line)| (number + 1, line)) {
        match &mut open {
            Some((first, script)) if line.trim() == "-->" => {
                let (line, script) = (*first, std::mem::take(script));
                steps.push(Step { line, script, shown: None, manner: Manner::default() });
                open = None;
            }
            Some((_, script)) => {
                script.push_str(line);
                script.push('\n');
            }
            None => {
                let is_fenced = inside.iter().any(|(from, to)| (*from..*to).contains(&number));
                if line.trim() == "<!-- run" && !is_fenced {
                    open = Some((number + 1, String::new()));
                }
            }
        }
    }
    open.map_or(Ok(()), |(line, _)| Err(format!("line {line}: a comment without an end")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_told_from_their_output() {
        let page = "a\n<!-- run\nmkdir x\n-->\n```console\n$ ls \\\n    x\none\ntwo\n$ echo 'a\nb'\n```\n```text\n<!-- run\n```\n```console for=\"2\"\n$ serve\n```\n```console manual reason=\"needs a disk\"\n$ no\n```\n";
        let steps = parse(page).unwrap();
        let of = |step: &Step| (step.line, step.script.clone(), step.shown.clone(), step.manner.seconds);
        assert_eq!(
            steps.iter().map(of).collect::<Vec<_>>(),
            [
                (3, "mkdir x\n".into(), None, None),
                (6, "ls \\\n    x".into(), Some("one\ntwo\n".into()), None),
                (10, "echo 'a\nb'".into(), Some(String::new()), None),
                (17, "serve".into(), Some(String::new()), Some(2)),
            ]
        );
        assert!(parse("```console\nx\n$ ls\n```\n").unwrap_err().contains("before the first command"));
        assert!(parse("<!-- run\nx\n").unwrap_err().contains("without an end"));
    }
}
