//! Free room on a disk: `5%`, `4GiB`, or `5%,4GiB` for the smaller of the two.

use stemedb_hybrid::Line;

const UNITS: [(&str, u64); 5] =
    [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1 << 40), ("", 1)];

/// What [`parse`] takes, for people.
pub(super) const ROOM_FORM: &str =
    "a share of the disk such as 5%, a size such as 4GiB, the smaller of the two as 5%,4GiB, or 0 for never";

/// Reads it; `None` where it is neither.
pub(super) fn parse(text: &str) -> Option<Line> {
    match text.split_once(',') {
        Some((share, size)) => Some(Line { per_mille: per_mille(share)?, at_most_bytes: bytes(size)? }),
        None if text.ends_with('%') => Some(Line { per_mille: per_mille(text)?, at_most_bytes: u64::MAX }),
        None => Some(bytes(text)?).map(|bytes| if bytes == 0 { Line::OFF } else { Line::of_bytes(bytes) }),
    }
}

/// `5%`, `2.5%`: up to a hundred, with at most one digit behind the point.
fn per_mille(share: &str) -> Option<u32> {
    let share = share.strip_suffix('%')?;
    let (whole, tenths) = share.split_once('.').unwrap_or((share, "0"));
    let whole: u32 = digits(whole)?.try_into().ok()?;
    let tenths: u32 = digits(tenths).filter(|tenths| *tenths < 10)?.try_into().ok()?;
    whole.checked_mul(10)?.checked_add(tenths).filter(|per_mille| *per_mille <= 1000)
}

fn bytes(size: &str) -> Option<u64> {
    let (number, unit) = UNITS.iter().find_map(|(name, unit)| Some((size.strip_suffix(name)?, *unit)))?;
    digits(number)?.checked_mul(unit)
}

fn digits(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_a_share_or_a_size_or_the_smaller_of_both() {
        let share = |per_mille| Some(Line { per_mille, at_most_bytes: u64::MAX });
        assert_eq!(parse("5%"), share(50));
        assert_eq!(parse("2.5%"), share(25));
        assert_eq!(parse("100%"), share(1000));
        assert_eq!(parse("4GiB"), Some(Line::of_bytes(4 << 30)));
        assert_eq!(parse("77"), Some(Line::of_bytes(77)));
        assert_eq!(parse("0"), Some(Line::OFF));
        assert_eq!(parse("5%,4GiB"), Some(Line { per_mille: 50, at_most_bytes: 4 << 30 }));
        let wrong =
            ["101%", "5.25%", "-1", "", "4GB", "99999999999TiB", "%", "five", "4GiB,5%", "5%,", ",5%", "+5"];
        for wrong in wrong {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
