//! Whether a program says what a page shows.
//!
//! `…` stands for anything. How lines are broken and columns aligned does not count: pages break what is too long for them. Then there are
//! things that no run has in common with another one; they may differ where the page shows one of their kind: moments, durations, rates,
//! sizes, and hexadecimal numbers of eight and more digits.

/// How a page and a program agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Agreement {
    /// To the character.
    Exact,
    /// But for moments, durations, rates, sizes and ids.
    InKind,
    /// Not at all.
    None,
}

/// Compares what is shown with what was said. Where `numbers_vary`, each number may be another one.
pub fn compare(shown: &str, said: &str, numbers_vary: bool) -> Agreement {
    let (shown_kind, said_kind) = (in_kind(shown), in_kind(said));
    let vary = || is_like(&bare(&without_numbers(&shown_kind)), &bare(&without_numbers(&said_kind)));
    if is_like(&bare(shown), &bare(said)) {
        Agreement::Exact
    } else if is_like(&bare(&shown_kind), &bare(&said_kind)) || (numbers_vary && vary()) {
        Agreement::InKind
    } else {
        Agreement::None
    }
}

/// Without any white space.
fn bare(text: &str) -> String {
    text.split_whitespace().collect()
}

/// The pieces between `…` follow one another, from the beginning to the end.
fn is_like(shown: &str, said: &str) -> bool {
    let pieces: Vec<&str> = shown.split('…').collect();
    let [first, between @ .., last] = pieces.as_slice() else { return shown == said };
    let Some(mut rest) = said.strip_prefix(first) else { return false };
    for piece in between {
        match rest.split_once(piece) {
            Some((_, behind)) => rest = behind,
            None => return false,
        }
    }
    rest.ends_with(last)
}

/// What differs from run to run, by its kind.
fn in_kind(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    let mut before = ' ';
    while let Some(first) = rest.chars().next() {
        let found = if is_of_word(before) { None } else { special(rest) };
        let (length, replacement) = found.unwrap_or((first.len_utf8(), &rest[..first.len_utf8()]));
        out.push_str(replacement);
        before = rest[..length].chars().next_back().unwrap_or(' ');
        rest = &rest[length..];
    }
    out
}

fn is_of_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | ':')
}

/// What stands at the beginning of a text, if it is one of these: its length, and what its kind is written as.
fn special(text: &str) -> Option<(usize, &'static str)> {
    if let Some(length) = moment(text).or_else(|| compact_moment(text)) {
        return Some((length, "‹moment›"));
    }
    let digits =
        text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit() || matches!(c, '.' | ',')).len();
    if text.starts_with(|c: char| c.is_ascii_digit()) {
        let units = [
            (" KiB", "‹size›"),
            (" MiB", "‹size›"),
            (" GiB", "‹size›"),
            (" B", "‹size›"),
            (" ms", "‹duration›"),
            (" µs", "‹duration›"),
            (" s", "‹duration›"),
            (" a second", "‹rate›"),
        ];
        let behind = &text[digits..];
        let unit = units.iter().find(|(unit, _)| {
            behind.strip_prefix(unit).is_some_and(|more| !more.starts_with(|c: char| c.is_alphanumeric()))
        });
        if let Some((unit, kind)) = unit {
            return Some((digits + unit.len(), kind));
        }
    }
    let hexadecimal =
        text.len() - text.trim_start_matches(|c: char| matches!(c, '0'..='9' | 'a'..='f')).len();
    let (word, behind) = text.split_at(hexadecimal);
    // The first digits of one.
    if hexadecimal >= 4 && behind.starts_with('…') {
        return Some((hexadecimal + '…'.len_utf8(), "…"));
    }
    let is_number = word.chars().all(|c| c.is_ascii_digit());
    let is_whole = !behind.starts_with(|c: char| c.is_ascii_alphanumeric());
    // Short ones without a letter are counts.
    (is_whole && hexadecimal >= if is_number { 12 } else { 8 }).then_some((hexadecimal, "‹id›"))
}

