//! A target that counts what is asked of it.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use super::{BackupTarget, Content, Object, Result};

/// What a target is asked.
const REQUESTS: [&str; 6] = ["create", "put", "get", "look", "list", "delete"];

/// How often each was asked, and what was sent. Shared by whoever counts and whoever reads.
#[derive(Debug, Default)]
pub struct RequestCounts {
    counts: [AtomicU64; REQUESTS.len()],
    sent_bytes: AtomicU64,
}

impl RequestCounts {
    fn count(&self, at: usize) {
        if let Some(count) = self.counts.get(at) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Each kind with its number. `create` is create-if-absent: two requests at S3, a look and a put.
    pub fn all(&self) -> [(&'static str, u64); REQUESTS.len()] {
        std::array::from_fn(|at| {
            let count = self.counts.get(at).map_or(0, |count| count.load(Ordering::Relaxed));
            (REQUESTS.get(at).copied().unwrap_or_default(), count)
        })
    }

    /// Bytes of everything that was put.
    pub fn sent_bytes(&self) -> u64 {
        self.sent_bytes.load(Ordering::Relaxed)
    }
}

/// Another target, counted.
#[derive(Debug)]
pub struct CountedTarget {
    target: Arc<dyn BackupTarget>,
    counts: Arc<RequestCounts>,
}

impl CountedTarget {
    /// Counts into `counts` what is asked of `target`.
    pub fn new(target: Arc<dyn BackupTarget>, counts: Arc<RequestCounts>) -> CountedTarget {
        CountedTarget { target, counts }
    }

    fn sends(&self, at: usize, content: Content<'_>) {
        self.counts.count(at);
        self.counts.sent_bytes.fetch_add(content.bytes(), Ordering::Relaxed);
    }
}

impl BackupTarget for CountedTarget {
    fn describe(&self) -> String {
        self.target.describe()
    }

    fn put_if_absent(&self, name: &str, content: Content<'_>) -> Result<bool> {
        self.sends(0, content);
        self.target.put_if_absent(name, content)
    }

    fn put(&self, name: &str, content: Content<'_>) -> Result<()> {
        self.sends(1, content);
        self.target.put(name, content)
    }

    fn get(&self, name: &str, limit_bytes: u64) -> Result<Option<Vec<u8>>> {
        self.counts.count(2);
        self.target.get(name, limit_bytes)
    }

    fn read_at(&self, name: &str, buffer: &mut [u8], offset: u64) -> Result<()> {
        self.counts.count(2);
        self.target.read_at(name, buffer, offset)
    }

    fn size(&self, name: &str) -> Result<Option<u64>> {
        self.counts.count(3);
        self.target.size(name)
    }

    fn list(&self, folder: &str) -> Result<Vec<Object>> {
        self.counts.count(4);
        self.target.list(folder)
    }

    fn folders(&self) -> Result<Vec<String>> {
        self.counts.count(4);
        self.target.folders()
    }

    fn delete(&self, name: &str) -> Result<()> {
        self.counts.count(5);
        self.target.delete(name)
    }

    fn settle(&self) -> Result<()> {
        self.target.settle()
    }
}
