//! The only source of randomness: ids of new databases, seeds of simulations.

use std::fmt;

use parking_lot::Mutex;

/// Fills buffers with random bytes.
pub trait Random: Send + Sync + fmt::Debug {
    /// Fills the whole buffer.
    fn fill(&self, buffer: &mut [u8]);

    /// Fills the whole buffer with bytes that nobody can guess: for keys. As good as [`Random::fill`] unless said otherwise,
    /// which is right for simulations only.
    ///
    /// # Errors
    /// The system has no randomness to give.
    fn fill_secret(&self, buffer: &mut [u8]) -> std::io::Result<()> {
        self.fill(buffer);
        Ok(())
    }

    /// Eight random bytes as a number.
    fn next_u64(&self) -> u64 {
        let mut bytes = [0; 8];
        self.fill(&mut bytes);
        u64::from_le_bytes(bytes)
    }
}

/// Randomness of the operating system.
///
/// It draws from the keys of the standard library's hasher, which the system seeds once per thread, and spreads
/// them with BLAKE3. Good for ids that must not collide; secrets come from the kernel's generator.
#[derive(Debug)]
pub struct OsRandom;

impl Random for OsRandom {
    fn fill(&self, buffer: &mut [u8]) {
        use std::hash::{BuildHasher, Hasher, RandomState};
        let mut hasher = blake3::Hasher::new();
        for _ in 0..4 {
            let word = RandomState::new().build_hasher().finish();
            hasher.update(&word.to_le_bytes());
        }
        hasher.update(&std::process::id().to_le_bytes());
        if let Ok(now) = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH) {
            hasher.update(&now.as_nanos().to_le_bytes());
        }
        hasher.finalize_xof().fill(buffer);
    }

    fn fill_secret(&self, buffer: &mut [u8]) -> std::io::Result<()> {
        let mut filled = 0;
        while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match rustix::rand::getrandom(rest, rustix::rand::GetRandomFlags::empty()) {
                Ok(count) => filled += count,
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

/// Reproducible randomness for tests and simulations (xorshift64*).
#[derive(Debug)]
pub struct SeededRandom {
    state: Mutex<u64>,
}

impl SeededRandom {
    /// The same seed gives the same bytes.
    pub fn new(seed: u64) -> SeededRandom {
        // Neighbouring seeds must start far apart: the finalizer of SplitMix64.
        let mut x = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
        x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        SeededRandom { state: Mutex::new(x ^ (x >> 31)) }
    }
}

impl Random for SeededRandom {
    fn fill(&self, buffer: &mut [u8]) {
        let mut state = self.state.lock();
        for chunk in buffer.chunks_mut(8) {
            // Zero is the one state that xorshift never leaves.
            let mut x = if *state == 0 { 0x9E37_79B9_7F4A_7C15 } else { *state };
            x ^= x >> 12;
            x ^= x << 25;
            x ^= x >> 27;
            *state = x;
            let word = x.wrapping_mul(0x2545_F491_4F6C_DD1D).to_le_bytes();
            chunk.copy_from_slice(&word[..chunk.len()]);
        }
    }
}
