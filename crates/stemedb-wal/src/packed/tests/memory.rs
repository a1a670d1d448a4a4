//! Memory is counted, not measured: what the buffers hold, what the library says of its context, and how large the
//! pieces are that are asked of the file below.

use zstd::stream::raw::CParameter;

use super::*;

const MIB: usize = 1 << 20;

/// Zeros, packed a MiB at a time.
fn zeros(mebibytes: usize, mut sink: impl Write) {
    let zeros = vec![0; MIB];
    for _ in 0..mebibytes {
        sink.write_all(&zeros).unwrap();
    }
}

/// Reads to the end in pieces of 64 KiB, checks that all is zero, returns the length and the most memory that was held.
fn read_zeros(file: &PackedFile) -> (u64, usize) {
    let (mut len, mut most) = (0, 0);
    let mut buffer = vec![1; 64 << 10];
    loop {
        let read = file.read_at(&mut buffer, len).unwrap();
        most = most.max(file.memory_bytes());
        if read == 0 {
            return (len, most);
        }
        assert!(buffer[..read].iter().all(|&byte| byte == 0));
        len += read as u64;
    }
}

#[test]
fn a_bomb_of_zeros_is_read_in_little_memory() {
    let bomb_mebibytes = 256;
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(6));
    zeros(bomb_mebibytes, &mut gzip);
    let mut one_frame = zstd::stream::write::Encoder::new(Vec::new(), 3).unwrap();
    one_frame.include_checksum(true).unwrap();
    zeros(bomb_mebibytes, &mut one_frame);
    let out = Arc::new(MemFile::default());
    let mut ours = PackedWriter::new(out.clone(), 3).unwrap();
    for _ in 0..bomb_mebibytes {
        ours.push(&vec![0; MIB]).unwrap();
    }
    ours.finish().unwrap();
    let ours = out.bytes.lock().clone();

    for (format, packed, limit) in [
        (PackedFormat::Gzip, gzip.finish().unwrap(), 256 << 10),
        (PackedFormat::Zstd, one_frame.finish().unwrap(), 3 * MIB),
        (PackedFormat::Zstd, ours, 5 * MIB / 4),
    ] {
        assert!(packed.len() < 300_000, "{} bytes", packed.len());
        let inner = Arc::new(MemFile::new(packed));
        let file = PackedFile::open(inner.clone(), format).unwrap();
        let (len, most) = read_zeros(&file);
        assert_eq!(len, (bomb_mebibytes * MIB) as u64);
        assert!(most <= limit, "{format:?}: {most} bytes");
        assert!(inner.largest_read.load(Ordering::Relaxed) <= 64 << 10);
    }
}

#[test]
fn noise_in_a_file_of_ours_takes_twice_a_frame() {
    let mut noise = vec![0; 3 * MIB];
    SeededRandom::new(1).fill(&mut noise);
    let file = open(packed_by_us(&noise, MIB), PackedFormat::Zstd).unwrap();
    assert!(read_all(&*file, 100_000).unwrap() == noise);
    assert!(file.memory_bytes() <= 9 * MIB / 4, "{}", file.memory_bytes());
}

#[test]
fn a_window_of_8_mib_is_the_largest_and_is_given_back_at_the_end() {
    for log in [23, 24, 27] {
        let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
        encoder.set_parameter(CParameter::WindowLog(log)).unwrap();
        encoder.include_checksum(true).unwrap();
        zeros(12, &mut encoder);
        let packed = encoder.finish().unwrap();
        let file = open(packed, PackedFormat::Zstd).unwrap();
        if log == 23 {
            let (len, most) = read_zeros(&file);
            assert_eq!(len, 12 * MIB as u64);
            assert!((8 * MIB..9 * MIB).contains(&most), "{most} bytes");
            assert!(file.memory_bytes() < 256 << 10);
        } else {
            let error = file.read_at(&mut [0; 10], 0).unwrap_err();
            assert_eq!(PackedError::of(&error), Some(PackedError::Window { window_bytes: 1 << log }));
            assert_eq!(error.kind(), Some(io::ErrorKind::Unsupported));
        }
    }
}
