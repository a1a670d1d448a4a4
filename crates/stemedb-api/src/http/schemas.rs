//! What the OpenAPI document says about each route.

use utoipa::openapi::{
    Components, ComponentsBuilder, Content, ContentBuilder, ObjectBuilder, Ref, RefOr, Required, Response,
    ResponseBuilder, Schema,
    path::{Operation, OperationBuilder, Parameter, ParameterBuilder, ParameterIn},
    request_body::RequestBodyBuilder,
    schema::{AnyOfBuilder, ArrayBuilder, SchemaType, Type},
};

use super::{claims, diff, events, export, feed, import, list, read, watches};
use crate::json::{
    AGENT_FIELDS, ASSERT_FIELDS, EPOCH_FIELDS, Member, SOURCE_FIELDS, SUPERSEDE_FIELDS, VOTE_FIELDS,
    WATCH_FIELDS,
};

pub(super) fn assert() -> Operation {
    write("assert", "Record a claim", "Assertion")
}

pub(super) fn vote() -> Operation {
    write("vote", "Record an agent's weight for or against a claim", "Vote")
}

pub(super) fn supersede() -> Operation {
    write("supersede", "Set a claim aside, with a successor or without", "Supersession")
}

pub(super) fn epoch() -> Operation {
    write("epoch", "Open an epoch", "Epoch")
}

pub(super) fn source() -> Operation {
    write("source", "Record what is known about a source", "Source")
}

pub(super) fn agent() -> Operation {
    write("agent", "Record what is known about an agent", "Agent")
}

fn write(id: &str, summary: &str, body: &str) -> Operation {
    let body =
        RequestBodyBuilder::new().content("application/json", content(body)).required(Some(Required::True));
    operation(id, summary)
        .request_body(Some(body.build()))
        .response("201", reply("Recorded", "application/json", content("Recorded")))
        .response("200", reply("Recorded before; nothing changed", "application/json", content("Recorded")))
        .build()
}

pub(super) fn import() -> Operation {
    let mut body = RequestBodyBuilder::new().required(Some(Required::True)).description(Some(
        "JSON lines: one record a line, an assertion unless it says otherwise, of which only subject, predicate, object \
         and source must be there. Also CSV, N-Quads, TriG. Content-Encoding may be gzip or zstd.",
    ));
    for media_type in import::MEDIA_TYPES {
        let text = || ContentBuilder::new().schema(Some(of_type(Type::String))).build();
        let json = media_type.contains("json") || media_type.ends_with("octet-stream");
        body = body.content(*media_type, if json { content("Assertion") } else { text() });
    }
    let mut operation = operation("import", "Record many claims").request_body(Some(body.build()));
    for name in import::PARAMETERS {
        operation = operation.parameter(parameter(name, false));
    }
    let done = "Verdicts, one a line; the last line is the end record";
    operation.response("200", reply(done, "application/x-ndjson", content("EndRecord"))).build()
}

pub(super) fn export() -> Operation {
    let mut operation = operation("export", "Everything that was recorded, or the claims that fit");
    for name in export::PARAMETERS {
        let mut parameter = parameter(name, false);
        if *name == "source" {
            parameter.description = Some("Claims of this source".to_owned());
        }
        operation = operation.parameter(parameter);
    }
    let mut done = ResponseBuilder::new().description("The records, in the format asked for");
    for media_type in export::MEDIA_TYPES {
        let text = ContentBuilder::new().schema(Some(of_type(Type::String))).build();
        done = done.content(*media_type, text);
    }
    operation.response("200", done.build()).build()
}

pub(super) fn query() -> Operation {
    question("query", "Answer a question through a lens", read::QUERY_PARAMETERS, "Answer")
}

pub(super) fn skeptic() -> Operation {
    question("skeptic", "How much the claims disagree", read::ANALYSIS_PARAMETERS, "Disagreement")
}

pub(super) fn layered() -> Operation {
    question("layered", "What each class of sources says", read::ANALYSIS_PARAMETERS, "Layers")
}

fn question(id: &str, summary: &str, parameters: &[&str], answer: &str) -> Operation {
    let mut operation = operation(id, summary);
    for name in parameters {
        operation = operation.parameter(parameter(name, matches!(*name, "subject" | "predicate")));
    }
    operation.response("200", reply("The answer", "application/json", content(answer))).build()
}

