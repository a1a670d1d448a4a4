//! Every route once, by the client for Rust.

use std::{collections::BTreeMap, io::Read, time::Duration};

use stemedb_client::{
    Agent, AgentKey, Assertion, ChangeRecord, Client, Cosignature, DiffQuery, Epoch, Error, ExportQuery,
    FeedQuery, Format, HistoryQuery, ImportOptions, Lens, Listing, Moment, OnError, Position, Question,
    Record, Scope, Source, Status, Supersession, SupersessionKind, Value, Voice, Vote, Watch,
};

use crate::{coverage, server::Server};

const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn the_client_uses_every_operation_and_understands_what_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let (data, target) = (dir.path().join("db"), dir.path().join("backups"));
    let server =
        Server::start_with(&data, &["--bind", "127.0.0.1:0", "--backup-to", target.to_str().unwrap()]);
    let client = Client::new(&server.url()).unwrap();
    let watched =
        client.watch("team/one", &Watch { lens: Some(Lens::Authority), ..Watch::new("cas:1", "density") });
    assert!(watched.unwrap().created);

    let claims = write(&client);
    ask(&client, &claims);
    list(&client);
    follow(&client);
    watch(&client);
    import(&client);
    export(&client);
    look_after(&client);
    coverage::is_whole(&server.url());
    let (code, log) = server.stop();
    assert_eq!(code, Some(0), "{log}");
}

fn claim(value: impl Into<Value>, source: &str) -> Assertion {
    Assertion::new("cas:1", "density", value, source)
}

/// Ids of claims by what they are for.
fn write(client: &Client) -> BTreeMap<&'static str, String> {
    let key = AgentKey::from_seed(&[7; 32]);
    let me = key.agent().to_string();
    assert!(client.source(&Source::new("handbook", 0)).unwrap().created);
    assert!(
        client.source(&Source { title: Some("A blog".into()), ..Source::new("blog", 5) }).unwrap().created
    );
    assert!(
        client
            .agent(&Agent { name: Some("desk".into()), class: Some(0), ..Agent::new(&me) })
            .unwrap()
            .created
    );
    assert!(client.epoch(&Epoch::new("2026")).unwrap().created);

    let mut signed = Assertion {
        confidence: Some(0.9),
        author: Some(me.clone()),
        observed_at: Some("2026-01-02T03:04:05Z".into()),
        ..claim(Value::Number("1.050".into()), "handbook")
    };
    signed.sign(&key).unwrap();
    let first = client.assert(&signed).unwrap();
    assert_eq!(first.id.as_deref(), Some(&*signed.id().unwrap()), "the server has another id");
    let again = client.assert(&signed).unwrap();
    assert!(!again.created && again.id == first.id);
    let first = first.id.unwrap();
    let other = client.assert(&claim(1.1, "blog")).unwrap().id.unwrap();
    let derived = Assertion { parents: vec![first.clone()], ..Assertion::new("cas:1", "weight", 7, "blog") };
    let derived = client.assert(&derived).unwrap().id.unwrap();

    let mut vote = Vote::new(&first, "", 0.5);
    vote.reason = Some("measured".into());
    vote.sign(&key).unwrap();
    assert!(client.vote(&vote).unwrap().created && !client.vote(&vote).unwrap().created);
    let old = client.assert(&claim(9.9, "blog")).unwrap().id.unwrap();
    let mut correction = Supersession::replace(&old, &other, SupersessionKind::Corrects);
    correction.reason = Some("misread".into());
    correction.sign(&key).unwrap();
    assert!(client.supersede(&correction).unwrap().created);

    let refused = client.assert(&claim("", "x\u{7}")).unwrap_err();
    let problem = refused.problem().unwrap();
    assert!(problem.status == 422 && problem.request_id.is_some(), "{problem:?}");
    assert_eq!(problem.errors[0].pointer.as_deref(), Some("/source"));
    BTreeMap::from([("first", first), ("other", other), ("derived", derived), ("old", old), ("agent", me)])
}

