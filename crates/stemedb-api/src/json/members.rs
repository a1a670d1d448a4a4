//! The members of one JSON object, each read by its own function.

use std::{borrow::Cow, fmt};

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::errors::{Code, FieldError, Invalid};

/// Errors that one request may collect before reading stops.
const ERRORS_MAX: usize = 16;

/// A member that a record may have.
#[derive(Clone, Copy, Debug)]
pub struct Member {
    /// Its name.
    pub name: &'static str,
    /// Whether it must be there.
    pub required: bool,
}

/// A member that must be there.
pub(super) const fn required(name: &'static str) -> Member {
    Member { name, required: true }
}

/// A member that may be there; `null` means that it is not.
pub(super) const fn optional(name: &'static str) -> Member {
    Member { name, required: false }
}

/// A record that is read member by member.
pub(super) trait Record<'de> {
    /// Its members; at most 32.
    const MEMBERS: &'static [Member];

    /// Reads the value of the member with this index in [`Record::MEMBERS`].
    fn read<A: MapAccess<'de>>(
        &mut self,
        index: usize,
        value: MemberValue<'_, 'de, A>,
    ) -> Result<(), A::Error>;
}

/// Where reading stands, and what it found wrong.
#[derive(Default)]
pub(super) struct Findings {
    errors: Vec<FieldError>,
    /// Pointer of the record inside the request.
    base: String,
    at: Option<&'static str>,
}

impl Findings {
    /// For a record at `base`, a JSON pointer.
    pub(super) fn below(base: String) -> Findings {
        Findings { errors: Vec::new(), base, at: None }
    }

    pub(super) fn push(&mut self, error: FieldError) {
        if self.errors.len() < ERRORS_MAX {
            self.errors.push(error);
        }
    }

    /// The pointer of a member of this record.
    pub(super) fn pointer(&self, name: &str) -> Cow<'static, str> {
        Cow::Owned(format!("{}/{}", self.base, escape(name)))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.errors.is_empty()
    }

    pub(super) fn append(&mut self, other: Findings) {
        for error in other.errors {
            self.push(error);
        }
    }

    /// What was read, unless something was wrong.
    pub(super) fn finish<T>(self, read: T) -> Result<T, Invalid> {
        match Invalid::all(self.errors) {
            None => Ok(read),
            Some(invalid) => Err(invalid),
        }
    }
}

/// A member's name as a token of a JSON pointer (RFC 6901, section 3).
fn escape(name: &str) -> Cow<'_, str> {
    if name.contains(['~', '/']) {
        Cow::Owned(name.replace('~', "~0").replace('/', "~1"))
    } else {
        Cow::Borrowed(name)
    }
}

/// The value of the current member, not read yet.
pub(super) struct MemberValue<'a, 'de, A> {
    pub(super) findings: &'a mut Findings,
    map: &'a mut A,
    name: &'static str,
    required: bool,
    _text: std::marker::PhantomData<&'de str>,
}

impl<'de, A: MapAccess<'de>> MemberValue<'_, 'de, A> {
    /// The value as a text. `None` when it is absent, or of another type (which is noted).
    pub(super) fn text(self) -> Result<Option<Cow<'de, str>>, A::Error> {
        let found = self.map.next_value_seed(TextSeed)?;
        match found {
            Found::Text(text) => return Ok(Some(text)),
            Found::Other("null") if !self.required => {}
            Found::Other(kind) => {
                let pointer = self.findings.pointer(self.name);
                self.findings.push(wrong_type(pointer, "a string", kind));
            }
        }
        Ok(None)
    }

    /// A text, through a check of its own.
    pub(super) fn checked<T>(
        self,
        check: impl FnOnce(&str) -> Result<T, (Code, String)>,
    ) -> Result<Option<T>, A::Error> {
        let MemberValue { findings, map, name, required, _text } = self;
        let text = MemberValue { findings: &mut *findings, map, name, required, _text }.text()?;
        Ok(match text.map(|text| check(&text)) {
            Some(Ok(value)) => Some(value),
            Some(Err((code, detail))) => {
                let pointer = findings.pointer(name);
                findings.push(FieldError::in_body(pointer, code, detail));
                None
            }
            None => None,
        })
    }

    /// The value's JSON text, through a check of its own; `null` is absent for an optional member.
    pub(super) fn raw<T>(
        self,
        check: impl FnOnce(&'de str, &mut Findings, Cow<'static, str>) -> Option<T>,
    ) -> Result<Option<T>, A::Error> {
        let raw: &'de RawValue = self.map.next_value()?;
        if raw.get() == "null" && !self.required {
            return Ok(None);
        }
        let pointer = self.findings.pointer(self.name);
        Ok(check(raw.get(), self.findings, pointer))
    }

    /// The value's JSON text as it stands, without a pointer made for errors that do not happen.
    pub(super) fn raw_text(&mut self) -> Result<&'de str, A::Error> {
        Ok(self.map.next_value::<&'de RawValue>()?.get())
    }
}

