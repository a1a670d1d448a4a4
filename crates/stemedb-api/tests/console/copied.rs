use stemedb_api::{AsOf, Database, DatabaseOptions, Query, core::{Lens, SourceClass}, leave_out};

fn main() -> stemedb_api::Result<()> {
    let database = Database::open("stemedb-data", DatabaseOptions::default())?;
    let mut question = Query::new("cas:110-62-3", "flash_point_K", Lens::Authority);
    question.as_of = Some(AsOf::parse("3")?);
    question.counterfactual.max_class = SourceClass::new(4).ok();
    leave_out(&mut question.counterfactual, "source:IEC 60079-20-1 (2010)")?;
    question.tolerance = "0.1%".parse().ok();
    question.decay = true;
    let resolved = database.query(question)?;
    println!("{:?}: {}", resolved.answer.value, resolved.answer.status.name());
    database.close()
}
