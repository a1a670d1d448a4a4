//! A page of documentation, taken apart: links, code spans, and fenced blocks.

/// A piece of a page, with the line that it stands on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    pub line: usize,
    pub kind: Kind,
    pub text: String,
}

/// What a piece is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The target of a link.
    Link,
    /// Between backticks.
    Span,
    /// A line of a fenced block; its info string. Lines that end in a backslash are one.
    Fenced(String),
}

/// Takes a page apart.
pub fn pieces(page: &str) -> Vec<Piece> {
    let mut found: Vec<Piece> = Vec::new();
    let mut fence: Option<(String, String)> = None;
    let mut goes_on = false;
    for (number, line) in page.lines().enumerate() {
        let line_number = number + 1;
        let trimmed = line.trim();
        let ticks: String = trimmed.chars().take_while(|c| *c == '`').collect();
        match &fence {
            None if ticks.len() >= 3 => {
                fence = Some((ticks.clone(), trimmed[ticks.len()..].trim().to_owned()));
                goes_on = false;
            }
            Some((closing, _)) if trimmed == *closing => fence = None,
            Some((_, info)) => {
                let text = line.trim_end();
                let (part, more) = text.strip_suffix('\\').map_or((text, false), |part| (part, true));
                match found.last_mut() {
                    Some(last) if goes_on => {
                        last.text.push(' ');
                        last.text.push_str(part.trim());
                    }
                    _ => found.push(Piece {
                        line: line_number,
                        kind: Kind::Fenced(info.clone()),
                        text: part.to_owned(),
                    }),
                }
                goes_on = more;
            }
            None => inline(line, line_number, &mut found),
        }
    }
    found
}

/// Code spans and links of a line; a link inside of a code span is none.
fn inline(line: &str, number: usize, found: &mut Vec<Piece>) {
    let mut prose = String::new();
    let mut rest = line;
    while let Some((before, behind)) = rest.split_once('`') {
        prose.push_str(before);
        let Some((span, after)) = behind.split_once('`') else { break };
        found.push(Piece { line: number, kind: Kind::Span, text: span.to_owned() });
        // Its place is kept, so that what stands around it is not joined.
        prose.push('\u{0}');
        rest = after;
    }
    prose.push_str(rest);
    let mut rest = prose.as_str();
    while let Some((_, behind)) = rest.split_once("](") {
        let Some((target, after)) = behind.split_once(')') else { break };
        found.push(Piece { line: number, kind: Kind::Link, text: target.trim().to_owned() });
        rest = after;
    }
    // Links and pictures that are spelled out.
    for begin in ["href=\"", "src=\""] {
        for behind in prose.split(begin).skip(1) {
            let target = behind.split('"').next().unwrap_or_default();
            found.push(Piece { line: number, kind: Kind::Link, text: target.to_owned() });
        }
    }
}

/// The names that links may use behind `#`: headings as GitHub names them, and `<a id="…">`.
pub fn anchors(page: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut fenced = false;
    for line in page.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        }
        if !fenced && line.starts_with('#') {
            let heading = line.trim_start_matches('#').trim();
            let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
            found.push(kept.map(|c| if c == ' ' { '-' } else { c }).collect::<String>().to_lowercase());
        }
        for part in line.split("id=\"").skip(1) {
            found.extend(part.split_once('"').map(|(id, _)| id.to_owned()));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_spans_and_fences_are_told_apart() {
        let page = "See [a `b`](c.md#d), `[x](y)` and <a href=\"z.md\">z</a>.\n```sh runnable\na \\\n  b\nc\n```\n````text\n```\n````\n";
        let found = pieces(page);
        let of = |kind: &Kind| -> Vec<&str> {
            found.iter().filter(|piece| piece.kind == *kind).map(|piece| piece.text.as_str()).collect()
        };
        assert_eq!(of(&Kind::Span), ["b", "[x](y)"]);
        assert_eq!(of(&Kind::Link), ["c.md#d", "z.md"]);
        assert_eq!(of(&Kind::Fenced("sh runnable".into())), ["a  b", "c"]);
        assert_eq!(of(&Kind::Fenced("text".into())), ["```"]);
    }

    #[test]
    fn anchors_are_named_as_github_names_them() {
        let page =
            "# `history`, `impact`\n## What is in force, and why\n| <a id=\"in_use\"></a>\n```\n# no\n```\n";
        assert_eq!(anchors(page), ["history-impact", "what-is-in-force-and-why", "in_use"]);
    }
}
