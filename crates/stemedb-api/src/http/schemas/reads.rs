//! Routes that answer from what is recorded.

use utoipa::openapi::{
    ContentBuilder, Required, ResponseBuilder,
    path::{Operation, ParameterBuilder, ParameterIn},
    schema::Type,
};

use super::{
    components::of_type,
    content, operation,
    parameters::{header, parameter},
    reply,
};
use crate::http::{claims, diff, export, feed, list, read};

pub(in super::super) fn export() -> Operation {
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

pub(in super::super) fn query() -> Operation {
    question("query", "Answer a question through a lens", read::QUERY_PARAMETERS, "Answer")
}

pub(in super::super) fn skeptic() -> Operation {
    question("skeptic", "How much the claims disagree", read::ANALYSIS_PARAMETERS, "Disagreement")
}

pub(in super::super) fn layered() -> Operation {
    question("layered", "What each class of sources says", read::ANALYSIS_PARAMETERS, "Layers")
}

fn question(id: &str, summary: &str, parameters: &[&str], answer: &str) -> Operation {
    let mut operation = operation(id, summary);
    for name in parameters {
        operation = operation.parameter(parameter(name, matches!(*name, "subject" | "predicate")));
    }
    operation.response("200", reply("The answer", "application/json", content(answer))).build()
}

pub(in super::super) fn assertion() -> Operation {
    let id = ParameterBuilder::new()
        .name("id")
        .parameter_in(ParameterIn::Path)
        .required(Required::True)
        .description(Some("64 hexadecimal digits"))
        .schema(Some(of_type(Type::String)));
    operation("assertion", "A claim as it was asserted")
        .parameter(id.build())
        .parameter(header("If-None-Match", "The ETag that the client has: 304 if it is the claim's"))
        .response("200", reply("The claim", "application/json", content("StoredAssertion")))
        .response("304", ResponseBuilder::new().description("The client has it").build())
        .build()
}

pub(in super::super) fn history() -> Operation {
    about("assertion_history", "What was said about a claim", claims::HISTORY_PARAMETERS, "History")
}

pub(in super::super) fn impact() -> Operation {
    about("assertion_impact", "What retracting a claim would touch", claims::AS_OF_PARAMETERS, "Impact")
}

pub(in super::super) fn agent_known() -> Operation {
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

pub(in super::super) fn claims() -> Operation {
    listing("claims", "Claims, those set aside included", list::LIST_PARAMETERS, "ClaimPage")
}

pub(in super::super) fn questions() -> Operation {
    listing("questions", "Questions, and how much is claimed", list::LIST_PARAMETERS, "QuestionPage")
}

pub(in super::super) fn conflicts() -> Operation {
    listing("conflicts", "The most contested questions", list::CONFLICT_PARAMETERS, "ConflictPage")
}

pub(super) fn listing(id: &str, summary: &str, parameters: &[&str], page: &str) -> Operation {
    let mut operation = operation(id, summary);
    for name in parameters {
        operation = operation.parameter(parameter(name, false));
    }
    operation.response("200", reply("A page", "application/json", content(page))).build()
}

pub(in super::super) fn diff() -> Operation {
    let mut operation = operation("diff", "What changed between two moments, and what came that changed it");
    for name in diff::PARAMETERS {
        operation = operation.parameter(parameter(name, *name == "from"));
    }
    operation.response("200", reply("What changed", "application/json", content("Difference"))).build()
}

/// What a client that comes back says.
pub(super) const LAST_EVENT: &str = "The position of the last event that was read: what comes behind it";

pub(in super::super) fn feed() -> Operation {
    let mut operation = operation("feed", "What changed from a position on, from the journal");
    for name in feed::PARAMETERS {
        operation = operation.parameter(parameter(name, false));
    }
    let lines = "Changes, one a line, up to now; the last line is the end record. \
                 With Accept: text/event-stream events that go on until the client leaves";
    let operation = operation.parameter(header("Last-Event-ID", LAST_EVENT));
    let reply = ResponseBuilder::new()
        .description(lines)
        .content("application/x-ndjson", content("Change"))
        .content("text/event-stream", content("Change"));
    operation.response("200", reply.build()).build()
}
