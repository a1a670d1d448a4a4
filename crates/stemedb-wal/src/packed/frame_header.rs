//! How a zstd frame starts (RFC 8878, 3.1.1.1 and 3.1.2).

/// No frame header is longer.
pub(super) const MAX_HEADER_BYTES: usize = 18;
/// Length of a skippable frame's header.
pub(super) const SKIPPABLE_HEADER_BYTES: usize = 8;

const MAGIC: u32 = 0xFD2F_B528;
const SKIPPABLE_MAGIC: u32 = 0x184D_2A50;

/// What stands at the beginning of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FrameStart {
    /// Compressed data.
    Data(FrameHeader),
    /// Something that is not data.
    Skippable {
        /// Length of the whole frame.
        total_bytes: u64,
    },
    /// Neither.
    Foreign,
    /// The bytes end within the header.
    Short,
}

/// What a frame says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FrameHeader {
    /// Length of the plain bytes.
    pub content_bytes: Option<u64>,
    /// How far back the data refers, at most.
    pub window_bytes: u64,
    /// Whether the frame ends with a checksum of the plain bytes.
    pub checksum: bool,
    /// Whether a dictionary is needed.
    pub dictionary: bool,
}

/// Number in the `count` little-endian bytes (at most 8) at `at`.
fn number(bytes: &[u8], at: usize, count: usize) -> Option<u64> {
    let mut wide = [0; 8];
    wide.get_mut(..count)?.copy_from_slice(bytes.get(at..at.checked_add(count)?)?);
    Some(u64::from_le_bytes(wide))
}

/// Reads the start of a frame. `bytes` are the file's from there on, [`MAX_HEADER_BYTES`] of them unless it ends.
pub(super) fn frame_start(bytes: &[u8]) -> FrameStart {
    let Some(magic) = number(bytes, 0, 4).and_then(|magic| u32::try_from(magic).ok()) else {
        return FrameStart::Short;
    };
    if magic & 0xFFFF_FFF0 == SKIPPABLE_MAGIC {
        return number(bytes, 4, 4).map_or(FrameStart::Short, |size| FrameStart::Skippable {
            total_bytes: size + SKIPPABLE_HEADER_BYTES as u64,
        });
    }
    if magic != MAGIC {
        return FrameStart::Foreign;
    }
    data_header(bytes).map_or(FrameStart::Short, FrameStart::Data)
}

fn data_header(bytes: &[u8]) -> Option<FrameHeader> {
    let descriptor = *bytes.get(4)?;
    let single_segment = descriptor & 0x20 != 0;
    let mut at = 5;
    let mut window_bytes = 0;
    if !single_segment {
        let byte = u64::from(*bytes.get(at)?);
        let base = 1u64 << (10 + (byte >> 3));
        window_bytes = base + (base >> 3) * (byte & 7);
        at += 1;
    }
    let dictionary_width = [0, 1, 2, 4].get(usize::from(descriptor & 3)).copied()?;
    let dictionary = number(bytes, at, dictionary_width)? != 0;
    at += dictionary_width;
    let content_bytes = match descriptor >> 6 {
        0 if single_segment => Some(number(bytes, at, 1)?),
        0 => None,
        1 => Some(number(bytes, at, 2)? + 256),
        2 => Some(number(bytes, at, 4)?),
        _ => Some(number(bytes, at, 8)?),
    };
    if single_segment {
        window_bytes = content_bytes?;
    }
    Some(FrameHeader { content_bytes, window_bytes, checksum: descriptor & 4 != 0, dictionary })
}

#[cfg(test)]
mod tests {
    use zstd::stream::{raw::CParameter, write::Encoder};

    use super::*;

    #[test]
    fn headers_that_the_library_writes_are_understood() {
        for (len, level) in [(0, 1), (1, 3), (255, 3), (256, 3), (70_000, 3), (3 << 20, 19), (9 << 20, 1)] {
            let plain = vec![7; len];
            for checksum in [false, true] {
                let mut packer = zstd::bulk::Compressor::new(level).unwrap();
                packer.include_checksum(checksum).unwrap();
                let packed = packer.compress(&plain).unwrap();
                let head = &packed[..packed.len().min(MAX_HEADER_BYTES)];
                let FrameStart::Data(header) = frame_start(head) else { panic!("{head:?}") };
                assert_eq!(header.content_bytes, Some(len as u64));
                assert_eq!(header.checksum, checksum);
                assert!(!header.dictionary);
                assert!(header.window_bytes <= 8 << 20, "{header:?}");
            }
        }
    }

    #[test]
    fn a_window_of_any_size_is_understood() {
        for log in [10, 17, 24, 27] {
            let mut encoder = Encoder::new(Vec::new(), 3).unwrap();
            encoder.set_parameter(CParameter::WindowLog(log)).unwrap();
            std::io::Write::write_all(&mut encoder, b"some bytes").unwrap();
            std::io::Write::flush(&mut encoder).unwrap();
            let packed = encoder.finish().unwrap();
            let FrameStart::Data(header) = frame_start(&packed) else { panic!() };
            assert_eq!(header.window_bytes, 1 << log);
            assert_eq!(header.content_bytes, None);
        }
    }

    #[test]
    fn short_and_foreign_starts_are_told_apart() {
        let packed = zstd::bulk::compress(&[1; 500], 3).unwrap();
        assert!((0..7).all(|cut| frame_start(&packed[..cut]) == FrameStart::Short));
        assert_eq!(frame_start(b"STEM and more"), FrameStart::Foreign);
        let skippable = [0x53, 0x2A, 0x4D, 0x18, 3, 0, 0, 0, 1, 2, 3];
        assert_eq!(frame_start(&skippable), FrameStart::Skippable { total_bytes: 11 });
        assert_eq!(frame_start(&skippable[..7]), FrameStart::Short);
    }
}