pub(super) fn assertion() -> Operation {
    let id = ParameterBuilder::new()
        .name("id")
        .parameter_in(ParameterIn::Path)
        .required(Required::True)
        .description(Some("64 hexadecimal digits"))
        .schema(Some(of_type(Type::String)));
    operation("assertion", "A claim as it was asserted")
        .parameter(id.build())
        .response("200", reply("The claim", "application/json", content("StoredAssertion")))
        .response("304", ResponseBuilder::new().description("The client has it").build())
        .build()
}

pub(super) fn history() -> Operation {
    about("assertion_history", "What was said about a claim", claims::HISTORY_PARAMETERS, "History")
}

pub(super) fn impact() -> Operation {
    about("assertion_impact", "What retracting a claim would touch", claims::AS_OF_PARAMETERS, "Impact")
}

pub(super) fn agent_known() -> Operation {
    about("agent_known", "What is known about an agent", claims::AS_OF_PARAMETERS, "AgentKnown")
}

/// A route about the thing whose id is in its path.
fn about(id: &str, summary: &str, parameters: &[&str], answer: &str) -> Operation {
    let in_path = ParameterBuilder::new()
        .name("id")
        .parameter_in(ParameterIn::Path)
        .required(Required::True)
        .description(Some("64 hexadecimal digits"))
        .schema(Some(of_type(Type::String)));
    let mut operation = operation(id, summary).parameter(in_path.build());
    for name in parameters {
        operation = operation.parameter(parameter(name, false));
    }
    operation.response("200", reply(summary, "application/json", content(answer))).build()
}

pub(super) fn claims() -> Operation {
    listing("claims", "Claims, those set aside included", list::LIST_PARAMETERS, "ClaimPage")
}

pub(super) fn questions() -> Operation {
    listing("questions", "Questions, and how much is claimed", list::LIST_PARAMETERS, "QuestionPage")
}

pub(super) fn conflicts() -> Operation {
    listing("conflicts", "The most contested questions", list::CONFLICT_PARAMETERS, "ConflictPage")
}

fn listing(id: &str, summary: &str, parameters: &[&str], page: &str) -> Operation {
    let mut operation = operation(id, summary);
    for name in parameters {
        operation = operation.parameter(parameter(name, false));
    }
    operation.response("200", reply("A page", "application/json", content(page))).build()
}

pub(super) fn admin_backup() -> Operation {
    job("admin_backup", "Begin a backup into the server's target; verify: false leaves out the proof")
}

pub(super) fn admin_archive() -> Operation {
    job("admin_archive", "Begin to archive released segments; rotate: true ends the present one first")
}

pub(super) fn admin_backup_status() -> Operation {
    simple("admin_backup_status", "How far the backup or archiving is", "application/json", Type::Object)
}

fn job(id: &str, summary: &str) -> Operation {
    let object = || ContentBuilder::new().schema(Some(of_type(Type::Object))).build();
    let body = RequestBodyBuilder::new().content("application/json", object()).required(Some(Required::True));
    operation(id, summary)
        .request_body(Some(body.build()))
        .response("202", reply("It has begun; its number", "application/json", object()))
        .build()
}

pub(super) fn events() -> Operation {
    let mut operation = operation("storage_events", "What happened to the files");
    for name in events::PARAMETERS {
        operation = operation.parameter(parameter(name, false));
    }
    let done = "The events that are kept, oldest first";
    operation.response("200", reply(done, "application/json", content("StorageEvents"))).build()
}

pub(super) fn diff() -> Operation {
    let mut operation = operation("diff", "What changed between two moments, and what came that changed it");
    for name in diff::PARAMETERS {
        operation = operation.parameter(parameter(name, *name == "from"));
    }
    operation.response("200", reply("What changed", "application/json", content("Difference"))).build()
}

pub(super) fn feed() -> Operation {
    let mut operation = operation("feed", "What changed from a position on, from the journal");
    for name in feed::PARAMETERS {
        operation = operation.parameter(parameter(name, false));
    }
    let lines = "Changes, one a line, up to now; the last line is the end record. \
                 With Accept: text/event-stream events that go on until the client leaves";
    let reply = ResponseBuilder::new()
        .description(lines)
        .content("application/x-ndjson", content("Change"))
        .content("text/event-stream", content("Change"));
    operation.response("200", reply.build()).build()
}

