//! JSON texts in canonical form.
//!
//! Canonical: object keys ascending by the bytes of their UTF-8, no white space, numbers as written, strings with
//! the shortest escapes (`\"`, `\\`, `\b`, `\t`, `\n`, `\f`, `\r`, `\u00xx` in lower case for the other characters
//! below U+0020, everything else as itself). A key named twice in one object is refused.

use crate::model::{OBJECT_MAX_BYTES, Problem};

/// Deepest nesting of arrays and objects in a JSON value.
pub const JSON_DEPTH_MAX: usize = 32;

/// The canonical form of a JSON text (RFC 8259).
///
/// # Errors
/// [`Problem::NotJson`], [`Problem::DuplicateKey`], [`Problem::TooDeep`] beyond 32 levels, [`Problem::TooLong`] when
/// the text or its canonical form exceeds 64 KiB.
pub fn canonical_json(text: &str) -> Result<String, Problem> {
    if text.len() > OBJECT_MAX_BYTES {
        return Err(Problem::TooLong { len: text.len(), max: OBJECT_MAX_BYTES });
    }
    let mut parser = Parser::new(text);
    let mut out = String::with_capacity(text.len());
    parser.skip_space();
    parser.value(&mut out, 0)?;
    parser.skip_space();
    if parser.at < text.len() {
        return Err(parser.unexpected());
    }
    if out.len() > OBJECT_MAX_BYTES {
        return Err(Problem::TooLong { len: out.len(), max: OBJECT_MAX_BYTES });
    }
    Ok(out)
}

/// The text that a JSON string stands for; `text` with its quotes.
pub(super) fn unquote(text: &str) -> Result<String, Problem> {
    let mut parser = Parser::new(text);
    let string = parser.string()?;
    if parser.at < text.len() { Err(parser.unexpected()) } else { Ok(string) }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Parser<'a> {
    fn new(text: &'a str) -> Parser<'a> {
        Parser { text, at: 0 }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> Result<(), Problem> {
        if self.peek() == Some(byte) {
            self.at += 1;
            Ok(())
        } else {
            Err(self.unexpected())
        }
    }

    fn unexpected(&self) -> Problem {
        Problem::NotJson { at: self.at }
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn value(&mut self, out: &mut String, depth: usize) -> Result<(), Problem> {
        match self.peek() {
            Some(b'{') => self.object(out, deeper(depth)?),
            Some(b'[') => self.array(out, deeper(depth)?),
            Some(b'"') => {
                let string = self.string()?;
                quote(&string, out);
                Ok(())
            }
            Some(b'-' | b'0'..=b'9') => self.number(out),
            _ => self.word(out),
        }
    }

    fn word(&mut self, out: &mut String) -> Result<(), Problem> {
        let rest = self.text.get(self.at..).unwrap_or("");
        match ["true", "false", "null"].into_iter().find(|word| rest.starts_with(word)) {
            Some(word) => {
                out.push_str(word);
                self.at += word.len();
                Ok(())
            }
            None => Err(self.unexpected()),
        }
    }

    fn digits(&mut self) -> Result<(), Problem> {
        if !matches!(self.peek(), Some(b'0'..=b'9')) {
            return Err(self.unexpected());
        }
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        Ok(())
    }

    fn number(&mut self, out: &mut String) -> Result<(), Problem> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        out.push_str(self.text.get(start..self.at).unwrap_or(""));
        Ok(())
    }

    fn array(&mut self, out: &mut String, depth: usize) -> Result<(), Problem> {
        self.take(b'[')?;
        out.push('[');
        self.skip_space();
        if self.peek() != Some(b']') {
            loop {
                self.skip_space();
                self.value(out, depth)?;
                self.skip_space();
                if self.peek() != Some(b',') {
                    break;
                }
                self.at += 1;
                out.push(',');
            }
        }
        self.take(b']')?;
        out.push(']');
        Ok(())
    }

    fn object(&mut self, out: &mut String, depth: usize) -> Result<(), Problem> {
        self.take(b'{')?;
        let mut members: Vec<(String, String, usize)> = Vec::new();
        self.skip_space();
        if self.peek() != Some(b'}') {
            loop {
                self.skip_space();
                let key_at = self.at;
                let key = self.string()?;
                self.skip_space();
                self.take(b':')?;
                self.skip_space();
                let mut value = String::new();
                self.value(&mut value, depth)?;
                members.push((key, value, key_at));
                self.skip_space();
                if self.peek() != Some(b',') {
                    break;
                }
                self.at += 1;
            }
        }
        self.take(b'}')?;
        // Stable: of two equal keys the later one stands second and is the one reported.
        members.sort_by(|a, b| a.0.cmp(&b.0));
        out.push('{');
        let mut previous: Option<&str> = None;
        for (key, value, key_at) in &members {
            if previous == Some(key) {
                return Err(Problem::DuplicateKey { at: *key_at });
            }
            if previous.is_some() {
                out.push(',');
            }
            quote(key, out);
            out.push(':');
            out.push_str(value);
            previous = Some(key);
        }
        out.push('}');
        Ok(())
    }

    fn string(&mut self) -> Result<String, Problem> {
        self.take(b'"')?;
        let mut string = String::new();
        loop {
            let start = self.at;
            while self.peek().is_some_and(|byte| byte != b'"' && byte != b'\\' && byte >= 0x20) {
                self.at += 1;
            }
            string.push_str(self.text.get(start..self.at).unwrap_or(""));
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(string);
                }
                Some(b'\\') => {
                    self.at += 1;
                    string.push(self.escape()?);
                }
                _ => return Err(self.unexpected()),
            }
        }
    }

    fn escape(&mut self) -> Result<char, Problem> {
        let plain = match self.peek() {
            Some(byte @ (b'"' | b'\\' | b'/')) => char::from(byte),
            Some(b'b') => '\u{8}',
            Some(b't') => '\t',
            Some(b'n') => '\n',
            Some(b'f') => '\u{c}',
            Some(b'r') => '\r',
            Some(b'u') => return self.unicode_escape(),
            _ => return Err(self.unexpected()),
        };
        self.at += 1;
        Ok(plain)
    }

    /// `uXXXX`, or two of them that form a surrogate pair; a lone surrogate is no character and is refused.
    fn unicode_escape(&mut self) -> Result<char, Problem> {
        let high = self.code_unit()?;
        let code = match high {
            0xd800..=0xdbff => {
                self.take(b'\\')?;
                let low = self.code_unit()?;
                if !(0xdc00..=0xdfff).contains(&low) {
                    return Err(self.unexpected());
                }
                0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00)
            }
            _ => high,
        };
        char::from_u32(code).ok_or(self.unexpected())
    }

    fn code_unit(&mut self) -> Result<u32, Problem> {
        self.take(b'u')?;
        let mut code = 0;
        for _ in 0..4 {
            let digit =
                self.peek().and_then(|byte| char::from(byte).to_digit(16)).ok_or(self.unexpected())?;
            code = code << 4 | digit;
            self.at += 1;
        }
        Ok(code)
    }
}

