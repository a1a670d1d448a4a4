use super::{
    super::seek_table::{Entry, HEAD, encode},
    *,
};

/// What reading a damaged file came to.
#[derive(Debug, PartialEq)]
enum Outcome {
    Right,
    Refused,
}

/// Reads a file in every way there is. Wrong bytes, a wrong length or a short file fail the test.
fn outcome(packed: Vec<u8>, format: PackedFormat, plain: &[u8], what: &str) -> Outcome {
    let Ok(file) = open(packed, format) else { return Outcome::Refused };
    // From the middle first: a reader need not begin at the beginning.
    let middle = plain.len() / 2;
    let mut buffer = [0; 100];
    if let Ok(read) = file.reopen().read_up_to_at(&mut buffer, middle as u64) {
        assert!(buffer[..read] == plain[middle..(middle + 100).min(plain.len())], "{what}: wrong bytes");
    }
    let whole = read_all(&*file, 100_000);
    match (file.len(), whole) {
        (Ok(len), Ok(whole)) => {
            assert_eq!(len, plain.len() as u64, "{what}: wrong length");
            assert!(whole == plain, "{what}: wrong bytes");
            Outcome::Right
        }
        (_, Err(error)) | (Err(error), _) => {
            assert!(PackedError::of(&error).is_some(), "{what}: {error}");
            let kind = error.kind().unwrap();
            let expected =
                [io::ErrorKind::InvalidData, io::ErrorKind::UnexpectedEof, io::ErrorKind::Unsupported];
            assert!(expected.contains(&kind), "{what}: {error}");
            Outcome::Refused
        }
    }
}

/// Mostly zeros, so that it is small when packed.
fn sparse(len: usize) -> Vec<u8> {
    let mut plain = vec![0; len];
    for (at, byte) in plain.iter_mut().enumerate().step_by(90_001) {
        *byte = at as u8 | 1;
    }
    plain[..28].copy_from_slice(b"some words, and then nothing");
    plain
}

/// Three frames of ours.
fn three_frames() -> Vec<u8> {
    sparse((2 << 20) + 5_000)
}

#[test]
fn no_flipped_byte_gives_wrong_bytes_or_a_short_file() {
    for plain in [journal_like(900, 1), sparse(300_000), three_frames()] {
        for (name, format, packed) in forms(&plain) {
            if packed.len() > 10_000 || plain.len() > 300_000 && name != "ours" {
                continue;
            }
            let mut refused = 0;
            for at in 0..packed.len() {
                for flip in [0x01, 0x10, 0x80, 0xFF] {
                    let mut damaged = packed.clone();
                    damaged[at] ^= flip;
                    let what = format!("{name}, byte {at} of {} ^ {flip:#x}", packed.len());
                    refused += usize::from(outcome(damaged, format, &plain, &what) == Outcome::Refused);
                }
            }
            // The rest is what nothing depends on: names, times, what is in skippable frames.
            assert!(refused > packed.len() * 3, "{name}: {refused} of {}", packed.len() * 4);
        }
    }
}

#[test]
fn every_truncation_of_a_file_of_ours_is_an_error_when_it_is_opened() {
    for plain in [journal_like(900, 2), three_frames(), Vec::new()] {
        let packed = packed_by_us(&plain, 1 << 20);
        for len in 0..packed.len() {
            let error = open(&packed[..len], PackedFormat::Zstd).unwrap_err();
            let reason = PackedError::of(&error).unwrap();
            assert!(matches!(reason, PackedError::Truncated | PackedError::SeekTable), "{len}: {error}");
        }
    }
}

#[test]
fn every_truncation_of_a_single_member_or_frame_is_an_error_of_the_first_read() {
    for plain in [journal_like(900, 3), sparse(300_000)] {
        for (name, format, packed) in forms(&plain) {
            if !name.starts_with("one") {
                continue;
            }
            for len in 0..packed.len() {
                let Ok(file) = open(&packed[..len], format) else { continue };
                for error in [file.read_at(&mut [0; 10], 0).unwrap_err(), file.reopen().len().unwrap_err()] {
                    assert_eq!(PackedError::of(&error), Some(PackedError::Truncated), "{name} cut to {len}");
                    assert_eq!(error.kind(), Some(io::ErrorKind::UnexpectedEof));
                }
            }
        }
    }
}

