//! A question's parameters by name, and back.

use stemedb_core::{Lens, Micros, receipt::ReceiptQuestion};
use stemedb_env::Lsn;

use super::ReceiptError;
use crate::database::{AsOf, Query};

const LENS_DOMAIN: &[u8] = b"stemedb lens v1\0";

/// The hash of a lens: over its name, its version and those parameters that change its arithmetic; not over the instant of
/// the evaluation.
pub(super) fn hash(query: &Query, _evaluated_at: Micros) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(LENS_DOMAIN);
    hasher.update(query.lens.name().as_bytes());
    hasher.update(&[0]);
    hasher.update(&Lens::VERSION.to_be_bytes());
    hasher.update(&[u8::from(query.decay)]);
    *hasher.finalize().as_bytes()
}

/// Every parameter of a question, ascending by name. [`question`] reads them back: what is added here is added there.
pub(super) fn parameters(query: &Query) -> Vec<(String, String)> {
    let mut parameters = vec![("decay".to_owned(), query.decay.to_string())];
    parameters.extend(query.epoch.clone().map(|epoch| ("epoch".to_owned(), epoch)));
    parameters.extend(query.known_at.map(|bound| ("known_at".to_owned(), bound.to_string())));
    parameters
}

/// The question of a receipt, as of the same entry and instant.
pub(super) fn question(asked: &ReceiptQuestion) -> Result<Query, ReceiptError> {
    let cannot = |what: String| Err(ReceiptError::Question(what));
    if asked.lens_version != Lens::VERSION {
        return cannot(format!(
            "its lens is of version {}, here it is {}",
            asked.lens_version,
            Lens::VERSION
        ));
    }
    let Ok(lens) = asked.lens.parse() else { return cannot(format!("there is no lens {}", asked.lens)) };
    let mut query = Query::new(asked.subject.as_str(), asked.predicate.as_str(), lens);
    query.evaluated_at = Some(asked.evaluated_at);
    for (name, value) in &asked.parameters {
        match (name.as_str(), value.as_str()) {
            ("decay", "true") => query.decay = true,
            ("decay", "false") => query.decay = false,
            ("epoch", epoch) => query.epoch = Some(epoch.to_owned()),
            ("known_at", bound) => match AsOf::parse(bound) {
                Ok(bound) => query.known_at = Some(bound),
                Err(error) => return cannot(format!("known_at: {error}")),
            },
            _ => return cannot(format!("there is no parameter {name} with the value {value}")),
        }
    }
    if parameters(&query) != asked.parameters {
        return cannot("its parameters are not all there".to_owned());
    }
    // A bound in time may have been one in the future: the entry is what counted.
    query.known_at = None;
    query.as_of = Some(AsOf::Lsn(Lsn(asked.as_of)));
    Ok(query)
}
