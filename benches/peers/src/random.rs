//! Random bytes that are the same in every run.

/// Steele, Lea and Flood's SplitMix64 (OOPSLA 2014): a few cycles per word, so that it does not show in the figures.
#[derive(Clone, Debug)]
pub struct SplitMix64(u64);

const STEP: u64 = 0x9E37_79B9_7F4A_7C15;

impl SplitMix64 {
    /// The stream of a number; streams of different numbers have nothing to do with each other.
    pub fn of(number: u64) -> SplitMix64 {
        SplitMix64(number.wrapping_mul(0xA076_1D64_78BD_642F))
    }

    /// The next word.
    #[inline]
    pub fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(STEP);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// Leaves words out.
    #[inline]
    pub fn skip(&mut self, words: u64) {
        self.0 = self.0.wrapping_add(words.wrapping_mul(STEP));
    }

    /// A number below `bound`, which is not 0. The tiny bias does not matter here (Lemire's multiply-shift).
    #[inline]
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.word()) * u128::from(bound)) >> 64) as u64
    }

    /// Fills bytes.
    #[inline]
    pub fn fill(&mut self, bytes: &mut [u8]) {
        for word in bytes.chunks_mut(8) {
            let random = self.word().to_le_bytes();
            word.copy_from_slice(&random[..word.len()]);
        }
    }
}

/// A shuffle of `0..len` that needs no memory: four rounds of a Feistel network over the next even power of two, walked
/// until it falls below `len` (Black and Rogaway's cycle walking, CT-RSA 2002).
#[derive(Clone, Copy, Debug)]
pub struct Shuffle {
    len: u64,
    half_bits: u32,
    seed: u64,
}

impl Shuffle {
    /// The shuffle of a length and a seed.
    pub fn of(len: u64, seed: u64) -> Shuffle {
        let bits = u64::BITS - len.saturating_sub(1).leading_zeros();
        Shuffle { len, half_bits: bits.div_ceil(2).max(1), seed }
    }

    /// Where `index`, which is below the length, has gone.
    pub fn at(&self, index: u64) -> u64 {
        let mut place = index;
        loop {
            place = self.permute(place);
            if place < self.len {
                return place;
            }
        }
    }

    fn permute(&self, place: u64) -> u64 {
        let mask = (1 << self.half_bits) - 1;
        let (mut left, mut right) = (place >> self.half_bits, place & mask);
        for round in 0..4 {
            let mixed = SplitMix64::of(right ^ self.seed.rotate_left(round * 16)).word();
            (left, right) = (right, left ^ (mixed & mask));
        }
        (left << self.half_bits) | right
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shuffle_gives_every_place_once_and_not_in_order() {
        for len in [1, 2, 3, 100, 1000] {
            let shuffle = Shuffle::of(len, 7);
            let places: Vec<u64> = (0..len).map(|index| shuffle.at(index)).collect();
            let mut sorted = places.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, (0..len).collect::<Vec<_>>(), "{len}");
            assert!(len < 100 || places != sorted, "{len}");
        }
    }

    #[test]
    fn numbers_below_a_bound_reach_all_of_it() {
        let mut random = SplitMix64::of(1);
        let mut seen = [false; 10];
        (0..1000).for_each(|_| seen[random.below(10) as usize] = true);
        assert_eq!(seen, [true; 10]);
    }
}
