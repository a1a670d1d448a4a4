//! Receipts from files.

use serde::Deserialize;
use stemedb_core::SignedReceipt;

use super::ReceiptError;
use crate::json::ReceiptJson;

/// What of the JSON the receipt is read from; the rest must follow from it.
#[derive(Deserialize)]
struct Signed {
    canonical: String,
    signature: String,
}

/// Reads a receipt in bytes or in JSON. Of JSON every member must be as it would be written again, white space between tokens left
/// out. The signature is not verified here.
///
/// # Errors
/// [`ReceiptError::NotAReceipt`], [`ReceiptError::NotJson`], [`ReceiptError::JsonDiffers`].
pub fn read_receipt(bytes: &[u8]) -> Result<SignedReceipt, ReceiptError> {
    let is_json = bytes.iter().find(|byte| !is_space(**byte)) == Some(&b'{');
    if !is_json {
        return SignedReceipt::decode(bytes).map_err(ReceiptError::NotAReceipt);
    }
    let not_json = |error: &dyn std::fmt::Display| ReceiptError::NotJson(error.to_string());
    let signed: Signed = serde_json::from_slice(bytes).map_err(|error| not_json(&error))?;
    let digits =
        |text: &str| unhex(text).ok_or_else(|| not_json(&"canonical and signature are not hexadecimal"));
    let whole = [digits(&signed.canonical)?, digits(&signed.signature)?].concat();
    let receipt = SignedReceipt::decode(&whole).map_err(ReceiptError::NotAReceipt)?;
    let written = serde_json::to_vec(&ReceiptJson(&receipt)).map_err(|error| not_json(&error))?;
    match first_difference(bytes, &written) {
        None => Ok(receipt),
        Some(at) => Err(ReceiptError::JsonDiffers { at }),
    }
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

/// Where a text stops being the other, which has no white space between its tokens.
fn first_difference(text: &[u8], written: &[u8]) -> Option<usize> {
    let mut written = written.iter();
    let (mut in_string, mut escaped) = (false, false);
    for (at, byte) in text.iter().enumerate() {
        if !in_string && is_space(*byte) {
            continue;
        }
        match (in_string, escaped, byte) {
            (true, true, _) => escaped = false,
            (true, false, b'\\') => escaped = true,
            (_, false, b'"') => in_string = !in_string,
            _ => {}
        }
        if written.next() != Some(byte) {
            return Some(at);
        }
    }
    written.next().map(|_| text.len())
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_space_counts_inside_of_texts_only() {
        let written = br#"{"a":"x \" y","b":1}"#;
        assert_eq!(first_difference(b"{ \"a\" :\n\"x \\\" y\",\t\"b\":1}\n", written), None);
        assert_eq!(first_difference(br#"{"a":"x  \" y","b":1}"#, written), Some(8));
        assert_eq!(first_difference(br#"{"a":"x \" y","b":2}"#, written), Some(18));
        assert_eq!(first_difference(br#"{"a":"x \" y","b":1"#, written), Some(19));
        assert_eq!(first_difference(br#"{"a":"x \" y","b":1}}"#, written), Some(20));
    }

    #[test]
    fn hexadecimal_digits_come_in_pairs() {
        assert_eq!(unhex("00fF"), Some(vec![0, 255]));
        assert_eq!(unhex("0"), None);
        assert_eq!(unhex("0g"), None);
    }
}
