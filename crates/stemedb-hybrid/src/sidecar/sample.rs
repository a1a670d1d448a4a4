//! Which keys cut many rows into equal parts, in little memory.

/// Keys that are kept: parts are no smaller than this fraction of all rows.
pub(super) const MAX_SAMPLES: usize = 256 << 10;

/// Keeps every n-th key that is offered, with n so large that memory is bounded.
#[derive(Debug)]
pub(super) struct Sampler {
    limit: usize,
    step: u64,
    offered: u64,
    kept: Vec<Box<[u8]>>,
}

impl Sampler {
    pub fn new(limit: usize) -> Sampler {
        Sampler { limit: limit.max(2), step: 1, offered: 0, kept: Vec::new() }
    }

    pub fn offer(&mut self, key: &[u8]) {
        self.offered += 1;
        if !self.offered.is_multiple_of(self.step) {
            return;
        }
        self.kept.push(key.into());
        if self.kept.len() >= self.limit {
            let mut keep = false;
            self.kept.retain(|_| {
                keep = !keep;
                keep
            });
            self.step *= 2;
        }
    }

    /// Keys, ascending and without repetition, about `rows` of those offered apart.
    pub fn cuts(mut self, rows: usize) -> Vec<Vec<u8>> {
        self.kept.sort_unstable();
        let rows = rows.max(1) as u64;
        let mut cuts: Vec<Vec<u8>> = Vec::new();
        let mut since = 0;
        for key in &self.kept {
            // A key that is cut off more often than a part is long is one part.
            if since >= rows && cuts.last().is_none_or(|last| **last != **key) {
                cuts.push(key.to_vec());
                since = 0;
            }
            since += self.step;
        }
        cuts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_about_as_large_as_asked_for() {
        for (limit, rows) in [(1 << 20, 100), (1 << 10, 100), (1 << 10, 1)] {
            let mut sampler = Sampler::new(limit);
            // In an order that is not that of the keys.
            for n in 0..50_000u64 {
                sampler.offer(&(n * 48_271 % 50_021).to_be_bytes());
            }
            let cuts = sampler.cuts(rows);
            assert!(cuts.is_sorted_by(|a, b| a < b));
            let parts = 50_000 / rows.max(50_000 / (limit / 2));
            let expected = parts / 2..=parts * 2;
            assert!(expected.contains(&cuts.len()), "{limit} {rows}: {} cuts", cuts.len());
            let keys: Vec<u64> =
                cuts.iter().map(|cut| u64::from_be_bytes(cut[..].try_into().unwrap())).collect();
            let widest = keys.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
            assert!(widest < 10 * 50_000 / cuts.len() as u64, "{limit} {rows}: {widest}");
        }
    }

    #[test]
    fn a_key_is_cut_at_once() {
        let mut sampler = Sampler::new(100);
        (0..1_000).for_each(|_| sampler.offer(b"same"));
        assert!(sampler.cuts(3).len() <= 1);
        assert!(Sampler::new(100).cuts(3).is_empty());
    }
}
