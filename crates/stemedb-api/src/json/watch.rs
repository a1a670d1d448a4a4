//! Watches and their notices in JSON.

use std::borrow::Cow;

use serde::{Serialize, Serializer, de::MapAccess};
use stemedb_core::{Assertion, ClaimId, Epoch, Lens, ModelError, Nano, Object};
use stemedb_env::Lsn;
use stemedb_index::{
    QuestionKey,
    watches::{Brief, Notice, Registered, WATCH_ID_MAX_BYTES, Watch},
};

use super::{
    ObjectJson,
    claim::rfc3339,
    members::{Findings, Member, MemberValue, Record, optional, read, required, type_of, wrong_type},
    values::{NanoJson, class, fraction, name},
};
use crate::{
    database::leave_out,
    errors::{Code, FieldError, Invalid, Place},
};

/// Members of a watch.
pub const WATCH_FIELDS: &[Member] = &[
    optional("id"),
    required("subject"),
    required("predicate"),
    optional("lens"),
    optional("epoch"),
    optional("tolerance"),
    optional("without"),
    optional("max_class"),
    optional("margin_below"),
    optional("conflict_above"),
    optional("decay"),
    optional("independent"),
];

/// Reads a watch: `id` is that of the path, if it has one.
///
/// # Errors
/// Every member that is wrong, by its pointer.
pub fn watch(body: &[u8], id: Option<&str>) -> Result<Watch, Invalid> {
    watch_at(body, id, String::new())
}

/// [`watch`] of a part of a request, which stands at `base`, a JSON pointer.
pub(crate) fn watch_at(body: &[u8], id: Option<&str>, base: String) -> Result<Watch, Invalid> {
    let text = std::str::from_utf8(body).map_err(|error| {
        let detail = format!("is not UTF-8 at byte {}", error.valid_up_to());
        FieldError::in_body(base.clone(), Code::InvalidUtf8, detail)
    })?;
    let mut findings = Findings::below(base);
    let question = QuestionKey { subject: String::new(), predicate: String::new() };
    let mut record = WatchRecord { watch: Watch::new("", question, Lens::Consensus), has_id: false };
    read(text, &mut record, &mut findings);
    let WatchRecord { mut watch, has_id } = record;
    match id {
        Some(id) if has_id && watch.id != id => {
            let pointer = findings.pointer("id");
            findings.push(FieldError::in_body(pointer, Code::NotCanonical, "is not the id of the path"));
        }
        Some(id) => watch.id = id.to_owned(),
        None if !has_id => {
            let pointer = findings.pointer("id");
            findings.push(FieldError::in_body(pointer, Code::MissingField, "is required"));
        }
        None => {}
    }
    if findings.is_empty()
        && let Err(invalid) = check(&watch)
    {
        for error in invalid.errors() {
            let pointer = match &error.place {
                Place::Body(pointer) => findings.pointer(pointer.trim_start_matches('/')),
                Place::Parameter(name) => findings.pointer(name),
            };
            findings.push(FieldError::in_body(pointer, error.code, error.detail.clone()));
        }
    }
    findings.finish(watch)
}

/// The id of a watch, by its rules.
///
/// # Errors
/// [`Code::Empty`], [`Code::TooLong`], [`Code::ControlCharacter`].
pub(crate) fn check_watch_id(id: &str) -> Result<(), FieldError> {
    let refuse = |code, detail: String| Err(FieldError::in_body("/id", code, detail));
    if id.is_empty() {
        return refuse(Code::Empty, "must not be empty".into());
    }
    if id.len() > WATCH_ID_MAX_BYTES {
        return refuse(Code::TooLong, format!("is {} bytes, at most {WATCH_ID_MAX_BYTES}", id.len()));
    }
    match id.char_indices().find(|(_, c)| c.is_control()) {
        Some((at, _)) => refuse(Code::ControlCharacter, format!("has a control character at byte {at}")),
        None => Ok(()),
    }
}

/// Checks the rules of the model.
///
/// # Errors
/// The first member that breaks one.
pub(crate) fn check(watch: &Watch) -> Result<(), Invalid> {
    check_watch_id(&watch.id)?;
    let QuestionKey { subject, predicate } = &watch.question;
    // What no claim can be about is not watched either.
    Assertion::new(subject.as_str(), predicate.as_str(), Object::Boolean(true), "source").validate()?;
    if let Some(epoch) = &watch.epoch {
        Epoch::new(epoch.as_str())
            .validate()
            .map_err(|ModelError { problem, .. }| FieldError::of_problem("/epoch", problem))?;
    }
    for (name, line) in [("/margin_below", watch.margin_below), ("/conflict_above", watch.conflict_above)] {
        if line.is_some_and(|line| line < Nano::ZERO || line > Nano::ONE) {
            return Err(FieldError::in_body(name, Code::OutOfRange, "must be 0 to 1").into());
        }
    }
    Ok(())
}

struct WatchRecord {
    watch: Watch,
    has_id: bool,
}

impl<'de> Record<'de> for WatchRecord {
    const MEMBERS: &'static [Member] = WATCH_FIELDS;

