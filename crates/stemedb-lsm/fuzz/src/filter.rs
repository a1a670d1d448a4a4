//! Any bytes as a filter, and any keys through one.
//!
//! ```text
//! 0  1  odd: the rest is a filter; even: bits per key (1 byte), and the rest makes keys
//! ```

use stemedb_lsm::fuzzing::ParsedFilter;
use xxhash_rust::xxh3::xxh3_64;

use super::{input::Input, page::filter_says_maybe};

/// One input.
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    if input.byte() & 1 == 1 {
        let bytes = input.rest();
        let Some(filter) = ParsedFilter::decode(bytes) else { return };
        assert_eq!(filter.encode(), bytes);
        for n in 0..50u32 {
            let key = n.to_le_bytes();
            assert_eq!(filter.may_contain(xxh3_64(&key)), filter_says_maybe(bytes, &key));
        }
        return;
    }
    let bits = u32::from(input.byte());
    let keys: Vec<Vec<u8>> = input.rest().chunks(3).take(600).map(<[u8]>::to_vec).collect();
    let bytes = ParsedFilter::encode_keys(&keys, bits);
    let Some(filter) = ParsedFilter::decode(&bytes) else {
        panic!("a filter that was written cannot be read")
    };
    for key in &keys {
        assert!(filter.may_contain(xxh3_64(key)) && filter_says_maybe(&bytes, key), "{key:?} is hidden");
    }
    for n in 0..200u32 {
        let key = [&b"absent"[..], &n.to_le_bytes()].concat();
        assert_eq!(filter.may_contain(xxh3_64(&key)), filter_says_maybe(&bytes, &key));
    }
}
