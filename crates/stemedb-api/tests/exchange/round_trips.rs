//! Random records through every format.

use proptest::{collection::vec, prelude::*};
use stemedb_api::{
    ExportOptions, Filter, Format,
    core::{Command, Cosign, Object, SignaturePolicy, Supersession, SupersessionKind, Vote},
    json::{RecordJson, exported},
};

use crate::{strategies, support::Db};

fn claims(most: usize) -> impl Strategy<Value = Vec<Command>> {
    vec(strategies::assertion().prop_map(Command::Assert), 1..most)
}

/// Claims, and records of every kind about them.
fn history() -> impl Strategy<Value = Vec<Command>> {
    let about = (any::<prop::sample::Index>(), any::<prop::sample::Index>(), strategies::command());
    (claims(8), vec(about, 0..16)).prop_map(|(mut commands, about)| {
        let known = commands.clone();
        let id = |index: &prop::sample::Index| match index.get(&known) {
            Command::Assert(claim) => claim.id(),
            _ => unreachable!("only claims so far"),
        };
        for (one, other, command) in about {
            // What random records refer to is not there: they are pointed at claims that are.
            commands.push(match command {
                Command::Vote(vote) => Command::Vote(Vote { assertion: id(&one), ..vote }),
                Command::Cosign(cosign) => Command::Cosign(Cosign { claim: id(&one), ..cosign }),
                Command::Supersede(change) => {
                    let new = change.new.map(|_| id(&other)).filter(|new| *new != id(&one));
                    let kind = match new {
                        Some(_) => change.kind,
                        None => SupersessionKind::Retracts,
                    };
                    Command::Supersede(Supersession { old: id(&one), new, kind, ..change })
                }
                other => other,
            });
        }
        commands
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn every_record_is_read_back_from_its_line(command in strategies::command()) {
        for (id, recorded) in [(None, None), (id_of(&command), Some(Default::default()))] {
            let line = serde_json::to_string(&RecordJson { command: &command, id, recorded }).unwrap();
            prop_assert!(!line.contains('\n'));
            let read = exported(line.as_bytes());
            prop_assert_eq!(read.as_ref(), Ok(&command), "{}", line);
        }
    }
}

fn id_of(command: &Command) -> Option<stemedb_api::core::ClaimId> {
    match command {
        Command::Assert(claim) => Some(claim.id()),
        _ => None,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn everything_comes_back_in_its_order(commands in history()) {
        let first = Db::told(&commands);
        for format in [Format::Jsonl, Format::NQuads, Format::TriG] {
            let text = first.export(format);
            let second = Db::new(SignaturePolicy::Off);
            let (report, refused) = second.import(&text, format);
            prop_assert!(refused.0.is_empty(), "{:?} {}", refused, text);
            prop_assert_eq!(report.lines, text.lines().count() as u64, "{}", format);
            prop_assert_eq!(second.commands(), first.commands(), "{}", format);
            // And again changes nothing.
            let published = second.published_lsn();
            let (again, refused) = second.import(&text, format);
            prop_assert_eq!((again.created, refused.0), (0, vec![]));
            prop_assert_eq!(second.published_lsn(), published);
        }
    }

    #[test]
    fn claims_come_back_from_formats_that_hold_nothing_else(commands in history()) {
        let first = Db::told(&commands);
        for format in [Format::Csv, Format::Nanopub] {
            let (text, written) = first.export_with(ExportOptions { format, ..ExportOptions::default() });
            let claims = first.claims();
            prop_assert_eq!(written.claims, claims.len() as u64);
            prop_assert_eq!(written.left_out, (first.commands().len() - claims.len()) as u64);
            let second = Db::new(SignaturePolicy::Off);
            let (report, refused) = second.import(&text, format);
            prop_assert!(refused.0.is_empty(), "{:?} {}", refused, text);
            prop_assert_eq!(report.created, claims.len() as u64);
            prop_assert_eq!(second.commands(), claims, "{}", format);
        }
    }

    #[test]
    fn the_quads_of_claims_may_come_in_any_order(
        commands in claims(8),
        order in vec(any::<u64>(), 400),
    ) {
        let first = Db::told(&commands);
        let text = first.export(Format::NQuads);
        let mut lines: Vec<(u64, &str)> = order.into_iter().cycle().zip(text.lines()).collect();
        lines.sort();
        let mixed: String = lines.iter().map(|(_, line)| format!("{line}\n")).collect();
        let second = Db::new(SignaturePolicy::Off);
        let (_, refused) = second.import(&mixed, Format::NQuads);
        prop_assert!(refused.0.is_empty(), "{:?}", refused);
        // A signature that came behind its complete claim has become a co-signature.
        let mut expected: Vec<_> = commands.iter().map(signed_by).collect();
        expected.sort();
        expected.dedup();
        let mut found: Vec<_> = second.claims().iter().map(|claim| with_cosigners(&second, claim)).collect();
        found.sort();
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn a_filter_lets_through_what_fits_and_what_belongs_to_it(commands in history()) {
        let first = Db::told(&commands);
        let Some(Command::Assert(some)) = first.claims().into_iter().next() else { panic!("a claim") };
        let filter = Filter { source: Some(some.source.clone()), ..Filter::default() };
        let (text, report) = first.export_with(ExportOptions { filter, ..ExportOptions::default() });
        let second = Db::new(SignaturePolicy::Off);
        let (_, refused) = second.import(&text, Format::Jsonl);
        prop_assert!(refused.0.is_empty(), "{:?}", refused);
        let of_source = |command: &Command| matches!(command, Command::Assert(claim) if claim.source == some.source);
        let wanted: Vec<Command> = first.claims().into_iter().filter(of_source).collect();
        prop_assert_eq!(second.claims(), wanted.clone());
        let ids: Vec<_> = wanted.iter().filter_map(id_of).collect();
        let (mut belongs, mut left_out) = (Vec::new(), 0);
        for command in first.commands() {
            let fits = match &command {
                Command::Assert(_) => of_source(&command),
                Command::Vote(vote) => ids.contains(&vote.assertion),
                Command::Cosign(cosign) => ids.contains(&cosign.claim),
                Command::Supersede(change) if ids.contains(&change.old) => {
                    let whole = change.new.is_none_or(|new| ids.contains(&new));
                    left_out += u64::from(!whole);
                    whole
                }
                Command::Supersede(_) => false,
                Command::Source(source) => source.id == some.source,
                Command::Epoch(_) | Command::Agent(_) => true,
            };
            if fits {
                belongs.push(command);
            }
        }
        prop_assert_eq!(second.commands(), belongs);
        prop_assert_eq!(report.left_out, left_out);
    }
}

type Signed = (String, Vec<String>);

fn signed_by(command: &Command) -> Signed {
    let Command::Assert(claim) = command else { panic!("not a claim") };
    let mut signers: Vec<String> =
        claim.signatures.iter().map(|signature| format!("{}{}", signature.agent, signature.bytes)).collect();
    signers.sort();
    (claim.id().to_string(), signers)
}

fn with_cosigners(db: &Db, command: &Command) -> Signed {
    let (id, mut signers) = signed_by(command);
    let late = db.reader(None).unwrap().cosignatures(id.parse().unwrap()).unwrap();
    signers.extend(late.iter().map(|(_, cosign)| format!("{}{}", cosign.agent, cosign.signature)));
    signers.sort();
    (id, signers)
}

#[test]
fn memory_for_one_record_is_enough_for_all() {
    let claims: Vec<Command> = (0..40)
        .map(|n| {
            let object = Object::Integer(n);
            Command::Assert(stemedb_api::core::Assertion::new(format!("s{}", n % 7), "p", object, "src"))
        })
        .collect();
    let db = Db::told(&claims);
    let whole = db.export(Format::Jsonl);
    let (bit_by_bit, report) = db.export_with(ExportOptions { memory_bytes: 1, ..ExportOptions::default() });
    assert_eq!((bit_by_bit, report.claims), (whole, 40));
}
