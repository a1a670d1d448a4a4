//! The self-check: before a bundle gets its name, what stands in its file is searched for what must not.
//!
//! ```text
//! secrets   variables, files that the configuration names, the folder's keys  ┐
//! claims    a choice of all texts in the journal, or of what a server exports  ├─▶ Searcher ─▶ each part, in each form
//! withheld  what redaction has taken away: subjects of slow questions, …       ┘
//! looks     keys, tokens, PEM, passwords; ids of claims and agents, addresses  ──▶ each part
//! ```
//!
//! It is a second look by another way than redaction: that keeps what lists name, this searches for what is known. A text that the
//! program itself says somewhere (`name`, `status`) is left out: to find it proves nothing. How many are left out is told in the manifest.

pub mod claims;
pub mod forms;
pub mod patterns;
pub mod search;
pub mod secrets;

use std::fmt;

use serde_json::json;

use self::{forms::Form, search::Searcher, secrets::Secret};
use super::redact::words;

/// What was found in a bundle that is not kept. It never says the text itself.
#[derive(Debug)]
pub struct Leak {
    /// The part that it stands in.
    pub part: String,
    /// What it is.
    pub what: String,
    /// In which form it stands there.
    pub form: Form,
}

impl fmt::Display for Leak {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} has {} in it, {}", self.part, self.what, self.form.name())
    }
}

/// What a bundle is searched for.
pub struct Check {
    searcher: Searcher,
    /// What each text of the searcher is.
    whats: Vec<String>,
    is_redacted: bool,
    secrets: usize,
    claim_texts: usize,
    withheld: usize,
    too_short: usize,
    too_common: usize,
}

impl Check {
    /// `own` is what the program says itself, whatever is in the database.
    pub fn new<'a>(
        secrets: &[Secret],
        claims: impl Iterator<Item = &'a str>,
        withheld: &[String],
        own: &str,
        is_redacted: bool,
    ) -> Check {
        let mut texts: Vec<(Vec<u8>, String)> = Vec::new();
        let (mut too_short, mut counts) = (0, [0; 3]);
        let mut add = |kind: usize, text: &str, what: &str, count: &mut [usize; 3]| {
            for piece in claims::pieces(text) {
                let has_letters = piece.bytes().any(|byte| byte.is_ascii_alphabetic() || !byte.is_ascii());
                if piece.len() < search::LEAST_BYTES || (kind > 0 && !has_letters) {
                    too_short += 1;
                    continue;
                }
                if let Some(count) = count.get_mut(kind) {
                    *count += 1;
                }
                texts.push((piece.as_bytes().to_vec(), what.to_owned()));
            }
        };
        for secret in secrets {
            add(0, &secret.text, &secret.what, &mut counts);
        }
        if is_redacted {
            claims.for_each(|text| add(1, text, "a text of a claim", &mut counts));
            withheld.iter().for_each(|text| add(2, text, "a text that was to be taken away", &mut counts));
        }
        let all = texts.len();
        let mut is_common = vec![false; all];
        let searcher = Searcher::new(texts.iter().map(|(text, _)| text.clone()));
        searcher.each(&own.as_bytes().to_ascii_lowercase(), &mut |_, text| {
            if let Some(place) = is_common.get_mut(text) {
                *place = true;
            }
            true
        });
        let mut common = is_common.iter();
        texts.retain(|_| common.next() != Some(&true));
        Check {
            too_common: all - texts.len(),
            searcher: Searcher::new(texts.iter().map(|(text, _)| text.clone())),
            whats: texts.into_iter().map(|(_, what)| what).collect(),
            is_redacted,
            secrets: counts[0],
            claim_texts: counts[1],
            withheld: counts[2],
            too_short,
        }
    }

    /// Searches one part. `own` are digests that the bundle itself gives.
    pub fn part(&self, name: &str, bytes: &[u8], own: &[String]) -> Result<(), Leak> {
        let leak = |what: &str, form| Leak { part: name.to_owned(), what: what.to_owned(), form };
        let looks = patterns::secret(bytes)
            .or_else(|| self.is_redacted.then(|| patterns::identifying(bytes, own)).flatten());
        if let Some(what) = looks {
            return Err(leak(what, Form::Plain));
        }
        let mut found = None;
        forms::each(bytes, &mut |form, plain| {
            found = self.searcher.first(plain).map(|(_, text)| (text, form));
            found.is_none()
        });
        match found {
            None => Ok(()),
            Some((text, form)) => {
                let what = self.whats.get(text).map_or("something that must not be there", String::as_str);
                Err(leak(what, form))
            }
        }
    }

    /// What is searched for, in numbers.
    pub fn summary(&self) -> serde_json::Value {
        json!({
            "secrets": self.secrets,
            "claim_texts": self.claim_texts,
            "withheld_texts": self.withheld,
            "left_out_as_too_short": self.too_short,
            "left_out_as_too_common": self.too_common,
        })
    }
}