pub(super) fn watch() -> Operation {
    let body = RequestBodyBuilder::new()
        .content("application/json", content("Watch"))
        .required(Some(Required::True));
    let again = "Registered before; nothing changed";
    about_watch("watch", "Be told when an answer crosses a line")
        .request_body(Some(body.build()))
        .response("201", reply("Registered", "application/json", content("RegisteredWatch")))
        .response("200", reply(again, "application/json", content("RegisteredWatch")))
        .build()
}

pub(super) fn watch_known() -> Operation {
    about_watch("watch_known", "A watch as it is registered")
        .response("200", reply("The watch", "application/json", content("RegisteredWatch")))
        .build()
}

pub(super) fn unwatch() -> Operation {
    about_watch("unwatch", "Be told no more")
        .response("204", ResponseBuilder::new().description("Removed").build())
        .build()
}

fn about_watch(id: &str, summary: &str) -> OperationBuilder {
    let in_path = ParameterBuilder::new()
        .name("id")
        .parameter_in(ParameterIn::Path)
        .required(Required::True)
        .description(Some("1 to 200 bytes without control characters, percent-encoded; not `events`"))
        .schema(Some(of_type(Type::String)));
    operation(id, summary).parameter(in_path.build())
}

pub(super) fn watch_many() -> Operation {
    let mut body = RequestBodyBuilder::new()
        .required(Some(Required::True))
        .description(Some("Watches with their ids, one a line: all of them are registered or none"));
    for media_type in watches::MEDIA_TYPES {
        body = body.content(*media_type, content("Watch"));
    }
    let numbers = ["watches", "created", "existing", "since", "timeline"].map(|name| (name, Type::Integer));
    let done = ContentBuilder::new().schema(Some(RefOr::T(described(&numbers, &[])))).build();
    operation("watch_many", "Be told when any of many answers crosses a line")
        .request_body(Some(body.build()))
        .response("200", reply("Registered, now or before", "application/json", done))
        .build()
}

pub(super) fn watches() -> Operation {
    listing("watches", "Watches in the order of their ids", watches::LIST_PARAMETERS, "WatchPage")
}

pub(super) fn watch_events() -> Operation {
    let mut operation = operation("watch_events", "What there is to tell about watches, from a position on");
    for name in watches::EVENT_PARAMETERS {
        operation = operation.parameter(parameter(name, false));
    }
    let lines = "Notices, one a line, up to now; the last line is the end record. \
                 With Accept: text/event-stream events that go on until the client leaves";
    let reply = ResponseBuilder::new()
        .description(lines)
        .content("application/x-ndjson", content("Notice"))
        .content("text/event-stream", content("Notice"));
    operation.response("200", reply.build()).build()
}

pub(super) fn server_key() -> Operation {
    operation("server_key", "The public key that this server signs receipts with")
        .response("200", reply("The key", "application/json", content("ServerKey")))
        .build()
}

pub(super) fn health() -> Operation {
    simple("health", "How the server is", "application/json", Type::Object)
}

pub(super) fn scrub() -> Operation {
    operation("scrub", "How the background reading of every file goes, and what damage it found")
        .response("200", reply("How it goes", "application/json", content("Scrub")))
        .build()
}

pub(super) fn begin_scrub() -> Operation {
    operation("begin_scrub", "Begin to read every file now")
        .response("202", reply("It begins, or is under way", "application/json", content("Scrub")))
        .build()
}

pub(super) fn livez() -> Operation {
    simple("livez", "That the process answers", "text/plain", Type::String)
}

pub(super) fn readyz() -> Operation {
    simple("readyz", "Whether requests should be sent here", "application/json", Type::Object)
}

pub(super) fn metrics() -> Operation {
    simple("metrics", "Prometheus metrics", "text/plain", Type::String)
}

pub(super) fn openapi() -> Operation {
    simple("openapi", "This document", "application/json", Type::Object)
}

fn simple(id: &str, summary: &str, media_type: &str, kind: Type) -> Operation {
    let content = ContentBuilder::new().schema(Some(of_type(kind))).build();
    operation(id, summary).response("200", reply("As described", media_type, content)).build()
}

fn operation(id: &str, summary: &str) -> OperationBuilder {
    OperationBuilder::new()
        .operation_id(Some(id))
        .summary(Some(summary))
        .response("default", reply("A problem", "application/problem+json", content("Problem")))
}

