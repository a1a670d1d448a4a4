//! Primitive fields to bytes; the mirror of `reader`.

use crate::model::{Micros, Nano};

pub(crate) fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

pub(crate) fn signed(out: &mut Vec<u8>, value: i64) {
    varint(out, (value << 1 ^ value >> 63) as u64);
}

pub(crate) fn text(out: &mut Vec<u8>, text: &str) {
    varint(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

pub(crate) fn micros(out: &mut Vec<u8>, instant: Micros) {
    out.extend_from_slice(&instant.0.to_be_bytes());
}

/// A fraction of the model is within ±10⁹ and fits 32 bits; one that passed no validation is clamped, which decodes
/// as out of range.
pub(crate) fn nano(out: &mut Vec<u8>, nano: Nano) {
    let bits = nano.0.clamp(i64::from(i32::MIN), i64::from(i32::MAX)) as i32;
    out.extend_from_slice(&bits.to_be_bytes());
}

/// Presence bits in the order of the arguments, the first as bit 0.
pub(crate) fn presence(out: &mut Vec<u8>, fields: &[bool]) {
    let bits = fields.iter().rev().fold(0, |bits, present| bits << 1 | u64::from(*present));
    varint(out, bits);
}
