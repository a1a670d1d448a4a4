//! A database that was exported and imported answers as the first one does.

use stemedb_api::{
    AsOf, ExportOptions, Format, Query,
    core::{
        AgentKey, Assertion, Command, Cosign, Epoch, Lens, Micros, Nano, Object, SignaturePolicy, Source,
        SourceClass, Supersession, SupersessionKind, Vote,
    },
    json::AnswerJson,
};
use stemedb_env::Lsn;

use crate::support::Db;

fn key(n: u8) -> AgentKey {
    AgentKey::from_seed(&[n; 32])
}

/// Signed claims of four sources about six questions, votes, co-signatures, corrections, an epoch that ends another.
fn history() -> Vec<Command> {
    let mut commands = Vec::new();
    for (n, source) in ["IUPAC", "CRC", "Wiki", "JOBACK"].iter().enumerate() {
        let class = SourceClass::new(n as u8).unwrap();
        commands.push(Command::Source(Source::new(*source, class)));
    }
    commands.push(Command::Epoch(Epoch::new("2019")));
    let mut ids = Vec::new();
    for n in 0..48_u8 {
        let source = ["IUPAC", "CRC", "Wiki", "JOBACK"][usize::from(n % 4)];
        let value = Object::Number(format!("37{}.{:02}", n % 3, n % 5));
        let mut claim = Assertion::new(format!("cas:{}", n % 6), "boiling_point_K", value, source);
        claim.observed_at = Some(Micros(1_700_000_000_000_000 + i64::from(n) * 3_600_000_000));
        claim.confidence = (n % 3 == 0).then_some(Nano(123_456_789 * i64::from(n % 8)));
        claim.epoch = (n % 7 == 0).then(|| "2019".to_owned());
        claim.author = Some(key(n % 5).agent());
        claim.sign(&key(n % 5));
        ids.push(claim.id());
        commands.push(Command::Assert(claim));
    }
    for n in 0..30_u8 {
        let id = ids[usize::from(n) * 7 % ids.len()];
        let mut vote = Vote::new(id, key(n % 4).agent(), Nano(i64::from(n) * 33_333_333 - 500_000_000));
        vote.reason = Some("checked \"twice\"\n".into());
        vote.sign(&key(n % 4));
        commands.push(Command::Vote(vote));
        if n % 6 == 0 {
            commands.push(Command::Cosign(Cosign::new(&key(9), id)));
        }
    }
    let mut corrected = Supersession::replace(ids[0], ids[6], SupersessionKind::Corrects);
    corrected.sign(&key(1));
    commands.push(Command::Supersede(corrected));
    let mut retracted = Supersession::retract(ids[13]);
    retracted.sign(&key(2));
    commands.push(Command::Supersede(retracted));
    let mut next = Epoch::new("2024");
    next.supersedes = Some("2019".into());
    commands.push(Command::Epoch(next));
    // The source of half of them is worth less than it seemed.
    commands.push(Command::Source(Source::new("Wiki", SourceClass::ANECDOTAL)));
    commands
}

/// All answers, without what belongs to the database that has them.
fn answers(db: &Db, as_of: Option<AsOf>) -> Vec<serde_json::Value> {
    let mut answers = Vec::new();
    for subject in 0..6 {
        for lens in Lens::ALL {
            for (decay, epoch) in [(false, None), (true, None), (false, Some("2019".to_owned()))] {
                let query = Query {
                    as_of,
                    decay,
                    epoch,
                    evaluated_at: Some(Micros(1_750_000_000_000_000)),
                    ..Query::new(format!("cas:{subject}"), "boiling_point_K", lens)
                };
                let resolved = db.query(query).unwrap();
                let mut answer = serde_json::to_value(AnswerJson::new(&resolved, true)).unwrap();
                let here = answer.as_object_mut().unwrap();
                here.remove("lsn");
                for candidate in here.get_mut("candidates").unwrap().as_array_mut().unwrap() {
                    let candidate = candidate.as_object_mut().unwrap();
                    candidate.remove("lsn").unwrap();
                    candidate.remove("recorded_at").unwrap();
                }
                for claim in here["explain"]["claims"].as_array_mut().unwrap() {
                    let claim = claim.as_object_mut().unwrap();
                    claim.remove("lsn").unwrap();
                    claim.remove("ordinal").unwrap();
                }
                answers.push(answer);
            }
        }
    }
    answers
}

#[test]
fn every_answer_is_the_same_with_signatures_that_verify() {
    let commands = history();
    let first = Db::new(SignaturePolicy::Required);
    for some in commands.chunks(5) {
        first.submit(some).unwrap();
    }
    let expected = answers(&first, None);
    for format in [Format::Jsonl, Format::NQuads, Format::TriG] {
        // Only signed records come in here at all: what signed them must be whole.
        let second = Db::new(SignaturePolicy::Required);
        let (report, refused) = second.import(&first.export(format), format);
        assert!(refused.0.is_empty(), "{refused:?}");
        assert_eq!(report.created, first.commands().len() as u64);
        assert_eq!(answers(&second, None), expected, "{format}");
    }
}

#[test]
fn an_export_of_a_moment_gives_the_answers_of_that_moment() {
    let first = Db::told(&history());
    let newest = first.published_lsn();
    for lsn in [Lsn(3), Lsn(newest.0 / 2), Lsn(newest.0 - 1)] {
        let as_of = Some(AsOf::Lsn(lsn));
        let (text, report) = first.export_with(ExportOptions { as_of, ..ExportOptions::default() });
        assert_eq!(report.lsn, lsn);
        let second = Db::new(SignaturePolicy::Off);
        let (_, refused) = second.import(&text, Format::Jsonl);
        assert!(refused.0.is_empty(), "{refused:?}");
        assert_eq!(answers(&second, None), answers(&first, as_of), "LSN {lsn}");
    }
}
