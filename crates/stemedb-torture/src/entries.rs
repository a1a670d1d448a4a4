//! Contents of entries: each different from all others of its run, so that content alone says which one it is.

/// An entry of `bytes` bytes behind a prefix with its number. Compressible text when `dull`, else noise.
pub fn entry(number: u64, bytes: usize, dull: bool) -> Vec<u8> {
    let mut entry = format!("entry {number} ").into_bytes();
    if dull {
        entry.extend(std::iter::repeat_n(b'y', bytes));
    } else {
        // A multiplicative generator (the one of Numerical Recipes): cheap, and no two entries share a sector.
        let mut word = u32::try_from(number % 0xFFFF_FFFB).unwrap_or(0).wrapping_mul(2_654_435_761) | 1;
        entry.extend((0..bytes).map(|_| {
            word = word.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            word.to_le_bytes()[3]
        }));
    }
    entry
}
