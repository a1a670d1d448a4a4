//! Cuts a small sample out of a large file of claims: every claim of about 150 subjects, some of them
//! household names, the others those about which the sources disagree most. Same input, same sample.
//!
//! ```text
//! sample SOURCES.json SAMPLE-SOURCES.json < claims.jsonl > sample.jsonl
//! ```
//!
//! `SAMPLE-SOURCES.json` is written with the sources that occur in the sample and their number of claims there.

#![deny(clippy::unwrap_used, clippy::expect_used)]
// A developer's command-line tool: it reads and writes two plain files by name.
#![allow(clippy::disallowed_methods)]

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::io::{self, BufRead, Write};
use stemedb_oracle::{Value, World};

const SUBJECTS: usize = 150;
/// A subject that is not chosen by hand may not be longer, so that many fit.
const MAX_CLAIMS_PER_SUBJECT: usize = 24;
/// Disagreement counts among sources of this class or better: compilations, not estimates.
const WORST_CLASS: u8 = 3;
/// Fewer claims than this are too few to speak of disagreement.
const MIN_CLAIMS: usize = 3;
/// Whose numbers differ by definition, as the horizon of a warming potential does.
const NOT_COMPARED: &str = "gwp";

/// Well known, or with a disagreement worth showing: CAS numbers.
const CHOSEN: [&str; 56] = [
    "7732-18-5",  // water
    "64-17-5",    // ethanol
    "71-43-2",    // benzene
    "67-64-1",    // acetone
    "74-82-8",    // methane
    "58-08-2",    // caffeine
    "50-78-2",    // aspirin
    "67-56-1",    // methanol
    "7664-41-7",  // ammonia
    "124-38-9",   // carbon dioxide
    "7727-37-9",  // nitrogen
    "7782-44-7",  // oxygen
    "7440-59-7",  // helium
    "1333-74-0",  // hydrogen
    "7440-37-1",  // argon
    "7439-97-6",  // mercury
    "75-71-8",    // dichlorodifluoromethane
    "2551-62-4",  // sulfur hexafluoride
    "85-01-8",    // phenanthrene
    "110-62-3",   // pentanal
    "91-20-3",    // naphthalene
    "108-88-3",   // toluene
    "50-00-0",    // formaldehyde
    "64-19-7",    // acetic acid
    "7664-93-9",  // sulfuric acid
    "7697-37-2",  // nitric acid
    "7647-01-0",  // hydrogen chloride
    "7647-14-5",  // sodium chloride
    "57-50-1",    // sucrose
    "50-99-7",    // glucose
    "56-81-5",    // glycerol
    "67-66-3",    // chloroform
    "60-29-7",    // diethyl ether
    "10024-97-2", // nitrous oxide
    "74-98-6",    // propane
    "811-97-2",   // 1,1,1,2-tetrafluoroethane
    "75-50-3",    // trimethylamine
    "100-41-4",   // ethylbenzene
    "7440-57-5",  // gold
    "7439-89-6",  // iron
    "7440-06-4",  // platinum
    "7782-50-5",  // chlorine
    "7440-23-5",  // sodium
    "302-01-2",   // hydrazine
    "10028-15-6", // ozone
    "57-13-6",    // urea
    "57-88-5",    // cholesterol
    "103-90-2",   // paracetamol
    "15687-27-1", // ibuprofen
    "118-96-7",   // trinitrotoluene
    "65-85-0",    // benzoic acid
    "108-95-2",   // phenol
    "79-38-9",    // chlorotrifluoroethylene
    "106-49-0",   // p-toluidine
    "463-49-0",   // allene
    "1191-95-3",  // cyclobutanone
];

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(sources_in), Some(sources_out)) = (arguments.next(), arguments.next()) else {
        return Err("usage: sample SOURCES.json SAMPLE-SOURCES.json < claims.jsonl > sample.jsonl".into());
    };
    let sources_json = std::fs::read_to_string(sources_in)?;
    let lines: Vec<String> = io::stdin().lock().lines().collect::<Result<_, _>>()?;
    let mut reader = io::Cursor::new(lines.join("\n"));
    let world = World::read_jsonl(&mut reader, &sources_json)?;
    drop(reader);

    let subjects = choose(&world, &classes(&sources_json)?);
    let mut claims_of_source: BTreeMap<&str, u64> = BTreeMap::new();
    let mut out = io::stdout().lock();
    for claim in world.claims().iter().filter(|claim| subjects.contains(claim.subject.as_str())) {
        *claims_of_source.entry(&claim.source).or_default() += 1;
        // A claim's LSN is its line number.
        let line = usize::try_from(claim.lsn)?;
        writeln!(out, "{}", lines.get(line - 1).ok_or("a claim without a line")?)?;
    }
    std::fs::write(sources_out, reduced(&sources_json, &claims_of_source)?)?;
    Ok(())
}