/// What the program says itself: its words, keys of the configuration, series, routes, and the names of members.
pub fn own_texts(parts: &[super::parts::Part]) -> String {
    let mut own = String::from(words::WORDS);
    for key in stemedb_api::config::Keys::all().iter() {
        own.push_str(&format!(
            "{} {}\n{}\n{}\n{}\n",
            key.path(),
            key.flag,
            key.variable(),
            key.about,
            key.kind.allowed()
        ));
    }
    own.push_str(&stemedb_api::metrics::reference_page());
    for (method, path) in stemedb_api::http::route_list() {
        own.push_str(&format!("{method} {path}\n"));
    }
    for part in parts {
        own.push_str(&format!("{}\n{}\n", part.name, part.about));
        if let super::parts::Content::Json(document) = &part.content {
            members(document, &mut own);
        }
    }
    own
}

fn members(document: &serde_json::Value, own: &mut String) {
    match document {
        serde_json::Value::Object(named) => {
            for (name, member) in named {
                own.push_str(name);
                own.push('\n');
                members(member, own);
            }
        }
        serde_json::Value::Array(all) => all.iter().for_each(|member| members(member, own)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(is_redacted: bool) -> Check {
        let secrets = [Secret { what: "the variable X".to_owned(), text: "s3cr3t-value".to_owned() }];
        let claims = ["Zyxobenzene", "compaction", "5.25", "H2O"].into_iter();
        Check::new(&secrets, claims, &["who-asked".to_owned()], "the compaction of tables", is_redacted)
    }

    #[test]
    fn what_is_known_is_found_in_every_form_and_named_without_being_told() {
        let check = check(true);
        let found =
            |text: &str| check.part("p.json", text.as_bytes(), &[]).err().map(|leak| leak.to_string());
        assert_eq!(found("a compaction of H2O at 5.25"), None);
        assert_eq!(found("x zyxoBENZENE").as_deref(), Some("p.json has a text of a claim in it, as it is"));
        assert_eq!(
            found("?q=%7Ayxobenzene").as_deref(),
            Some("p.json has a text of a claim in it, percent-encoded")
        );
        assert_eq!(found("czNjcjN0LXZhbHVl").as_deref(), Some("p.json has the variable X in it, as Base64"));
        assert_eq!(
            found("77686f2d61736b6564").as_deref(),
            Some("p.json has a text that was to be taken away in it, as hexadecimal digits")
        );
        assert!(found("10.0.0.7").is_some() && found("-----BEGIN X").is_some());
        let counts = check.summary();
        assert_eq!(
            (&counts["claim_texts"], &counts["left_out_as_too_common"]),
            (&2.into(), &1.into()),
            "{counts}"
        );
    }

    #[test]
    fn without_redaction_secrets_alone_are_looked_for() {
        let check = check(false);
        assert!(check.part("p", b"Zyxobenzene 10.0.0.7 who-asked", &[]).is_ok());
        assert!(check.part("p", b"s3cr3t-value", &[]).is_err());
        assert!(check.part("p", b"stemedb_0123456789ab_00112233", &[]).is_err());
    }
}