fn reply(description: &str, media_type: &str, content: Content) -> Response {
    ResponseBuilder::new().description(description).content(media_type, content).build()
}

fn content(schema: &str) -> Content {
    ContentBuilder::new().schema(Some(Ref::from_schema_name(schema))).build()
}

fn parameter(name: &str, required: bool) -> Parameter {
    let description = match name {
        "subject" => "What the question is about",
        "predicate" => "Which property of it",
        "lens" => "recency, consensus (default), confidence, authority, skeptic or layered",
        "as_of" => "An LSN (all digits) or an RFC 3339 time: answers with what was known then",
        "epoch" => "Asks about one epoch; else whatever has not been superseded",
        "decay" => "true: confidences fade with age",
        "evaluated_at" => "RFC 3339: the instant that validity and age are measured at; default now",
        "tolerance" => "Numbers this near are one value: 0.5, or 0.1% of the best supported one",
        "without" => "source:ID or agent:HEX, as often as needed: the answer as if these had never spoken",
        "max_class" => "0 to 5: the answer without claims of a worse class",
        "independent" => "true: voices that copy each other count once",
        "fragility" => "true: adds how little must be taken away to change the answer",
        "explain" => "true: adds the arithmetic",
        "known_at" => "Like as_of; adds what the newest knowledge used was. Not together with as_of",
        "receipt" => "true: adds a signed receipt that can be checked without this server",
        "min" => "With predicate: the smallest value; a number, true, false, or an RFC 3339 time",
        "max" => "With predicate: the greatest value, of the same kind",
        "agent" => "What this agent asserted, signed or co-signed; 64 hexadecimal digits",
        "predicate_prefix" => "Predicates that begin so",
        "cursor" => "Where to go on: the cursor of the page before, with the same other parameters",
        "min_score" => "Only conflicts with at least this score, 0 to 1",
        "verdicts" => "errors (default): verdicts for refused lines only; all: for every line",
        "offset" => "Leaves out the first so many; default 0",
        "from" => {
            "Of a feed the first entry: an LSN, or timeline.LSN as Stemedb-Lsn has it; default 1, and Last-Event-ID goes before it. Of a difference the earlier moment: an LSN or an RFC 3339 time"
        }
        "limit" => {
            "Of a feed at most so many entries, each whole; default 1000, of events none. Of a difference at most so many questions; default 100. Of a history at most so many remarks, 1 to 10000; default 1000. Of a listing at most so many items, 1 to 1000; default 100"
        }
        "to" => "The later moment: an LSN or an RFC 3339 time; default now",
        "after_subject" | "after_predicate" => "Only questions behind this one: next of an earlier reply",
        "wait" => "Seconds to wait for something to say, at most 60; default 0",
        "after" => "Only events with greater numbers; default 0",
        "format" => "jsonl, csv, nquads, trig or nanopub; else what the media type says",
        "source" => "Of an import the source of quads that are in no named graph; else what this source said",
        "scope" => "Name under which blank nodes are known outside of their file",
        "prefix" => "Subjects that begin so",
        "on_error" => "continue (default) or stop at the first refused line",
        _ => "",
    };
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Query)
        .required(if required { Required::True } else { Required::False })
        .description(Some(description))
        .schema(Some(of_type(match name {
            "decay" | "explain" | "receipt" | "independent" | "fragility" => Type::Boolean,
            "without" => Type::Array,
            "after" | "limit" | "offset" | "wait" | "max_class" => Type::Integer,
            "min_score" => Type::Number,
            _ => Type::String,
        })))
        .build()
}

/// The schemas that routes refer to.
const SCRUB: [(&str, Type); 14] = [
    ("enabled", Type::Boolean),
    ("running", Type::Boolean),
    ("round", Type::Integer),
    ("bytes_done", Type::Integer),
    ("bytes_total", Type::Integer),
    ("files_left", Type::Integer),
    ("round_findings", Type::Integer),
    ("findings", Type::Integer),
    ("healed", Type::Integer),
    ("bytes_read", Type::Integer),
    ("rereads", Type::Integer),
    ("transient_errors", Type::Integer),
    ("late", Type::Boolean),
    ("damage", Type::Array),
];

