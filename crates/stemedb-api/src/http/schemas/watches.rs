//! Routes about watches.

use utoipa::openapi::{
    ContentBuilder, RefOr, Required, ResponseBuilder,
    path::{Operation, OperationBuilder, ParameterBuilder, ParameterIn},
    request_body::RequestBodyBuilder,
    schema::Type,
};

use super::{
    components::{described, of_type},
    content, operation,
    parameters::{header, parameter},
    reads::{LAST_EVENT, listing},
    reply,
};
use crate::http::watches;

pub(in super::super) fn watch() -> Operation {
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

pub(in super::super) fn watch_known() -> Operation {
    about_watch("watch_known", "A watch as it is registered")
        .response("200", reply("The watch", "application/json", content("RegisteredWatch")))
        .build()
}

pub(in super::super) fn unwatch() -> Operation {
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

pub(in super::super) fn watch_many() -> Operation {
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

pub(in super::super) fn watches() -> Operation {
    let mut operation =
        listing("watches", "Watches in the order of their ids", watches::LIST_PARAMETERS, "WatchPage");
    for parameter in operation.parameters.iter_mut().flatten() {
        if let RefOr::T(parameter) = parameter
            && parameter.name == "after"
        {
            parameter.description = Some("Only watches behind this id: next of an earlier page".to_owned());
            parameter.schema = Some(of_type(Type::String));
        }
    }
    operation
}

pub(in super::super) fn watch_events() -> Operation {
    let mut operation = operation("watch_events", "What there is to tell about watches, from a position on");
    for name in watches::EVENT_PARAMETERS {
        operation = operation.parameter(parameter(name, false));
    }
    let lines = "Notices, one a line, up to now; the last line is the end record. \
                 With Accept: text/event-stream events that go on until the client leaves";
    let operation = operation.parameter(header("Last-Event-ID", LAST_EVENT));
    let reply = ResponseBuilder::new()
        .description(lines)
        .content("application/x-ndjson", content("Notice"))
        .content("text/event-stream", content("Notice"));
    operation.response("200", reply.build()).build()
}
