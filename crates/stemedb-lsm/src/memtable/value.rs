//! Values that keep the memory they lie in.

use std::fmt;

use super::{skiplist::RowValue, sorted::PieceValue};

/// A value of a memtable's row. Cloning it is one reference count; it keeps the memtable's memory.
#[derive(Clone)]
pub(crate) struct MemValue(Owner);

#[derive(Clone)]
enum Owner {
    List(RowValue),
    Run(PieceValue),
}

impl MemValue {
    pub(crate) fn bytes(&self) -> &[u8] {
        match &self.0 {
            Owner::List(value) => value.bytes(),
            Owner::Run(value) => value.bytes(),
        }
    }
}

impl fmt::Debug for MemValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("MemValue").field(&self.bytes()).finish()
    }
}

impl From<RowValue> for MemValue {
    fn from(value: RowValue) -> MemValue {
        MemValue(Owner::List(value))
    }
}

impl From<PieceValue> for MemValue {
    fn from(value: PieceValue) -> MemValue {
        MemValue(Owner::Run(value))
    }
}