    fn read<A: MapAccess<'de>>(
        &mut self,
        index: usize,
        value: MemberValue<'_, 'de, A>,
    ) -> Result<(), A::Error> {
        let watch = &mut self.watch;
        match index {
            0 => {
                if let Some(id) = value.text()? {
                    watch.id = id.into_owned();
                    self.has_id = true;
                }
            }
            1 => watch.question.subject = value.text()?.unwrap_or_default().into_owned(),
            2 => watch.question.predicate = value.text()?.unwrap_or_default().into_owned(),
            3 => {
                let lens = value.checked(|text| name(text, &Lens::ALL.map(Lens::name)))?;
                watch.lens = lens.unwrap_or(watch.lens);
            }
            4 => watch.epoch = value.text()?.map(Cow::into_owned),
            5 => {
                watch.tolerance = value.checked(|text| {
                    text.parse().map_err(|problem| {
                        let detail =
                            format!("{problem}; it is a number such as 0.5, or a percentage such as 0.1%");
                        (Code::NotANumber, detail)
                    })
                })?;
            }
            6 => {
                value.raw(|json, findings, pointer| {
                    without(json, findings, &pointer, watch);
                    Some(())
                })?;
            }
            7 => watch.counterfactual.max_class = value.raw(class)?,
            8 => watch.margin_below = value.raw(fraction)?,
            9 => watch.conflict_above = value.raw(fraction)?,
            10 => unwatchable(value, "an answer with decay changes with every instant")?,
            _ => unwatchable(
                value,
                "an answer in which copies count once hangs on questions that are not watched",
            )?,
        }
        Ok(())
    }
}

fn unwatchable<'de, A: MapAccess<'de>>(value: MemberValue<'_, 'de, A>, why: &str) -> Result<(), A::Error> {
    value.raw(|json, findings, pointer| {
        match json {
            "false" => {}
            "true" => findings.push(FieldError::in_body(pointer, Code::NotWatchable, why)),
            _ => findings.push(wrong_type(pointer, "a boolean", type_of(json))),
        }
        Some(())
    })?;
    Ok(())
}

/// Reads `["source:ID", "agent:HEX"]`.
fn without(json: &str, findings: &mut Findings, pointer: &str, watch: &mut Watch) {
    let Ok(items) = serde_json::from_str::<Vec<Cow<'_, str>>>(json) else {
        findings.push(wrong_type(pointer.to_owned().into(), "an array of strings", type_of(json)));
        return;
    };
    for (index, item) in items.iter().enumerate() {
        if let Err(error) = leave_out(&mut watch.counterfactual, item) {
            findings.push(FieldError::in_body(format!("{pointer}/{index}"), Code::UnknownName, error.detail));
            return;
        }
    }
    watch.counterfactual.without_sources.sort_unstable();
    watch.counterfactual.without_sources.dedup();
    watch.counterfactual.without_agents.sort_unstable();
    watch.counterfactual.without_agents.dedup();
}

/// A watch as [`watch`] reads it.
#[derive(Debug, Serialize)]
pub struct WatchJson<'a> {
    id: &'a str,
    subject: &'a str,
    predicate: &'a str,
    lens: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    epoch: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tolerance: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    without: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_class: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    margin_below: Option<NanoJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    conflict_above: Option<NanoJson>,
}

impl<'a> WatchJson<'a> {
    /// The JSON of a watch.
    pub fn new(watch: &'a Watch) -> WatchJson<'a> {
        let left_out = &watch.counterfactual;
        let mut without: Vec<String> =
            left_out.without_sources.iter().map(|source| format!("source:{source}")).collect();
        without.extend(left_out.without_agents.iter().map(|agent| format!("agent:{agent}")));
        WatchJson {
            id: &watch.id,
            subject: &watch.question.subject,
            predicate: &watch.question.predicate,
            lens: watch.lens.name(),
            epoch: watch.epoch.as_deref(),
            tolerance: watch.tolerance.map(|tolerance| tolerance.to_string()),
            without,
            max_class: left_out.max_class.map(|class| class.number()),
            margin_below: watch.margin_below.map(NanoJson),
            conflict_above: watch.conflict_above.map(NanoJson),
        }
    }
}

/// A watch that is registered.
#[derive(Debug, Serialize)]
pub struct RegisteredJson<'a> {
    #[serde(flatten)]
    watch: WatchJson<'a>,
    /// The last entry that is not told.
    since: u64,
    timeline: u32,
}

impl<'a> RegisteredJson<'a> {
    /// The JSON of a registered watch.
    pub fn new(registered: &'a Registered, timeline: u32) -> RegisteredJson<'a> {
        RegisteredJson { watch: WatchJson::new(&registered.watch), since: registered.since.0, timeline }
    }
}

/// An answer to `GET /v1/watches`.
#[derive(Debug, Serialize)]
pub struct WatchPageJson<'a> {
    watches: Vec<RegisteredJson<'a>>,
    /// Watches there are, on all pages together and whatever their ids.
    registered: usize,
    /// The `after` of the next page, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<&'a str>,
}

