//! Primitive fields from bytes.

use super::CodecError;
use crate::model::{Micros, Nano};

/// A cursor over bytes from outside. Every length is checked against what is left before it is used.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { rest: bytes }
    }

    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(crate) fn take(&mut self, field: &'static str, len: usize) -> Result<&'a [u8], CodecError> {
        match self.rest.split_at_checked(len) {
            Some((taken, rest)) => {
                self.rest = rest;
                Ok(taken)
            }
            None => Err(CodecError::Truncated { field, needed: len, left: self.rest.len() }),
        }
    }

    pub(crate) fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], CodecError> {
        match self.rest.split_first_chunk::<N>() {
            Some((taken, rest)) => {
                self.rest = rest;
                Ok(*taken)
            }
            None => Err(CodecError::Truncated { field, needed: N, left: self.rest.len() }),
        }
    }

    pub(crate) fn byte(&mut self, field: &'static str) -> Result<u8, CodecError> {
        self.array::<1>(field).map(|[byte]| byte)
    }

    /// LEB128 of at most 64 bits; only the shortest form is accepted, so that every value has one encoding.
    #[inline]
    pub(crate) fn varint(&mut self, field: &'static str) -> Result<u64, CodecError> {
        // Nearly every length and all presence bits that are in use.
        if let Some((byte, rest)) = self.rest.split_first()
            && *byte < 0x80
        {
            self.rest = rest;
            return Ok(u64::from(*byte));
        }
        self.long_varint(field)
    }

    fn long_varint(&mut self, field: &'static str) -> Result<u64, CodecError> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte(field)?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return Err(CodecError::Varint { field });
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                if byte == 0 && shift > 0 {
                    return Err(CodecError::Varint { field });
                }
                return Ok(value);
            }
        }
        Err(CodecError::Varint { field })
    }

    /// Zigzag of a signed integer in a varint.
    pub(crate) fn signed(&mut self, field: &'static str) -> Result<i64, CodecError> {
        let zigzag = self.varint(field)?;
        Ok((zigzag >> 1) as i64 ^ -((zigzag & 1) as i64))
    }

    #[inline]
    pub(crate) fn count(&mut self, field: &'static str, max: usize) -> Result<usize, CodecError> {
        let len = self.varint(field)?;
        match usize::try_from(len) {
            Ok(len) if len <= max => Ok(len),
            _ => Err(CodecError::TooLong { field, len, max }),
        }
    }

    #[inline]
    pub(crate) fn text(&mut self, field: &'static str, max: usize) -> Result<&'a str, CodecError> {
        let len = self.count(field, max)?;
        let bytes = self.take(field, len)?;
        std::str::from_utf8(bytes).map_err(|_| CodecError::NotUtf8 { field })
    }

    /// Presence bits; a bit beyond `known` is refused.
    pub(crate) fn presence(&mut self, field: &'static str, known: u32) -> Result<u64, CodecError> {
        let bits = self.varint(field)?;
        if bits >> known != 0 {
            return Err(CodecError::UnknownCode { field, code: bits });
        }
        Ok(bits)
    }

    pub(crate) fn micros(&mut self, field: &'static str) -> Result<Micros, CodecError> {
        self.array(field).map(|bytes| Micros(i64::from_be_bytes(bytes)))
    }

    pub(crate) fn nano(&mut self, field: &'static str, min: Nano) -> Result<Nano, CodecError> {
        let nano = Nano(i64::from(i32::from_be_bytes(self.array(field)?)));
        if (min..=Nano::ONE).contains(&nano) { Ok(nano) } else { Err(CodecError::OutOfRange { field }) }
    }
}
