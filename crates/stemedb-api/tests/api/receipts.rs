//! Receipts: what they say is what was answered, they hold as long as the content is the same, and not a bit longer.

use serde_json::{Value, json};
use stemedb_api::{
    AsOf, Code, Database, Query, ReceiptError, RootCheck, RouterOptions, check_document,
    core::{
        AgentKey, Assertion, Command, Epoch, Lens, Micros, Nano, Object, SignedReceipt, Source, SourceClass,
        Supersession, SupersessionKind, Vote,
    },
    json::{AnswerJson, ReceiptJson},
    read_receipt,
};
use stemedb_env::Lsn;

use crate::support::{Server, database, tiny};

/// Claims that disagree about one question, with everything that can happen to them.
fn fill(database: &Database) {
    let claim = |value: &str, source: &str| Assertion::new("s", "p", Object::Number(value.into()), source);
    let key = AgentKey::from_seed(&[1; 32]);
    database.source(Source::new("A", SourceClass::REGULATORY)).unwrap();
    let mut signed = claim("511.150", "A");
    signed.observed_at = Some(Micros(1_600_000_000_000_000));
    signed.confidence = Some(Nano(900_000_000));
    signed.sign(&key);
    let mut in_epoch = claim("520", "B");
    in_epoch.epoch = Some("old".to_owned());
    let (wrong, right) = (claim("0.5", "C"), claim("515.18", "C"));
    let commands =
        [signed.clone(), in_epoch, wrong.clone(), right.clone(), claim("511.15", "D"), claim("1", "E")];
    database.submit(&commands.map(Command::Assert)).unwrap();
    let mut vote = Vote::new(right.id(), key.agent(), Nano(750_000_000));
    vote.sign(&key);
    database.vote(vote).unwrap();
    database.supersede(Supersession::replace(wrong.id(), right.id(), SupersessionKind::Corrects)).unwrap();
    database.supersede(Supersession::retract(claim("1", "E").id())).unwrap();
    database.epoch(Epoch { supersedes: Some("old".to_owned()), ..Epoch::new("new") }).unwrap();
}

fn question(lens: Lens) -> Query {
    Query { evaluated_at: Some(Micros(1_650_000_000_000_000)), ..Query::new("s", "p", lens) }
}

fn json_of(receipt: &SignedReceipt) -> Vec<u8> {
    serde_json::to_vec(&ReceiptJson(receipt)).unwrap()
}

#[test]
fn a_receipt_says_what_the_answer_says() {
    let (database, _dir) = database();
    fill(&database);
    for lens in Lens::ALL {
        let query = Query { decay: true, ..question(lens) };
        let (resolved, receipt) = database.query_with_receipt(query.clone()).unwrap();
        assert_eq!(resolved, database.query(query).unwrap());
        let answer =
            serde_json::to_value(AnswerJson::new(&resolved, true).with_receipt(Some(&receipt))).unwrap();
        let said = &answer["receipt"];
        let claims = said["claims"].as_array().unwrap();
        assert_eq!(claims.len(), 6);
        let place = |id: &Value| claims.iter().find(|claim| claim["id"] == *id).unwrap();
        for (figure, number) in said["answer"]["figures"].as_object().unwrap() {
            let shown = match figure.as_str() {
                "total_support" => &answer["explain"]["total_support"],
                name => &answer[name],
            };
            assert_eq!(number, shown, "{lens} {figure}");
        }
        for member in ["value", "status", "winners"] {
            assert_eq!(said["answer"][member], answer[member], "{lens} {member}");
        }
        for (value, shown) in
            said["answer"]["values"].as_array().unwrap().iter().zip(answer["values"].as_array().unwrap())
        {
            assert_eq!(value["value"], shown["value"]);
            assert_eq!(value["figures"], json!({"share": shown["share"], "support": shown["support"]}));
        }
        for set_aside in answer["set_aside"].as_array().unwrap() {
            assert_eq!(place(&set_aside["id"])["set_aside"], set_aside["reason"]);
        }
        let counted = answer["explain"]["claims"].as_array().unwrap();
        assert_eq!(counted.len() + answer["set_aside"].as_array().unwrap().len(), 6);
        for arithmetic in counted {
            let claim = place(&arithmetic["id"]);
            assert_eq!(claim["value"], arithmetic["value"]);
            for figure in ["confidence", "score", "trust", "votes"] {
                assert_eq!(claim["figures"][figure], arithmetic[figure], "{lens} {figure}");
            }
        }
        if lens == Lens::Layered {
            for (layer, shown) in
                said["answer"]["layers"].as_array().unwrap().iter().zip(answer["layers"].as_array().unwrap())
            {
                assert_eq!((&layer["source_class"], &layer["winners"]), (&shown["class"], &shown["winners"]));
            }
        }
        let root = database.engine().state_root().unwrap();
        assert_eq!(said["state"], json!({"lsn": 6, "rows": root.rows(), "root": root.to_string()}));
        assert_eq!(said["latest_used"]["lsn"], 6, "the epoch is the newest thing that counted");
        assert_eq!(said["question"]["parameters"], json!({"decay": "true"}));
        assert_eq!(said["server_key"], database.server_key().unwrap().agent().to_string());
    }
}

