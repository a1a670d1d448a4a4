//! Choices that follow from a seed.

use stemedb_env::{Random, random::SeededRandom};

/// A reproducible source of choices.
#[derive(Debug)]
pub struct Dice {
    random: SeededRandom,
}

impl Dice {
    /// The same seed gives the same choices.
    pub fn new(seed: u64) -> Dice {
        Dice { random: SeededRandom::new(seed) }
    }

    /// Any number.
    pub fn number(&mut self) -> u64 {
        self.random.next_u64()
    }

    /// A number below `limit`; 0 if the limit is 0.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.number().checked_rem(limit).unwrap_or(0)
    }

    /// As [`Dice::below`], for sizes and indexes.
    pub fn size(&mut self, limit: usize) -> usize {
        usize::try_from(self.below(limit as u64)).unwrap_or(0)
    }

    /// True once in `n` times.
    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    /// One of `from`, which must not be empty.
    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.size(from.len())]
    }
}

/// Spreads a number over all bits (the finalizer of SplitMix64), to fold several numbers into one key.
pub(crate) fn spread(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// Folds another number into a key.
pub(crate) fn fold(key: u64, number: u64) -> u64 {
    spread(key ^ spread(number))
}

/// A key of bytes.
pub(crate) fn digest(bytes: &[u8]) -> u64 {
    let mut key = spread(bytes.len() as u64);
    for chunk in bytes.chunks(8) {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        key = fold(key, u64::from_le_bytes(word));
    }
    key
}
