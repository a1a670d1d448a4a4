//! An atomic set of writes in one flat buffer.

/// One operation of a batch, borrowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op<'a> {
    /// Sets a key.
    Put {
        /// The key.
        key: &'a [u8],
        /// Its value.
        value: &'a [u8],
    },
    /// Removes a key.
    Delete {
        /// The key.
        key: &'a [u8],
    },
}

impl<'a> Op<'a> {
    /// The key.
    pub fn key(&self) -> &'a [u8] {
        match self {
            Op::Put { key, .. } | Op::Delete { key } => key,
        }
    }

    /// The value; `None` for a removal.
    pub fn value(&self) -> Option<&'a [u8]> {
        match self {
            Op::Put { value, .. } => Some(value),
            Op::Delete { .. } => None,
        }
    }
}

/// Where an operation lies in the buffer of its batch; it starts where the one before ends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    pub(crate) key_end: usize,
    /// `None` = removal.
    pub(crate) value_end: Option<usize>,
}

/// Writes that are applied together or not at all. Two allocations, whatever its size.
#[derive(Clone, Debug, Default)]
pub struct WriteBatch {
    bytes: Vec<u8>,
    spans: Vec<Span>,
}

impl WriteBatch {
    /// An empty batch.
    pub fn new() -> WriteBatch {
        WriteBatch::default()
    }

    /// Sets a key.
    pub fn put(&mut self, key: &[u8], value: &[u8]) {
        self.bytes.extend_from_slice(key);
        let key_end = self.bytes.len();
        self.bytes.extend_from_slice(value);
        self.spans.push(Span { key_end, value_end: Some(self.bytes.len()) });
    }

    /// Removes a key.
    pub fn delete(&mut self, key: &[u8]) {
        self.bytes.extend_from_slice(key);
        self.spans.push(Span { key_end: self.bytes.len(), value_end: None });
    }

    /// Number of operations.
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// True without operations.
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// Bytes of all keys and values.
    pub fn data_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// The buffer and the places of the operations in it.
    pub(crate) fn raw(&self) -> (&[u8], &[Span]) {
        (&self.bytes, &self.spans)
    }

    /// Empties the batch and keeps its buffers.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.spans.clear();
    }

    /// The operations in the order they were added.
    pub fn iter(&self) -> impl Iterator<Item = Op<'_>> {
        let mut start = 0;
        self.spans.iter().map(move |span| {
            let key = &self.bytes[start..span.key_end];
            start = span.value_end.unwrap_or(span.key_end);
            match span.value_end {
                Some(end) => Op::Put { key, value: &self.bytes[span.key_end..end] },
                None => Op::Delete { key },
            }
        })
    }
}
