//! Command lines in documentation: which words are flags of which program.

/// A command of ours in a line: the words behind the program's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ours {
    /// `stemedb-api …`
    Program(Vec<String>),
    /// `cargo xtask …`
    Developer(Vec<String>),
    /// `cargo test …` and the like: what is built or run is ours.
    Cargo(Vec<String>),
}

/// The commands of ours in a line of a shell.
pub fn of_line(line: &str) -> Vec<Ours> {
    segments(line).into_iter().filter_map(of_segment).collect()
}

fn of_segment(words: Vec<String>) -> Option<Ours> {
    let is_program = |word: &String| word == "stemedb-api" || word.ends_with("/stemedb-api");
    if let Some(at) = words.iter().position(is_program) {
        // Behind another program it may be anything: `journalctl -u stemedb-api`, `grep stemedb-api`.
        let before = &words[..at];
        let is_called = before.iter().all(|word| {
            matches!(
                word.as_str(),
                "$" | "sudo" | "exec" | "time" | "nohup" | "if" | "!" | "then" | "do" | "-u" | "stemedb"
            ) || word.contains('=')
        });
        if is_called {
            return Some(Ours::Program(words[at + 1..].to_vec()));
        }
    }
    let cargo = words.iter().position(|word| word == "cargo")?;
    let rest = &words[cargo + 1..];
    match rest.first().map(String::as_str) {
        Some("xtask") => Some(Ours::Developer(rest[1..].to_vec())),
        // What follows `--` is for the program that is run, of which the workspace's default is ours.
        Some("run")
            if !rest
                .iter()
                .any(|word| matches!(word.as_str(), "--example" | "-p" | "--package" | "--bin")) =>
        {
            let at = rest.iter().position(|word| word == "--")?;
            Some(Ours::Program(rest[at + 1..].to_vec()))
        }
        Some("test" | "run" | "bench") => Some(Ours::Cargo(rest[1..].to_vec())),
        _ => None,
    }
}

/// The words of each command of a line: split at pipes, lists and substitutions, quotes taken away, a comment left out.
fn segments(line: &str) -> Vec<Vec<String>> {
    let mut all = vec![Vec::new()];
    let (mut word, mut has_word, mut quote) = (String::new(), false, None);
    let mut characters = line.chars().peekable();
    let end_word = |word: &mut String, has_word: &mut bool, all: &mut Vec<Vec<String>>| {
        if std::mem::take(has_word)
            && let Some(last) = all.last_mut()
        {
            last.push(std::mem::take(word));
        }
    };
    while let Some(c) = characters.next() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some('"'), '$') if characters.peek() == Some(&'(') => {
                characters.next();
                quote = None;
                end_word(&mut word, &mut has_word, &mut all);
                all.push(Vec::new());
            }
            (Some(_), c) => word.push(c),
            (None, '\'' | '"') => (quote, has_word) = (Some(c), true),
            (None, '#') if !has_word => break,
            (None, '|' | '&' | ';' | '(' | ')' | '`') => {
                end_word(&mut word, &mut has_word, &mut all);
                all.push(Vec::new());
            }
            (None, c) if c.is_whitespace() => end_word(&mut word, &mut has_word, &mut all),
            (None, c) => {
                word.push(c);
                has_word = true;
            }
        }
    }
    end_word(&mut word, &mut has_word, &mut all);
    all.retain(|words| !words.is_empty());
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program(line: &str) -> Vec<String> {
        match of_line(line).as_slice() {
            [Ours::Program(words)] => words.clone(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn our_commands_are_found_among_others() {
        assert_eq!(
            program("$ A=1 sudo ./target/release/stemedb-api serve --init # --not"),
            ["serve", "--init"]
        );
        assert_eq!(
            program("curl --silent x | stemedb-api import --data-dir \"a b\" -"),
            ["import", "--data-dir", "a b", "-"]
        );
        assert_eq!(program("cargo run --release -- demo --data-dir d"), ["demo", "--data-dir", "d"]);
        assert_eq!(program("x=\"$(stemedb-api stats --json)\""), ["stats", "--json"]);
        let test = ["-p", "stemedb-api", "--test", "x"].map(str::to_owned).to_vec();
        assert_eq!(of_line("cargo test -p stemedb-api --test x"), [Ours::Cargo(test)]);
        assert_eq!(of_line("journalctl -u stemedb-api --since now"), []);
        assert_eq!(
            of_line("cargo xtask ops --quick"),
            [Ours::Developer(vec!["ops".into(), "--quick".into()])]
        );
    }
}
