use stemedb_env::{
    Lsn,
    frame::{Chain, DatabaseId, FileIdentity, FrameHeader, LogKind, encode},
};

use super::*;
use crate::segment::{Cursor, KIND_GROUP, Next};

#[test]
fn a_cursor_walks_a_packed_segment_as_it_walks_a_plain_one() {
    let identity =
        FileIdentity { database: DatabaseId([7; 16]), timeline: 1, log: LogKind::Journal, file: 3 };
    let (mut plain, mut chain, groups) = (Vec::new(), Chain::default(), 700);
    for group in 0..groups {
        let offset = plain.len() as u64;
        let header = FrameHeader {
            kind: KIND_GROUP,
            flags: 0,
            offset,
            first_lsn: Lsn(group + 1),
            count: 1,
            watermark: offset,
            chain_prev: chain,
        };
        let payload = journal_like(300, group);
        chain = encode(&identity, &header, &payload, 4096, &mut plain).unwrap();
    }
    for (name, format, packed) in forms(&plain) {
        let file = open(packed, format).unwrap();
        let limit = file.len().unwrap();
        let mut cursor = Cursor::new(file, identity, 0, Chain::default(), Lsn(1));
        let mut seen = 0;
        while let Next::Frame(frame) = cursor.next(limit).unwrap() {
            assert!(frame.payload == journal_like(300, seen), "{name}");
            seen += 1;
        }
        assert_eq!((seen, cursor.chain, cursor.offset), (groups, chain, limit), "{name}");
    }
}
