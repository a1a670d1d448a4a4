//! Any bytes as an index, and any separators through one.
//!
//! ```text
//! 0  1  odd: the rest is where the data ends (8 bytes) and an index; even: the rest makes separators
//! ```

use stemedb_lsm::fuzzing::ParsedIndex;

use super::input::Input;

/// One input.
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    if input.byte() & 1 == 1 {
        let end = input.number();
        if let Some(index) = ParsedIndex::decode(input.rest(), end) {
            check(&index, end, &[input.rest().to_vec()]);
        }
        return;
    }
    let mut blocks: Vec<(Vec<u8>, u32)> = Vec::new();
    while !input.rest().is_empty() && blocks.len() < 200 {
        let separator: Vec<u8> = (0..input.byte() % 12).map(|_| input.byte() % 3).collect();
        blocks.push((separator, 9 + u32::from(input.byte())));
    }
    if blocks.is_empty() {
        return;
    }
    blocks.sort();
    let end = 48 + blocks.iter().map(|(_, bytes)| u64::from(*bytes)).sum::<u64>();
    let Some(index) = ParsedIndex::decode(&ParsedIndex::encode(&blocks), end) else {
        panic!("an index that was written cannot be read")
    };
    assert_eq!(index.blocks(), blocks.len());
    let keys: Vec<Vec<u8>> = blocks.iter().map(|(separator, _)| separator.clone()).collect();
    check(&index, end, &keys);
    for (at, (separator, bytes)) in blocks.iter().enumerate() {
        assert_eq!(index.seek(separator), blocks.partition_point(|(other, _)| other < separator));
        assert_eq!(index.compare(at, separator), (false, true));
        assert_eq!(index.handle(at).map(|(_, bytes)| bytes), Some(*bytes));
    }
    assert!(ParsedIndex::decode(&ParsedIndex::encode(&blocks), end + 1).is_none());
}

/// What holds of every index that is accepted.
fn check(index: &ParsedIndex, end: u64, keys: &[Vec<u8>]) {
    let mut offset = 48;
    for at in 0..index.blocks() {
        let Some((start, bytes)) = index.handle(at) else { panic!("block {at} lies nowhere") };
        assert_eq!(start, offset, "blocks follow each other");
        offset += u64::from(bytes);
    }
    assert_eq!((offset, index.handle(index.blocks())), (end, None));
    let more = keys.iter().flat_map(|key| [[&key[..], &[1]].concat(), key[..key.len() / 2].to_vec()]);
    for key in keys.iter().cloned().chain(more).chain([Vec::new(), vec![255; 9]]) {
        let before = (0..index.blocks()).filter(|at| index.compare(*at, &key).0).count();
        assert_eq!(index.seek(&key), before, "{key:?}");
    }
}
