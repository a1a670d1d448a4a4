//! Every rule of the records, at its edge, and the field that an error names.

use stemedb_core::{
    Agent, AgentId, Assertion, ClaimId, Epoch, Micros, ModelError, Nano, Object, Problem, Signature,
    SignatureBytes, Source, SourceClass, Supersession, SupersessionKind, Vote, model,
};

fn claim() -> Assertion {
    Assertion::new("s", "p", Object::Integer(1), "x")
}

fn problem_of(change: impl FnOnce(&mut Assertion)) -> Option<(&'static str, Problem)> {
    let mut claim = claim();
    change(&mut claim);
    claim.validate().err().map(|ModelError { field, problem }| (field, problem))
}

#[test]
fn names_have_one_to_512_bytes_and_no_control_characters() {
    type Slot = fn(&mut Assertion) -> &mut String;
    let slots: [(&str, Slot); 4] = [
        ("/subject", |c| &mut c.subject),
        ("/predicate", |c| &mut c.predicate),
        ("/source", |c| &mut c.source),
        ("/epoch", |c| c.epoch.get_or_insert_default()),
    ];
    for (field, slot) in slots {
        let with = |text: &str| problem_of(|claim| *slot(claim) = text.to_owned());
        assert_eq!(with(&"é".repeat(256)), None, "{field}");
        assert_eq!(with("rfc://2616 Ω"), None, "{field}");
        assert_eq!(with(""), Some((field, Problem::Empty)));
        assert_eq!(with(&"x".repeat(513)), Some((field, Problem::TooLong { len: 513, max: 512 })));
        for control in ["a\0", "a\n", "a\u{7f}", "a\u{85}"] {
            assert_eq!(with(control), Some((field, Problem::ControlCharacter { at: 1 })));
        }
    }
}

#[test]
fn objects_obey_the_rules_of_their_type() {
    let with = |object| {
        problem_of(|claim| claim.object = object).map(|(field, problem)| {
            assert_eq!(field, "/object");
            problem
        })
    };
    let max = model::OBJECT_MAX_BYTES;
    assert_eq!(with(Object::Text("x".repeat(max))), None);
    assert_eq!(with(Object::Text("x".repeat(max + 1))), Some(Problem::TooLong { len: max + 1, max }));
    assert_eq!(with(Object::Text("\n\u{1}".to_owned())), None);
    assert_eq!(with(Object::Text("ab\0".to_owned())), Some(Problem::Nul { at: 2 }));
    assert_eq!(with(Object::Number("1.50".to_owned())), None);
    assert_eq!(with(Object::Number("1.".to_owned())), Some(Problem::NotANumber));
    assert_eq!(with(Object::Time("2024-01-01".to_owned())), Some(Problem::NotATime));
    assert_eq!(with(Object::Reference(String::new())), Some(Problem::Empty));
    assert_eq!(with(Object::Json("[1,2]".to_owned())), None);
    assert_eq!(with(Object::Json("[1, 2]".to_owned())), Some(Problem::NotCanonicalJson));
    assert_eq!(with(Object::Json("[1,2".to_owned())), Some(Problem::NotJson { at: 4 }));
}

#[test]
fn numbers_times_and_lists_of_a_claim_keep_their_bounds() {
    for (nano, allowed) in [(0, true), (1_000_000_000, true), (-1, false), (1_000_000_001, false)] {
        let problem = problem_of(|claim| claim.confidence = Some(Nano(nano)));
        assert_eq!(problem, (!allowed).then_some(("/confidence", Problem::OutOfRange { min: 0, max: 1 })));
    }
    let valid = |from, to| {
        problem_of(|claim| (claim.valid_from, claim.valid_to) = (Some(Micros(from)), Some(Micros(to))))
    };
    assert_eq!(valid(1, 2), None);
    assert_eq!(valid(2, 2), Some(("/valid_to", Problem::EmptyInterval)));

    let parents = |count: u8| (0..count).map(|n| ClaimId([n; 32])).collect::<Vec<_>>();
    assert_eq!(problem_of(|claim| claim.parents = parents(64)), None);
    let too_many = Problem::TooMany { count: 65, max: 64 };
    assert_eq!(problem_of(|claim| claim.parents = parents(65)), Some(("/parents", too_many)));
    let unsorted = vec![ClaimId([2; 32]), ClaimId([1; 32]), ClaimId([2; 32])];
    assert_eq!(problem_of(|claim| claim.parents = unsorted.clone()), Some(("/parents", Problem::NotSorted)));
    assert_eq!(
        problem_of(|claim| {
            claim.parents = unsorted.clone();
            claim.normalize()
        }),
        None
    );

    let signatures = |count: u8| -> Vec<Signature> {
        (0..count).map(|n| Signature { agent: AgentId([n; 32]), bytes: SignatureBytes([0; 64]) }).collect()
    };
    assert_eq!(problem_of(|claim| claim.signatures = signatures(64)), None);
    assert_eq!(problem_of(|claim| claim.signatures = signatures(65)), Some(("/signatures", too_many)));
    let twice = [signatures(1), signatures(1)].concat();
    assert_eq!(problem_of(|claim| claim.signatures = twice), Some(("/signatures", Problem::NotSorted)));
}

#[test]
fn votes_weigh_between_minus_one_and_one() {
    let vote = |weight| Vote::new(ClaimId([1; 32]), AgentId([2; 32]), Nano(weight));
    assert_eq!(vote(1_000_000_000).validate(), Ok(()));
    assert_eq!(vote(-1_000_000_000).validate(), Ok(()));
    let refused = Err(ModelError::at("/weight", Problem::OutOfRange { min: -1, max: 1 }));
    assert_eq!(vote(1_000_000_001).validate(), refused);
    assert_eq!(vote(-1_000_000_001).validate(), refused);
    let mut long = vote(0);
    long.reason = Some("x".repeat(4097));
    assert_eq!(long.validate(), Err(ModelError::at("/reason", Problem::TooLong { len: 4097, max: 4096 })));
}

