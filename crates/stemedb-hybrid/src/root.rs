//! One number for the content of a view.

use std::fmt;

/// An order-independent hash over the rows of a view: the same rows give the same root, in any store, in any order.
///
/// Each row is hashed (BLAKE3, 512 bits, lengths included) and the hashes are added as integers modulo 2^512. A row can be
/// taken out again by subtraction, so a root can be kept up to date at the cost of one hash per change. Source: Bellare,
/// Micciancio, "A New Paradigm for Collision-Free Hashing: Incrementality at Reduced Cost" (AdHash).
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct StateRoot {
    /// Little-endian limbs of the sum.
    limbs: [u64; 8],
    rows: u64,
}

impl StateRoot {
    /// The root of no rows.
    pub fn empty() -> StateRoot {
        StateRoot::default()
    }

    /// Adds one row.
    pub fn add(&mut self, key: &[u8], value: &[u8]) {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&(key.len() as u64).to_le_bytes());
        hasher.update(key);
        hasher.update(value);
        let mut hash = [0; 64];
        hasher.finalize_xof().fill(&mut hash);
        let mut carry = false;
        for (limb, bytes) in self.limbs.iter_mut().zip(hash.as_chunks::<8>().0) {
            (*limb, carry) = add_with_carry(*limb, u64::from_le_bytes(*bytes), carry);
        }
        self.rows += 1;
    }

    /// Number of rows added.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// The root in 32 bytes.
    pub fn digest(&self) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.rows.to_le_bytes());
        for limb in self.limbs {
            hasher.update(&limb.to_le_bytes());
        }
        *hasher.finalize().as_bytes()
    }
}

fn add_with_carry(a: u64, b: u64, carry: bool) -> (u64, bool) {
    let (sum, first) = a.overflowing_add(b);
    let (sum, second) = sum.overflowing_add(u64::from(carry));
    (sum, first || second)
}

impl fmt::Display for StateRoot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.digest().iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for StateRoot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StateRoot({self}, {} rows)", self.rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_rows_does_not_matter_and_their_content_does() {
        let rows: [(&[u8], &[u8]); 3] = [(b"a", b"1"), (b"b", b"2"), (b"ab", b"")];
        let of = |order: &[usize]| {
            let mut root = StateRoot::empty();
            order.iter().for_each(|i| root.add(rows[*i].0, rows[*i].1));
            root
        };
        assert_eq!(of(&[0, 1, 2]), of(&[2, 0, 1]));
        assert_ne!(of(&[0, 1]), of(&[0, 2]));
        assert_ne!(of(&[0]).digest(), of(&[0, 0]).digest());
        let mut moved = StateRoot::empty();
        moved.add(b"a1", b"");
        assert_ne!(moved, of(&[0]), "a byte moved from value to key must show");
    }
}
