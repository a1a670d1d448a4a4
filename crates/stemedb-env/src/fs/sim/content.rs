//! Bytes of a simulated file: pages shared between versions, copied when written.

use std::sync::{Arc, OnceLock};

/// Granularity of sharing. A multiple of every sector size of [`super::Profile`].
const PAGE_BYTES: usize = 4096;

/// Larger files are refused by the simulator, so that a wild offset cannot exhaust the memory of a test.
pub(super) const MAX_FILE_BYTES: u64 = 16 << 30;

struct Page {
    bytes: [u8; PAGE_BYTES],
    /// Hash of `bytes`; computed once per page version, however many images share it.
    hash: OnceLock<u128>,
}

impl Clone for Page {
    fn clone(&self) -> Page {
        // A clone is made in order to be changed.
        Page { bytes: self.bytes, hash: OnceLock::new() }
    }
}

impl Page {
    fn zeros() -> Page {
        Page { bytes: [0; PAGE_BYTES], hash: OnceLock::new() }
    }

    /// 0 for a page of zeros, which is the same as no page.
    fn hash(&self) -> u128 {
        *self.hash.get_or_init(|| {
            if self.bytes == [0; PAGE_BYTES] { 0 } else { fold(blake3::hash(&self.bytes).as_bytes()) }
        })
    }
}

/// The first 16 bytes of a hash as a number.
pub(super) fn fold(hash: &[u8; 32]) -> u128 {
    let mut low = [0; 16];
    low.copy_from_slice(&hash[..16]);
    u128::from_le_bytes(low)
}

/// A byte string with holes. Cloning costs one reference count; writing copies the touched pages and, if shared,
/// the table of pages.
///
/// Invariant: bytes at and beyond `len` are zero in every page.
#[derive(Clone, Default)]
pub(super) struct Content {
    len: u64,
    /// A missing page, or one beyond the table, reads as zeros.
    pages: Arc<Vec<Option<Arc<Page>>>>,
}

fn split(offset: u64) -> (usize, usize) {
    // Offsets are below MAX_FILE_BYTES.
    ((offset / PAGE_BYTES as u64) as usize, (offset % PAGE_BYTES as u64) as usize)
}

impl Content {
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// Copies what lies in the file; returns how much that was.
    pub(super) fn read(&self, buffer: &mut [u8], offset: u64) -> usize {
        let available = self.len.saturating_sub(offset);
        let wanted = usize::try_from(available).unwrap_or(usize::MAX).min(buffer.len());
        let mut done = 0;
        while done < wanted {
            let (page, start) = split(offset + done as u64);
            let n = (PAGE_BYTES - start).min(wanted - done);
            let target = &mut buffer[done..done + n];
            match self.pages.get(page) {
                Some(Some(page)) => target.copy_from_slice(&page.bytes[start..start + n]),
                _ => target.fill(0),
            }
            done += n;
        }
        wanted
    }

    /// The whole file.
    pub(super) fn to_vec(&self) -> Vec<u8> {
        let mut bytes = vec![0; usize::try_from(self.len).unwrap_or(0)];
        self.read(&mut bytes, 0);
        bytes
    }

    /// Overwrites and extends. The caller has checked the end against [`MAX_FILE_BYTES`].
    pub(super) fn write(&mut self, bytes: &[u8], offset: u64) {
        let pages = Arc::make_mut(&mut self.pages);
        let mut done = 0;
        while done < bytes.len() {
            let (page, start) = split(offset + done as u64);
            let n = (PAGE_BYTES - start).min(bytes.len() - done);
            if pages.len() <= page {
                pages.resize(page + 1, None);
            }
            let page = Arc::make_mut(pages[page].get_or_insert_with(|| Arc::new(Page::zeros())));
            page.bytes[start..start + n].copy_from_slice(&bytes[done..done + n]);
            page.hash = OnceLock::new();
            done += n;
        }
        self.len = self.len.max(offset + bytes.len() as u64);
    }

    /// Cuts, or extends with zeros.
    pub(super) fn set_len(&mut self, len: u64) {
        if len < self.len {
            let (page, start) = split(len);
            let kept = page + usize::from(start > 0);
            if self.pages.len() > page {
                let pages = Arc::make_mut(&mut self.pages);
                pages.truncate(kept);
                if let (true, Some(Some(last))) = (start > 0, pages.get_mut(page)) {
                    let last = Arc::make_mut(last);
                    last.bytes[start..].fill(0);
                    last.hash = OnceLock::new();
                }
            }
        }
        self.len = len;
    }

    /// Feeds length and bytes to a hasher; equal contents feed equal input.
    pub(super) fn hash_into(&self, hasher: &mut blake3::Hasher) {
        hasher.update(&self.len.to_le_bytes());
        for (index, page) in self.pages.iter().enumerate() {
            let hash = page.as_ref().map_or(0, |page| page.hash());
            if hash != 0 {
                hasher.update(&(index as u64).to_le_bytes());
                hasher.update(&hash.to_le_bytes());
            }
        }
        hasher.update(&u64::MAX.to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Clone, Debug)]
    enum Change {
        Write(Vec<u8>, u64),
        SetLen(u64),
    }

    fn change() -> impl Strategy<Value = Change> {
        prop_oneof![
            (prop::collection::vec(any::<u8>(), 0..9000), 0..12_000_u64)
                .prop_map(|(b, o)| Change::Write(b, o)),
            (0..20_000_u64).prop_map(Change::SetLen),
        ]
    }

    fn hash(content: &Content) -> u128 {
        let mut hasher = blake3::Hasher::new();
        content.hash_into(&mut hasher);
        fold(hasher.finalize().as_bytes())
    }

    proptest! {
        #[test]
        fn pages_behave_like_one_vector(changes in prop::collection::vec((change(), any::<bool>()), 0..12)) {
            let mut content = Content::default();
            let mut model: Vec<u8> = Vec::new();
            for (change, share) in changes {
                // With and without another owner of the pages: they are copied only in the first case.
                let before = share.then(|| (content.clone(), content.to_vec()));
                match change {
                    Change::Write(bytes, offset) if !bytes.is_empty() => {
                        content.write(&bytes, offset);
                        let end = offset as usize + bytes.len();
                        if model.len() < end {
                            model.resize(end, 0);
                        }
                        model[offset as usize..end].copy_from_slice(&bytes);
                    }
                    Change::Write(..) => {}
                    Change::SetLen(len) => {
                        content.set_len(len);
                        model.resize(len as usize, 0);
                    }
                }
                prop_assert_eq!(content.to_vec(), model.clone());
                if let Some((before, bytes)) = before {
                    prop_assert_eq!(before.to_vec(), bytes, "an older version changed");
                }
                let mut fresh = Content::default();
                if !model.is_empty() {
                    fresh.write(&model, 0);
                }
                prop_assert_eq!(hash(&content), hash(&fresh), "equal bytes, different hash");
            }
        }
    }
}
