//! Rust sources as tokens: just enough of the language to see which paths of `std` it names.

/// A word or a punctuation mark outside of comments and literals.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Its text.
    pub text: String,
    /// Its line, from 1.
    pub line: usize,
}

/// The tokens of a source. Comments, strings, characters and lifetimes are left out; `::` is one token.
pub fn tokens(source: &str) -> Vec<Token> {
    let bytes = source.as_bytes();
    let mut found = Vec::new();
    let mut line = 1;
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let end = match byte {
            b'/' if bytes.get(at + 1) == Some(&b'/') => line_end(bytes, at),
            b'/' if bytes.get(at + 1) == Some(&b'*') => block_comment_end(bytes, at),
            b'"' => string_end(bytes, at),
            b'\'' => character_or_lifetime_end(bytes, at),
            b'r' | b'b' | b'c' if prefixed_literal_end(bytes, at).is_some() => {
                prefixed_literal_end(bytes, at).unwrap_or(at + 1)
            }
            _ if is_word(byte) => {
                let end = at + bytes[at..].iter().take_while(|byte| is_word(**byte)).count();
                found.push(Token { text: source[at..end].to_owned(), line });
                end
            }
            b':' if bytes.get(at + 1) == Some(&b':') => {
                found.push(Token { text: "::".to_owned(), line });
                at + 2
            }
            _ if byte.is_ascii_whitespace() || !byte.is_ascii() => at + 1,
            _ => {
                found.push(Token { text: char::from(byte).to_string(), line });
                at + 1
            }
        };
        line += bytes[at..end.min(bytes.len())].iter().filter(|byte| **byte == b'\n').count();
        at = end;
    }
    found
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || !byte.is_ascii()
}

fn line_end(bytes: &[u8], at: usize) -> usize {
    at + bytes[at..].iter().take_while(|byte| **byte != b'\n').count()
}

