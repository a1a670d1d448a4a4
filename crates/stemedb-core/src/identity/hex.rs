//! Lower-case hexadecimal, as ids are written everywhere.

use std::fmt;

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// How many bytes are turned into digits at a time: an id.
const CHUNK: usize = 32;

/// Writes two lower-case digits a byte.
///
/// An answer names dozens of ids: a call of the formatter for each of their bytes was a fifteenth of what a server does.
///
/// # Errors
///
/// What `out` says.
pub fn write(bytes: &[u8], out: &mut impl fmt::Write) -> fmt::Result {
    for chunk in bytes.chunks(CHUNK) {
        let mut digits = [b'0'; 2 * CHUNK];
        for (pair, byte) in digits.chunks_exact_mut(2).zip(chunk) {
            pair[0] = DIGITS[usize::from(byte >> 4)];
            pair[1] = DIGITS[usize::from(byte & 15)];
        }
        // Every digit is ASCII.
        out.write_str(std::str::from_utf8(&digits[..2 * chunk.len()]).map_err(|_| fmt::Error)?)?;
    }
    Ok(())
}

/// Two lower-case digits a byte.
pub fn text(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    // A string takes all that is written to it.
    let _ = write(bytes, &mut text);
    text
}

/// Reads exactly `2 * N` digits of either case.
pub(super) fn read<const N: usize>(text: &str) -> Option<[u8; N]> {
    if text.len() != 2 * N {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let [high, low] = *pair else { return None };
        *byte = digit(high)? << 4 | digit(low)?;
    }
    Some(bytes)
}

fn digit(character: u8) -> Option<u8> {
    char::from(character).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_written_as_the_formatter_writes_it_over_the_ends_of_chunks() {
        let bytes: Vec<u8> = (0..=255).chain(0..7).collect();
        for length in [0, 1, 31, 32, 33, 64, bytes.len()] {
            let expected: String = bytes[..length].iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(text(&bytes[..length]), expected);
        }
    }
}
