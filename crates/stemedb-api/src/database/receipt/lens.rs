//! A question's parameters by name, and back.

use stemedb_core::{Lens, SourceClass, lens::Counterfactual, receipt::ReceiptQuestion};
use stemedb_env::Lsn;

use super::ReceiptError;
use crate::database::{AsOf, Query, leave_out};

/// Every parameter of a question, ascending by name. [`question`] reads them back: what is added here is added there.
pub(super) fn parameters(query: &Query) -> Vec<(String, String)> {
    let mut parameters = vec![("decay".to_owned(), query.decay.to_string())];
    parameters.extend(query.epoch.clone().map(|epoch| ("epoch".to_owned(), epoch)));
    if query.independent {
        parameters.push(("independent".to_owned(), "true".to_owned()));
    }
    parameters.extend(query.known_at.map(|bound| ("known_at".to_owned(), bound.to_string())));
    let Counterfactual { without_sources, without_agents, max_class } = &query.counterfactual;
    parameters.extend(max_class.map(|class| ("max_class".to_owned(), class.to_string())));
    parameters.extend(query.tolerance.map(|tolerance| ("tolerance".to_owned(), tolerance.to_string())));
    let mut without: Vec<String> = without_sources.iter().map(|source| format!("source:{source}")).collect();
    without.extend(without_agents.iter().map(|agent| format!("agent:{agent}")));
    without.sort_unstable();
    without.dedup();
    if !without.is_empty() {
        // Names hold no control characters.
        parameters.push(("without".to_owned(), without.join("\n")));
    }
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
            ("independent", "true") => query.independent = true,
            ("max_class", class) => match class.parse().map(SourceClass::new) {
                Ok(Ok(class)) => query.counterfactual.max_class = Some(class),
                _ => return cannot(format!("max_class: there is no class {class}")),
            },
            ("tolerance", width) => match width.parse() {
                Ok(tolerance) => query.tolerance = Some(tolerance),
                Err(problem) => return cannot(format!("tolerance: {problem}")),
            },
            ("without", without) => {
                for one in without.split('\n') {
                    if let Err(error) = leave_out(&mut query.counterfactual, one) {
                        return cannot(format!("without: {error}"));
                    }
                }
            }
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
