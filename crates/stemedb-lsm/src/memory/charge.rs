//! An amount that leaves the ledger with its holder.

use std::sync::Arc;

use super::{Kind, Memory};

/// Bytes of one kind, charged as long as this lives.
#[derive(Debug)]
pub(crate) struct Charge {
    memory: Arc<Memory>,
    kind: Kind,
    bytes: u64,
}

impl Charge {
    pub(crate) fn new(memory: &Arc<Memory>, kind: Kind, bytes: usize) -> Charge {
        let mut charge = Charge { memory: Arc::clone(memory), kind, bytes: 0 };
        charge.set(bytes);
        charge
    }

    /// Changes the amount. Free if it is the same.
    pub(crate) fn set(&mut self, bytes: usize) {
        let bytes = bytes as u64;
        if bytes > self.bytes {
            self.memory.add(self.kind, bytes - self.bytes);
        } else if bytes < self.bytes {
            self.memory.sub(self.kind, self.bytes - bytes);
        }
        self.bytes = bytes;
    }

    /// True if it is charged to this tree.
    pub(crate) fn is_of(&self, memory: &Arc<Memory>) -> bool {
        Arc::ptr_eq(&self.memory, memory)
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.memory.sub(self.kind, self.bytes);
    }
}
