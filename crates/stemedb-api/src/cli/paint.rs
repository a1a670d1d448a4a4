//! Colours and shapes of text on a terminal. [`anstream`] takes the colours away where the output is not a terminal or
//! `NO_COLOR` is set.

use anstyle::{AnsiColor, Style};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Width that every table fits into.
pub const COLUMNS: usize = 80;

/// The word before an error.
pub const ERROR: Style = AnsiColor::Red.on_default().bold();
/// What matters most on a line.
pub const STRONG: Style = Style::new().bold();
/// What may be overlooked.
pub const FAINT: Style = Style::new().dimmed();
/// The winner.
pub const GOOD: Style = AnsiColor::Green.on_default().bold();
/// Disagreement.
pub const WARN: Style = AnsiColor::Yellow.on_default().bold();
/// Bars.
pub const BAR: Style = AnsiColor::Cyan.on_default();

/// Text in a style.
pub fn paint(style: Style, text: &str) -> String {
    format!("{style}{text}{style:#}")
}

/// Cells that a text takes. Control characters take none: they are shown as [`visible`] does.
pub fn width(text: &str) -> usize {
    text.width()
}

/// A text that cannot do anything to a terminal but be read: claims come from outside.
pub fn visible(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

/// Pads to at least `cells` on the right.
pub fn left(text: &str, cells: usize) -> String {
    format!("{text}{}", " ".repeat(cells.saturating_sub(width(text))))
}

/// Pads to at least `cells` on the left.
pub fn right(text: &str, cells: usize) -> String {
    format!("{}{text}", " ".repeat(cells.saturating_sub(width(text))))
}

/// Cuts to at most `cells`, ending in `…` if something was cut.
pub fn fit(text: &str, cells: usize) -> String {
    if width(text) <= cells {
        return text.to_owned();
    }
    let mut out = String::new();
    let mut used = 1;
    for c in text.chars() {
        used += c.width().unwrap_or(0);
        if used > cells {
            break;
        }
        out.push(c);
    }
    out.push('…');
    out
}

/// Words, wrapped into lines of at most `cells`. A word that is longer than that is cut.
pub fn wrap<'a>(words: impl IntoIterator<Item = &'a str>, separator: &str, cells: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in words {
        let word = fit(word, cells);
        match lines.last_mut() {
            Some(line) if width(line) + width(separator) + width(&word) <= cells => {
                line.push_str(separator);
                line.push_str(&word);
            }
            Some(line) => {
                line.push_str(separator.trim_end());
                lines.push(word);
            }
            None => lines.push(word),
        }
    }
    lines
}

/// A bar of `cells` that is filled to `share` (0..=1), in eighths of a cell.
pub fn bar(share: f64, cells: usize) -> String {
    const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let eighths = (share.clamp(0.0, 1.0) * cells as f64 * 8.0).round() as usize;
    // A share that is there at all is seen.
    let eighths = if share > 0.0 { eighths.max(1) } else { eighths };
    let filled = format!("{}{}", "█".repeat(eighths / 8), EIGHTHS[eighths % 8]);
    left(&filled, cells)
}

/// A number with its thousands apart.
pub fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A number of bytes, in binary units.
pub fn bytes(n: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if n < 1024 {
        return format!("{n} B");
    }
    let mut value = n as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// A word for a number of things.
pub fn count(n: u64, one: &str, many: &str) -> String {
    format!("{} {}", thousands(n), if n == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_and_padded_by_the_cells_they_take() {
        assert_eq!(fit("phenanthrene", 6), "phena…");
        assert_eq!(fit("phenan", 6), "phenan");
        assert_eq!(fit("水水水水", 5), "水水…");
        assert_eq!(left("水", 4), "水  ");
        assert_eq!(right("7", 3), "  7");
    }

    #[test]
    fn words_are_wrapped_with_their_separator() {
        assert_eq!(wrap(["aa", "bb", "cc"], ", ", 7), ["aa, bb,", "cc"]);
        assert_eq!(wrap(["a-word-too-long"], ", ", 5), ["a-wo…"]);
    }

    #[test]
    fn a_bar_fills_in_eighths_and_shows_the_smallest_share() {
        assert_eq!(bar(0.5, 4), "██  ");
        assert_eq!(bar(0.0001, 4), "▏   ");
        assert_eq!(bar(0.0, 4), "    ");
        assert_eq!(bar(7.0, 2), "██");
    }

    #[test]
    fn numbers_are_readable() {
        assert_eq!(thousands(1_084_052), "1,084,052");
        assert_eq!(thousands(999), "999");
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(3 << 20), "3.0 MiB");
    }

    #[test]
    fn claimed_text_cannot_move_the_cursor() {
        assert_eq!(visible("a\u{1b}[2Jb"), "a\u{fffd}[2Jb");
    }
}