#[test]
fn a_cut_between_members_or_frames_leaves_the_ones_before() {
    // Nothing in these formats says how many there are. Everything else is noticed.
    let plain = journal_like(9_000, 4);
    let (first, second) = plain.split_at(3_000);
    for format in [PackedFormat::Gzip, PackedFormat::Zstd] {
        let pack = |part: &[u8]| match format {
            PackedFormat::Gzip => gzip_member(part),
            PackedFormat::Zstd => zstd_frame(part, true),
        };
        let packed = [pack(first), pack(second)].concat();
        let seam = pack(first).len();
        for len in 0..packed.len() {
            let whole = open(&packed[..len], format).and_then(|file| read_all(&*file, 5_000));
            match whole {
                Ok(whole) => assert!(len == seam && whole == first, "cut to {len}"),
                Err(error) => {
                    assert_eq!(PackedError::of(&error), Some(PackedError::Truncated), "cut to {len}");
                }
            }
        }
    }
}

#[test]
fn what_stands_behind_the_last_member_or_frame_must_be_one() {
    let plain = journal_like(9_000, 5);
    for (name, format, packed) in forms(&plain) {
        for tail in [&b"x"[..], &[0; 9], &[0; 600], b"garbage that is longer than a header"] {
            let damaged = [&packed[..], tail].concat();
            assert_eq!(outcome(damaged, format, &plain, name), Outcome::Refused, "{name}");
        }
    }
}

#[test]
fn swapped_frames_and_a_table_of_another_file_are_refused() {
    let (one, two) = (journal_like(2 << 20, 6), journal_like(2 << 20, 7));
    let (a, b) = (packed_by_us(&one, 1 << 20), packed_by_us(&two, 1 << 20));
    let table = 8 + 3 * 12 + 9;
    let frame = (24, u32::from_le_bytes(a[a.len() - table + 20..][..4].try_into().unwrap()) as usize);
    let (first, second) = a[frame.0..a.len() - table].split_at(frame.1);
    // With the lines of the table swapped too, but for the checksums.
    let mut lines = a[a.len() - table..].to_vec();
    for at in 0..4 {
        lines.swap(20 + at, 32 + at);
    }
    let swapped = [&a[..24], second, first, &lines].concat();
    let error = open(swapped, PackedFormat::Zstd).unwrap_err();
    assert_eq!(PackedError::of(&error), Some(PackedError::SeekTable));
    let foreign_table = [&a[..a.len() - table], &b[b.len() - table..]].concat();
    let error = open(foreign_table, PackedFormat::Zstd).unwrap_err();
    assert_eq!(PackedError::of(&error), Some(PackedError::SeekTable));
}

#[test]
fn bytes_that_rot_after_the_file_was_opened_are_noticed_by_the_frame() {
    let plain = journal_like(2 << 20, 8);
    let inner = Arc::new(MemFile::new(packed_by_us(&plain, 1 << 20)));
    let file = PackedFile::open(inner.clone(), PackedFormat::Zstd).unwrap();
    let at = inner.bytes.lock().len() / 4;
    inner.bytes.lock()[at] ^= 4;
    let error = file.read_at(&mut [0; 10], 5).unwrap_err();
    assert!(matches!(PackedError::of(&error), Some(PackedError::Damaged { .. })), "{error}");
    file.read_exact_at(&mut [0; 10], 1 << 20).unwrap();
    inner.bytes.lock()[at] ^= 4;
    assert!(read_all(&*file, 1 << 20).unwrap() == plain);
}

