//! Query parameters.

use utoipa::openapi::{
    ObjectBuilder, RefOr, Required, Schema,
    path::{Parameter, ParameterBuilder, ParameterIn},
    schema::{ArrayBuilder, SchemaType, Type},
};

use super::components::of_type;

/// A request header that changes what is answered.
pub(super) fn header(name: &str, description: &str) -> Parameter {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some(description))
        .schema(Some(of_type(Type::String)))
        .build()
}

pub(super) fn parameter(name: &str, required: bool) -> Parameter {
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
        .schema(Some(match name {
            "wait" => seconds(60),
            "decay" | "explain" | "receipt" | "independent" | "fragility" => of_type(Type::Boolean),
            "without" => ArrayBuilder::new().items(of_type(Type::String)).build().into(),
            "after" | "limit" | "offset" | "max_class" => of_type(Type::Integer),
            "min_score" => of_type(Type::Number),
            _ => of_type(Type::String),
        }))
        .build()
}

/// Whole seconds, at most so many.
fn seconds(most: u32) -> RefOr<Schema> {
    let seconds = ObjectBuilder::new().schema_type(SchemaType::Type(Type::Integer));
    seconds.minimum(Some(0)).maximum(Some(most)).build().into()
}