fn ask(client: &Client, claims: &BTreeMap<&'static str, String>) {
    let question = Question {
        explain: true,
        receipt: true,
        fragility: true,
        ..Question::new("cas:1", "density").lens(Lens::Authority)
    };
    let answer = client.query(&question).unwrap();
    assert_eq!(answer.value, Some(Value::Number("1.050".into())));
    assert_eq!((answer.lens.clone(), answer.status.clone()), (Lens::Authority, Status::Contested));
    assert_eq!(answer.winners, [claims["first"].clone()]);
    assert!(answer.explain.is_some() && answer.fragility.unwrap().at_most >= 1);
    assert!(answer.receipt.unwrap().as_json().contains("\"signature\""));
    assert_eq!(answer.set_aside[0].by.as_ref(), Some(&claims["other"]));
    let candidate = answer.candidates.iter().find(|candidate| candidate.id == claims["first"]).unwrap();
    assert!(candidate.votes[0].weight == 0.5 && candidate.signers == [claims["agent"].clone()]);

    // Every lens, and every parameter that changes an answer.
    for lens in [Lens::Recency, Lens::Consensus, Lens::Confidence, Lens::Skeptic, Lens::Layered] {
        assert_eq!(client.query(&Question::new("cas:1", "density").lens(lens.clone())).unwrap().lens, lens);
    }
    let narrowed = Question {
        without: vec![Voice::Source("handbook".into())],
        tolerance: Some("0.1%".into()),
        max_class: Some(5),
        independent: true,
        decay: true,
        evaluated_at: Some("2026-11-01T00:00:00Z".into()),
        ..Question::new("cas:1", "density")
    };
    let narrowed = client.query(&narrowed).unwrap();
    assert!(narrowed.decay && narrowed.set_aside.iter().any(|one| one.reason == "excluded"), "{narrowed:?}");
    let nothing = client.query(&Question::new("cas:1", "colour")).unwrap();
    assert_eq!((nothing.status, nothing.value), (Status::Unknown, None));
    let early = client.query(&Question::new("cas:1", "density").as_of(5)).unwrap();
    assert_eq!((early.lsn, early.considered), (5, 1));
    let known = Question { known_at: Some(Moment::Lsn(5)), ..Question::new("cas:1", "density") };
    assert_eq!(client.query(&known).unwrap().known.unwrap().latest_lsn_used, Some(5));
    let later = client.query(&Question::new("cas:1", "density").as_of("nonsense")).unwrap_err();
    assert_eq!(later.problem().unwrap().errors[0].parameter.as_deref(), Some("as_of"));

    let skeptic = client.skeptic(&Question::new("cas:1", "density")).unwrap();
    assert!(skeptic.conflict_score > 0.0 && skeptic.values.len() == 2, "{skeptic:?}");
    let layered = client.layered(&Question::new("cas:1", "density")).unwrap();
    assert_eq!(layered.layers.iter().map(|layer| layer.class).collect::<Vec<_>>(), [0, 5]);

    let stored = client.assertion(&claims["first"]).unwrap();
    assert_eq!(stored.assertion.object, Value::Number("1.050".into()));
    // What was stored is the same claim when it is sent again.
    assert_eq!(stored.assertion.id().unwrap(), claims["first"]);
    assert_eq!(client.assertion(&"00".repeat(32)).unwrap_err().code(), Some("claim_not_found"));
    let history =
        client.history(&claims["old"], &HistoryQuery { limit: Some(10), ..HistoryQuery::default() }).unwrap();
    assert_eq!(history.chain.links[0].kind, SupersessionKind::Corrects);
    let votes = client.history(&claims["first"], &HistoryQuery::default()).unwrap();
    assert!(votes.remarks.iter().any(|remark| remark.weight == Some(0.5)), "{votes:?}");
    let impact = client.impact(&claims["first"], None).unwrap();
    assert_eq!((impact.direct, impact.nearest[0].id.as_str()), (1, claims["derived"].as_str()));
    assert_eq!(client.agent_known(&claims["agent"], None).unwrap().name.as_deref(), Some("desk"));

    let query = DiffQuery { all_lenses: true, limit: Some(1), ..DiffQuery::since(4) };
    let changed: Vec<String> = client.changes(&query).map(|change| change.unwrap().predicate).collect();
    assert_eq!(changed, ["density", "weight"]);
    let diff = client.diff(&DiffQuery::since(4)).unwrap();
    assert!(diff.changes[0].answers[0].changed && diff.changes[0].claims.len() == 3, "{diff:?}");
}

