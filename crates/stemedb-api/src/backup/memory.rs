//! A target in memory that can lose and fail: the reference of the others, and for tests.

use std::{collections::BTreeMap, sync::Arc};

use parking_lot::Mutex;

use super::{BackupTarget, Content, Error, Object, Result, target::too_long};

/// Objects in memory. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct MemoryTarget {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    objects: BTreeMap<String, Vec<u8>>,
    durable: BTreeMap<String, Vec<u8>>,
    calls: u64,
    fail_from: Option<u64>,
    sent_bytes: u64,
}

impl MemoryTarget {
    /// Nothing in it.
    pub fn new() -> MemoryTarget {
        MemoryTarget::default()
    }

    /// Every call after the next `calls` fails; `None`: none does.
    pub fn fail_after(&self, calls: Option<u64>) {
        let mut state = self.state.lock();
        state.fail_from = calls.map(|calls| state.calls + calls);
    }

    /// Calls so far.
    pub fn calls(&self) -> u64 {
        self.state.lock().calls
    }

    /// Bytes of everything that was put so far.
    pub fn sent_bytes(&self) -> u64 {
        self.state.lock().sent_bytes
    }

    /// What is left after a crash that loses everything that was not settled.
    #[must_use]
    pub fn after_crash(&self) -> MemoryTarget {
        let durable = self.state.lock().durable.clone();
        let state = State { objects: durable.clone(), durable, ..State::default() };
        MemoryTarget { state: Arc::new(Mutex::new(state)) }
    }

    /// Changes an object behind everybody's back; false if there is none.
    pub fn tamper(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) -> bool {
        self.state.lock().objects.get_mut(name).map(change).is_some()
    }

    fn enter(&self, op: &'static str, name: &str) -> Result<()> {
        let mut state = self.state.lock();
        state.calls += 1;
        if state.fail_from.is_some_and(|from| state.calls > from) {
            let source = "the connection is lost".into();
            return Err(Error::Target { op, name: name.to_owned(), target: self.describe(), source });
        }
        Ok(())
    }

    fn read(&self, name: &str, content: Content<'_>) -> Result<Vec<u8>> {
        match content {
            Content::Bytes(bytes) => Ok(bytes.to_vec()),
            Content::File { file, bytes } => {
                let mut whole = vec![0; usize::try_from(bytes).unwrap_or(usize::MAX)];
                file.read_exact_at(&mut whole, 0).map_err(|error| Error::Target {
                    op: "read the source of",
                    name: name.to_owned(),
                    target: self.describe(),
                    source: Box::new(error),
                })?;
                Ok(whole)
            }
        }
    }
}

impl BackupTarget for MemoryTarget {
    fn describe(&self) -> String {
        "memory".to_owned()
    }

    fn put_if_absent(&self, name: &str, content: Content<'_>) -> Result<bool> {
        self.enter("write", name)?;
        if self.state.lock().objects.contains_key(name) {
            return Ok(false);
        }
        let bytes = self.read(name, content)?;
        let mut state = self.state.lock();
        state.sent_bytes += bytes.len() as u64;
        state.objects.insert(name.to_owned(), bytes);
        Ok(true)
    }

    fn put(&self, name: &str, content: Content<'_>) -> Result<()> {
        self.enter("write", name)?;
        let bytes = self.read(name, content)?;
        let mut state = self.state.lock();
        state.sent_bytes += bytes.len() as u64;
        state.objects.insert(name.to_owned(), bytes);
        Ok(())
    }

    fn get(&self, name: &str, limit_bytes: u64) -> Result<Option<Vec<u8>>> {
        self.enter("read", name)?;
        match self.state.lock().objects.get(name) {
            Some(bytes) if bytes.len() as u64 > limit_bytes => Err(too_long(self, name, limit_bytes)),
            found => Ok(found.cloned()),
        }
    }

    fn read_at(&self, name: &str, buffer: &mut [u8], offset: u64) -> Result<()> {
        self.enter("read", name)?;
        let state = self.state.lock();
        let Some(bytes) = state.objects.get(name) else {
            return Err(Error::Missing { name: name.to_owned(), target: self.describe() });
        };
        let from = usize::try_from(offset).unwrap_or(usize::MAX);
        let part = bytes.get(from..).and_then(|rest| rest.get(..buffer.len()));
        let Some(part) = part else {
            let problem = "it ends early".to_owned();
            return Err(Error::Damaged { name: name.to_owned(), target: self.describe(), problem });
        };
        buffer.copy_from_slice(part);
        Ok(())
    }

    fn size(&self, name: &str) -> Result<Option<u64>> {
        self.enter("read", name)?;
        Ok(self.state.lock().objects.get(name).map(|bytes| bytes.len() as u64))
    }

    fn list(&self, folder: &str) -> Result<Vec<Object>> {
        self.enter("list", folder)?;
        let state = self.state.lock();
        let within = state.objects.iter().filter(|(name, _)| name.starts_with(folder));
        Ok(within.map(|(name, bytes)| Object { name: name.clone(), bytes: bytes.len() as u64 }).collect())
    }

    fn folders(&self) -> Result<Vec<String>> {
        self.enter("list", "")?;
        let state = self.state.lock();
        let mut folders: Vec<String> =
            state.objects.keys().filter_map(|name| Some(name.split_once('/')?.0.to_owned())).collect();
        folders.dedup();
        Ok(folders)
    }

    fn delete(&self, name: &str) -> Result<()> {
        self.enter("remove", name)?;
        self.state.lock().objects.remove(name);
        Ok(())
    }

    fn settle(&self) -> Result<()> {
        self.enter("sync", "everything")?;
        let mut state = self.state.lock();
        state.durable = state.objects.clone();
        Ok(())
    }
}
