//! An input as a source of numbers. Behind its end everything is zero, so that every input means something.

/// What is left of an input.
pub struct Input<'a> {
    rest: &'a [u8],
}

impl<'a> Input<'a> {
    /// All of it.
    pub fn new(bytes: &'a [u8]) -> Input<'a> {
        Input { rest: bytes }
    }

    /// The next bytes.
    pub fn take<const N: usize>(&mut self) -> [u8; N] {
        let mut taken = [0; N];
        let (now, later) = self.rest.split_at(N.min(self.rest.len()));
        taken[..now.len()].copy_from_slice(now);
        self.rest = later;
        taken
    }

    /// The next byte.
    pub fn byte(&mut self) -> u8 {
        let [byte] = self.take();
        byte
    }

    /// The next eight bytes.
    pub fn number(&mut self) -> u64 {
        u64::from_le_bytes(self.take())
    }

    /// Everything that has not been taken.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }
}