fn deeper(depth: usize) -> Result<usize, Problem> {
    if depth < JSON_DEPTH_MAX { Ok(depth + 1) } else { Err(Problem::TooDeep { max: JSON_DEPTH_MAX }) }
}

fn quote(string: &str, out: &mut String) {
    const HEX: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];
    out.push('"');
    for character in string.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\u{c}' => out.push_str("\\f"),
            '\r' => out.push_str("\\r"),
            '\0'..='\u{1f}' => {
                out.push_str(if character < '\u{10}' { "\\u000" } else { "\\u001" });
                out.push(HEX[character as usize & 15]);
            }
            _ => out.push(character),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_sort_spaces_go_and_numbers_stay_as_written() {
        let canonical =
            canonical_json(" { \"b\" : [ 1.0 , -2e+3 , null ] , \"a\" : { } , \"é\":\"x\\u00e9\\/\" } ");
        assert_eq!(canonical.as_deref(), Ok(r#"{"a":{},"b":[1.0,-2e+3,null],"é":"xé/"}"#));
    }

    #[test]
    fn escapes_take_their_shortest_form() {
        assert_eq!(
            canonical_json(r#""\u0041\u0000\u001F\u000a\ud83d\ude00\"\\""#).as_deref(),
            Ok("\"A\\u0000\\u001f\\n😀\\\"\\\\\"")
        );
    }

    #[test]
    fn canonical_form_equals_that_of_a_second_implementation() {
        for text in
            [r#"{"z":[true,false,{"y":"\t","x":[]}],"a":"\u0007"}"#, "[]", "\"\"", "0", "{\"\":{\"\":0}}"]
        {
            let value: serde_json::Value = serde_json::from_str(text).unwrap();
            assert_eq!(canonical_json(text).unwrap(), serde_json::to_string(&value).unwrap());
        }
    }

    #[test]
    fn malformed_texts_are_refused_where_they_go_wrong() {
        for (text, at) in [
            ("", 0),
            ("[1,]", 3),
            ("{\"a\" 1}", 5),
            ("[1 2]", 3),
            ("01", 1),
            ("\"\\x\"", 2),
            ("\"a", 2),
            ("\"\n\"", 1),
            ("nul", 0),
            ("{1:2}", 1),
            ("[1", 2),
        ] {
            assert_eq!(canonical_json(text), Err(Problem::NotJson { at }), "{text:?}");
        }
        for text in [r#""\ud800""#, r#""\udc00""#, r#""\ud800\u0041""#, "1.", "-", "1e"] {
            assert!(matches!(canonical_json(text), Err(Problem::NotJson { .. })), "{text:?}");
        }
    }

    #[test]
    fn duplicate_keys_are_refused_even_when_escaped_differently() {
        assert_eq!(canonical_json(r#"{"a":1,"\u0061":2}"#), Err(Problem::DuplicateKey { at: 7 }));
    }

    #[test]
    fn nesting_ends_at_its_limit() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert!(canonical_json(&nested(JSON_DEPTH_MAX)).is_ok());
        assert_eq!(
            canonical_json(&nested(JSON_DEPTH_MAX + 1)),
            Err(Problem::TooDeep { max: JSON_DEPTH_MAX })
        );
    }
}
