//! The claims, uncompressed.

use std::{io::Read, path::Path};

/// The file in memory.
pub struct Corpus {
    pub text: String,
    /// Where each line starts, and the end of the text.
    starts: Vec<usize>,
    pub sources: String,
}

impl Corpus {
    pub fn read(claims: &Path, sources: &Path) -> Corpus {
        let file = std::fs::File::open(claims).unwrap();
        let mut text = String::new();
        if claims.extension().is_some_and(|extension| extension == "zst") {
            zstd::stream::read::Decoder::new(file).unwrap().read_to_string(&mut text).unwrap();
        } else {
            { file }.read_to_string(&mut text).unwrap();
        }
        assert!(text.ends_with('\n'), "the last line is cut off");
        let mut starts = vec![0];
        starts.extend(text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1));
        Corpus { text, starts, sources: std::fs::read_to_string(sources).unwrap() }
    }

    /// Number of lines.
    pub fn len(&self) -> usize {
        self.starts.len() - 1
    }

    /// A line, from 0, without its end.
    pub fn line(&self, number: usize) -> &str {
        self.text[self.starts[number]..self.starts[number + 1]].trim_end()
    }

    /// The lines from a number on.
    pub fn rest(&self, from: usize) -> &str {
        &self.text[self.starts[from]..]
    }
}
