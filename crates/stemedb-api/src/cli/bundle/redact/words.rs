//! Free text, word by word: what is known to be the program's own stays, everything else goes.
//!
//! Messages of a log are written by the program, but parts of them come from elsewhere: paths, names of hosts, what a client has sent.
//! Nothing tells these parts in a finished line. So a word is kept only if it stands in `words.txt`, the words of this program's own
//! messages; so are numbers, times, and names of files that only an engine gives. A new message with a new word loses that word until it
//! is added there: what is missing is a nuisance, what is left in would be a leak.

use std::{collections::BTreeSet, sync::OnceLock};

use stemedb_api::core::Micros;

/// Stands for whatever was taken away.
pub const WITHHELD: &str = "…";
/// Longer runs of digits may be keys.
const DIGITS_MAX: usize = 20;

/// The program's own words, one a line, in lower case.
pub const WORDS: &str = include_str!("words.txt");

fn is_known(word: &str) -> bool {
    static KNOWN: OnceLock<BTreeSet<&'static str>> = OnceLock::new();
    let known = KNOWN.get_or_init(|| WORDS.lines().collect());
    known.contains(word.to_ascii_lowercase().as_str())
}

/// Names of files and folders that only an engine gives.
pub fn is_engine_file(name: &str) -> bool {
    const FIXED: [&str; 24] = [
        "wal",
        "kv",
        "kv.next",
        "kv.old",
        "sidecar",
        "fallback",
        "quarantine",
        "keys",
        "watches",
        "LOCK",
        "SCRUB",
        "RESERVE",
        "REBUILT",
        "HEAD",
        "CURRENT",
        "IDENTITY.a",
        "IDENTITY.b",
        "server.key",
        "api.keys",
        "audit.log",
        "storage.log",
        "api.log",
        "backup.staging",
        "lost+found",
    ];
    let is_number =
        |digits: &str| (6..=DIGITS_MAX).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
    if FIXED.contains(&name) {
        return true;
    }
    let name = name.strip_suffix(".tmp").unwrap_or(name);
    if let Some(day) = name.strip_prefix("kv.corrupted.") {
        return (1..=DIGITS_MAX).contains(&day.len()) && day.bytes().all(|byte| byte.is_ascii_digit());
    }
    if let Some(rest) = name.strip_prefix("live.").or_else(|| name.strip_prefix("segment.")) {
        let (digits, form) = rest.split_once('.').unwrap_or((rest, ""));
        return is_number(digits) && matches!(form, "wal" | "wal.gz" | "wal.zst");
    }
    if let Some(digits) = name.strip_prefix("MANIFEST-") {
        return is_number(digits);
    }
    let (digits, form) = name.split_once('.').unwrap_or((name, ""));
    let of_quarantine =
        form.strip_prefix("sst.").is_some_and(|n| n.bytes().all(|byte| byte.is_ascii_digit()));
    is_number(digits) && (matches!(form, "sst" | "keys" | "key" | "side" | "sidecar") || of_quarantine)
}

/// The text with everything taken away that is not known to be the program's own.
pub fn filter(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for chunk in text.split_whitespace() {
        let kept = chunk_of(chunk);
        // One mark for many words.
        if kept == WITHHELD && out.ends_with(WITHHELD) {
            continue;
        }
        if !out.is_empty() {
            out.push(' ');
        }
        out.push_str(&kept);
    }
    out
}

