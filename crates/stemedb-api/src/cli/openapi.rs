//! `openapi`: the document that `GET /openapi.json` serves, without a server.

use std::io::Write;

use super::failure::Failure;

/// Print the OpenAPI document of the HTTP interface
#[derive(Debug, clap::Args)]
pub struct OpenApiArgs {}

/// Prints it.
pub fn run(_: &OpenApiArgs) -> Result<(), Failure> {
    write!(anstream::stdout().lock(), "{}", stemedb_api::http::document_text())?;
    Ok(())
}
