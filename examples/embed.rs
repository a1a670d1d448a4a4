//! Fifteen lines to the first answer: three sources, two opinions.

use stemedb_api::{
    Database, DatabaseOptions, Query,
    core::{Assertion, Lens, Object},
};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let db = Database::create(folder.path().join("claims"), DatabaseOptions::default())?;
    for (kelvin, source) in [("373.15", "COMMON_CHEMISTRY"), ("373.15", "YAWS"), ("373.1339", "WIKIDATA")] {
        let boils = Object::Number(kelvin.into());
        db.assert(Assertion::new("cas:7732-18-5", "boiling_point_K", boils, source))?;
    }
    let asked = db.query(Query::new("cas:7732-18-5", "boiling_point_K", Lens::Consensus))?;
    for value in &asked.answer.values {
        println!("{:?}: {:.0} % of the support", value.object, 100.0 * value.share);
    }
    println!("{}, conflict {:.2}", asked.answer.status.name(), asked.answer.conflict_score);
    Ok(db.close()?)
}