#[test]
fn receipts_of_every_lens_and_moment_hold_later_and_after_a_rebuild() {
    let (database, dir) = database();
    fill(&database);
    let mut receipts = Vec::new();
    let moments = [
        Query { as_of: None, ..question(Lens::Consensus) },
        Query { as_of: Some(AsOf::Lsn(Lsn(2))), ..question(Lens::Consensus) },
        Query { as_of: Some(AsOf::Lsn(Lsn(0))), ..question(Lens::Consensus) },
        Query { known_at: Some(AsOf::Lsn(Lsn(4))), ..question(Lens::Consensus) },
        Query {
            known_at: Some(AsOf::Time(Micros(4_102_444_800_000_000))),
            evaluated_at: None,
            ..question(Lens::Consensus)
        },
        Query { epoch: Some("old".to_owned()), ..question(Lens::Consensus) },
        Query { decay: true, ..question(Lens::Consensus) },
        Query { evaluated_at: None, ..Query::new("s", "nothing", Lens::Consensus) },
    ];
    for lens in Lens::ALL {
        for moment in moments.clone() {
            receipts.push(database.query_with_receipt(Query { lens, ..moment }).unwrap().1);
        }
    }
    let holds = |database: &Database, own: bool| {
        for receipt in &receipts {
            for read in [read_receipt(&json_of(receipt)).unwrap(), read_receipt(&receipt.to_bytes()).unwrap()]
            {
                assert_eq!(&read, receipt);
                let check = database.check_receipt(&read, None, true).unwrap();
                assert_eq!(check.root, RootCheck::Same { rows: receipt.receipt().state.rows });
                assert_eq!((check.claims, check.is_own_key), (receipt.receipt().claims.len(), own));
                assert_eq!(check.timelines, (1, 1));
            }
        }
    };
    holds(&database, true);
    // Claims, votes and a better class for a source: none of it was known.
    for value in 0..40 {
        database.assert(Assertion::new("s", "p", Object::Integer(value), "later")).unwrap();
    }
    database.source(Source::new("D", SourceClass::REGULATORY)).unwrap();
    holds(&database, true);
    database.flush().unwrap();
    database.compact().unwrap();
    holds(&database, true);
    database.close().unwrap();
    let path = dir.path().join("db");
    std::fs::rename(path.join("kv"), path.join("kv.corrupted.20260101")).unwrap();
    let rebuilt = Database::open(&path, tiny()).unwrap();
    assert!(rebuilt.open_report().unwrap().rebuilt);
    holds(&rebuilt, true);
    rebuilt.close().unwrap();
    // A server with another key: the content still holds.
    std::fs::remove_file(path.join("keys/server.key")).unwrap();
    holds(&Database::open(&path, tiny()).unwrap(), false);
}