fn block_comment_end(bytes: &[u8], at: usize) -> usize {
    let (mut depth, mut at) = (0, at);
    while at < bytes.len() {
        match &bytes[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

/// End of a string whose opening quote is at `at`.
fn string_end(bytes: &[u8], at: usize) -> usize {
    let mut at = at + 1;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    at
}

fn character_or_lifetime_end(bytes: &[u8], at: usize) -> usize {
    if bytes.get(at + 1) == Some(&b'\\') {
        // 'x' may be an escaped quote: the closing one is looked for behind it.
        return at
            + 3
            + bytes.get(at + 3..).unwrap_or_default().iter().take_while(|b| **b != b'\'').count()
            + 1;
    }
    let word = bytes.get(at + 1..).unwrap_or_default().iter().take_while(|byte| is_word(**byte)).count();
    if bytes.get(at + 1 + word.max(1)) == Some(&b'\'') { at + word.max(1) + 2 } else { at + 1 + word }
}

/// End of `r"…"`, `r#"…"#`, `b"…"`, `b'…'`, `c"…"` and their combinations, if one starts at `at`.
fn prefixed_literal_end(bytes: &[u8], at: usize) -> Option<usize> {
    if at > 0 && bytes.get(at - 1).is_some_and(|before| is_word(*before)) {
        return None;
    }
    let prefix = bytes[at..].iter().take_while(|byte| matches!(byte, b'r' | b'b' | b'c')).count();
    let raw = bytes[at..at + prefix].contains(&b'r');
    let hashes = bytes[at + prefix..].iter().take_while(|byte| **byte == b'#').count();
    let quote = at + prefix + hashes;
    match bytes.get(quote)? {
        b'"' if raw => {
            let close: Vec<u8> = std::iter::once(b'"').chain(std::iter::repeat_n(b'#', hashes)).collect();
            let body = bytes.get(quote + 1..)?;
            let end = body.windows(close.len()).position(|window| window == close)?;
            Some(quote + 1 + end + close.len())
        }
        b'"' if hashes == 0 => Some(string_end(bytes, quote)),
        b'\'' if hashes == 0 && prefix == 1 && bytes[at] == b'b' => {
            Some(character_or_lifetime_end(bytes, quote))
        }
        _ => None,
    }
}

/// A source without its test code.
pub struct WithoutTests {
    /// The other tokens.
    pub tokens: Vec<Token>,
    /// Modules in files of their own that are test code: `#[cfg(test)] mod name;`.
    pub test_modules: Vec<String>,
}

/// Leaves out every item under a `#[cfg(test)]` (or `all(test, …)`) attribute.
pub fn without_tests(tokens: &[Token]) -> WithoutTests {
    let mut kept = WithoutTests { tokens: Vec::new(), test_modules: Vec::new() };
    let text = |at: usize| tokens.get(at).map_or("", |token| token.text.as_str());
    let mut at = 0;
    while at < tokens.len() {
        if text(at) == "#" && text(at + 1) == "[" && text(at + 2) == "cfg" {
            let end = closing(tokens, at + 1);
            let words = || (at + 2..end).map(text);
            if words().any(|word| word == "test") && !words().any(|word| word == "not") {
                let mut item = end;
                while text(item) == "#" {
                    item = closing(tokens, item + 1);
                }
                if text(item) == "pub" {
                    item += 1;
                }
                if text(item) == "mod" && text(item + 2) == ";" {
                    kept.test_modules.push(text(item + 1).to_owned());
                }
                at = item_end(tokens, item);
                continue;
            }
        }
        kept.tokens.push(tokens[at].clone());
        at += 1;
    }
    kept
}

/// Index behind the bracket that closes the one at `open`.
fn closing(tokens: &[Token], open: usize) -> usize {
    let mut depth = 0;
    for (at, token) in tokens.iter().enumerate().skip(open) {
        match token.text.as_str() {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at + 1;
        }
    }
    tokens.len()
}

/// Index behind an item: behind its `;`, or behind its braces.
fn item_end(tokens: &[Token], start: usize) -> usize {
    let mut at = start;
    while let Some(token) = tokens.get(at) {
        match token.text.as_str() {
            ";" => return at + 1,
            "{" => return closing(tokens, at),
            "(" | "[" => at = closing(tokens, at),
            _ => at += 1,
        }
    }
    at
}

/// Every path that starts with `std::`, without that start, with its line. Trees of `use` are expanded.
pub fn std_paths(tokens: &[Token]) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        let starts = at == 0 || !matches!(tokens[at - 1].text.as_str(), "." | "$");
        if token.text == "std" && starts && tokens.get(at + 1).is_some_and(|next| next.text == "::") {
            tree(tokens, at + 2, "", false, &mut found);
        }
    }
    found
}

/// Reads one path or tree at `at`; returns the index behind it.
fn tree(
    tokens: &[Token],
    mut at: usize,
    prefix: &str,
    nested: bool,
    found: &mut Vec<(usize, String)>,
) -> usize {
    let mut path = prefix.to_owned();
    while let Some(token) = tokens.get(at) {
        match token.text.as_str() {
            "{" => {
                at += 1;
                while tokens.get(at).is_some_and(|token| token.text != "}") {
                    at = tree(tokens, at, &path, true, found).max(at + 1);
                    if tokens.get(at).is_some_and(|token| token.text == ",") {
                        at += 1;
                    }
                }
                return at + 1;
            }
            "<" => break,
            word => {
                if !path.is_empty() {
                    path.push_str("::");
                }
                path.push_str(word);
                at += 1;
                if tokens.get(at).is_none_or(|token| token.text != "::") {
                    break;
                }
                at += 1;
            }
        }
    }
    let line = tokens.get(at.saturating_sub(1)).map_or(0, |token| token.line);
    found.push((line, path));
    // `as name` belongs to the leaf.
    while nested && tokens.get(at).is_some_and(|token| !matches!(token.text.as_str(), "," | "}" | ";")) {
        at += 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(source: &str) -> Vec<String> {
        let kept = without_tests(&tokens(source));
        std_paths(&kept.tokens).into_iter().map(|(_, path)| path).collect()
    }

    #[test]
    fn paths_and_trees_of_use_are_expanded() {
        assert_eq!(
            paths(
                "use std::{fs as f, io::{self, Read as _}, time::Duration};\nfn f() { std::thread::sleep(d) }"
            ),
            ["fs", "io::self", "io::Read", "time::Duration", "thread::sleep"]
        );
    }

    #[test]
    fn comments_strings_and_characters_name_nothing() {
        let source = r####"
            // std::fs
            /* std::fs /* std::fs */ std::fs */
            const A: &str = "std::fs \" std::fs";
            const B: &str = r#"std::fs " std::fs"#;
            const C: &[u8] = b"std::fs";
            const D: char = '"'; const E: char = '\''; const F: u8 = b'"';
            fn f<'a>(x: &'a str) { std::io::stdin(); }
        "####;
        assert_eq!(paths(source), ["io::stdin"]);
    }

    #[test]
    fn test_code_is_left_out() {
        let source = "
            #[cfg(test)]
            mod tests { use std::fs; fn f() { std::thread::sleep(d) } }
            #[cfg(all(test, unix))]
            use std::fs;
            #[cfg(test)]
            mod more;
            #[cfg(not(test))]
            use std::thread;
            use std::io;";
        assert_eq!(paths(source), ["thread", "io"]);
        assert_eq!(without_tests(&tokens(source)).test_modules, ["more"]);
    }

    #[test]
    fn lines_are_counted_through_comments_and_strings() {
        let kept = tokens("/*\n\n*/ \"\n\" std::fs");
        assert_eq!(std_paths(&kept), [(4, "fs".to_owned())]);
    }
}
