//! Where the sources disagree most, in a few thousand real claims.
//!
//! Loads `data/chemistry-sample.jsonl`, asks every question that it answers, and lists, for each property, the substance
//! whose support is spread most widely over different values (the entropy of the shares).

use std::collections::BTreeSet;

use serde_json::Value;
use stemedb_api::{
    Database, DatabaseOptions, ImportOptions, Query,
    core::{Lens, Object, Source, SourceClass},
};

const CLAIMS: &str = include_str!("data/chemistry-sample.jsonl");
const SOURCES: &str = include_str!("data/sources.json");
const SHOWN: usize = 10;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let db = Database::create(folder.path().join("claims"), DatabaseOptions::default())?;
    for source in serde_json::from_str::<Vec<Value>>(SOURCES)? {
        let class = source["class"].as_u64().and_then(|class| u8::try_from(class).ok()).ok_or("no class")?;
        db.source(Source::new(source["id"].as_str().ok_or("no id")?, SourceClass::new(class)?))?;
    }
    let report = db.import(CLAIMS.as_bytes(), ImportOptions::default(), &mut ())?;

    let mut questions = BTreeSet::new();
    for line in CLAIMS.lines() {
        let claim: Value = serde_json::from_str(line)?;
        let text = |name: &str| claim[name].as_str().map(str::to_owned).ok_or("not a claim");
        questions.insert((text("subject")?, text("predicate")?));
    }
    let (asked, mut disputed) = (questions.len(), Vec::new());
    for (subject, predicate) in questions {
        let asked = db.query(Query::new(subject, predicate, Lens::Skeptic))?;
        let values = asked.answer.values.len();
        if values > 1 {
            let entropy = asked.answer.conflict_score * (values as f64).ln();
            disputed.push((entropy, asked));
        }
    }
    println!("{} claims, {asked} questions, {} with more than one answer", report.created, disputed.len());
    disputed.sort_by(|(a, _), (b, _)| b.total_cmp(a));

    let mut properties = BTreeSet::new();
    disputed.retain(|(_, asked)| properties.insert(asked.query.predicate.clone()));
    for (entropy, asked) in disputed.iter().take(SHOWN) {
        let Query { subject, predicate, .. } = &asked.query;
        let name = db.query(Query::new(subject.as_str(), "name", Lens::Authority))?.answer.value;
        let name = name.as_ref().map_or_else(|| subject.clone(), text_of);
        let conflict = asked.answer.conflict_score;
        println!("\n{name} ({subject}), {predicate}: conflict {conflict:.2}, entropy {entropy:.2}");
        for value in &asked.answer.values {
            let claims = value.claims.iter().filter_map(|index| asked.candidates.get(*index));
            let sources: Vec<String> =
                claims.map(|claim| format!("{} [{}]", claim.assertion.source, claim.class)).collect();
            println!(
                "  {:>20}  {:>5.1} %  {}",
                text_of(&value.object),
                100.0 * value.share,
                sources.join(", ")
            );
        }
    }
    Ok(db.close()?)
}

/// A value as it was claimed.
fn text_of(object: &Object) -> String {
    match object {
        Object::Text(text) | Object::Number(text) | Object::Time(text) | Object::Reference(text) => {
            text.clone()
        }
        Object::Json(text) => text.clone(),
        Object::Integer(number) => number.to_string(),
        Object::Boolean(truth) => truth.to_string(),
    }
}