#[test]
fn a_stream_that_changes_after_it_was_verified_is_an_error() {
    let (plain, other) = (journal_like(600_000, 9), journal_like(500_000, 9));
    for (format, mut before, mut after) in [
        (PackedFormat::Gzip, gzip_member(&plain), gzip_member(&other)),
        (PackedFormat::Zstd, zstd_frame(&plain, true), zstd_frame(&other, true)),
    ] {
        for _ in 0..2 {
            let inner = Arc::new(MemFile::new(before.clone()));
            let file = PackedFile::open(inner.clone(), format).unwrap();
            file.len().unwrap();
            *inner.bytes.lock() = after.clone();
            assert!(read_all(&*file, 10_000).is_err());
            std::mem::swap(&mut before, &mut after);
        }
    }
}

#[test]
fn a_failure_of_the_disk_is_passed_on_and_the_file_can_be_read_again() {
    let plain = journal_like(1_500_000, 10);
    for (name, format, packed) in forms(&plain) {
        let inner = Arc::new(MemFile { piece_bytes: 5_000, ..MemFile::new(packed) });
        let file = PackedFile::open(inner.clone(), format).unwrap();
        for call in 1..12 {
            inner.fails_in.store(call, Ordering::Relaxed);
            let error = read_all(&*file, 300_000).unwrap_err();
            assert!(error.to_string().contains("EIO"), "{name}: {error}");
            assert_eq!(PackedError::of(&error), None);
            assert!(read_all(&*file, 300_000).unwrap() == plain, "{name}");
        }
    }
}

#[test]
fn files_of_another_kind_are_named_as_such() {
    for (format, bytes) in [
        (PackedFormat::Gzip, zstd_frame(b"plain", true)),
        (PackedFormat::Zstd, gzip_member(b"plain")),
        (PackedFormat::Zstd, b"STEM, a segment that is not packed".to_vec()),
    ] {
        let error = open(bytes, format).unwrap_err();
        assert_eq!(PackedError::of(&error), Some(PackedError::Foreign { format }));
    }
    for format in [PackedFormat::Gzip, PackedFormat::Zstd] {
        let error = open(Vec::new(), format).unwrap_err();
        assert_eq!(PackedError::of(&error), Some(PackedError::Truncated));
    }
}

#[test]
fn a_frame_that_needs_a_dictionary_is_refused() {
    // What a trained dictionary leaves in a frame: its number, between the window and the length.
    let mut frame = zstd_frame(&journal_like(400, 11), true);
    frame[4] |= 1;
    frame.insert(if frame[4] & 0x20 == 0 { 6 } else { 5 }, 77);
    let error = open(frame, PackedFormat::Zstd).unwrap().len().unwrap_err();
    assert_eq!(PackedError::of(&error), Some(PackedError::Dictionary));
}

#[test]
fn a_skippable_frame_that_is_cut_is_noticed() {
    let plain = journal_like(900, 12);
    let data = zstd_frame(&plain, true);
    let packed = [&data[..], &skippable(&[1; 40])].concat();
    for len in data.len() + 1..packed.len() {
        let error = open(&packed[..len], PackedFormat::Zstd).unwrap().len().unwrap_err();
        assert_eq!(PackedError::of(&error), Some(PackedError::Truncated), "cut to {len}");
    }
}

#[test]
fn a_seek_table_must_name_every_frame_and_nothing_else() {
    let (head, frame) = (&HEAD[..], zstd_frame(b"plain", true));
    let entry =
        Entry { packed_bytes: frame.len() as u32, plain_bytes: 5, checksum: *frame.last_chunk().unwrap() };
    let file = |head: &[u8], entries: &[Entry]| {
        open([head, &frame, &frame, &encode(entries)].concat(), PackedFormat::Zstd)
    };
    let whole = file(head, &[Entry::HEAD, entry, entry]).unwrap();
    assert_eq!(read_all(&*whole, 100).unwrap(), b"plainplain");
    let longer = Entry { plain_bytes: 6, ..entry };
    let mut flipped = HEAD;
    flipped[4] ^= 1;
    for (head, entries) in [
        (head, &[Entry::HEAD, entry][..]),
        (head, &[entry, entry]),
        (head, &[Entry::HEAD, entry, entry, entry]),
        (head, &[Entry::HEAD, entry, longer]),
        (&flipped[..], &[Entry::HEAD, entry, entry]),
        (&skippable(&[0; 15])[..], &[Entry::HEAD, entry, entry]),
        (&skippable(&[0; 17])[..], &[Entry::HEAD, entry, entry]),
    ] {
        let error = file(head, entries).unwrap_err();
        assert_eq!(PackedError::of(&error), Some(PackedError::SeekTable), "{entries:?}");
    }
}