/// An error about a JSON type.
pub(super) fn wrong_type(pointer: Cow<'static, str>, wanted: &str, found: &str) -> FieldError {
    FieldError::in_body(pointer, Code::WrongType, format!("must be {wanted}, is {found}"))
}

/// The JSON type of a value, from its text.
pub(super) fn type_of(json: &str) -> &'static str {
    match json.as_bytes().first() {
        Some(b'"') => "a string",
        Some(b'{') => "an object",
        Some(b'[') => "an array",
        Some(b't' | b'f') => "a boolean",
        Some(b'n') => "null",
        _ => "a number",
    }
}

/// Reads a record from a whole JSON text, noting what is wrong.
pub(super) fn read<'de, R: Record<'de>>(text: &'de str, record: &mut R, findings: &mut Findings) {
    let mut parser = serde_json::Deserializer::from_str(text);
    let outcome = RecordSeed { record, findings }.deserialize(&mut parser).and_then(|()| parser.end());
    let Err(error) = outcome else { return };
    let pointer = match findings.at {
        Some(name) => findings.pointer(name),
        None => Cow::Owned(findings.base.clone()),
    };
    let code = if error.is_data() { Code::WrongType } else { Code::InvalidJson };
    findings.push(FieldError::in_body(pointer, code, error.to_string()));
}

struct RecordSeed<'a, R> {
    record: &'a mut R,
    findings: &'a mut Findings,
}

impl<'de, R: Record<'de>> DeserializeSeed<'de> for RecordSeed<'_, R> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, R: Record<'de>> Visitor<'de> for RecordSeed<'_, R> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let RecordSeed { record, findings } = self;
        let mut seen = 0_u32;
        while let Some(key) = map.next_key_seed(KeySeed(R::MEMBERS))? {
            let (index, member) = match key {
                Key::Known(index, member) => (index, member),
                Key::Unknown(name) => {
                    let names: Vec<&str> = R::MEMBERS.iter().map(|member| member.name).collect();
                    let detail = format!("is not a member of this record, which has {}", names.join(", "));
                    let pointer = findings.pointer(&name);
                    findings.push(FieldError::in_body(pointer, Code::UnknownField, detail));
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            findings.at = Some(member.name);
            if seen & (1 << index) != 0 {
                let pointer = findings.pointer(member.name);
                findings.push(FieldError::in_body(pointer, Code::DuplicateKey, "is named twice"));
                map.next_value::<IgnoredAny>()?;
            } else {
                seen |= 1 << index;
                let value = MemberValue {
                    findings: &mut *findings,
                    map: &mut map,
                    name: member.name,
                    required: member.required,
                    _text: std::marker::PhantomData,
                };
                record.read(index, value)?;
            }
            findings.at = None;
        }
        for (index, member) in R::MEMBERS.iter().enumerate() {
            if member.required && seen & (1 << index) == 0 {
                let pointer = findings.pointer(member.name);
                findings.push(FieldError::in_body(pointer, Code::MissingField, "is required"));
            }
        }
        Ok(())
    }
}

enum Key {
    Known(usize, Member),
    Unknown(String),
}

struct KeySeed(&'static [Member]);

impl<'de> DeserializeSeed<'de> for KeySeed {
    type Value = Key;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Key, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for KeySeed {
    type Value = Key;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a member's name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Key, E> {
        let known = self.0.iter().enumerate().find(|(_, member)| member.name == name);
        Ok(match known {
            Some((index, member)) => Key::Known(index, *member),
            // A name from outside goes into messages: bounded.
            None => Key::Unknown(name.chars().take(64).collect()),
        })
    }
}

enum Found<'de> {
    Text(Cow<'de, str>),
    /// The JSON type found instead.
    Other(&'static str),
}

struct TextSeed;

impl<'de> DeserializeSeed<'de> for TextSeed {
    type Value = Found<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Found<'de>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for TextSeed {
    type Value = Found<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Found<'de>, E> {
        Ok(Found::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Found<'de>, E> {
        Ok(Found::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_unit<E>(self) -> Result<Found<'de>, E> {
        Ok(Found::Other("null"))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Found<'de>, E> {
        Ok(Found::Other("a boolean"))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Found<'de>, E> {
        Ok(Found::Other("a number"))
    }

    fn visit_u64<E>(self, _: u64) -> Result<Found<'de>, E> {
        Ok(Found::Other("a number"))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Found<'de>, E> {
        Ok(Found::Other("a number"))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Found<'de>, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Found::Other("an array"))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Found<'de>, A::Error> {
        while members.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Found::Other("an object"))
    }
}
