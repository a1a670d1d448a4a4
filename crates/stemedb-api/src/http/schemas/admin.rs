//! Routes about the server and its files.

use utoipa::openapi::{
    ContentBuilder, Required, ResponseBuilder,
    path::{Operation, ParameterBuilder, ParameterIn},
    request_body::RequestBodyBuilder,
    schema::Type,
};

use super::{
    components::of_type,
    content, operation,
    parameters::{header, parameter},
    reply, simple,
};
use crate::http::events;

pub(in super::super) fn admin_backup() -> Operation {
    job("admin_backup", "Begin a backup into the server's target; verify: false leaves out the proof")
}

pub(in super::super) fn admin_archive() -> Operation {
    job("admin_archive", "Begin to archive released segments; rotate: true ends the present one first")
}

pub(in super::super) fn admin_backup_status() -> Operation {
    simple("admin_backup_status", "How far the backup or archiving is", "application/json", Type::Object)
}

fn job(id: &str, summary: &str) -> Operation {
    let object = || ContentBuilder::new().schema(Some(of_type(Type::Object))).build();
    let body = RequestBodyBuilder::new().content("application/json", object()).required(Some(Required::True));
    operation(id, summary)
        .parameter(header("Idempotency-Key", "The same key again is answered with the same job"))
        .request_body(Some(body.build()))
        .response("202", reply("It has begun; its number", "application/json", object()))
        .build()
}

pub(in super::super) fn events() -> Operation {
    let mut operation = operation("storage_events", "What happened to the files");
    for name in events::PARAMETERS {
        operation = operation.parameter(parameter(name, false));
    }
    let done = "The events that are kept, oldest first";
    operation.response("200", reply(done, "application/json", content("StorageEvents"))).build()
}

pub(in super::super) fn server_key() -> Operation {
    operation("server_key", "The public key that this server signs receipts with")
        .response("200", reply("The key", "application/json", content("ServerKey")))
        .build()
}

pub(in super::super) fn admin_keys() -> Operation {
    simple("admin_keys", "The API keys, without their secrets", "application/json", Type::Object)
}

pub(in super::super) fn admin_create_key() -> Operation {
    let object = || ContentBuilder::new().schema(Some(of_type(Type::Object))).build();
    let members = "scopes (read, write, admin), and as needed label, agent, expires_at";
    let body = RequestBodyBuilder::new()
        .content("application/json", object())
        .description(Some(members))
        .required(Some(Required::True));
    operation("admin_create_key", "Make an API key; the reply alone has its secret")
        .request_body(Some(body.build()))
        .response("201", reply("The key", "application/json", object()))
        .build()
}

pub(in super::super) fn admin_revoke_key() -> Operation {
    let id = ParameterBuilder::new()
        .name("id")
        .parameter_in(ParameterIn::Path)
        .required(Required::True)
        .description(Some("12 hexadecimal digits: the key's public part"))
        .schema(Some(of_type(Type::String)));
    operation("admin_revoke_key", "Revoke an API key, at once")
        .parameter(id.build())
        .response("204", ResponseBuilder::new().description("It is good no more").build())
        .build()
}

pub(in super::super) fn health() -> Operation {
    simple("health", "How the server is", "application/json", Type::Object)
}

pub(in super::super) fn scrub() -> Operation {
    operation("scrub", "How the background reading of every file goes, and what damage it found")
        .response("200", reply("How it goes", "application/json", content("Scrub")))
        .build()
}

pub(in super::super) fn begin_scrub() -> Operation {
    operation("begin_scrub", "Begin to read every file now")
        .response("202", reply("It begins, or is under way", "application/json", content("Scrub")))
        .build()
}

pub(in super::super) fn metrics() -> Operation {
    simple("metrics", "Prometheus metrics", "text/plain", Type::String)
}

pub(in super::super) fn openapi() -> Operation {
    simple("openapi", "This document", "application/json", Type::Object)
}