fn list(client: &Client) {
    let paged = Listing { limit: Some(1), ..Listing::about("cas:1") };
    assert_eq!(client.claims(&paged).map(Result::unwrap).count(), 4);
    let numbers = Listing {
        predicate: Some("density".into()),
        min: Some("1.05".into()),
        max: Some("2".into()),
        ..Listing::all()
    };
    assert_eq!(client.claims(&numbers).map(Result::unwrap).count(), 2);
    let questions: Vec<_> = client.questions(&Listing::prefix("cas:")).map(Result::unwrap).collect();
    assert_eq!(
        questions.iter().map(|one| (one.predicate.as_str(), one.claims)).collect::<Vec<_>>(),
        [("density", 3), ("weight", 1)]
    );
    let conflicts: Vec<_> = client.conflicts(0.1).map(Result::unwrap).collect();
    assert_eq!(conflicts.iter().map(|one| one.predicate.as_str()).collect::<Vec<_>>(), ["density"]);
    assert_eq!(client.knowledge().unwrap().questions, 2);
    let mut bad = client.claims(&Listing { min: Some("1".into()), ..Listing::all() });
    assert!(matches!(bad.next(), Some(Err(Error::Refused(_)))) && bad.next().is_none());
}

fn follow(client: &Client) {
    let mut feed = client.feed(&FeedQuery { batch: Some(2), ..FeedQuery::default() });
    let changes: Vec<_> = feed.by_ref().map(Result::unwrap).collect();
    assert!(changes.windows(2).all(|pair| (pair[0].lsn, pair[0].ordinal) < (pair[1].lsn, pair[1].ordinal)));
    assert_eq!(changes.len(), 10);
    let signed = changes.iter().find(|change| change.kind == "assert").unwrap();
    let ChangeRecord::Assertion(claim) = signed.record().unwrap() else { panic!("{signed:?}") };
    assert_eq!((claim.object, claim.signatures.len()), (Value::Number("1.050".into()), 1));
    let behind = feed.position().unwrap();
    assert_eq!(behind, Position { timeline: 1, lsn: 11 });

    // Following, from where the first ended: told of what is written meanwhile.
    let mut following = client.feed(&FeedQuery::from(behind).following());
    let told = std::thread::spawn(move || following.next().unwrap().unwrap());
    client.epoch(&Epoch::new("2027")).unwrap();
    let told = told.join().unwrap();
    assert_eq!((told.lsn, told.kind.as_str()), (11, "epoch"));
    let ahead = client.feed(&FeedQuery::from(Position { timeline: 1, lsn: 1_000 })).next();
    assert_eq!(ahead.unwrap().unwrap_err().code(), Some("lsn_not_reached"));
}

fn watch(client: &Client) {
    let notices: Vec<_> = client.watch_events(&FeedQuery::default()).map(Result::unwrap).collect();
    let newest = notices.last().unwrap();
    assert!(newest.watch == "team/one" && newest.crossed.contains(&"value".to_owned()), "{notices:?}");
    assert_eq!(notices[0].before.status, Status::Unknown);
    let many = [Watch::new("a", "b").named("x/1"), Watch::new("a", "c").named("x/2")];
    assert_eq!(client.watch_many(&many).unwrap().created, 2);
    assert!(!client.watch("x/1", &Watch::new("a", "b")).unwrap().created);
    assert_eq!(client.watch("x/1", &Watch::new("a", "z")).unwrap_err().code(), Some("watch_exists"));
    assert_eq!(
        client.watches("x/").map(|watch| watch.unwrap().watch.id.unwrap()).collect::<Vec<_>>(),
        ["x/1", "x/2"]
    );
    assert_eq!(client.watch_known("team/one").unwrap().watch.lens, Some(Lens::Authority));
    assert!(client.unwatch("x/1").unwrap() && !client.unwatch("x/1").unwrap());
}

