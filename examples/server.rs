//! An application that mounts the database's routes beside its own.
//!
//! ```sh
//! cargo run -p stemedb-examples --example server -- 8080
//! ```
//!
//! With `--once` (or `STEMEDB_EXAMPLE_ONCE` in the environment) it asks itself one question and ends.

use std::net::SocketAddr;

use axum::{Router, routing::get};
use stemedb_api::{
    Database, DatabaseOptions, RouterOptions,
    core::{Assertion, Object},
    router,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let once =
        arguments.iter().any(|word| word == "--once") || std::env::var_os("STEMEDB_EXAMPLE_ONCE").is_some();
    let port: u16 = match arguments.iter().find(|word| !word.starts_with("--")) {
        Some(port) => port.parse()?,
        None if once => 0,
        None => 8080,
    };

    // The application owns the database, and may use it beside the routes.
    let folder = tempfile::tempdir()?;
    let db = Database::create(folder.path().join("claims"), DatabaseOptions::default())?;
    let colour = Assertion::new("the:sky", "colour", Object::Text("blue".into()), "me");
    tokio::task::block_in_place(|| db.assert(colour))?;

    // Its fallback answers unknown paths, so the database's routes must not.
    let options = RouterOptions { answer_unknown_paths: false, ..RouterOptions::default() };
    let application = Router::new()
        .route("/hello", get(async || "hello from the application\n"))
        .fallback(async || "the application knows no such page\n")
        .merge(router(db.clone(), options));

    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    let address = listener.local_addr()?;
    println!("try http://{address}/hello and http://{address}/v1/query?subject=the:sky&predicate=colour");
    // The admin routes answer callers on this machine without a key, so they must see who calls.
    let server = axum::serve(listener, application.into_make_service_with_connect_info::<SocketAddr>());
    if once {
        tokio::select! {
            served = server => served?,
            asked = ask_both(address) => asked?,
        }
    } else {
        server.await?;
    }
    Ok(db.close()?)
}

/// One request to each side.
async fn ask_both(address: SocketAddr) -> Result<(), Box<dyn std::error::Error>> {
    for (path, expected) in [
        ("/hello", "hello from the application"),
        ("/v1/query?subject=the:sky&predicate=colour", r#""value":"blue""#),
        ("/nowhere", "no such page"),
    ] {
        let mut stream = TcpStream::connect(address).await?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut reply = String::new();
        stream.read_to_string(&mut reply).await?;
        let body = reply.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        println!("GET {path}\n{}", body.trim_end());
        if !body.contains(expected) {
            return Err(format!("{path} did not answer {expected:?}").into());
        }
    }
    Ok(())
}