/// The length of an RFC 3339 time in UTC.
fn moment(text: &str) -> Option<usize> {
    let length = of_form(text, "0000-00-00T00:00:00")?;
    let rest = &text[length..];
    let fraction = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.').len();
    rest[fraction..].starts_with('Z').then_some(length + fraction + 1)
}

/// The length of a moment as names of backups have it.
fn compact_moment(text: &str) -> Option<usize> {
    of_form(text, "00000000-000000")
        .filter(|length| !text[*length..].starts_with(|c: char| c.is_ascii_digit()))
}

/// The length of a form, if a text begins so; a zero is any digit.
fn of_form(text: &str, form: &str) -> Option<usize> {
    let head = text.get(..form.len())?;
    let fits =
        head.chars().zip(form.chars()).all(|(c, f)| if f == '0' { c.is_ascii_digit() } else { c == f });
    fits.then_some(form.len())
}

/// Every number as the same one.
fn without_numbers(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        let is_number = c.is_ascii_digit() || (matches!(c, '.' | ',') && out.ends_with('#'));
        match (is_number, out.ends_with('#')) {
            (true, true) => {}
            (true, false) => out.push('#'),
            (false, _) => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_must_be_said() {
        let compare = |shown: &str, said: &str| compare(shown, said, false);
        assert_eq!(compare("answer  553.15\n", "answer 553.15\n"), Agreement::Exact);
        assert_eq!(compare("answer  553.15\n", "answer 553.16\n"), Agreement::None);
        assert_eq!(compare("a … d\n…\n", "a b c d\ne\n"), Agreement::Exact);
        assert_eq!(compare("a\n", "a\nb\n"), Agreement::None);
        assert_eq!(compare("", "a\n"), Agreement::None);
        assert_eq!(compare("", "\n"), Agreement::Exact);
    }

    #[test]
    fn what_no_two_runs_have_in_common_may_differ_in_its_kind() {
        let compare = |shown: &str, said: &str| compare(shown, said, false);
        let in_kind =
            |shown: &str, said: &str| assert_eq!(compare(shown, said), Agreement::InKind, "{shown}");
        in_kind("4,340  in 0.3 s, 15,066 a second", "4,340  in 12 ms, 9 a second");
        in_kind("at 2026-11-24T04:24:02Z", "at 2027-01-01T00:00:00.123456Z");
        in_kind("peak memory 9.5 MiB", "peak memory 700 KiB");
        in_kind("{\"id\":\"a514e1a5…\"}", "{\"id\":\"b514e1a5538126de179866803e30c217\"}");
        in_kind("signed by 8a88e3dd7409", "signed by 1a88e3dd7409");
        in_kind("stemedb_4f2a9c01d7e3_…", "stemedb_58f2f617b0af_c613a657362d");
        in_kind("x,2,2026-11-24T04:24:02Z", "x,2,2027-11-24T04:24:02.5Z");
        in_kind("stemedb-backup-20261126-070512 in 0.4 s", "stemedb-backup-20271126-070512 in 0.5 s");
        // Kinds are not exchanged, and counts count.
        assert_eq!(compare("in 0.3 s", "in 0.3 MiB"), Agreement::None);
        assert_eq!(compare("4,340  in 0.3 s", "4,341  in 0.3 s"), Agreement::None);
        assert_eq!(compare("12345678 rows", "12345679 rows"), Agreement::None);
        assert_eq!(compare("cas:110-62-3 at 3 s", "cas:111-62-3 at 3 s"), Agreement::None);
    }

    #[test]
    fn numbers_vary_only_where_that_is_said() {
        assert_eq!(compare("3 frames, 1,204.5 rows", "5 frames, 7 rows", true), Agreement::InKind);
        assert_eq!(compare("3 frames", "5 frames", false), Agreement::None);
        assert_eq!(compare("3 frames", "5 entries", true), Agreement::None);
    }
}
