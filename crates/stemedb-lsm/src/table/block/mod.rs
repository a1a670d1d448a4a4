//! Data blocks: sorted rows with O(1) access to each.
//!
//! ```text
//! u32 rows | u32 prefix bytes | u32 suffix bytes | u16 buckets | u8 LSN width | u8 key start width | u8 value start width
//! u8 flags | u64 smallest LSN
//! buckets | key starts | value starts | LSN deltas | removals | prefix | suffixes | values
//! ```
//!
//! All keys share `prefix`, stored once. What searches read lies close together and in front: the buckets of a hash index
//! (see `hash_index`), the columns, the key suffixes; the values follow. The columns are read by position, and left out
//! when they would say nothing: starts when all suffixes or all values are equally long, LSNs when all are equal, removals
//! when there are none.

mod builder;
mod fold;
mod hash_index;
mod reader;

pub(crate) use builder::BlockBuilder;
pub(crate) use fold::{UnfoldRoom, unfold};
pub(crate) use reader::{Block, BlockBytes, FoundBlock, Lookup, Place, memory_bytes, take_touched, touch};

/// Bytes before the buckets.
pub(crate) const FIXED_BYTES: usize = 26;
const FLAG_TOMBSTONES: u8 = 1;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use stemedb_env::Lsn;

    use super::*;
    use crate::table::filter::filter_hash;

    type Rows = std::collections::BTreeMap<(Vec<u8>, std::cmp::Reverse<u64>), Option<Vec<u8>>>;

    fn builder(rows: &Rows) -> BlockBuilder {
        let mut builder = BlockBuilder::default();
        let mut last: Option<&[u8]> = None;
        for ((key, lsn), value) in rows {
            builder.add(key, filter_hash(key), last != Some(key), Lsn(lsn.0), value.as_deref());
            last = Some(key);
        }
        builder
    }

    fn build(rows: &Rows) -> Vec<u8> {
        let mut builder = builder(rows);
        let mut out = Vec::new();
        builder.finish(&mut out);
        assert!(builder.is_empty());
        out
    }

    proptest! {
        #[test]
        fn a_block_gives_back_its_rows_and_finds_each_place(
            rows in proptest::collection::btree_map(
                (proptest::collection::vec(0u8..3, 0..6), (1u64..70_000).prop_map(std::cmp::Reverse)),
                proptest::option::weighted(0.8, proptest::collection::vec(any::<u8>(), 0..40)),
                1..300,
            ),
            probes in proptest::collection::vec((proptest::collection::vec(0u8..3, 0..6), 0u64..70_000), 20),
        ) {
            let block = Block::parse(&build(&rows), None).unwrap();
            prop_assert_eq!(block.rows(), rows.len());
            for (at, ((key, lsn), value)) in rows.iter().enumerate() {
                let mut found = block.prefix().to_vec();
                found.extend_from_slice(block.suffix(at));
                prop_assert_eq!(&found, key);
                prop_assert_eq!(block.lsn(at), Lsn(lsn.0));
                prop_assert_eq!(block.value(at), value.as_deref());
                let pinned = FoundBlock::Read(block.clone()).pinned(at);
                prop_assert_eq!(pinned.as_deref(), value.as_deref());
                let place = block.place(at, (at > 0).then(|| block.place(at - 1, None)));
                prop_assert_eq!(place, block.place(at, None));
                prop_assert_eq!(block.bytes(place.key, place.key_end), block.suffix(at));
                prop_assert_eq!((!place.removed).then(|| block.bytes(place.value, place.value_end)), value.as_deref());
            }
            let present = rows.keys().map(|(key, lsn)| (key.clone(), lsn.0));
            for (key, lsn) in probes.into_iter().chain(present) {
                let before = rows.keys().filter(|row| **row < (key.clone(), std::cmp::Reverse(lsn))).count();
                prop_assert_eq!(block.lower_bound(&key, Lsn(lsn)), before);
                let expected = match rows.keys().nth(before) {
                    Some((found, _)) if *found == key => Lookup::Row(before),
                    _ if rows.keys().any(|(found, _)| *found == key) && before == rows.len() => Lookup::Older,
                    _ => Lookup::Absent,
                };
                let block = FoundBlock::Read(block.clone());
                prop_assert_eq!(block.find(&key, filter_hash(&key), Lsn(lsn)), expected);
            }
        }

        #[test]
        fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), rows in 0u8..9) {
            let mut bytes = bytes;
            // Small counts, so that a good part of the cases gets past the first checks.
            for (at, byte) in bytes.iter_mut().take(FIXED_BYTES).enumerate() {
                *byte = match at { 0 | 4 | 8 | 12 => *byte % (rows + 1), 14 => *byte % 9, 15 | 16 => (*byte & 1) * 2, 17 => *byte & 1, 18.. => *byte, _ => 0 };
            }
            if let Ok(block) = Block::parse(&bytes, None) {
                for at in 0..block.rows() {
                    let place = block.place(at, None);
                    prop_assert!(place.key <= place.key_end && place.value <= place.value_end);
                }
                for at in 0..block.rows() + 1 {
                    let _ = (block.suffix(at), block.value(at), block.lsn(at));
                }
                let _ = block.lower_bound(b"abc", Lsn(4));
                let _ = FoundBlock::Read(block).find(b"abc", filter_hash(b"abc"), Lsn(4));
            }
        }
    }

    proptest! {
        #[test]
        fn a_folded_block_unfolds_into_the_plain_one(
            rows in proptest::collection::btree_map(
                (proptest::collection::vec(0u8..2, 0..300), (1u64..1 << 40).prop_map(std::cmp::Reverse)),
                proptest::option::weighted(0.8, proptest::collection::vec(any::<u8>(), 0..40)),
                1..300,
            ),
            copies in 1u64..4,
            equal_lsns in any::<bool>(),
        ) {
            // Several versions of each key.
            let rows: Rows = rows.into_iter().flat_map(|((key, lsn), value)| {
                (0..if equal_lsns { 1 } else { copies }).map(move |n| {
                    let lsn = if equal_lsns { 7 } else { lsn.0 + n };
                    ((key.clone(), std::cmp::Reverse(lsn)), value.clone())
                })
            }).collect();
            let builder = builder(&rows);
            let (mut plain, mut folded, mut unfolded) = (Vec::new(), Vec::new(), vec![9; 5000]);
            builder.encode(&mut plain);
            builder.encode_folded(&mut folded);
            let mut room = UnfoldRoom::default();
            prop_assert_eq!(unfold(&folded, true, &mut room, &mut unfolded), Ok(()));
            prop_assert!(plain == unfolded);
            prop_assert_eq!(unfold(&folded, false, &mut room, &mut unfolded), Ok(()));
            let (with, without) = (Block::parse(&plain, None).unwrap(), Block::parse(&unfolded, None).unwrap());
            for at in 0..rows.len() {
                prop_assert_eq!(with.suffix(at), without.suffix(at));
                prop_assert_eq!((with.value(at), with.lsn(at)), (without.value(at), without.lsn(at)));
            }
            // Any cut and any changed byte: an error, or a block that can be read.
            for at in 0..folded.len().min(400) {
                prop_assert!(unfold(&folded[..at], true, &mut room, &mut unfolded).is_err() || at >= FIXED_BYTES);
                let mut changed = folded.clone();
                changed[at] ^= 1 << (at % 8);
                if unfold(&changed, at % 2 == 0, &mut room, &mut unfolded).is_ok()
                    && let Ok(block) = Block::parse(&unfolded, None)
                {
                    for row in 0..block.rows() {
                        let _ = (block.suffix(row), block.value(row), block.lsn(row));
                    }
                }
            }
        }
    }

    #[test]
    fn a_row_larger_than_64_kib_makes_wide_starts() {
        let mut rows = Rows::new();
        rows.insert((b"a".to_vec(), std::cmp::Reverse(1)), Some(vec![7; 100_000]));
        rows.insert((b"b".to_vec(), std::cmp::Reverse(1)), Some(b"x".to_vec()));
        let block = Block::parse(&build(&rows), None).unwrap();
        assert_eq!(block.value(0).map(<[u8]>::len), Some(100_000));
        assert_eq!(block.value(1), Some(&b"x"[..]));
    }

    #[test]
    fn the_hash_index_answers_nearly_every_lookup_without_a_search() {
        let rows: Rows = (0..100u32)
            .map(|n| ((n.to_be_bytes().to_vec(), std::cmp::Reverse(1)), Some(vec![0; 8])))
            .collect();
        let block = Block::parse(&build(&rows), None).unwrap();
        let searched = |range: std::ops::Range<u32>| {
            range.filter(|n| block.must_search(filter_hash(&n.to_be_bytes()))).count()
        };
        // 100 keys in 134 buckets: a key shares its bucket with probability 1 - exp(-0.74).
        assert!(searched(0..100) < 65, "{}", searched(0..100));
        assert!(searched(1_000..2_000) < 250, "{}", searched(1_000..2_000));
        let big: Rows =
            (0..300u32).map(|n| ((n.to_be_bytes().to_vec(), std::cmp::Reverse(1)), None)).collect();
        let block = Block::parse(&build(&big), None).unwrap();
        assert!(block.must_search(1), "a block with more rows than a byte can name has no index");
    }
}
