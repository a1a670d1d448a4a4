//! Adding up rows table by table, for whoever wants one number for all that a snapshot shows.
//!
//! The hash of a row is the caller's; here is what makes the sum of parts the sum of the whole: every row lies in one place. That is
//! proven each time, see `docs/design/state-root.md`, and where it cannot be there is no sum and the caller scans.

mod cache;
mod walk;

pub(crate) use cache::SumCache;
pub(crate) use walk::row_sum;

/// Hashes one row, given by key and value.
pub type RowHash<'a> = dyn Fn(&[u8], &[u8]) -> [u8; 64] + 'a;

/// A sum of row hashes modulo 2^512, and how many there were. The order does not matter.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct RowSum {
    /// Little-endian limbs.
    limbs: [u64; 8],
    rows: u64,
}

fn add_with_carry(a: u64, b: u64, carry: bool) -> (u64, bool) {
    let (sum, first) = a.overflowing_add(b);
    let (sum, second) = sum.overflowing_add(u64::from(carry));
    (sum, first || second)
}

impl RowSum {
    fn add_limbs(&mut self, others: impl Iterator<Item = u64>) {
        let mut carry = false;
        for (limb, other) in self.limbs.iter_mut().zip(others) {
            (*limb, carry) = add_with_carry(*limb, other, carry);
        }
    }

    /// Adds the hash of one row.
    pub fn add(&mut self, hash: &[u8; 64]) {
        self.add_limbs(hash.as_chunks::<8>().0.iter().map(|bytes| u64::from_le_bytes(*bytes)));
        self.rows = self.rows.wrapping_add(1);
    }

    /// Adds the rows of another sum.
    pub fn merge(&mut self, other: &RowSum) {
        self.add_limbs(other.limbs.iter().copied());
        self.rows = self.rows.wrapping_add(other.rows);
    }

    /// The sum, lowest limb first.
    pub fn limbs(&self) -> [u64; 8] {
        self.limbs
    }

    /// Rows added.
    pub fn rows(&self) -> u64 {
        self.rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn carries_go_through_all_limbs_and_order_does_not_matter() {
        let hash = |byte: u8| [byte; 64];
        let mut one = RowSum::default();
        [hash(0xff), hash(0x01), hash(0xab)].iter().for_each(|hash| one.add(hash));
        let (mut left, mut right) = (RowSum::default(), RowSum::default());
        left.add(&hash(0xab));
        right.add(&hash(0x01));
        right.add(&hash(0xff));
        left.merge(&right);
        assert_eq!(one, left);
        let mut wrapped = RowSum::default();
        wrapped.add(&hash(0xff));
        let mut smallest = [0; 64];
        smallest[0] = 1;
        wrapped.add(&smallest);
        assert_eq!((wrapped.limbs(), wrapped.rows()), ([0; 8], 2));
    }
}
