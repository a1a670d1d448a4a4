use std::sync::Barrier;

use proptest::prelude::*;

use super::*;

/// Zeros, noise and repetitions in any order: from nothing to several frames of ours.
fn content() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        3 => (1usize..700_000).prop_map(|len| vec![0; len]),
        2 => (any::<u64>(), 1usize..9_000).prop_map(|(seed, len)| {
            let mut noise = vec![0; len];
            SeededRandom::new(seed).fill(&mut noise);
            noise
        }),
        1 => (any::<u64>(), 1usize..300_000).prop_map(|(seed, len)| journal_like(len, seed)),
        1 => (any::<[u8; 5]>(), 1usize..20_000).prop_map(|(word, times)| word.repeat(times)),
    ];
    proptest::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn reads_anywhere_and_in_any_order_give_the_plain_bytes(
        plain in content(),
        reads in proptest::collection::vec((any::<proptest::sample::Index>(), 0usize..300_000), 1..12),
        step in 1usize..400_000,
        piece_bytes in prop_oneof![Just(0usize), 1_000usize..100_000],
    ) {
        for (name, format, packed) in forms(&plain) {
            let inner = MemFile { piece_bytes, ..MemFile::new(packed) };
            let file = PackedFile::open(Arc::new(inner), format).unwrap();
            prop_assert_eq!(file.is_seekable(), name == "ours");
            for (at, len) in &reads {
                let at = at.index(plain.len() + 2);
                let mut buffer = vec![0xEE; *len];
                let read = file.read_up_to_at(&mut buffer, at as u64).unwrap();
                let expected = &plain[at.min(plain.len())..(at + len).min(plain.len())];
                prop_assert!(&buffer[..read] == expected, "{} at {} for {}", name, at, len);
            }
            prop_assert_eq!(file.len().unwrap(), plain.len() as u64, "{}", name);
            prop_assert_eq!(file.len_hint().unwrap(), Some(plain.len() as u64));
            prop_assert!(read_all(&*file, step.max(plain.len() / 200)).unwrap() == plain, "{}", name);
        }
    }

    #[test]
    fn bytes_that_are_not_packed_give_an_error_or_an_end(
        mut noise in proptest::collection::vec(any::<u8>(), 0..200),
        start in prop_oneof![
            Just(vec![]), Just(vec![0x1F, 0x8B, 8]), Just(vec![0x28, 0xB5, 0x2F, 0xFD]), Just(vec![0x5E, 0x2A, 0x4D, 0x18]),
        ],
        end in prop_oneof![Just(vec![]), Just(vec![0x80, 0xB1, 0xEA, 0x92, 0x8F])],
    ) {
        noise.splice(0..0, start);
        noise.extend(end);
        for format in [PackedFormat::Gzip, PackedFormat::Zstd] {
            if let Ok(file) = open(noise.clone(), format) {
                let _ = read_all(&*file, 1000);
            }
        }
    }
}

#[test]
fn a_seek_in_a_file_of_ours_decodes_one_frame_only() {
    let plain = journal_like(20 << 20, 1);
    let inner = Arc::new(MemFile::new(packed_by_us(&plain, 1 << 20)));
    let packed_bytes = inner.len().unwrap();
    let file = PackedFile::open(inner.clone(), PackedFormat::Zstd).unwrap();
    assert_eq!(file.len().unwrap(), plain.len() as u64);
    assert!(inner.read_bytes.load(Ordering::Relaxed) < 2_000, "opening reads headers only");
    for at in [19 << 20, (3 << 20) + 17, 11 << 20, 0] {
        inner.read_bytes.store(0, Ordering::Relaxed);
        let mut buffer = [0; 4096];
        file.read_exact_at(&mut buffer, at).unwrap();
        assert!(buffer == plain[at as usize..at as usize + 4096]);
        assert!(inner.read_bytes.load(Ordering::Relaxed) < packed_bytes / 15);
    }
}

#[test]
fn a_stream_is_decoded_once_to_verify_and_once_to_read() {
    let plain = journal_like(6 << 20, 2);
    for (name, format, packed) in forms(&plain).into_iter().skip(1) {
        let inner = Arc::new(MemFile::new(packed));
        let packed_bytes = inner.len().unwrap();
        let file = PackedFile::open(inner.clone(), format).unwrap();
        inner.read_bytes.store(0, Ordering::Relaxed);
        assert!(read_all(&*file, 100_000).unwrap() == plain);
        let read = inner.read_bytes.load(Ordering::Relaxed);
        // Skippable frames need not be read.
        assert!(
            read <= 2 * packed_bytes && read + 200_000 >= 2 * packed_bytes,
            "{name}: {read} of {packed_bytes}"
        );
        // Short steps back, as a reader of headers makes them, and another handle: not verified again.
        inner.read_bytes.store(0, Ordering::Relaxed);
        let other = file.reopen();
        for at in [0, 4096, 100, 90_000, 0] {
            other.read_exact_at(&mut [0; 4096], at).unwrap();
        }
        assert!(inner.read_bytes.load(Ordering::Relaxed) <= 128 << 10, "{name}");
    }
}

#[test]
fn handles_may_be_shared_between_threads() {
    let plain = journal_like(3 << 20, 3);
    for (name, format, packed) in forms(&plain) {
        let file = open(packed, format).unwrap();
        let start = Barrier::new(4);
        #[allow(clippy::disallowed_methods)]
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let (file, plain, start) = (&file, &plain, &start);
                scope.spawn(move || {
                    start.wait();
                    for round in 0..6 {
                        let at = ((thread * 7 + round * 5) % 12) << 18;
                        let mut buffer = vec![0; 1 << 18];
                        file.read_exact_at(&mut buffer, at as u64).unwrap();
                        assert!(buffer == plain[at..at + (1 << 18)], "{name}");
                    }
                });
            }
        });
    }
}

#[test]
fn a_packed_file_cannot_be_written() {
    let file = open(gzip_member(b"plain"), PackedFormat::Gzip).unwrap();
    let kinds = [
        file.write_at(b"x", 0).unwrap_err().kind(),
        file.set_len(0).unwrap_err().kind(),
        file.sync_data().unwrap_err().kind(),
    ];
    assert_eq!(kinds, [Some(io::ErrorKind::ReadOnlyFilesystem); 3]);
    assert_eq!(read_all(&*file, 10).unwrap(), b"plain");
}

#[test]
fn a_hint_of_the_length_costs_no_decoding() {
    let plain = journal_like(1 << 20, 4);
    for (name, format, packed) in forms(&plain) {
        let first = (plain.len() / 3) as u64;
        let expected = match name {
            "ours" | "one member" | "one frame" => Some(plain.len() as u64),
            "two members" => Some(plain.len() as u64 - first),
            "two frames" => Some(first),
            _ => None,
        };
        let inner = Arc::new(MemFile::new(packed));
        let file = PackedFile::open(inner.clone(), format).unwrap();
        assert_eq!(file.len_hint().unwrap(), expected, "{name}");
        assert!(inner.read_bytes.load(Ordering::Relaxed) < 200, "{name}");
    }
}

#[test]
fn names_say_the_format() {
    assert_eq!(PackedFormat::of_name("segment.000001.wal.gz"), Some(PackedFormat::Gzip));
    assert_eq!(PackedFormat::of_name("segment.000001.wal.zst"), Some(PackedFormat::Zstd));
    assert_eq!(PackedFormat::of_name("segment.000001.wal"), None);
}