fn import(client: &Client) {
    let key = AgentKey::from_seed(&[8; 32]);
    let claims = (0..1_500_i64).map(|n| Assertion::new(format!("many:{n}"), "p", n, "import"));
    let mut verdicts = 0;
    let report = client.import(claims, &ImportOptions::default(), |verdict| {
        verdicts += 1;
        assert!(verdict.line == verdicts && verdict.created == Some(true), "{verdict:?}");
    });
    let report = report.unwrap();
    assert_eq!((report.complete, report.lines, report.created, verdicts), (true, 1_500, 1_500, 1_500));

    let id = Assertion::new("many:0", "p", 0, "import").id().unwrap();
    let mixed = || -> Vec<Record> {
        vec![
            Assertion::new("many:1", "p", 1, "import").into(),
            Assertion::new("", "p", 1, "import").into(),
            Vote::new(&id, key.agent().to_string(), 1.0).into(),
            Cosignature::new(&key, &id).unwrap().into(),
            Source::new("import", 3).into(),
            Epoch::new("2028").into(),
            Agent::new(key.agent().to_string()).into(),
            Supersession::retract(&id).into(),
        ]
    };
    let mut refused = Vec::new();
    let report = client.import(mixed(), &ImportOptions::default(), |verdict| {
        if !verdict.is_recorded() {
            refused.push((verdict.line, verdict.errors[0].pointer.clone().unwrap()));
        }
    });
    let report = report.unwrap();
    // Whoever nothing is known of may not retract what a source of class 3 says.
    assert_eq!(refused, [(2, "/subject".to_owned()), (8, "/old".to_owned())]);
    assert_eq!((report.created, report.existing, report.refused), (5, 1, 2));
    let stopping = ImportOptions { on_error: OnError::Stop };
    let report = client.import(mixed(), &stopping, |_| {}).unwrap();
    assert!(!report.complete && report.refused == 1, "{report:?}");

    let table = "subject,predicate,object,source\nwater,is,wet,me\nwater,is,,\n";
    let mut refused = 0;
    let report =
        client.import_document("text/csv", table.as_bytes(), &ImportOptions::default(), |_| refused += 1);
    assert_eq!((report.unwrap().created, refused), (1, 1));
}

fn export(client: &Client) {
    let mut text = String::new();
    let mut export =
        client.export(&ExportQuery { subject: Some("cas:1".into()), ..ExportQuery::default() }).unwrap();
    assert!(export.position().unwrap().lsn > 10);
    export.read_to_string(&mut text).unwrap();
    assert_eq!(text.lines().filter(|line| line.contains("\"record\":\"claim\"")).count(), 4, "{text}");
    let table = ExportQuery { format: Format::Csv, source: Some("blog".into()), ..ExportQuery::default() };
    let mut text = String::new();
    client.export(&table).unwrap().read_to_string(&mut text).unwrap();
    assert_eq!(text.lines().count(), 4, "{text}");
}

fn look_after(client: &Client) {
    let health = client.health().unwrap();
    assert!(health.status == "ok" && health.writable && health.more.contains_key("space"), "{health:?}");
    assert!(client.is_alive().unwrap());
    assert!(client.metrics().unwrap().contains("stemedb_http_requests_total"));
    assert!(client.openapi().unwrap()["paths"].is_object());
    let readiness = client.readiness().unwrap();
    assert!(readiness.ready && readiness.checks.iter().any(|check| check.name == "writable" && check.ok));

    let stats = client.storage_stats().unwrap();
    assert!(stats.checks.iter().any(|check| check.name == "sst_file_count"), "{stats:?}");
    let jobs = [client.compact(true).unwrap(), client.verify().unwrap(), client.backup(true).unwrap()];
    for job in jobs {
        let ended = client.wait_for(&job, PATIENCE).unwrap();
        assert!(ended.is_done() && ended.job == job.job, "{ended:?}");
    }
    let archived = client.wait_for(&client.archive(true).unwrap(), PATIENCE).unwrap();
    assert!(archived.is_done(), "{archived:?}");
    let status = client.backup_status().unwrap();
    assert!(status.job == archived.job && status.target.is_some(), "{status:?}");
    assert_eq!(client.jobs().unwrap().len(), 4);
    assert_eq!(client.job(999).unwrap_err().code(), Some("job_not_found"));

    assert!(client.scrub().unwrap().enabled && client.begin_scrub().unwrap().enabled);
    assert!(client.storage_events(0).unwrap().newest >= 1);
    assert!(client.slow_queries().unwrap().threshold_ms > 0);
    let level = client.log_level().unwrap();
    assert_eq!(client.set_log_level("debug", Some(60)).unwrap().level, "debug");
    assert_eq!(client.set_log_level(&level.configured, None).unwrap().until, None);
    assert_eq!(client.server_key().unwrap().server_key.len(), 64);

    let key =
        client.create_key(&[Scope::Read, Scope::Admin], "tour", None, Some("2099-01-01T00:00:00Z")).unwrap();
    assert!(key.key.as_ref().unwrap().starts_with("stemedb_"));
    let keys = client.keys().unwrap();
    assert!(keys.mode == "auto" && keys.keys[0].label == "tour" && keys.keys[0].key.is_none(), "{keys:?}");
    assert!(client.revoke_key(&key.id).unwrap());
}
