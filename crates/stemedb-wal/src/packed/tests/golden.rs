//! Files that are kept, so that what could once be read stays readable.

use super::*;

/// What is in every golden file: 4 KiB frames with a few words and numbers, the rest zeros.
fn plain() -> Vec<u8> {
    let mut plain = Vec::new();
    for frame in 0u32..300 {
        let mut bytes =
            format!("frame {frame}: the sky is blue; {}", frame.wrapping_mul(2_654_435_761)).into_bytes();
        bytes.resize(4096, 0);
        plain.extend_from_slice(&bytes);
    }
    plain
}

#[test]
fn golden_files_stay_readable() {
    let plain = plain();
    for (name, format, packed, frames) in [
        ("gzip-9", PackedFormat::Gzip, &include_bytes!("../../../tests/golden/packed/gzip-9.gz")[..], false),
        (
            "two members",
            PackedFormat::Gzip,
            include_bytes!("../../../tests/golden/packed/two-members.gz"),
            false,
        ),
        ("pigz", PackedFormat::Gzip, include_bytes!("../../../tests/golden/packed/pigz.gz"), false),
        (
            "zstd -19",
            PackedFormat::Zstd,
            include_bytes!("../../../tests/golden/packed/zstd-19-long.zst"),
            false,
        ),
        (
            "two frames",
            PackedFormat::Zstd,
            include_bytes!("../../../tests/golden/packed/two-frames.zst"),
            false,
        ),
        ("ours", PackedFormat::Zstd, include_bytes!("../../../tests/golden/packed/seekable-0.zst"), true),
    ] {
        let file = open(packed, format).unwrap();
        assert_eq!(file.is_seekable(), frames, "{name}");
        assert_eq!(file.len().unwrap(), plain.len() as u64, "{name}");
        assert!(read_all(&*file, 10_000).unwrap() == plain, "{name}");
    }
}
