//! The forms that a text may hide in: a file is turned back from each of them and looked at as plain text.

/// A form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Plain,
    Json,
    Percent,
    Hex,
    Base64,
}

impl Form {
    /// For people, behind "a text".
    pub fn name(self) -> &'static str {
        match self {
            Form::Plain => "as it is",
            Form::Json => "with escapes of JSON",
            Form::Percent => "percent-encoded",
            Form::Hex => "as hexadecimal digits",
            Form::Base64 => "as Base64",
        }
    }
}

/// Shorter runs hold nothing that is looked for.
const HEX_DIGITS_LEAST: usize = 2 * super::search::LEAST_BYTES;
const BASE64_LEAST: usize = super::search::LEAST_BYTES * 4 / 3;

/// Tells the plain bytes of every form, in lower case, until `visit` says false. `depth` is how often something may be wrapped.
pub fn each(bytes: &[u8], visit: &mut dyn FnMut(Form, &[u8]) -> bool) -> bool {
    if !texts(bytes, Form::Plain, visit) {
        return false;
    }
    for (form, decoded) in hex(bytes).into_iter().chain(base64(bytes)) {
        if !texts(&decoded, form, visit) {
            return false;
        }
    }
    true
}

/// The bytes themselves, without escapes of JSON, without those of addresses, and with spaces for plus signs.
fn texts(bytes: &[u8], form: Form, visit: &mut dyn FnMut(Form, &[u8]) -> bool) -> bool {
    let of = |other| if form == Form::Plain { other } else { form };
    let plain = bytes.to_ascii_lowercase();
    if !visit(form, &plain) {
        return false;
    }
    let has = |wanted: u8| plain.contains(&wanted);
    let (has_escapes, has_percent, has_plus) = (has(b'\\'), has(b'%'), has(b'+'));
    let unescaped = if has_escapes { unescape(&plain) } else { plain };
    if has_escapes && !visit(of(Form::Json), &unescaped) {
        return false;
    }
    if !has_percent && !has_plus {
        return true;
    }
    let decoded = percent(&unescaped);
    if !visit(of(Form::Percent), &decoded) {
        return false;
    }
    let spaced: Vec<u8> = unescaped.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
    !has_plus || visit(of(Form::Percent), &percent(&spaced))
}

fn unescape(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((first, more)) = rest.split_first() {
        rest = more;
        if *first != b'\\' {
            out.push(*first);
            continue;
        }
        let Some((escape, more)) = rest.split_first() else { break };
        rest = more;
        match escape {
            b'u' => {
                let digits = rest.get(..4).and_then(|digits| std::str::from_utf8(digits).ok());
                match digits.and_then(|digits| u32::from_str_radix(digits, 16).ok()).and_then(char::from_u32)
                {
                    Some(c) => {
                        out.extend_from_slice(c.to_ascii_lowercase().encode_utf8(&mut [0; 4]).as_bytes());
                        rest = rest.get(4..).unwrap_or_default();
                    }
                    None => out.extend_from_slice(b"\\u"),
                }
            }
            b'n' => out.push(b'\n'),
            b't' => out.push(b'\t'),
            b'r' => out.push(b'\r'),
            other => out.push(*other),
        }
    }
    out
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

fn percent(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((first, more)) = rest.split_first() {
        let pair = more.first_chunk::<2>().and_then(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?));
        match pair.filter(|_| *first == b'%') {
            Some(byte) => {
                out.push(byte.to_ascii_lowercase());
                rest = more.get(2..).unwrap_or_default();
            }
            None => {
                out.push(*first);
                rest = more;
            }
        }
    }
    out
}

/// Runs of bytes that are all of one kind.
fn runs(bytes: &[u8], is_in: fn(u8) -> bool, least: usize) -> impl Iterator<Item = &[u8]> {
    bytes.split(move |byte| !is_in(*byte)).filter(move |run| run.len() >= least)
}

/// What runs of digits stand for, begun at either digit.
fn hex(bytes: &[u8]) -> Vec<(Form, Vec<u8>)> {
    let mut out = [Vec::new(), Vec::new()];
    for run in runs(bytes, |byte| byte.is_ascii_hexdigit(), HEX_DIGITS_LEAST) {
        for (skipped, out) in out.iter_mut().enumerate() {
            let (pairs, _) = run.get(skipped..).unwrap_or_default().as_chunks::<2>();
            out.extend(pairs.iter().filter_map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)));
            out.push(b'\n');
        }
    }
    out.into_iter().map(|decoded| (Form::Hex, decoded)).collect()
}

fn sextet(byte: u8) -> Option<u32> {
    Some(u32::from(match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' | b'-' => 62,
        b'/' | b'_' => 63,
        _ => return None,
    }))
}

/// What runs of both alphabets stand for. Where a group of four begins is not known: each of four places is tried.
fn base64(bytes: &[u8]) -> Vec<(Form, Vec<u8>)> {
    let mut out = [const { Vec::new() }; 4];
    for run in runs(bytes, |byte| sextet(byte).is_some(), BASE64_LEAST) {
        for (skipped, out) in out.iter_mut().enumerate() {
            let (mut bits, mut held) = (0_u32, 0);
            for value in run.iter().skip(skipped).filter_map(|byte| sextet(*byte)) {
                bits = bits << 6 | value;
                held += 6;
                if held >= 8 {
                    held -= 8;
                    out.push((bits >> held & 0xFF) as u8);
                }
            }
            out.push(b'\n');
        }
    }
    out.into_iter().map(|decoded| (Form::Base64, decoded)).collect()
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;

    use super::*;

    /// In which forms the text is seen.
    fn seen(bytes: &[u8], text: &str) -> Vec<Form> {
        let mut found = Vec::new();
        each(bytes, &mut |form, plain| {
            if plain.windows(text.len()).any(|part| part == text.as_bytes()) {
                found.push(form);
            }
            true
        });
        found
    }

    #[test]
    fn a_text_is_seen_through_every_form_wherever_it_begins() {
        let text = "zyxo benzène/42";
        assert_eq!(seen(b"xZyxo benz\xc3\xa8ne/42", text), [Form::Plain]);
        assert_eq!(seen(br#"{"a":"\u005ayxo benz\u00e8ne\/42"}"#, text), [Form::Json]);
        assert_eq!(seen(b"q?x=Zyxo%20benz%C3%A8ne%2F42&y", text)[0], Form::Percent);
        assert_eq!(seen(b"q?x=zyxo+benz%c3%a8ne%2f42", text), [Form::Percent]);
        let digits: String = "Zyxo benzène/42".bytes().map(|byte| format!("{byte:02X}")).collect();
        assert_eq!(seen(format!("id a{digits} end").as_bytes(), text), [Form::Hex]);
        for before in ["", "a", "ab", "abc"] {
            let whole = format!("{before}Zyxo benzène/42 and more");
            for engine in
                [base64::engine::general_purpose::STANDARD, base64::engine::general_purpose::URL_SAFE_NO_PAD]
            {
                let encoded = engine.encode(&whole);
                assert_eq!(seen(format!("x {encoded} y").as_bytes(), text), [Form::Base64], "{encoded}");
                // Something else of the same alphabet in front of it.
                assert!(seen(format!("key{encoded}").as_bytes(), text).contains(&Form::Base64), "{encoded}");
            }
        }
        let twice = base64::engine::general_purpose::STANDARD.encode("q=zyxo%20benz%c3%a8ne%2F42");
        assert_eq!(seen(twice.as_bytes(), text), [Form::Base64]);
        assert_eq!(seen(b"nothing of it", text), []);
    }
}
