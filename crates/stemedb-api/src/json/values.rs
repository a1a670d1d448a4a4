//! Checks of single members.

use std::borrow::Cow;

use serde_json::value::RawValue;
use stemedb_core::{ClaimId, Micros, Nano, Problem, Signature, SourceClass};

use super::members::{Findings, Member, MemberValue, Record, read, required, type_of, wrong_type};
use crate::errors::{Code, FieldError};

/// What a check says of a text that it refuses.
pub(crate) type Refusal = (Code, String);

fn refusal(problem: Problem) -> Refusal {
    let error = FieldError::of_problem("", problem);
    (error.code, error.detail)
}

/// A text in hexadecimal digits.
pub(crate) fn hex<T: std::str::FromStr<Err = Problem>>(text: &str) -> Result<T, Refusal> {
    text.parse().map_err(refusal)
}

/// 32 bytes in hexadecimal digits, of no type of their own.
pub(crate) fn digest(text: &str) -> Result<[u8; 32], Refusal> {
    hex::<ClaimId>(text).map(|id| id.0)
}

/// An RFC 3339 date and time; outside of the years that it can write, microseconds since 1970 as [`Micros`] prints them.
pub(crate) fn instant(text: &str) -> Result<Micros, Refusal> {
    match Micros::parse_rfc3339(text) {
        Ok(instant) => Ok(instant),
        Err(problem) => {
            let micros = text.strip_suffix("us").and_then(|digits| digits.parse().ok()).map(Micros);
            // Whatever has a date has it: each instant is written in one way only.
            micros.filter(|micros| micros.to_string() == text).ok_or_else(|| refusal(problem))
        }
    }
}

/// A fraction as a JSON number that is read back as the same.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NanoJson(pub Nano);

impl serde::Serialize for NanoJson {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let number = RawValue::from_string(self.0.to_string());
        number.map_err(<S::Error as serde::ser::Error>::custom)?.serialize(serializer)
    }
}

/// One of the names of a closed list.
pub(crate) fn name<T: std::str::FromStr<Err = Problem>>(text: &str, names: &[&str]) -> Result<T, Refusal> {
    text.parse().map_err(|_| (Code::UnknownName, format!("is none of {}", names.join(", "))))
}

/// A JSON number as a fraction. Ranges are checked by the model.
pub(super) fn fraction(json: &str, findings: &mut Findings, pointer: Cow<'static, str>) -> Option<Nano> {
    if !is_number(json) {
        findings.push(wrong_type(pointer, "a number", type_of(json)));
        return None;
    }
    // Exponents that no decimal of the model may have are far out of any range here too.
    match Nano::parse_json_number(json) {
        Ok(nano) => Some(nano),
        Err(Problem::ExponentOutOfRange { .. }) => {
            findings.push(FieldError::in_body(pointer, Code::OutOfRange, "is outside of its range"));
            None
        }
        Err(problem) => {
            findings.push(FieldError::of_problem(pointer, problem));
            None
        }
    }
}

/// A class, 0 to 5.
pub(super) fn class(json: &str, findings: &mut Findings, pointer: Cow<'static, str>) -> Option<SourceClass> {
    if !is_number(json) {
        findings.push(wrong_type(pointer, "an integer from 0 to 5", type_of(json)));
        return None;
    }
    let class = json.parse::<u8>().ok().and_then(|number| SourceClass::new(number).ok());
    if class.is_none() {
        findings.push(FieldError::in_body(pointer, Code::OutOfRange, "is not an integer from 0 to 5"));
    }
    class
}

pub(super) fn is_number(json: &str) -> bool {
    matches!(json.as_bytes().first(), Some(b'-' | b'0'..=b'9'))
}

/// A JSON array of claim ids.
pub(super) fn ids(json: &str, findings: &mut Findings, pointer: Cow<'static, str>) -> Option<Vec<ClaimId>> {
    let items = array(json, findings, &pointer)?;
    let mut ids = Vec::with_capacity(items.len().min(64));
    for (index, item) in items.into_iter().enumerate() {
        let at = format!("{pointer}/{index}");
        match serde_json::from_str::<Cow<'_, str>>(item.get()) {
            Err(_) => findings.push(wrong_type(at.into(), "a string", type_of(item.get()))),
            Ok(text) => match hex(&text) {
                Ok(id) => ids.push(id),
                Err((code, detail)) => findings.push(FieldError::in_body(at, code, detail)),
            },
        }
    }
    Some(ids)
}

/// A JSON array of `{agent, signature}`.
pub(super) fn signatures(
    json: &str,
    findings: &mut Findings,
    pointer: Cow<'static, str>,
) -> Option<Vec<Signature>> {
    let items = array(json, findings, &pointer)?;
    let mut signatures = Vec::with_capacity(items.len().min(64));
    for (index, item) in items.into_iter().enumerate() {
        let mut below = Findings::below(format!("{pointer}/{index}"));
        let mut record = SignatureRecord::default();
        if item.get().starts_with('{') {
            read(item.get(), &mut record, &mut below);
        } else {
            below.push(wrong_type(format!("{pointer}/{index}").into(), "an object", type_of(item.get())));
        }
        if let (Some(agent), Some(bytes)) = (record.agent, record.signature) {
            signatures.push(Signature { agent, bytes });
        }
        findings.append(below);
    }
    Some(signatures)
}

fn array<'a>(json: &'a str, findings: &mut Findings, pointer: &str) -> Option<Vec<&'a RawValue>> {
    match serde_json::from_str(json) {
        Ok(items) => Some(items),
        Err(_) => {
            findings.push(wrong_type(pointer.to_owned().into(), "an array", type_of(json)));
            None
        }
    }
}

#[derive(Default)]
struct SignatureRecord {
    agent: Option<stemedb_core::AgentId>,
    signature: Option<stemedb_core::SignatureBytes>,
}

impl<'de> Record<'de> for SignatureRecord {
    const MEMBERS: &'static [Member] = &[required("agent"), required("signature")];

    fn read<A: serde::de::MapAccess<'de>>(
        &mut self,
        index: usize,
        value: MemberValue<'_, 'de, A>,
    ) -> Result<(), A::Error> {
        match index {
            0 => self.agent = value.checked(hex)?,
            _ => self.signature = value.checked(hex)?,
        }
        Ok(())
    }
}

/// The same checks of texts that stand outside of JSON: cells of a table, literals.
pub(crate) mod cells {
    use super::Refusal;
    pub(crate) use super::{digest, hex, instant, name};
    use crate::errors::Code;
    use stemedb_core::{Nano, SourceClass};

    /// A decimal.
    pub(crate) fn fraction(text: &str) -> Result<Nano, Refusal> {
        Nano::parse_json_number(text).map_err(super::refusal)
    }

    /// A class, 0 to 5.
    pub(crate) fn class(text: &str) -> Result<SourceClass, Refusal> {
        let class = text.parse::<u8>().ok().and_then(|number| SourceClass::new(number).ok());
        class.ok_or_else(|| (Code::OutOfRange, "is not an integer from 0 to 5".to_owned()))
    }
}
