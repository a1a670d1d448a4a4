//! Data blocks: sorted rows with O(1) access to each.
//!
//! ```text
//! u32 rows | u32 prefix bytes | u32 key bytes | u8 LSN width | u8 offset width | u8 flags | u8 0 | u64 smallest LSN
//! prefix | LSN deltas | tombstone bits | key ends | value ends | key suffixes | values
//! ```
//!
//! All keys share `prefix`, stored once. Ends are offsets behind each key suffix and each value (2 bytes each, 4 in
//! blocks with a very large row). The LSN column is left out when all are equal, the tombstone bits when there are none.

mod builder;
mod reader;

pub(crate) use builder::BlockBuilder;
pub(crate) use reader::Block;

/// Bytes before the prefix.
pub(crate) const FIXED_BYTES: usize = 24;
const FLAG_TOMBSTONES: u8 = 1;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use stemedb_env::Lsn;

    use super::*;

    type Rows = std::collections::BTreeMap<(Vec<u8>, std::cmp::Reverse<u64>), Option<Vec<u8>>>;

    fn build(rows: &Rows) -> Vec<u8> {
        let mut builder = BlockBuilder::default();
        for ((key, lsn), value) in rows {
            builder.add(key, Lsn(lsn.0), value.as_deref());
        }
        let mut out = Vec::new();
        builder.finish(&mut out);
        out
    }

    proptest! {
        #[test]
        fn a_block_gives_back_its_rows_and_finds_each_place(
            rows in proptest::collection::btree_map(
                (proptest::collection::vec(0u8..3, 0..6), (1u64..70_000).prop_map(std::cmp::Reverse)),
                proptest::option::weighted(0.8, proptest::collection::vec(any::<u8>(), 0..40)),
                1..60,
            ),
            probe in (proptest::collection::vec(0u8..3, 0..6), 0u64..70_000),
        ) {
            let block = Block::parse(build(&rows)).unwrap();
            prop_assert_eq!(block.rows(), rows.len());
            for (at, ((key, lsn), value)) in rows.iter().enumerate() {
                let mut found = block.prefix().to_vec();
                found.extend_from_slice(block.suffix(at));
                prop_assert_eq!(&found, key);
                prop_assert_eq!(block.lsn(at), Lsn(lsn.0));
                prop_assert_eq!(block.value(at), value.as_deref());
            }
            let expected = rows.keys().filter(|row| **row < (probe.0.clone(), std::cmp::Reverse(probe.1))).count();
            prop_assert_eq!(block.lower_bound(&probe.0, Lsn(probe.1)), expected);
        }

        #[test]
        fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), rows in 0u8..9) {
            let mut bytes = bytes;
            // Small counts, so that a good part of the cases gets past the first checks.
            for (at, byte) in bytes.iter_mut().take(FIXED_BYTES).enumerate() {
                *byte = match at { 0 | 4 | 8 => *byte % (rows + 1), 12 => *byte % 9, 13 => 2, 14 => *byte & 1, 16.. => *byte, _ => 0 };
            }
            if let Ok(block) = Block::parse(bytes) {
                for at in 0..block.rows() + 1 {
                    let _ = (block.suffix(at), block.value(at), block.lsn(at));
                }
                let _ = block.lower_bound(b"abc", Lsn(4));
            }
        }
    }

    #[test]
    fn a_row_larger_than_64_kib_makes_wide_offsets() {
        let mut rows = Rows::new();
        rows.insert((b"a".to_vec(), std::cmp::Reverse(1)), Some(vec![7; 100_000]));
        rows.insert((b"b".to_vec(), std::cmp::Reverse(1)), Some(b"x".to_vec()));
        let block = Block::parse(build(&rows)).unwrap();
        assert_eq!(block.value(0).map(<[u8]>::len), Some(100_000));
        assert_eq!(block.value(1), Some(&b"x"[..]));
    }
}