#[test]
fn a_seek_table_of_frames_without_checksum_is_not_used() {
    let plain = journal_like(9_000, 13);
    let frame = zstd::bulk::compress(&plain, 3).unwrap();
    let entry = Entry {
        packed_bytes: frame.len() as u32,
        plain_bytes: 9_000,
        checksum: *frame.last_chunk().unwrap(),
    };
    let file = open([&frame[..], &encode(&[entry])].concat(), PackedFormat::Zstd).unwrap();
    assert!(!file.is_seekable());
    assert!(read_all(&*file, 1_000).unwrap() == plain);
}

#[test]
fn a_frame_that_was_replaced_after_the_file_was_opened_is_noticed() {
    // Noise packs to the same length whatever it is.
    let mut plain = vec![0; 2 << 20];
    SeededRandom::new(14).fill(&mut plain);
    let inner = Arc::new(MemFile::new(packed_by_us(&plain, 1 << 20)));
    let file = PackedFile::open(inner.clone(), PackedFormat::Zstd).unwrap();
    let mut bytes = inner.bytes.lock();
    let table = 8 + 3 * 12 + 9;
    let (start, end) = (HEAD.len(), bytes.len() - table);
    bytes[start..end].rotate_left((end - start) / 2);
    drop(bytes);
    for at in [0, 1 << 20] {
        let error = file.read_at(&mut [0; 10], at).unwrap_err();
        assert!(matches!(PackedError::of(&error), Some(PackedError::Damaged { .. })), "{error}");
    }
}

#[test]
fn a_stream_whose_checksum_rots_after_it_was_verified_is_an_error_at_its_end() {
    // Where the last piece that is decoded is a whole one, and where it is not.
    for len in [512 << 10, 600_000] {
        let plain = journal_like(len, 15);
        for (format, packed) in
            [(PackedFormat::Gzip, gzip_member(&plain)), (PackedFormat::Zstd, zstd_frame(&plain, true))]
        {
            let inner = Arc::new(MemFile::new(packed));
            let file = PackedFile::open(inner.clone(), format).unwrap();
            file.len().unwrap();
            *inner.bytes.lock().last_mut().unwrap() ^= 1;
            file.read_exact_at(&mut [0; 4096], 0).unwrap();
            let error = file.read_at(&mut [0; 1], len as u64 - 1).unwrap_err();
            assert!(matches!(PackedError::of(&error), Some(PackedError::Damaged { .. })), "{error}");
        }
    }
}

#[test]
fn a_stream_that_grows_or_shrinks_after_it_was_verified_is_an_error() {
    let lengths = [500_000, 600_000, 640_000, 700_000];
    for (before, after) in lengths.iter().flat_map(|before| lengths.map(|after| (*before, after))) {
        // Zeros of any length, padded to the same packed length.
        let packed = |len: usize| {
            let frame = zstd_frame(&vec![0; len], true);
            let padding = skippable(&vec![0; 200 - frame.len()]);
            [frame, padding].concat()
        };
        let inner = Arc::new(MemFile::new(packed(before)));
        let file = PackedFile::open(inner.clone(), PackedFormat::Zstd).unwrap();
        file.len().unwrap();
        *inner.bytes.lock() = packed(after);
        match read_all(&*file, 10_000) {
            Ok(plain) => assert!(before == after && plain.len() == before),
            Err(error) => assert_eq!(PackedError::of(&error), Some(PackedError::Changed)),
        }
    }
}