impl<'a> WatchPageJson<'a> {
    /// The JSON of a page.
    pub fn new(page: &'a crate::database::WatchPage, timeline: u32) -> WatchPageJson<'a> {
        WatchPageJson {
            watches: page.watches.iter().map(|watch| RegisteredJson::new(watch, timeline)).collect(),
            registered: page.registered,
            next: page.next.as_deref(),
        }
    }
}

/// A notice, as `GET /v1/watches/events` gives it.
#[derive(Debug, Serialize)]
pub struct NoticeJson<'a> {
    watch: &'a str,
    lsn: u64,
    position: String,
    recorded_at: String,
    crossed: Vec<&'static str>,
    before: BriefJson<'a>,
    after: BriefJson<'a>,
}

impl<'a> NoticeJson<'a> {
    /// The JSON of a notice.
    pub fn new(notice: &'a Notice, timeline: u32) -> NoticeJson<'a> {
        let Lsn(lsn) = notice.lsn;
        NoticeJson {
            watch: &notice.watch,
            lsn,
            position: format!("{timeline}.{lsn}"),
            recorded_at: rfc3339(notice.recorded_at),
            crossed: notice.crossed.iter().map(|crossed| crossed.name()).collect(),
            before: BriefJson(&notice.before),
            after: BriefJson(&notice.after),
        }
    }
}

#[derive(Debug)]
struct BriefJson<'a>(&'a Brief);

impl Serialize for BriefJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Whole<'a> {
            value: Option<ObjectJson<'a>>,
            winner: Option<String>,
            confidence: f64,
            margin: f64,
            conflict_score: f64,
            status: &'static str,
        }
        let Brief { value, winner, confidence, margin, conflict_score, status } = self.0;
        Whole {
            value: value.as_ref().map(|value| ObjectJson(value.as_ref())),
            winner: winner.as_ref().map(ClaimId::to_string),
            confidence: confidence.to_f64(),
            margin: *margin,
            conflict_score: *conflict_score,
            status: status.name(),
        }
        .serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(json: &str) -> (String, Code) {
        let invalid = watch(json.as_bytes(), None).unwrap_err();
        let error = invalid.errors().next().unwrap();
        (error.place.to_string(), error.code)
    }

    #[test]
    fn a_watch_is_read_back_from_what_is_printed() {
        let texts = [
            r#"{"id":"team/x","subject":"s","predicate":"p"}"#.to_owned(),
            format!(
                r#"{{"id":"é","subject":"s","predicate":"p","lens":"layered","epoch":"2024","tolerance":"0.1%",
                    "without":["source:b","source:a","agent:{}","source:a"],"max_class":3,"margin_below":0.123456789,
                    "conflict_above":1,"decay":false,"independent":null}}"#,
                "ab".repeat(32)
            ),
        ];
        for text in texts {
            let read = watch(text.as_bytes(), None).unwrap();
            let printed = serde_json::to_string(&WatchJson::new(&read)).unwrap();
            assert_eq!(watch(printed.as_bytes(), None).as_ref(), Ok(&read), "{printed}");
            assert_eq!(watch(printed.as_bytes(), Some(&read.id)), Ok(read));
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        let with = |more: &str| format!(r#"{{"id":"x","subject":"s","predicate":"p",{more}}}"#);
        assert_eq!(refused(r#"{"subject":"s","predicate":"p"}"#), ("/id".into(), Code::MissingField));
        assert_eq!(refused(r#"{"id":"","subject":"s","predicate":"p"}"#), ("/id".into(), Code::Empty));
        let long = format!(r#"{{"id":"{}","subject":"s","predicate":"p"}}"#, "x".repeat(201));
        assert_eq!(refused(&long), ("/id".into(), Code::TooLong));
        assert_eq!(
            refused(r#"{"id":"a\u0007","subject":"s","predicate":"p"}"#),
            ("/id".into(), Code::ControlCharacter)
        );
        assert_eq!(refused(r#"{"id":"x","subject":"","predicate":"p"}"#), ("/subject".into(), Code::Empty));
        assert_eq!(refused(&with(r#""decay":true"#)), ("/decay".into(), Code::NotWatchable));
        assert_eq!(refused(&with(r#""independent":true"#)), ("/independent".into(), Code::NotWatchable));
        assert_eq!(refused(&with(r#""lens":"newest""#)), ("/lens".into(), Code::UnknownName));
        assert_eq!(refused(&with(r#""margin_below":1.5"#)), ("/margin_below".into(), Code::OutOfRange));
        assert_eq!(refused(&with(r#""without":["x"]"#)), ("/without/0".into(), Code::UnknownName));
        assert_eq!(refused(&with(r#""tolerance":"-1""#)), ("/tolerance".into(), Code::NotANumber));
        assert_eq!(refused(&with(r#""epoch":"""#)), ("/epoch".into(), Code::Empty));
        assert_eq!(refused(&with(r#""margin":0.5"#)), ("/margin".into(), Code::UnknownField));
        let below = watch_at(b"{}", None, "/7".into()).unwrap_err();
        assert_eq!(below.errors().next().unwrap().place.to_string(), "/7/subject");
    }
}
