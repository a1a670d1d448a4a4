//! Many texts looked for at once.

/// Shorter texts are not looked for: they are found everywhere by chance.
pub const LEAST_BYTES: usize = 6;
const FILTER_BITS: usize = 20;

/// Texts, found by their first bytes. Everything is in lower case (ASCII), on both sides.
pub struct Searcher {
    /// First bytes and index of the text, sorted.
    heads: Vec<(u64, usize)>,
    texts: Vec<Vec<u8>>,
    /// One bit for each head, by its hash: most places of a file are looked at no further.
    filter: Vec<u64>,
}

fn head(bytes: &[u8]) -> Option<u64> {
    let head: [u8; LEAST_BYTES] = *bytes.first_chunk()?;
    Some(head.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)))
}

fn slot(head: u64) -> (usize, u64) {
    let hash = (head.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> (64 - FILTER_BITS)) as usize;
    (hash / 64, 1 << (hash % 64))
}

impl Searcher {
    /// For these texts; those that are too short are never found.
    pub fn new(texts: impl IntoIterator<Item = Vec<u8>>) -> Searcher {
        let texts: Vec<Vec<u8>> = texts.into_iter().map(|text| text.to_ascii_lowercase()).collect();
        let mut heads: Vec<(u64, usize)> =
            texts.iter().enumerate().filter_map(|(at, text)| Some((head(text)?, at))).collect();
        heads.sort_unstable();
        let mut filter = vec![0; (1 << FILTER_BITS) / 64];
        for (head, _) in &heads {
            let (word, bit) = slot(*head);
            if let Some(word) = filter.get_mut(word) {
                *word |= bit;
            }
        }
        Searcher { heads, texts, filter }
    }

    /// Tells place and index of every text that is found in bytes of lower case, until `visit` says false.
    ///
    /// Cost: one look at the filter a byte.
    pub fn each(&self, haystack: &[u8], visit: &mut dyn FnMut(usize, usize) -> bool) {
        for at in 0..haystack.len() {
            let Some(here) = haystack.get(at..) else { return };
            let Some(head) = head(here) else { return };
            let (word, bit) = slot(head);
            if self.filter.get(word).is_none_or(|word| word & bit == 0) {
                continue;
            }
            let from = self.heads.partition_point(|(known, _)| *known < head);
            for (_, text) in self.heads.iter().skip(from).take_while(|(known, _)| *known == head) {
                let is_here = self.texts.get(*text).is_some_and(|text| here.starts_with(text));
                if is_here && !visit(at, *text) {
                    return;
                }
            }
        }
    }

    /// The first text that is found.
    pub fn first(&self, haystack: &[u8]) -> Option<(usize, usize)> {
        let mut found = None;
        self.each(haystack, &mut |at, text| {
            found = Some((at, text));
            false
        });
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_text_is_found_where_it_stands_and_short_ones_never() {
        let searcher =
            Searcher::new(["Benzene".into(), "benzedrine".into(), "zene!!".into(), "short".into()]);
        let mut found = Vec::new();
        searcher.each(b"short benzene!! benzedrine", &mut |at, text| {
            found.push((at, text));
            true
        });
        assert_eq!(found, [(6, 0), (9, 2), (16, 1)]);
        assert_eq!(searcher.first(b"no benzen e"), None);
        assert_eq!(searcher.first(b""), None);
    }
}
