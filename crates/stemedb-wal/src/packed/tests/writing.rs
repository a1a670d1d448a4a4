use super::*;

#[test]
fn how_the_bytes_are_pushed_does_not_change_the_file() {
    let plain = journal_like((2 << 20) + 12_345, 1);
    let packed = packed_by_us(&plain, 1 << 20);
    for step in [999, 4096, (1 << 20) - 1, (1 << 20) + 1, 5 << 20] {
        assert!(packed_by_us(&plain, step) == packed, "pieces of {step}");
    }
    let out = Arc::new(MemFile { piece_bytes: 7_001, ..MemFile::default() });
    let mut writer = PackedWriter::new(out.clone(), 3).unwrap();
    writer.push(&plain).unwrap();
    writer.finish().unwrap();
    assert!(*out.bytes.lock() == packed, "short writes");
}

#[test]
fn every_library_that_knows_zstd_reads_the_file() {
    for len in [0, 1, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 5 << 19] {
        let plain = journal_like(len, 2);
        let packed = packed_by_us(&plain, 100_000);
        assert!(zstd::stream::decode_all(&packed[..]).unwrap() == plain, "{len} bytes");
        let file = open(packed, PackedFormat::Zstd).unwrap();
        assert!(file.is_seekable());
        assert_eq!(file.len().unwrap(), len as u64);
        assert!(read_all(&*file, 300_000).unwrap() == plain, "{len} bytes");
    }
}

#[test]
fn each_step_writes_what_it_has_and_keeps_no_more_than_a_frame() {
    let out = Arc::new(MemFile::default());
    let mut writer = PackedWriter::new(out.clone(), 3).unwrap();
    let mut before = out.len().unwrap();
    for step in 0..5 {
        writer.push(&journal_like(1 << 20, step)).unwrap();
        let after = out.len().unwrap();
        assert!(after > before, "step {step} wrote its frame");
        before = after;
    }
}

#[test]
fn after_a_failed_write_the_writer_refuses_to_go_on() {
    for call in 1..4 {
        let out = Arc::new(MemFile::default());
        out.fails_in.store(call, Ordering::Relaxed);
        let Ok(mut writer) = PackedWriter::new(out, 3) else {
            assert_eq!(call, 1);
            continue;
        };
        let error = (0..3).find_map(|step| writer.push(&journal_like(1 << 20, step)).err()).unwrap();
        assert_eq!(PackedError::of(&error), None);
        let error = writer.push(b"more").unwrap_err();
        assert_eq!(PackedError::of(&error), Some(PackedError::Abandoned));
        assert_eq!(PackedError::of(&writer.finish().unwrap_err()), Some(PackedError::Abandoned));
    }
}

#[test]
fn the_layout_is_that_of_the_format_page() {
    let plain = vec![0; (1 << 20) + 10];
    let packed = packed_by_us(&plain, 1 << 20);
    let number = |at: usize| u32::from_le_bytes(packed[at..at + 4].try_into().unwrap());
    assert_eq!(number(0), 0x184D_2A5D);
    assert_eq!(number(4), 16);
    assert_eq!(&packed[8..16], b"stemedb\0");
    assert_eq!((number(16), number(20)), (0, 1 << 20));
    let end = packed.len();
    assert_eq!(number(end - 4), 0x8F92_EAB1);
    assert_eq!(packed[end - 5], 0x80);
    assert_eq!(number(end - 9), 3, "the head, and two frames");
    let table = end - 9 - 36 - 8;
    assert_eq!((number(table), number(table + 4)), (0x184D_2A5E, 36 + 9));
    assert_eq!((number(table + 8), number(table + 12), number(table + 16)), (24, 0, 0));
    let first = number(table + 20) as usize;
    assert_eq!(number(table + 24), 1 << 20);
    assert_eq!(number(table + 36), 10);
    assert_eq!(24 + first + number(table + 32) as usize, table);
    assert_eq!(number(24), 0xFD2F_B528);
    assert_eq!(number(24 + first), 0xFD2F_B528);
    assert_eq!(number(24 + first - 4), number(table + 28), "the checksum of the frame is that of the table");
}