#[test]
fn a_file_with_any_bit_changed_is_refused_and_one_laid_out_anew_is_not() {
    let (database, _dir) = database();
    database.assert(Assertion::new("s", "p q", Object::Text("x, \"y\"".into()), "t")).unwrap();
    let query = Query { decay: true, ..Query::new("s", "p q", Lens::Layered) };
    let (_, receipt) = database.query_with_receipt(query).unwrap();
    let json = json_of(&receipt);
    let holds =
        |bytes: &[u8]| read_receipt(bytes).is_ok_and(|receipt| check_document(&receipt, None).is_ok());
    assert!(holds(&json) && holds(&receipt.to_bytes()));
    for file in [&json, &receipt.to_bytes()] {
        for bit in 0..8 * file.len() {
            let mut changed = file.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(!holds(&changed), "bit {bit}: {}", String::from_utf8_lossy(&changed));
        }
    }
    let text = String::from_utf8(json.clone()).unwrap();
    let spread = format!(" {}\n", text.replace("\":", "\" :\t").replace(",\"", ",\n  \""));
    assert!(text.len() < spread.len() && holds(spread.as_bytes()));
    assert!(matches!(
        read_receipt(text.replace("p q", "p  q").as_bytes()),
        Err(ReceiptError::JsonDiffers { .. })
    ));
    assert!(matches!(read_receipt(b"{\"canonical\":\"\"}"), Err(ReceiptError::NotJson(_))));
    assert!(matches!(read_receipt(b""), Err(ReceiptError::NotAReceipt(_))));
}

#[test]
fn what_a_server_signs_against_its_own_content_is_found_out() {
    let (database, dir) = database();
    fill(&database);
    let key = database.server_key().unwrap();
    let (_, receipt) = database.query_with_receipt(question(Lens::Layered)).unwrap();
    let refused = |change: &dyn Fn(&mut stemedb_api::core::Receipt)| {
        let mut changed = receipt.receipt().clone();
        change(&mut changed);
        let signed = SignedReceipt::sign(changed, key).unwrap();
        database.check_receipt(&signed, Some(key.agent()), true).unwrap_err()
    };
    let differs = |change: &dyn Fn(&mut stemedb_api::core::Receipt)| match refused(change) {
        ReceiptError::Differs { what, .. } => what,
        other => panic!("{other:?}"),
    };
    assert_eq!(differs(&|r| r.answer.figures[0].1 = Nano(1)), "the figures of the answer");
    assert_eq!(differs(&|r| r.answer.value = None), "the value");
    assert_eq!(differs(&|r| r.answer.status = "agreed".into()), "the status");
    assert_eq!(differs(&|r| r.answer.values[0].figures[1].1.0 += 1), "the values");
    assert_eq!(differs(&|r| r.answer.winners.clear()), "the winners");
    assert_eq!(differs(&|r| r.answer.layers.clear()), "the answers of the classes");
    assert_eq!(differs(&|r| r.latest_used = None), "the newest knowledge used");
    assert_eq!(differs(&|r| r.state.rows += 1), "the number of rows");
    assert_eq!(differs(&|r| r.state.root[0] ^= 1), "the state root");
    assert!(differs(&|r| r.claims[2].source = "another".into()).starts_with("claim "));
    assert_eq!(
        differs(&|r| {
            r.claims.pop();
            r.answer.winners.clear();
            r.answer.layers.clear()
        }),
        "the number of claims"
    );
    assert!(matches!(refused(&|r| r.claims[0].id.0[0] ^= 1), ReceiptError::Claim { .. }));
    assert!(matches!(refused(&|r| r.claims[0].ordinal += 1), ReceiptError::Claim { .. }));
    assert!(matches!(refused(&|r| r.question.lens_hash[0] ^= 1), ReceiptError::LensHash));
    assert!(matches!(refused(&|r| r.question.lens = "oracle".into()), ReceiptError::Question(_)));
    assert!(matches!(refused(&|r| r.question.lens_version = 99), ReceiptError::Question(_)));
    assert!(matches!(refused(&|r| r.question.parameters.clear()), ReceiptError::Question(_)));
    assert!(matches!(refused(&|r| r.database[0] ^= 1), ReceiptError::OtherDatabase { .. }));
    assert!(matches!(refused(&|r| r.state.lsn += 1), ReceiptError::NotReached { .. }));

    // Somebody else's key, asked for and not.
    let other = AgentKey::from_seed(&[9; 32]);
    let foreign = SignedReceipt::sign(receipt.receipt().clone(), &other).unwrap();
    assert!(matches!(
        check_document(&foreign, Some(key.agent())),
        Err(ReceiptError::OtherKey { found, .. }) if found == other.agent()
    ));
    assert!(!database.check_receipt(&foreign, None, false).unwrap().is_own_key);

    // A derivation that is not the present one cannot be compared, and says so.
    let mut old = receipt.receipt().clone();
    old.derivation += 1;
    let old = SignedReceipt::sign(old, key).unwrap();
    assert!(matches!(
        database.check_receipt(&old, None, true).unwrap().root,
        RootCheck::OtherDerivation { .. }
    ));

    // Another database, and the same one before it had come so far.
    let (stranger, _other_dir) = crate::support::database();
    assert!(matches!(stranger.check_receipt(&receipt, None, false), Err(ReceiptError::OtherDatabase { .. })));
    let copy = dir.path().join("copy");
    database.checkpoint(&copy).unwrap();
    database.assert(Assertion::new("s", "p", Object::Integer(5), "E")).unwrap();
    let (_, later) = database.query_with_receipt(question(Lens::Recency)).unwrap();
    let copy = Database::open(&copy, tiny()).unwrap();
    assert!(matches!(copy.check_receipt(&later, None, false), Err(ReceiptError::NotReached { .. })));
    assert!(copy.check_receipt(&receipt, None, true).is_ok());
}

