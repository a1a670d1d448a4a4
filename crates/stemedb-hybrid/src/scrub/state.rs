//! How far the present round has come, on disk.
//!
//! ```text
//! stemedb scrub 1
//! round 7
//! started_us 1767225600000000
//! bytes_done 123456
//! findings 0
//! last_full_us 1767139200000000        0: none yet
//! after 5 123 6b762f...                rank, number, name in hexadecimal; absent at the beginning
//! ended                                instead of `after`: nothing is under way
//! crc 1a2b3c4d                         CRC-32 of everything before
//! ```

use std::fmt::Write;

use stemedb_env::{
    Fs, Micros,
    fs::{read_file, write_file_atomic},
};

use super::files::Key;
use crate::{Layout, Result};

const FIRST_LINE: &str = "stemedb scrub 1";
/// A name may be long.
const MOST_BYTES: u64 = 64 << 10;

/// See the module's head.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(super) struct Saved {
    pub round: u64,
    pub started: Micros,
    pub bytes_done: u64,
    pub findings: u64,
    pub last_full: Option<Micros>,
    /// The round is over.
    pub ended: bool,
    /// The last file that was finished.
    pub after: Option<Key>,
}

impl Saved {
    fn encode(&self) -> String {
        let last_full = self.last_full.map_or(0, |at| at.0);
        let mut text = format!(
            "{FIRST_LINE}\nround {}\nstarted_us {}\nbytes_done {}\nfindings {}\nlast_full_us {last_full}\n",
            self.round, self.started.0, self.bytes_done, self.findings
        );
        if self.ended {
            text.push_str("ended\n");
        } else if let Some(Key { rank, number, name }) = &self.after {
            let _ = write!(text, "after {rank} {number} ");
            name.bytes().for_each(|byte| _ = write!(text, "{byte:02x}"));
            text.push('\n');
        }
        let crc = crc32fast::hash(text.as_bytes());
        let _ = writeln!(text, "crc {crc:08x}");
        text
    }

    fn decode(text: &str) -> Option<Saved> {
        let (body, crc) = text.strip_suffix('\n')?.rsplit_once("crc ")?;
        if u32::from_str_radix(crc, 16).ok()? != crc32fast::hash(body.as_bytes()) {
            return None;
        }
        let mut lines = body.lines();
        if lines.next()? != FIRST_LINE {
            return None;
        }
        let mut saved = Saved::default();
        for line in lines {
            let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
            match word {
                "round" => saved.round = rest.parse().ok()?,
                "started_us" => saved.started = Micros(rest.parse().ok()?),
                "bytes_done" => saved.bytes_done = rest.parse().ok()?,
                "findings" => saved.findings = rest.parse().ok()?,
                "last_full_us" => saved.last_full = Some(Micros(rest.parse().ok()?)).filter(|at| at.0 != 0),
                "ended" => saved.ended = true,
                "after" => saved.after = Some(decode_key(rest)?),
                _ => return None,
            }
        }
        Some(saved)
    }

    /// What was saved last; `None` if nothing was, or it cannot be read: then a round begins anew.
    pub(super) fn load(fs: &dyn Fs, layout: &Layout) -> Option<Saved> {
        let bytes = match read_file(fs, &layout.scrub(), MOST_BYTES) {
            Ok(bytes) => bytes,
            Err(error) if error.is_not_found() => return None,
            Err(error) => {
                tracing::warn!(%error, "how far files have been read back is not known: from the beginning");
                return None;
            }
        };
        let saved = std::str::from_utf8(&bytes).ok().and_then(Saved::decode);
        if saved.is_none() {
            tracing::warn!("how far files have been read back is not known: from the beginning");
        }
        saved
    }

    pub(super) fn store(&self, fs: &dyn Fs, layout: &Layout) -> Result<()> {
        Ok(write_file_atomic(fs, &layout.scrub(), self.encode().as_bytes())?)
    }
}

fn decode_key(text: &str) -> Option<Key> {
    let mut words = text.splitn(3, ' ');
    let (rank, number) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    let digits = words.next()?.as_bytes();
    let (pairs, []) = digits.as_chunks::<2>() else { return None };
    let byte = |pair: &[u8; 2]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    let name = String::from_utf8(pairs.iter().map(byte).collect::<Option<Vec<u8>>>()?).ok()?;
    Some(Key { rank, number, name })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_no_damaged_byte_is_believed() {
        let key = Key { rank: 6, number: 0, name: "kv/\n odd name".to_owned() };
        let saved = Saved {
            round: 3,
            started: Micros(17),
            bytes_done: 99,
            findings: 1,
            last_full: Some(Micros(-4)),
            ended: false,
            after: Some(key),
        };
        for saved in [saved.clone(), Saved { after: None, ended: true, ..saved.clone() }, Saved::default()] {
            let text = saved.encode();
            assert_eq!(Saved::decode(&text), Some(saved));
            for at in 0..text.len() {
                let mut bytes = text.clone().into_bytes();
                bytes[at] ^= 4;
                let damaged = String::from_utf8(bytes).unwrap();
                assert_eq!(Saved::decode(&damaged), None, "byte {at}");
                assert_eq!(Saved::decode(&text[..at]), None, "length {at}");
            }
        }
    }
}