pub(super) fn components() -> Components {
    ComponentsBuilder::new()
        .schema("Object", claimed_object())
        .schema("Assertion", record(ASSERT_FIELDS))
        .schema("Vote", record(VOTE_FIELDS))
        .schema("Supersession", record(SUPERSEDE_FIELDS))
        .schema("Epoch", record(EPOCH_FIELDS))
        .schema("Source", record(SOURCE_FIELDS))
        .schema("Agent", record(AGENT_FIELDS))
        .schema(
            "AgentKnown",
            described(
                &AGENT_KNOWN,
                &[
                    ("name", Type::String),
                    ("lsn", Type::Integer),
                    ("ordinal", Type::Integer),
                    ("recorded_at", Type::String),
                ],
            ),
        )
        .schema("Watch", record(WATCH_FIELDS))
        .schema("RegisteredWatch", registered_watch())
        .schema(
            "WatchPage",
            described(&[("watches", Type::Array), ("registered", Type::Integer)], &[("next", Type::String)]),
        )
        .schema("Notice", described(&NOTICE, &[]))
        .schema("History", described(&HISTORY, &[]))
        .schema("Impact", described(&IMPACT, &[]))
        .schema(
            "Recorded",
            described(
                &[("lsn", Type::Integer), ("created", Type::Boolean)],
                &[("id", Type::String), ("hash", Type::String), ("cosigned", Type::Integer)],
            ),
        )
        .schema("StoredAssertion", stored())
        .schema("Answer", answer())
        .schema("Fragility", fragility())
        .schema(
            "Disagreement",
            described(
                &ANALYSIS,
                &[&[("margin", Type::Number), ("values", Type::Array), ("tainted", Type::Array)], &ASKED[..]]
                    .concat(),
            ),
        )
        .schema(
            "Layers",
            described(
                &ANALYSIS,
                &[
                    &[
                        ("confidence", Type::Number),
                        ("cross_class_conflict", Type::Number),
                        ("layers", Type::Array),
                        ("tainted", Type::Array),
                    ],
                    &ASKED[..],
                ]
                .concat(),
            ),
        )
        .schema(
            "Scrub",
            described(
                &SCRUB,
                &[("started", Type::String), ("last_full_round", Type::String), ("reading", Type::String)],
            ),
        )
        .schema("ClaimPage", page("claims", Ref::from_schema_name("StoredAssertion").into(), &[]))
        .schema("QuestionPage", page("questions", described(&QUESTION, &[]).into(), &[]))
        .schema("ConflictPage", page("conflicts", described(&CONFLICT, &[]).into(), &BOARD))
        .schema("StorageEvent", described(&EVENT, &[("file", Type::String)]))
        .schema("StorageEvents", storage_events())
        .schema(
            "Difference",
            described(
                &[
                    ("from", Type::Integer),
                    ("to", Type::Integer),
                    ("evaluated_at", Type::String),
                    ("examined", Type::Integer),
                    ("changes", Type::Array),
                ],
                &[("next", Type::Object)],
            ),
        )
        .schema("Change", described(&CHANGE, &[("id", Type::String)]))
        .schema(
            "ServerKey",
            described(
                &[("server_key", Type::String), ("database", Type::String), ("timeline", Type::Integer)],
                &[],
            ),
        )
        .schema("Receipt", described(&RECEIPT, &[("latest_used", Type::Object)]))
        .schema("EndRecord", described(&END, &[("error", Type::Object)]))
        .schema("Problem", described(&PROBLEM, &[("errors", Type::Array)]))
        .build()
}

/// The parameters that are not plain, as an answer names them.
const ASKED: [(&str, Type); 4] = [
    ("tolerance", Type::String),
    ("without", Type::Array),
    ("max_class", Type::Integer),
    ("independent", Type::Boolean),
];

const ANALYSIS: [(&str, Type); 10] = [
    ("subject", Type::String),
    ("predicate", Type::String),
    ("status", Type::String),
    ("conflict_score", Type::Number),
    ("considered", Type::Integer),
    ("set_aside", Type::Array),
    ("lsn", Type::Integer),
    ("evaluated_at", Type::String),
    ("lens_version", Type::Integer),
    ("lens_hash", Type::String),
];

const AGENT_KNOWN: [(&str, Type); 5] = [
    ("id", Type::String),
    ("recorded", Type::Boolean),
    ("class", Type::Integer),
    ("trust", Type::Number),
    ("as_of", Type::Integer),
];

const HISTORY: [(&str, Type); 6] = [
    ("claim", Type::Object),
    ("remarks_total", Type::Integer),
    ("remarks", Type::Array),
    ("chain", Type::Object),
    ("lineage", Type::Object),
    ("as_of", Type::Integer),
];