/// True if nothing of the text would be taken away.
pub fn is_own(text: &str) -> bool {
    !text.contains(WITHHELD) && filter(text) == text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn is_edge(c: char) -> bool {
    matches!(
        c,
        '"' | '\''
            | '`'
            | '('
            | ')'
            | '['
            | ']'
            | '{'
            | '}'
            | ','
            | ';'
            | ':'
            | '.'
            | '!'
            | '?'
            | '='
            | '%'
            | '<'
            | '>'
    )
}

fn chunk_of(chunk: &str) -> String {
    let core = chunk.trim_matches(is_edge);
    if core.is_empty() {
        return if chunk.chars().count() <= 4 { chunk.to_owned() } else { WITHHELD.to_owned() };
    }
    let at = chunk.find(core).unwrap_or(0);
    let (before, after) =
        (chunk.get(..at).unwrap_or_default(), chunk.get(at + core.len()..).unwrap_or_default());
    let kept = if core == "Input/output" {
        // The system's own words, which look like a path.
        core.to_owned()
    } else if core.contains(['/', '\\']) {
        match core.rsplit(['/', '\\']).next() {
            Some(name) if is_engine_file(name) => format!("{WITHHELD}/{name}"),
            _ => return WITHHELD.to_owned(),
        }
    } else if is_plain(core) {
        core.to_owned()
    } else {
        return WITHHELD.to_owned();
    };
    if before.chars().count() > 4 || after.chars().count() > 4 {
        return WITHHELD.to_owned();
    }
    format!("{before}{kept}{after}")
}

fn is_plain(core: &str) -> bool {
    if matches!(core, "–" | "—" | "…" | "·" | "×" | "≥" | "≤" | "-" | "+" | "&" | "*" | "|" | "→")
    {
        return true;
    }
    if !core.is_ascii() {
        return false;
    }
    if is_engine_file(core) || Micros::parse_rfc3339(core).is_ok() {
        return true;
    }
    // An address of a machine.
    if core.split('.').filter(|part| part.bytes().next().is_some_and(|byte| byte.is_ascii_digit())).count()
        > 3
    {
        return false;
    }
    // Many short runs of digits may be one long key.
    if core.bytes().filter(u8::is_ascii_digit).count() > DIGITS_MAX {
        return false;
    }
    let mut rest = core;
    while let Some(first) = rest.bytes().next() {
        let is_same: fn(u8) -> bool = match first {
            byte if byte.is_ascii_digit() => |byte| byte.is_ascii_digit(),
            byte if byte.is_ascii_alphabetic() => |byte| byte.is_ascii_alphabetic(),
            b'_' | b'-' | b':' | b'=' | b'.' | b',' | b'+' | b'(' | b')' | b'"' | b'\'' | b'{' | b'}'
            | b'[' | b']' => |byte| !byte.is_ascii_alphanumeric(),
            _ => return false,
        };
        let end = rest.bytes().position(|byte| !is_same(byte)).unwrap_or(rest.len());
        let (run, more) = rest.split_at(end);
        let may_stay = match first {
            byte if byte.is_ascii_digit() => true,
            byte if byte.is_ascii_alphabetic() => is_known(run),
            _ => run.len() <= 4,
        };
        if !may_stay {
            return false;
        }
        rest = more;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_that_alerts_look_for_stay() {
        for text in [
            "Failed to write to KV store",
            "LSM tree compaction failed",
            "Index update failed",
            r#"Custom { kind: Other, error: "IO error: No space left on device" }"#,
            r#"Custom { kind: Other, error: "IO error: Input/output error" }"#,
            "Corruption: block checksum mismatch",
            "Corruption: invalid SST file header",
            "Failed to acquire write lock within timeout",
            "Deadlock detected in KV store",
            "rebuild complete",
            "37.2 GiB of 252.0 GiB are free, writes are refused below 4.0 GiB",
            "compaction finished",
            "slow query",
            "the sync of segment.000012.wal has not returned for 1,204 ms",
            "at 2026-11-27T10:00:00.25Z",
        ] {
            assert_eq!(filter(text), text);
            assert!(is_own(text), "{text}");
        }
    }

    #[test]
    fn what_is_not_the_programs_own_goes() {
        for (text, kept) in [
            ("claim about Zyxobenzene-42 refused", "claim about … refused"),
            (
                "cannot open /srv/secret-project/wal/live.000007.wal: denied",
                "cannot open …/live.000007.wal: denied",
            ),
            ("cannot open /srv/secret-project: denied", "cannot open … denied"),
            ("from 10.1.2.3:4711 and fe80::1a2b", "from … and …"),
            ("key stemedb_0123456789ab_00ff", "key …"),
            ("Zyxo%20benzene WnlhIGJlbnplbmU= 5a79786f", "…"),
            ("naïve Ångström", "…"),
            ("123456789012345678901", "…"),
            ("%31%66%32%65 flush%20journal", "…"),
            ("1234567890-1234567890-1", "…"),
            ("x1y2z3", "…"),
        ] {
            assert_eq!(filter(text), kept, "{text}");
            assert!(!is_own(text), "{text}");
        }
    }

    #[test]
    fn only_an_engine_names_files_like_that() {
        for name in [
            "000012.sst",
            "000012.sst.1",
            "segment.000001.wal.zst",
            "live.000002.wal",
            "MANIFEST-000007",
            "kv.corrupted.20261127",
            "LOCK",
        ] {
            assert!(is_engine_file(name), "{name}");
        }
        for name in [
            "12.sst",
            "claims.sst",
            "segment.benzene.wal",
            "live.000002.wal.benzene",
            "kv.corrupted.benzene",
            "IDENTITY",
        ] {
            assert!(!is_engine_file(name), "{name}");
        }
    }
}
