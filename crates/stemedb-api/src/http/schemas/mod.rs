//! What the OpenAPI document says about each route.

mod admin;
mod components;
mod operators;
mod parameters;
mod reads;
mod watches;
mod writes;

pub(super) use self::{admin::*, components::components, operators::*, reads::*, watches::*, writes::*};

use utoipa::openapi::{
    Content, ContentBuilder, Ref, Response, ResponseBuilder,
    path::{Operation, OperationBuilder},
    schema::Type,
};

use components::of_type;

fn simple(id: &str, summary: &str, media_type: &str, kind: Type) -> Operation {
    let content = ContentBuilder::new().schema(Some(of_type(kind))).build();
    operation(id, summary).response("200", reply("As described", media_type, content)).build()
}

fn operation(id: &str, summary: &str) -> OperationBuilder {
    // What it refuses with is added from the table of routes: see `openapi`.
    OperationBuilder::new().operation_id(Some(id)).summary(Some(summary))
}

fn reply(description: &str, media_type: &str, content: Content) -> Response {
    ResponseBuilder::new().description(description).content(media_type, content).build()
}

fn content(schema: &str) -> Content {
    ContentBuilder::new().schema(Some(Ref::from_schema_name(schema))).build()
}
