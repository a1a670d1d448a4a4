use stemedb_client::{Assertion, Client, Lens, Listing, Question, Source};

fn main() -> Result<(), stemedb_client::Error> {
    // STEMEDB_URL, else http://127.0.0.1:18180; STEMEDB_API_KEY where the server wants a key.
    let db = Client::from_env()?;

    db.source(&Source::new("handbook", 1))?;
    db.assert(&Assertion::new("cas:50-00-0", "melting_point_K", 181.15, "handbook"))?;
    let guess = Assertion {
        confidence: Some(0.4),
        ..Assertion::new("cas:50-00-0", "melting_point_K", 155.0, "forum")
    };
    let recorded = db.assert(&guess)?;
    println!("recorded at {}, new: {}", recorded.lsn, recorded.created);

    // What was written is read, without waiting for anything.
    let answer = db.query(&Question::new("cas:50-00-0", "melting_point_K").lens(Lens::Authority))?;
    for value in &answer.values {
        println!("{} says {:?}", value.value, value.sources);
    }
    println!("{}: {:?}", answer.status, answer.value);

    for claim in db.claims(&Listing::about("cas:50-00-0")) {
        let claim = claim?;
        println!("{} {} {}", claim.id, claim.assertion.predicate, claim.assertion.object);
    }
    Ok(())
}