const IMPACT: [(&str, Type); 10] = [
    ("id", Type::String),
    ("direct", Type::Integer),
    ("total", Type::Integer),
    ("depth", Type::Integer),
    ("questions", Type::Integer),
    ("complete", Type::Boolean),
    ("nearest", Type::Array),
    ("rows_read", Type::Integer),
    ("lookups", Type::Integer),
    ("as_of", Type::Integer),
];

const CHANGE: [(&str, Type); 6] = [
    ("lsn", Type::Integer),
    ("ordinal", Type::Integer),
    ("of", Type::Integer),
    ("recorded_at", Type::String),
    ("kind", Type::String),
    ("record", Type::Object),
];

const RECEIPT: [(&str, Type); 13] = [
    ("receipt", Type::Integer),
    ("id", Type::String),
    ("server_key", Type::String),
    ("database", Type::String),
    ("timeline", Type::Integer),
    ("derivation", Type::Integer),
    ("state", Type::Object),
    ("made_at", Type::String),
    ("question", Type::Object),
    ("answer", Type::Object),
    ("claims", Type::Array),
    ("canonical", Type::String),
    ("signature", Type::String),
];

const END: [(&str, Type); 7] = [
    ("end", Type::Boolean),
    ("complete", Type::Boolean),
    ("lines", Type::Integer),
    ("created", Type::Integer),
    ("existing", Type::Integer),
    ("refused", Type::Integer),
    ("lsn", Type::Integer),
];

const QUESTION: [(&str, Type); 4] = [
    ("subject", Type::String),
    ("predicate", Type::String),
    ("claims", Type::Integer),
    ("newest_lsn", Type::Integer),
];

const CONFLICT: [(&str, Type); 7] = [
    ("subject", Type::String),
    ("predicate", Type::String),
    ("conflict_score", Type::Number),
    ("status", Type::String),
    ("values", Type::Integer),
    ("support", Type::Number),
    ("considered", Type::Integer),
];

const BOARD: [(&str, Type); 3] =
    [("knowledge", Type::Object), ("complete", Type::Boolean), ("evaluated_at", Type::String)];

fn page(name: &str, item: RefOr<Schema>, more: &[(&str, Type)]) -> Schema {
    let mut object = ObjectBuilder::new()
        .property(name, ArrayBuilder::new().items(item))
        .required(name)
        .property("lsn", of_type(Type::Integer))
        .required("lsn")
        .property("cursor", of_type(Type::String));
    for (name, kind) in more {
        object = object.property(*name, of_type(kind.clone())).required(*name);
    }
    object.into()
}

const EVENT: [(&str, Type); 4] =
    [("number", Type::Integer), ("at", Type::String), ("kind", Type::String), ("text", Type::String)];

fn storage_events() -> Schema {
    let events = ArrayBuilder::new().items(Ref::from_schema_name("StorageEvent"));
    ObjectBuilder::new()
        .property("newest", of_type(Type::Integer))
        .required("newest")
        .property("events", events)
        .required("events")
        .into()
}

const PROBLEM: [(&str, Type); 7] = [
    ("type", Type::String),
    ("title", Type::String),
    ("status", Type::Integer),
    ("detail", Type::String),
    ("code", Type::String),
    ("request_id", Type::String),
    ("retryable", Type::Boolean),
];

fn answer() -> Schema {
    let mut object = ObjectBuilder::new();
    object = object.property("value", one_of_object_and_null()).required("value");
    let members = ANALYSIS.iter().chain(&[
        ("lens", Type::String),
        ("confidence", Type::Number),
        ("margin", Type::Number),
        ("winners", Type::Array),
        ("values", Type::Array),
        ("candidates", Type::Array),
        ("decay", Type::Boolean),
    ]);
    for (name, kind) in members {
        object = object.property(*name, of_type(kind.clone())).required(*name);
    }
    for (name, kind) in [
        ("layers", Type::Array),
        ("cross_class_conflict", Type::Number),
        ("epoch", Type::String),
        ("explain", Type::Object),
        ("known", Type::Object),
    ] {
        object = object.property(name, of_type(kind));
    }
    for (name, kind) in ASKED {
        object = object.property(name, of_type(kind));
    }
    let object = object.property("receipt", Ref::from_schema_name("Receipt"));
    object.property("fragility", Ref::from_schema_name("Fragility")).into()
}

