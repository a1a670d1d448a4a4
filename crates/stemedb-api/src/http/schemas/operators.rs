//! Routes for whoever looks after the server.

use utoipa::openapi::{
    ContentBuilder, ObjectBuilder, RefOr, Required, Schema,
    path::{Operation, OperationBuilder, ParameterBuilder, ParameterIn},
    request_body::RequestBodyBuilder,
    schema::Type,
};

use super::{
    components::{described, of_type},
    operation, reply, simple,
};

const JSON: &str = "application/json";

const JOB: [(&str, Type); 7] = [
    ("job", Type::Integer),
    ("kind", Type::String),
    ("state", Type::String),
    ("began_at", Type::String),
    ("parameters", Type::Object),
    ("done_bytes", Type::Integer),
    ("total_bytes", Type::Integer),
];
const JOB_ENDED: [(&str, Type); 3] =
    [("ended_at", Type::String), ("result", Type::Object), ("problem", Type::Object)];

fn answer(operation: OperationBuilder, status: &str, said: &str, schema: Schema) -> OperationBuilder {
    let content = ContentBuilder::new().schema(Some(RefOr::T(schema))).build();
    operation.response(status, reply(said, JSON, content))
}

fn body(operation: OperationBuilder, schema: Schema) -> OperationBuilder {
    let content = ContentBuilder::new().schema(Some(RefOr::T(schema))).build();
    let body = RequestBodyBuilder::new().content(JSON, content).required(Some(Required::True));
    operation.request_body(Some(body.build()))
}

pub(in super::super) fn storage_stats() -> Operation {
    let required = [
        ("sst_file_count", Type::Integer),
        ("total_bytes", Type::Integer),
        ("pending_compaction_bytes", Type::Integer),
        ("index_memory_bytes", Type::Integer),
        ("cache_memory_bytes", Type::Integer),
        ("memtable_bytes", Type::Integer),
        ("write_amplification", Type::Number),
        ("damaged_tables", Type::Integer),
        ("verdict", Type::String),
        ("checks", Type::Array),
        ("levels", Type::Array),
        ("memory", Type::Object),
        ("flushes", Type::Object),
        ("compactions", Type::Object),
        ("reads", Type::Object),
        ("journal", Type::Object),
        ("commits", Type::Object),
        ("operations", Type::Array),
    ];
    let operation = operation("storage_stats", "Figures of the storage, and what they mean");
    answer(operation, "200", "The figures now", described(&required, &[])).build()
}

/// A route that begins a job.
fn begins(id: &str, summary: &str, request: Schema) -> Operation {
    let key = ParameterBuilder::new()
        .name("Idempotency-Key")
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some("The same key again is answered with the same job"))
        .schema(Some(of_type(Type::String)));
    let operation = body(operation(id, summary).parameter(key.build()), request);
    let said = "It has begun, or one like it is under way; Location names it";
    answer(operation, "202", said, described(&JOB, &JOB_ENDED)).build()
}

pub(in super::super) fn compact() -> Operation {
    let request = described(&[], &[("force", Type::Boolean)]);
    begins(
        "compact",
        "Begin to merge the view's tables; force: those in shape are written anew, too",
        request,
    )
}

pub(in super::super) fn verify() -> Operation {
    begins("verify", "Begin to read every file back and check it", ObjectBuilder::new().build().into())
}

pub(in super::super) fn promote() -> Operation {
    let required = [("promoted", Type::Boolean), ("timeline", Type::Integer), ("lsn", Type::Integer)];
    let operation = operation("promote", "Make a standby the writer; the writer before is fenced");
    let said = "It is the writer; promoted: false says that it was one already";
    answer(operation, "200", said, described(&required, &[("epoch", Type::Integer)])).build()
}

pub(in super::super) fn jobs() -> Operation {
    let operation = operation("jobs", "The jobs that run, and the newest that have ended");
    answer(operation, "200", "The newest first", described(&[("jobs", Type::Array)], &[])).build()
}

pub(in super::super) fn job_known() -> Operation {
    let number = ParameterBuilder::new()
        .name("id")
        .parameter_in(ParameterIn::Path)
        .required(Required::True)
        .description(Some("The job's number"))
        .schema(Some(of_type(Type::Integer)));
    let operation = operation("job", "What is known about a job").parameter(number.build());
    answer(operation, "200", "The job", described(&JOB, &JOB_ENDED)).build()
}

pub(in super::super) fn slow_queries() -> Operation {
    let required = [("threshold_ms", Type::Integer), ("kept", Type::Integer), ("queries", Type::Array)];
    let operation = operation("slow_queries", "The newest questions that took long, and what they cost");
    answer(operation, "200", "The newest first", described(&required, &[])).build()
}

fn level() -> Schema {
    described(&[("level", Type::String), ("configured", Type::String)], &[("until", Type::String)])
}

pub(in super::super) fn log_level() -> Operation {
    answer(operation("log_level", "From which level on events are logged"), "200", "The level", level())
        .build()
}

pub(in super::super) fn set_log_level() -> Operation {
    let request = described(&[("level", Type::String)], &[("for_seconds", Type::Integer)]);
    let operation = body(operation("set_log_level", "Log more, or less, for a while or for good"), request);
    answer(operation, "200", "The level now", level()).build()
}

/// A probe with `verbose`.
fn probe(id: &str, summary: &str, media_type: &str, kind: Type) -> Operation {
    let verbose = ParameterBuilder::new()
        .name("verbose")
        .parameter_in(ParameterIn::Query)
        .required(Required::False)
        .description(Some("Says more, as JSON; the name alone means yes"))
        .schema(Some(of_type(Type::Boolean)));
    let mut operation = simple(id, summary, media_type, kind);
    operation.parameters = Some(vec![RefOr::T(verbose.build())]);
    operation
}

pub(in super::super) fn livez() -> Operation {
    let summary = "That the process answers, and that commits do not stand still";
    let mut operation = probe("livez", summary, "text/plain", Type::String);
    if let Some(RefOr::T(response)) = operation.responses.responses.get_mut("200") {
        let verbose = ContentBuilder::new().schema(Some(of_type(Type::Object))).build();
        response.content.insert(JSON.to_owned(), RefOr::T(verbose));
    }
    operation
}

pub(in super::super) fn readyz() -> Operation {
    probe("readyz", "Whether requests should be sent here", "application/json", Type::Object)
}