#[test]
fn a_damaged_key_is_an_error_and_never_replaced() {
    let (database, dir) = database();
    let made = database.server_key().unwrap().agent();
    database.close().unwrap();
    let path = dir.path().join("db");
    let file = path.join("keys/server.key");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace(&made.to_string(), &"0".repeat(64))).unwrap();
    let database = Database::open(&path, tiny()).unwrap();
    let error = database.query_with_receipt(question(Lens::Recency)).unwrap_err();
    assert_eq!(error.code(), Code::ServerKey);
    assert!(database.query(question(Lens::Recency)).is_ok(), "answers need no key");
    assert!(std::fs::read_to_string(&file).unwrap().contains(&"0".repeat(64)));
}

#[test]
fn the_routes_give_receipts_keys_and_the_bound_that_was_kept() {
    let (database, dir) = database();
    fill(&database);
    let server = Server::over(database, dir, RouterOptions::default());
    let key = server.get("/v1/admin/server-key").json();
    assert_eq!(key["server_key"], server.database.server_key().unwrap().agent().to_string());
    assert_eq!((key["timeline"].as_u64(), key["database"].as_str().unwrap().len()), (Some(1), 32));

    let target = "/v1/query?subject=s&predicate=p&lens=layered&decay=true";
    assert!(server.get(target).json()["receipt"].is_null());
    let reply = server.get(&format!("{target}&receipt=true"));
    assert_eq!(reply.status, 200, "{}", reply.text());
    let text = reply.text();
    let receipt = &text[text.find(r#""receipt":{"#).unwrap() + 10..text.len() - 1];
    let receipt = read_receipt(receipt.as_bytes()).unwrap();
    assert!(server.database.check_receipt(&receipt, None, true).unwrap().is_own_key);

    let known = server.get("/v1/query?subject=s&predicate=p&known_at=2").json();
    assert_eq!((&known["known"]["known_at"], &known["known"]["latest_lsn_used"]), (&json!("2"), &json!(2)));
    assert_eq!(known["lsn"], 2);
    assert_eq!(known["evaluated_at"], known["known"]["latest_recorded_at"], "measured at the bound");
    for route in ["skeptic", "layered"] {
        let known = server.get(&format!("/v1/{route}?subject=s&predicate=p&known_at=1")).json();
        assert_eq!(
            known["known"],
            json!({"known_at": "1", "latest_lsn_used": null, "latest_recorded_at": null})
        );
    }
    let both = server.get("/v1/query?subject=s&predicate=p&known_at=2&as_of=2").problem();
    assert_eq!(both, (400, "invalid_parameter".into(), "?known_at".into()));
    let bad = server.get("/v1/query?subject=s&predicate=p&known_at=soon").problem();
    assert_eq!(bad, (400, "invalid_parameter".into(), "?known_at".into()));
    let ahead = server.get("/v1/query?subject=s&predicate=p&known_at=99").problem();
    assert_eq!((ahead.0, ahead.1.as_str()), (409, "lsn_not_reached"));
}