/// Source → class.
fn classes(sources_json: &str) -> Result<BTreeMap<String, u8>, Box<dyn Error>> {
    let mut classes = BTreeMap::new();
    for source in serde_json::from_str::<Vec<serde_json::Value>>(sources_json)? {
        let id = source["id"].as_str().ok_or("a source without an id")?;
        let class = source["class"].as_u64().ok_or("a source without a class")?;
        classes.insert(id.to_string(), u8::try_from(class)?);
    }
    Ok(classes)
}

/// The hand-picked subjects, then in turn from each predicate the subject with the widest spread.
fn choose<'w>(world: &'w World, classes: &BTreeMap<String, u8>) -> BTreeSet<&'w str> {
    let mut length: BTreeMap<&str, usize> = BTreeMap::new();
    let mut numbers: BTreeMap<(&str, &str), Vec<f64>> = BTreeMap::new();
    for claim in world.claims() {
        *length.entry(&claim.subject).or_default() += 1;
        if let Value::Number(text) | Value::Integer(text) = &claim.object
            && classes.get(&claim.source).is_some_and(|class| *class <= WORST_CLASS)
            && claim.predicate != NOT_COMPARED
            && let Ok(number) = text.parse()
        {
            numbers.entry((&claim.subject, &claim.predicate)).or_default().push(number);
        }
    }

    // Predicate → subjects by spread, the widest last.
    let mut ranked: BTreeMap<&str, Vec<(u64, &str)>> = BTreeMap::new();
    for ((subject, predicate), said) in numbers {
        let short = length.get(subject).is_some_and(|length| *length <= MAX_CLAIMS_PER_SUBJECT);
        if said.len() >= MIN_CLAIMS && short {
            ranked.entry(predicate).or_default().push((spread_ppm(&said), subject));
        }
    }
    ranked.values_mut().for_each(|subjects| subjects.sort_unstable());

    let chosen: BTreeSet<String> = CHOSEN.iter().map(|cas| format!("cas:{cas}")).collect();
    let mut subjects: BTreeSet<&str> = length.keys().copied().filter(|s| chosen.contains(*s)).collect();
    while subjects.len() < SUBJECTS && ranked.values().any(|left| !left.is_empty()) {
        for left in ranked.values_mut() {
            // One may be the widest of two predicates; then the next one takes its place.
            while let Some((_, subject)) = left.pop() {
                if subjects.len() >= SUBJECTS || subjects.insert(subject) {
                    break;
                }
            }
        }
    }
    subjects
}

/// Difference of the extremes relative to the greatest magnitude, in millionths (an integer, so that it can rank).
fn spread_ppm(numbers: &[f64]) -> u64 {
    let (mut least, mut greatest) = (f64::INFINITY, f64::NEG_INFINITY);
    for &number in numbers {
        least = least.min(number);
        greatest = greatest.max(number);
    }
    let magnitude = least.abs().max(greatest.abs());
    if magnitude == 0.0 { 0 } else { ((greatest - least) / magnitude * 1e6).round() as u64 }
}

/// The sources that occur, one a line, in the order of the full list.
fn reduced(sources_json: &str, claims: &BTreeMap<&str, u64>) -> Result<String, Box<dyn Error>> {
    let mut written = Vec::new();
    for source in serde_json::from_str::<Vec<serde_json::Value>>(sources_json)? {
        let Some(count) = source["id"].as_str().and_then(|id| claims.get(id)) else { continue };
        written.push(format!(
            "{{\"id\": {}, \"class\": {}, \"title\": {}, \"claims\": {count}}}",
            source["id"], source["class"], source["title"]
        ));
    }
    Ok(format!("[\n{}\n]\n", written.join(",\n")))
}
