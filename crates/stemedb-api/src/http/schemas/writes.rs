//! Routes that record something.

use utoipa::openapi::{
    ContentBuilder, Required, path::Operation, request_body::RequestBodyBuilder, schema::Type,
};

use super::{
    components::of_type,
    content, operation,
    parameters::{header, parameter},
    reply,
};
use crate::http::import;

pub(in super::super) fn assert() -> Operation {
    write("assert", "Record a claim", "Assertion")
}

pub(in super::super) fn vote() -> Operation {
    write("vote", "Record an agent's weight for or against a claim", "Vote")
}

pub(in super::super) fn supersede() -> Operation {
    write("supersede", "Set a claim aside, with a successor or without", "Supersession")
}

pub(in super::super) fn epoch() -> Operation {
    write("epoch", "Open an epoch", "Epoch")
}

pub(in super::super) fn source() -> Operation {
    write("source", "Record what is known about a source", "Source")
}

pub(in super::super) fn agent() -> Operation {
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

pub(in super::super) fn import() -> Operation {
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
    let operation =
        operation.parameter(header("Content-Encoding", "gzip or zstd; else the body is as it is"));
    let done = "Verdicts, one a line; the last line is the end record";
    operation.response("200", reply(done, "application/x-ndjson", content("EndRecord"))).build()
}
