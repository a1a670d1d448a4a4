//! What a block's output must look like.
//!
//! One pattern a line; each must be found in some line of the output. `…` stands for any text, `<n>` for a number above zero, `<0+>` for
//! any number. A line that begins with `not: ` must be found in none. The single pattern `nothing` means that there is no output. Spaces
//! count as one, however many they are: programs align their columns.

/// A line of an `expect` block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    text: String,
    wanted: bool,
    pieces: Vec<Piece>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Any,
    Number { above_zero: bool },
}

impl Pattern {
    /// Reads a pattern.
    pub fn parse(line: &str) -> Pattern {
        let line = spaced(line);
        let line = line.as_str();
        let (rest, wanted) = line.strip_prefix("not: ").map_or((line, true), |rest| (rest, false));
        Pattern { text: line.to_owned(), wanted, pieces: pieces(rest) }
    }

    /// Whether the output is as this pattern wants it.
    fn holds(&self, output: &str) -> bool {
        if self.text == "nothing" {
            return output.trim().is_empty();
        }
        output.lines().any(|line| is_in(&self.pieces, &spaced(line))) == self.wanted
    }
}

/// One space between words.
fn spaced(line: &str) -> String {
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The patterns that the output does not satisfy.
pub fn unmet<'a>(patterns: &'a [Pattern], output: &str) -> Vec<&'a str> {
    patterns.iter().filter(|pattern| !pattern.holds(output)).map(|pattern| pattern.text.as_str()).collect()
}

fn pieces(text: &str) -> Vec<Piece> {
    let special = [
        ("…", Piece::Any),
        ("<n>", Piece::Number { above_zero: true }),
        ("<0+>", Piece::Number { above_zero: false }),
    ];
    let mut found = Vec::new();
    let (mut rest, mut plain) = (text, String::new());
    while let Some(first) = rest.chars().next() {
        if let Some((mark, piece)) = special.iter().find(|(mark, _)| rest.starts_with(mark)) {
            if !plain.is_empty() {
                found.push(Piece::Text(std::mem::take(&mut plain)));
            }
            found.push(piece.clone());
            rest = &rest[mark.len()..];
        } else {
            plain.push(first);
            rest = &rest[first.len_utf8()..];
        }
    }
    if !plain.is_empty() {
        found.push(Piece::Text(plain));
    }
    found
}

/// True if the pieces follow each other somewhere in the line.
fn is_in(pieces: &[Piece], line: &str) -> bool {
    let starts = line.char_indices().map(|(at, _)| at).chain([line.len()]);
    starts.into_iter().any(|start| is_at(pieces, &line[start..]))
}

fn is_at(pieces: &[Piece], rest: &str) -> bool {
    match pieces.split_first() {
        None => true,
        Some((Piece::Text(text), more)) => {
            rest.strip_prefix(text.as_str()).is_some_and(|rest| is_at(more, rest))
        }
        Some((Piece::Any, more)) => is_in(more, rest),
        Some((Piece::Number { above_zero }, more)) => {
            let is_of_number = |c: char| c.is_ascii_digit() || matches!(c, '.' | 'e' | '-' | '+');
            let end = rest.find(|c| !is_of_number(c)).unwrap_or(rest.len());
            // A full stop or a dash behind it is not of the number.
            (1..=end).rev().any(|end| match rest[..end].parse::<f64>() {
                Ok(number) => (number > 0.0 || !above_zero) && is_at(more, &rest[end..]),
                Err(_) => false,
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(pattern: &str, output: &str) -> bool {
        Pattern::parse(pattern).holds(output)
    }

    #[test]
    fn a_pattern_is_found_anywhere_in_one_line() {
        assert!(holds("disk full", "a\nthe disk full of it\n"));
        assert!(!holds("disk full", "disk\nfull"));
        assert!(holds("a … z", "x a b c z y"));
        assert!(!holds("a … z", "a b c"));
        assert!(holds("real 0m", "real\t0m0.1s") && holds("a  b c", "x a b   c"));
        assert!(holds("… 100% /var/lib/stemedb", "tmpfs 64M 64M 0 100% /var/lib/stemedb"));
    }

    #[test]
    fn numbers_are_read_whole() {
        let metric = "errors_total{operation=\"put\"} <n>";
        assert!(holds(metric, "errors_total{operation=\"put\"} 42"));
        assert!(!holds(metric, "errors_total{operation=\"put\"} 0"));
        assert!(holds("took <n>.", "took 0.5."));
        assert!(holds("x <0+>", "x 0"));
        assert!(!holds("x <0+> y", "x z y"));
        assert!(holds("<n> of <n> bytes", "12 of 3.5e7 bytes"));
    }

    #[test]
    fn what_must_not_be_there_is_looked_for_in_every_line() {
        assert!(holds("not: error", "fine\nfine"));
        assert!(!holds("not: error", "fine\nan error"));
        assert!(holds("nothing", "\n"));
        assert!(!holds("nothing", "x"));
        let patterns = [Pattern::parse("a"), Pattern::parse("not: b"), Pattern::parse("c")];
        assert_eq!(unmet(&patterns, "a\nb\n"), ["not: b", "c"]);
    }
}
