//! What bodies look like.

use utoipa::openapi::{
    Components, ComponentsBuilder, ObjectBuilder, Ref, RefOr, Schema,
    schema::{AdditionalProperties, AnyOfBuilder, ArrayBuilder, SchemaType, Type},
};

use crate::json::{
    AGENT_FIELDS, ASSERT_FIELDS, EPOCH_FIELDS, Member, SOURCE_FIELDS, SUPERSEDE_FIELDS, VOTE_FIELDS,
    WATCH_FIELDS,
};

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

/// The schemas that routes refer to.
pub(in super::super) fn components() -> Components {
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
        .schema("Disagreement", disagreement())
        .schema("Layers", layers())
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
        .schema("Receipt", receipt())
        .schema("EndRecord", described(&END, &[("error", Type::Object)]))
        .schema("Problem", problem())
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

const PROBLEM: [(&str, Type); 6] = [
    ("type", Type::String),
    ("title", Type::String),
    ("status", Type::Integer),
    ("detail", Type::String),
    ("request_id", Type::String),
    ("retryable", Type::Boolean),
];

fn problem() -> Schema {
    let names = crate::errors::Code::ALL.iter().map(|code| code.name());
    let code = ObjectBuilder::new().schema_type(SchemaType::Type(Type::String)).enum_values(Some(names));
    let mut object = ObjectBuilder::new();
    for (name, kind) in PROBLEM {
        object = object.property(name, of_type(kind)).required(name);
    }
    let error = described(
        &[("code", Type::String), ("detail", Type::String)],
        &[("pointer", Type::String), ("parameter", Type::String)],
    );
    let errors = ArrayBuilder::new().items(RefOr::T(error));
    object.property("code", code).required("code").property("errors", errors).into()
}

fn receipt() -> Schema {
    let mut object = ObjectBuilder::new();
    for (name, kind) in RECEIPT {
        object = object.property(name, of_type(kind)).required(name);
    }
    // Nothing was used where nothing is claimed.
    object.property("latest_used", nullable(of_type(Type::Object))).required("latest_used").into()
}

fn layers() -> Schema {
    let mut object = ObjectBuilder::new().property("value", one_of_object_and_null()).required("value");
    let members =
        [("confidence", Type::Number), ("cross_class_conflict", Type::Number), ("layers", Type::Array)];
    for (name, kind) in ANALYSIS.into_iter().chain(members) {
        object = object.property(name, of_type(kind)).required(name);
    }
    for (name, kind) in ASKED.into_iter().chain([("tainted", Type::Array), ("known", Type::Object)]) {
        object = object.property(name, of_type(kind));
    }
    object.into()
}

/// What a question is about, how many of its claims disagree, and what was set aside.
fn disagreement() -> Schema {
    let mut object = ObjectBuilder::new();
    for (name, kind) in ANALYSIS.into_iter().chain([("margin", Type::Number), ("values", Type::Array)]) {
        object = object.property(name, of_type(kind)).required(name);
    }
    for (name, kind) in ASKED.into_iter().chain([("tainted", Type::Array), ("known", Type::Object)]) {
        object = object.property(name, of_type(kind));
    }
    object.into()
}

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
    for (name, kind) in [
        ("id", Type::String),
        ("lsn", Type::Integer),
        ("ordinal", Type::Integer),
        ("recorded_at", Type::String),
    ] {
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
        let schema = member_schema(member.name);
        object = match member.required {
            true => object.property(member.name, schema).required(member.name),
            // `null` says that it is not there.
            false => object.property(member.name, nullable(schema)),
        };
    }
    object.additional_properties(Some(AdditionalProperties::<Schema>::FreeForm(false))).into()
}

fn nullable(schema: RefOr<Schema>) -> RefOr<Schema> {
    let with_null = |kind: &mut SchemaType| {
        if let SchemaType::Type(plain) = kind {
            *kind = SchemaType::Array(vec![plain.clone(), Type::Null]);
        }
    };
    match schema {
        RefOr::T(Schema::Object(mut object)) => {
            with_null(&mut object.schema_type);
            RefOr::T(Schema::Object(object))
        }
        RefOr::T(Schema::Array(mut array)) => {
            with_null(&mut array.schema_type);
            RefOr::T(Schema::Array(array))
        }
        other => other,
    }
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

pub(super) fn described(required: &[(&str, Type)], optional: &[(&str, Type)]) -> Schema {
    let mut object = ObjectBuilder::new();
    for (name, kind) in required {
        object = object.property(*name, of_type(kind.clone())).required(*name);
    }
    for (name, kind) in optional {
        object = object.property(*name, of_type(kind.clone()));
    }
    object.into()
}

pub(super) fn of_type(kind: Type) -> RefOr<Schema> {
    match kind {
        Type::Array => ArrayBuilder::new()
            .items(ObjectBuilder::new().schema_type(SchemaType::AnyValue).build())
            .build()
            .into(),
        kind => RefOr::T(ObjectBuilder::new().schema_type(SchemaType::Type(kind)).build().into()),
    }
}
