//! The least of the tar format (POSIX ustar): plain files with short names. Every `tar` reads it.
//!
//! ```text
//! offset size field
//!      0  100 name           NUL-padded
//!    100    8 mode           octal digits, NUL
//!    108    8 owner, 116 8 group
//!    124   12 length         octal digits, NUL
//!    136   12 modified       seconds since 1970
//!    148    8 checksum       sum of all bytes of the header, these eight taken as spaces
//!    156    1 kind           '0': a file
//!    257    6 magic          "ustar\0", 263: "00"
//! ```
//!
//! The content follows, padded to 512 bytes; two blocks of zeros end the archive. A crate for it would be there to write links, long
//! names and devices, of which a bundle has none.

const BLOCK: usize = 512;
const NAME_BYTES: usize = 100;

/// An archive in memory.
#[derive(Debug, Default)]
pub struct Archive {
    bytes: Vec<u8>,
}

impl Archive {
    /// Adds a file. `name` is ASCII and at most 100 bytes long; a longer one is cut.
    pub fn add(&mut self, name: &str, content: &[u8], modified_s: u64) {
        let mut header = [0_u8; BLOCK];
        put(&mut header, 0, name.as_bytes().get(..NAME_BYTES.min(name.len())).unwrap_or_default());
        put(&mut header, 100, b"0000600\0");
        put(&mut header, 108, b"0000000\0");
        put(&mut header, 116, b"0000000\0");
        put(&mut header, 124, format!("{:011o}\0", content.len()).as_bytes());
        put(&mut header, 136, format!("{modified_s:011o}\0").as_bytes());
        put(&mut header, 148, b"        ");
        put(&mut header, 156, b"0");
        put(&mut header, 257, b"ustar\x0000");
        let sum: u32 = header.iter().copied().map(u32::from).sum();
        put(&mut header, 148, format!("{sum:06o}\0 ").as_bytes());
        self.bytes.extend_from_slice(&header);
        self.bytes.extend_from_slice(content);
        self.bytes.resize(self.bytes.len().next_multiple_of(BLOCK), 0);
    }

    /// The whole archive.
    pub fn finish(mut self) -> Vec<u8> {
        self.bytes.resize(self.bytes.len() + 2 * BLOCK, 0);
        self.bytes
    }
}

fn put(header: &mut [u8; BLOCK], at: usize, field: &[u8]) {
    if let Some(place) = header.get_mut(at..at + field.len()) {
        place.copy_from_slice(field);
    }
}

/// Names and contents of an archive that this module has written; `None` for any other bytes.
pub fn read(bytes: &[u8]) -> Option<Vec<(String, &[u8])>> {
    let mut found = Vec::new();
    let mut rest = bytes;
    loop {
        let (header, more) = rest.split_first_chunk::<BLOCK>()?;
        if header.iter().all(|byte| *byte == 0) {
            return (more.len() == BLOCK && more.iter().all(|byte| *byte == 0)).then_some(found);
        }
        let mut summed = *header;
        put(&mut summed, 148, b"        ");
        let sum: u32 = summed.iter().copied().map(u32::from).sum();
        if octal(header.get(148..156)?)? != u64::from(sum) || header.get(257..262)? != b"ustar" {
            return None;
        }
        let name = header.get(..NAME_BYTES)?.split(|byte| *byte == 0).next()?;
        let len = usize::try_from(octal(header.get(124..136)?)?).ok()?;
        let content = more.get(..len)?;
        found.push((String::from_utf8(name.to_vec()).ok()?, content));
        rest = more.get(len.next_multiple_of(BLOCK)..)?;
    }
}

fn octal(field: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(field).ok()?;
    u64::from_str_radix(text.trim_matches(['\0', ' ']), 8).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive() -> Vec<u8> {
        let mut archive = Archive::default();
        archive.add("a/empty", b"", 1);
        archive.add("a/one.json", b"{}", 1_800_000_000);
        archive.add("a/block", &[7; 512], 2);
        archive.finish()
    }

    #[test]
    fn what_was_written_is_read_back_and_a_changed_header_is_noticed() {
        let bytes = archive();
        let found = read(&bytes).unwrap();
        let shown: Vec<(&str, usize)> =
            found.iter().map(|(name, content)| (name.as_str(), content.len())).collect();
        assert_eq!(shown, [("a/empty", 0), ("a/one.json", 2), ("a/block", 512)]);
        assert_eq!(found[1].1, b"{}");
        for at in (0..BLOCK).filter(|at| !(148..156).contains(at)) {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert!(read(&changed).is_none(), "byte {at}");
        }
        assert!(read(&bytes[..bytes.len() - 1]).is_none());
    }
}