#[test]
fn a_supersession_retracts_exactly_when_it_has_no_successor() {
    let (old, new) = (ClaimId([1; 32]), ClaimId([2; 32]));
    for kind in SupersessionKind::ALL {
        let retracts = kind == SupersessionKind::Retracts;
        assert_eq!(Supersession::replace(old, new, kind).validate().is_err(), retracts, "{kind}");
        let without = Supersession { kind, ..Supersession::retract(old) };
        assert_eq!(without.validate().is_err(), !retracts, "{kind}");
        assert_eq!(kind.to_string().parse(), Ok(kind));
    }
    let itself = Supersession::replace(old, old, SupersessionKind::Refines);
    assert_eq!(itself.validate(), Err(ModelError::at("/new", Problem::SelfReference)));
    let mut nobody = Supersession::retract(old);
    nobody.signature = Some(SignatureBytes([0; 64]));
    assert_eq!(nobody.validate(), Err(ModelError::at("/agent", Problem::MissingAgent)));
}

#[test]
fn epochs_and_sources_keep_their_bounds() {
    let mut epoch = Epoch::new("e");
    assert_eq!(epoch.validate(), Ok(()));
    epoch.supersedes = Some("e".to_owned());
    assert_eq!(epoch.validate(), Err(ModelError::at("/supersedes", Problem::SelfReference)));
    epoch.supersedes = None;
    (epoch.from, epoch.to) = (Some(Micros(1)), Some(Micros(0)));
    assert_eq!(epoch.validate(), Err(ModelError::at("/to", Problem::EmptyInterval)));

    let mut source = Source::new("x", SourceClass::ANECDOTAL);
    source.uri = Some("u".repeat(2048));
    assert_eq!(source.validate(), Ok(()));
    source.uri = Some("u".repeat(2049));
    assert_eq!(source.validate(), Err(ModelError::at("/uri", Problem::TooLong { len: 2049, max: 2048 })));
    source.title = Some(String::new());
    assert_eq!(source.validate(), Err(ModelError::at("/title", Problem::Empty)));
    assert!(SourceClass::new(5).is_ok() && SourceClass::new(6).is_err());
}

#[test]
fn agents_keep_their_bounds_and_an_unknown_one_is_trusted_by_half() {
    let mut agent = Agent::new(AgentId([1; 32]));
    assert_eq!(agent.validate(), Ok(()));
    assert_eq!((agent.rank(), agent.trusted()), (SourceClass::ANECDOTAL, Nano::HALF));
    agent.trust = Some(Nano(1_000_000_001));
    let refused = Err(ModelError::at("/trust", Problem::OutOfRange { min: 0, max: 1 }));
    assert_eq!(agent.validate(), refused);
    agent.trust = Some(Nano(-1));
    assert_eq!(agent.validate(), refused);
    agent.trust = Some(Nano::ZERO);
    assert_eq!((agent.validate(), agent.trusted()), (Ok(()), Nano::ZERO));
    agent.name = Some("a\u{1}".to_owned());
    let refused = ModelError::at("/name", Problem::ControlCharacter { at: 1 });
    assert_eq!(agent.validate(), Err(refused));
}

#[test]
fn a_claim_is_out_of_another_or_a_superseded_epoch() {
    use model::is_out_of_epoch;
    assert!(!is_out_of_epoch(None, Some("a"), |_| panic!("not asked")));
    assert!(!is_out_of_epoch(None, None, |_| panic!("not asked")));
    assert!(!is_out_of_epoch(Some("a"), Some("a"), |_| panic!("not asked")));
    assert!(is_out_of_epoch(Some("a"), Some("b"), |_| panic!("not asked")));
    assert!(is_out_of_epoch(Some("a"), None, |epoch| epoch == "a"));
    assert!(!is_out_of_epoch(Some("b"), None, |epoch| epoch == "a"));
}

#[test]
fn ids_print_and_parse_as_hexadecimal() {
    let id = ClaimId(std::array::from_fn(|n| n as u8 * 7));
    let text = id.to_string();
    assert_eq!(text.len(), 64);
    assert_eq!(text.parse(), Ok(id));
    assert_eq!(text.to_uppercase().parse(), Ok(id));
    for wrong in [&text[1..], &format!("{text}0"), &text.replace('0', "g"), "", "é"] {
        assert_eq!(wrong.parse::<ClaimId>(), Err(Problem::NotHex { digits: 64 }));
    }
    assert!("00".repeat(64).parse::<SignatureBytes>().is_ok());
}

#[test]
fn fractions_print_exactly() {
    for (nano, text) in [
        (0, "0"),
        (1, "0.000000001"),
        (500_000_000, "0.5"),
        (-250_000_000, "-0.25"),
        (1_000_000_000, "1"),
        (-1_500_000_000, "-1.5"),
    ] {
        assert_eq!(Nano(nano).to_string(), text);
        assert_eq!(Nano::parse_json_number(text), Ok(Nano(nano)));
    }
    assert_eq!(Nano::ratio(1, 3), Nano(333_333_333));
    assert_eq!(Nano::ratio(2, 3), Nano(666_666_667));
    assert_eq!(Nano::ratio(i64::MAX, i64::MAX), Nano::ONE);
    assert_eq!((Nano::ratio(1, 0), Nano::ratio(-1, 2)), (Nano::ZERO, Nano::ZERO));
}
