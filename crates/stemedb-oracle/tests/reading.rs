//! A file of plain claims becomes a world.

// `allow-expect-in-tests` does not reach the functions that tests share.
#![allow(clippy::expect_used)]

use stemedb_oracle::{ReadError, Value, World};

const SOURCES: &str =
    r#"[{"id": "BOOK", "class": 2, "title": "A book", "claims": 7}, {"id": "IUPAC", "class": 0}]"#;

fn read(lines: &str) -> World {
    World::read_jsonl(lines.as_bytes(), SOURCES).expect("well-formed lines")
}

/// The object of a single line, or the message of its error.
fn object(json: &str) -> Result<Value, String> {
    let line = format!(r#"{{"subject": "s", "predicate": "p", "object": {json}, "source": "BOOK"}}"#);
    let world = World::read_jsonl(line.as_bytes(), "[]").map_err(|error| error.to_string())?;
    Ok(world.claims()[0].object.clone())
}

#[test]
fn lines_become_claims_at_their_line_number() {
    let world = read(
        "{\"subject\": \"s\", \"predicate\": \"p\", \"object\": 1.50, \"source\": \"BOOK\"}\n\
         {\"source\":\"IUPAC\",\"object\":\"x\",\"predicate\":\"q\",\"subject\":\"s\"}\r\n",
    );
    let [first, second] = world.claims() else { panic!("two lines, two claims") };
    assert_eq!((first.lsn, first.ordinal, first.id.as_str()), (1, 0, "0000000000000001"));
    assert_eq!((first.subject.as_str(), first.predicate.as_str()), ("s", "p"));
    assert_eq!((&first.object, first.source.as_str()), (&Value::Number("1.50".into()), "BOOK"));
    assert_eq!((second.lsn, &second.object), (2, &Value::Text("x".into())));
    assert_eq!(world.questions().collect::<Vec<_>>(), [("s", "p"), ("s", "q")]);
    // The sources stand before the first line and give the classes.
    let layers = world.ask("s", "q", "layered", 2, 0, false, None).layers;
    assert_eq!(layers, [(0, Value::Text("x".into()), 1.0, 0.0)]);
}

#[test]
fn an_exact_duplicate_is_skipped_and_the_first_one_stays() {
    let line = |object: &str, source: &str| {
        format!("{{\"subject\":\"s\",\"predicate\":\"p\",\"object\":{object},\"source\":\"{source}\"}}\n")
    };
    let lines = [
        line("5.0", "BOOK"),
        line("5.0", "BOOK"),
        line("5.00", "BOOK"),
        line("5", "BOOK"),
        line("5.0", "IUPAC"),
    ];
    let world = read(&lines.concat());
    let lsns: Vec<u64> = world.claims().iter().map(|claim| claim.lsn).collect();
    assert_eq!(lsns, [1, 3, 4, 5]);
}

#[test]
fn plain_json_values_say_their_own_type() {
    assert_eq!(object("\"H\\u0032O\""), Ok(Value::Text("H2O".into())));
    assert_eq!(object("373.150"), Ok(Value::Number("373.150".into())));
    assert_eq!(object("5e0"), Ok(Value::Number("5e0".into())));
    assert_eq!(object("-12"), Ok(Value::Integer("-12".into())));
    assert_eq!(object("-0"), Ok(Value::Integer("0".into())));
    assert_eq!(object("9223372036854775807"), Ok(Value::Integer("9223372036854775807".into())));
    assert_eq!(object("9223372036854775808"), Ok(Value::Number("9223372036854775808".into())));
    assert_eq!(object("true"), Ok(Value::Boolean(true)));
    assert_eq!(object("null"), Ok(Value::Json("null".into())));
}

#[test]
fn a_digit_that_no_float_holds_survives_reading() {
    let digits = "0.1234567890123456789012345678901234567890";
    assert_eq!(object(digits), Ok(Value::Number(digits.into())));
}

#[test]
fn other_json_becomes_its_canonical_text() {
    let written = r#"{ "b" : [ 1.0 , "\u0041\n" , { "z": null , "a": true } ] , "a" : 1e5 , "B" : {} }"#;
    let canonical = r#"{"B":{},"a":1e5,"b":[1.0,"A\n",{"a":true,"z":null}]}"#;
    assert_eq!(object(written), Ok(Value::Json(canonical.into())));
    assert_eq!(object("[ ]"), Ok(Value::Json("[]".into())));
    // Not the typed form: a third key.
    let three = r#"{"type":"text","value":"x","unit":"K"}"#;
    assert_eq!(object(three), Ok(Value::Json(r#"{"type":"text","unit":"K","value":"x"}"#.into())));
}

#[test]
fn a_typed_object_is_taken_at_its_word() {
    let typed = |kind: &str, value: &str| object(&format!(r#"{{"value": {value}, "type": "{kind}"}}"#));
    assert_eq!(typed("text", "\"x\""), Ok(Value::Text("x".into())));
    assert_eq!(typed("number", "5"), Ok(Value::Number("5".into())));
    assert_eq!(typed("integer", "5"), Ok(Value::Integer("5".into())));
    assert_eq!(typed("boolean", "false"), Ok(Value::Boolean(false)));
    let time = "2024-01-01T00:00:00Z";
    assert_eq!(typed("time", &format!("{time:?}")), Ok(Value::Time(time.into())));
    assert_eq!(typed("reference", "\"cas:7732-18-5\""), Ok(Value::Reference("cas:7732-18-5".into())));
    assert_eq!(typed("json", "\"x\""), Ok(Value::Json("\"x\"".into())));
}

#[test]
fn a_typed_object_that_is_not_of_its_type_is_refused() {
    for (kind, value) in
        [("integer", "5.0"), ("number", "\"5\""), ("text", "5"), ("boolean", "1"), ("colour", "\"red\"")]
    {
        let json = format!(r#"{{"type": "{kind}", "value": {value}}}"#);
        assert!(object(&json).is_err(), "{json}");
    }
    assert!(object(r#"{"a": 1, "a": 1}"#).is_err_and(|message| message.contains("occurs twice")));
}

#[test]
fn a_bad_line_is_named_by_its_number() {
    let good = r#"{"subject":"s","predicate":"p","object":1,"source":"A"}"#;
    for bad in ["", "{", r#"{"subject":"s","predicate":"p","object":1}"#, &good.replace('}', ",\"more\":1}")]
    {
        let lines = format!("{good}\n{bad}\n{good}\n");
        let error = World::read_jsonl(lines.as_bytes(), "[]").expect_err("one line is bad");
        assert!(matches!(error, ReadError::Line { line: 2, .. }), "{bad}: {error}");
    }
    let error = World::read_jsonl("".as_bytes(), "{}").expect_err("not a list");
    assert!(matches!(error, ReadError::Sources(_)), "{error}");
}
