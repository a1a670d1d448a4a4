//! All probes of a key at once, with AVX2.
//!
//! A line of 512 bits is two vectors of eight words. The eight products `h·g^i` give eight bit numbers; their upper four bits
//! choose a word in one of the vectors, the lower five a bit of it. After RocksDB's `FastLocalBloomImpl`
//! (`util/bloom_impl.h`), which tests the same bits in the same way.
#![allow(unsafe_code)]

use std::arch::x86_64::{
    __m256i, _mm256_blendv_epi8, _mm256_castps_si256, _mm256_castsi256_ps, _mm256_cmpgt_epi32,
    _mm256_mullo_epi32, _mm256_permutevar8x32_epi32, _mm256_set_epi64x, _mm256_set1_epi32, _mm256_setr_epi32,
    _mm256_slli_epi32, _mm256_sllv_epi32, _mm256_srli_epi32, _mm256_testc_si256,
};

use super::{SPREAD, WORDS_PER_LINE};

/// Most probes that one call tests.
pub(super) const LANES: u32 = 8;

/// `SPREAD` to the powers 0 to 7.
const POWERS: [i32; LANES as usize] = {
    let mut powers = [1i32; LANES as usize];
    let mut at = 1;
    while at < powers.len() {
        powers[at] = powers[at - 1].wrapping_mul(SPREAD as i32);
        at += 1;
    }
    powers
};

/// True if this processor can.
pub(super) fn is_available() -> bool {
    std::arch::is_x86_feature_detected!("avx2")
}

/// True if the bits of the first `probes` probes of `h` are set in the line. `None` where the processor cannot tell.
#[inline]
pub(super) fn all_set(line: &[u64; WORDS_PER_LINE], h: u32, probes: u32) -> bool {
    // SAFETY: only called when `is_available` said so: `Bloom` asks when it is made.
    unsafe { all_set_avx2(line, h, probes) }
}

#[target_feature(enable = "avx2")]
fn all_set_avx2(line: &[u64; WORDS_PER_LINE], h: u32, probes: u32) -> bool {
    let [a, b, c, d, e, f, g, i] = line.map(|word| word as i64);
    let low: __m256i = _mm256_set_epi64x(d, c, b, a);
    let high: __m256i = _mm256_set_epi64x(i, g, f, e);
    let [p0, p1, p2, p3, p4, p5, p6, p7] = POWERS;
    let products =
        _mm256_mullo_epi32(_mm256_set1_epi32(h as i32), _mm256_setr_epi32(p0, p1, p2, p3, p4, p5, p6, p7));
    // The top nine bits: one for the half, three for the word in it, five for the bit in the word. The choice of a lane
    // ignores all bits above the third.
    let word = _mm256_srli_epi32::<28>(products);
    let from_low = _mm256_permutevar8x32_epi32(low, word);
    let from_high = _mm256_permutevar8x32_epi32(high, word);
    // The half is the sign bit of the product.
    let words = _mm256_castps_si256(std::arch::x86_64::_mm256_blendv_ps(
        _mm256_castsi256_ps(from_low),
        _mm256_castsi256_ps(from_high),
        _mm256_castsi256_ps(products),
    ));
    let bit = _mm256_srli_epi32::<27>(_mm256_slli_epi32::<4>(products));
    let wanted = _mm256_sllv_epi32(_mm256_set1_epi32(1), bit);
    // Lanes behind the last probe want nothing.
    let lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    let active = _mm256_cmpgt_epi32(_mm256_set1_epi32(probes as i32), lanes);
    let wanted = _mm256_blendv_epi8(_mm256_set1_epi32(0), wanted, active);
    // 1 if no wanted bit is missing.
    _mm256_testc_si256(words, wanted) == 1
}