fn fragility() -> Schema {
    let mut object = ObjectBuilder::new();
    for name in ["exact", "becomes"] {
        let kind =
            if name == "exact" { of_type(Type::Integer) } else { Ref::from_schema_name("Object").into() };
        let nullable: Schema = AnyOfBuilder::new().item(kind).item(of_type(Type::Null)).build().into();
        object = object.property(name, nullable).required(name);
    }
    for (name, kind) in [
        ("at_least", Type::Integer),
        ("at_most", Type::Integer),
        ("removals", Type::Array),
        ("status", Type::String),
        ("tried", Type::Integer),
    ] {
        object = object.property(name, of_type(kind)).required(name);
    }
    object.into()
}

fn stored() -> Schema {
    let mut object = ObjectBuilder::new();
    for (name, kind) in [("id", Type::String), ("lsn", Type::Integer), ("recorded_at", Type::String)] {
        object = object.property(name, of_type(kind)).required(name);
    }
    for member in ASSERT_FIELDS {
        object = object.property(member.name, member_schema(member.name));
    }
    object.into()
}

const NOTICE: [(&str, Type); 7] = [
    ("watch", Type::String),
    ("lsn", Type::Integer),
    ("position", Type::String),
    ("recorded_at", Type::String),
    ("crossed", Type::Array),
    ("before", Type::Object),
    ("after", Type::Object),
];

/// A watch with the moment from which on it counts.
fn registered_watch() -> Schema {
    let mut object = ObjectBuilder::new();
    for (name, kind) in [("since", Type::Integer), ("timeline", Type::Integer)] {
        object = object.property(name, of_type(kind)).required(name);
    }
    for member in WATCH_FIELDS {
        object = object.property(member.name, member_schema(member.name));
    }
    object.into()
}

/// A claimed value: plain, or `{"type", "value"}`.
fn claimed_object() -> Schema {
    let typed = ObjectBuilder::new()
        .property("type", of_type(Type::String))
        .property("value", ObjectBuilder::new().schema_type(SchemaType::AnyValue).build())
        .required("type")
        .required("value");
    let mut any = AnyOfBuilder::new();
    for kind in [Type::String, Type::Number, Type::Boolean, Type::Array, Type::Object] {
        any = any.item(of_type(kind));
    }
    any.item(typed.build()).build().into()
}

fn one_of_object_and_null() -> Schema {
    AnyOfBuilder::new().item(Ref::from_schema_name("Object")).item(of_type(Type::Null)).build().into()
}

/// The schema of a request's record, from the same list of members that reads it.
fn record(members: &[Member]) -> Schema {
    let mut object = ObjectBuilder::new();
    for member in members {
        object = object.property(member.name, member_schema(member.name));
        if member.required {
            object = object.required(member.name);
        }
    }
    object.into()
}

fn member_schema(name: &str) -> RefOr<Schema> {
    match name {
        "object" => Ref::from_schema_name("Object").into(),
        "confidence" | "weight" | "trust" => of_type(Type::Number),
        "margin_below" | "conflict_above" => of_type(Type::Number),
        "source_class" | "class" | "max_class" => of_type(Type::Integer),
        "decay" | "independent" => of_type(Type::Boolean),
        "parents" | "without" => ArrayBuilder::new().items(of_type(Type::String)).build().into(),
        "signatures" => {
            let signature = described(&[("agent", Type::String), ("signature", Type::String)], &[]);
            ArrayBuilder::new().items(RefOr::T(signature)).build().into()
        }
        _ => of_type(Type::String),
    }
}

fn described(required: &[(&str, Type)], optional: &[(&str, Type)]) -> Schema {
    let mut object = ObjectBuilder::new();
    for (name, kind) in required {
        object = object.property(*name, of_type(kind.clone())).required(*name);
    }
    for (name, kind) in optional {
        object = object.property(*name, of_type(kind.clone()));
    }
    object.into()
}

fn of_type(kind: Type) -> RefOr<Schema> {
    match kind {
        Type::Array => ArrayBuilder::new()
            .items(ObjectBuilder::new().schema_type(SchemaType::AnyValue).build())
            .build()
            .into(),
        kind => RefOr::T(ObjectBuilder::new().schema_type(SchemaType::Type(kind)).build().into()),
    }
}
